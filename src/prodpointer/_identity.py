"""Who acts, where the caller does not say."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class _Service:
    """How one CI service tells a job who started it and where the job can be seen.

    ``marker`` is the variable that is set in its jobs alone; of ``users`` the first one that is set counts; ``run`` is
    a text with the names of variables, used where all of them are set.
    """

    marker: str
    users: tuple[str, ...]
    run: str

    def describe(self, variables: Mapping[str, str]) -> str:
        """Return who started the job, and where it is in parentheses."""
        user = next((variables[name] for name in self.users if variables.get(name)), "")
        try:
            run = self.run.format_map({name: value for name, value in variables.items() if value})
        except KeyError:
            run = ""
        return f"{user} ({run})" if user and run else user or run


SERVICES = (
    _Service(
        "GITHUB_ACTIONS",
        ("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"),
        "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
    ),
    _Service("GITLAB_CI", ("GITLAB_USER_LOGIN",), "{CI_JOB_URL}"),
    _Service("JENKINS_URL", ("BUILD_USER_ID", "CHANGE_AUTHOR"), "{BUILD_URL}"),
    _Service(
        "TF_BUILD",
        ("BUILD_REQUESTEDFOR",),
        "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
    ),
    _Service("BUILDKITE", ("BUILDKITE_BUILD_CREATOR", "BUILDKITE_BUILD_AUTHOR"), "{BUILDKITE_BUILD_URL}"),
    _Service("CIRCLECI", ("CIRCLE_USERNAME",), "{CIRCLE_BUILD_URL}"),
)


def acting_user() -> str:
    """Return who acts: in a CI job who started it and its address, else the user that the environment names."""
    return _in_ci() or os.environ.get("MLFLOW_TRACKING_USERNAME") or _system_user()


def _in_ci() -> str:
    """Return who started this CI job and where it is, the empty text where this is none; a line, without controls."""
    for service in SERVICES:
        if os.environ.get(service.marker):
            return " ".join(
                "".join(each if each.isprintable() else " " for each in service.describe(os.environ)).split()
            )
    return ""


def _system_user() -> str:
    """Return the operating system's user, else a fixed text."""
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # a number without a name: by Python up to 3.12, on Windows, from 3.13 on
        return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"
