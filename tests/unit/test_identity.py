"""Who acts: who started a CI job and where it is, else the user that the environment or the system names."""

from __future__ import annotations

import getpass

import pytest

from prodpointer import _identity
from prodpointer._identity import acting_user

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_ACTOR": "ada",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "news/recommender",
    "GITHUB_RUN_ID": "17",
}
JOBS = {
    "github": (GITHUB, "ada (https://github.com/news/recommender/actions/runs/17)"),
    "github again": (
        {**GITHUB, "GITHUB_TRIGGERING_ACTOR": "grace"},
        "grace (https://github.com/news/recommender/actions/runs/17)",
    ),
    "gitlab": ({"GITLAB_CI": "true", "GITLAB_USER_LOGIN": "ada", "CI_JOB_URL": "https://g/j/1"}, "ada (https://g/j/1)"),
    "jenkins": ({"JENKINS_URL": "https://j", "BUILD_URL": "https://j/b/1/"}, "https://j/b/1/"),
    "azure": (
        {
            "TF_BUILD": "True",
            "BUILD_REQUESTEDFOR": "Ada Lovelace",
            "SYSTEM_COLLECTIONURI": "https://dev.azure.com/news/",
            "SYSTEM_TEAMPROJECT": "rec",
            "BUILD_BUILDID": "5",
        },
        "Ada Lovelace (https://dev.azure.com/news/rec/_build/results?buildId=5)",
    ),
    "buildkite": (
        {"BUILDKITE": "true", "BUILDKITE_BUILD_CREATOR": "ada", "BUILDKITE_BUILD_URL": "https://b/1"},
        "ada (https://b/1)",
    ),
    "circleci": (
        {"CIRCLECI": "true", "CIRCLE_USERNAME": "ada", "CIRCLE_BUILD_URL": "https://c/1"},
        "ada (https://c/1)",
    ),
}


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what says who acts, as in no CI job."""
    for service in _identity.SERVICES:
        monkeypatch.delenv(service.marker, raising=False)
        for name in service.users:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_named_with_who_started_it(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of the record finds the person and the run; the account of the job says less."""
    variables, expected = JOBS[job]
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "service-account")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert acting_user() == expected


def test_a_job_without_an_address_is_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an address is none."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    assert acting_user() == "ada"


def test_a_job_writes_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of a CI service is a line: a promotion would refuse anything else."""
    monkeypatch.setenv("TF_BUILD", "True")
    monkeypatch.setenv("BUILD_REQUESTEDFOR", "Ada\x1b[31m\nLovelace")
    assert acting_user() == "Ada [31m Lovelace"


def test_elsewhere_it_is_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own variable comes before the system's user."""
    assert acting_user() == getpass.getuser()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    assert acting_user() == "ada"
