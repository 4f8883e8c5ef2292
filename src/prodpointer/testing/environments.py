"""Virtual environments with a specific MLflow version, created with uv and reused."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from packaging.version import InvalidVersion, Version
from platformdirs import user_cache_path

from prodpointer.errors import without_credentials

ENVIRONMENTS_VARIABLE = "PRODPOINTER_ENVIRONMENTS"
_TAIL = 4000


class EnvironmentFailed(RuntimeError):
    """An environment with the requested MLflow could not be created; the text ends with the output of uv."""


@dataclass(frozen=True)
class Release:
    """One MLflow release and how it is installed.

    Parameters
    ----------
    version
        The version of MLflow.
    python
        The Python it runs on, such as ``"3.11"``.
    as_of
        The date, such as ``"2026-05-20"``, of the package index to install from, so that an old MLflow gets the
        libraries of its time; None for today.
    extra
        Additional requirements.
    """

    version: str
    python: str
    as_of: str | None = None
    extra: tuple[str, ...] = ()


# The releases that prodpointer is tested with, oldest first.
KNOWN = (
    Release("2.0.1", "3.10", "2023-05-10"),
    Release("2.2.2", "3.10", "2023-05-10"),
    Release("2.3.0", "3.11", "2023-05-02"),
    Release("2.9.2", "3.11", "2023-12-20", ("setuptools<81",)),
    Release("2.16.2", "3.11", "2024-09-30"),
    Release("2.22.5", "3.11", "2026-05-20"),
    Release("3.0.1", "3.12", "2025-06-30"),
    Release("3.5.1", "3.12", "2025-11-05"),
    Release("3.9.0", "3.11", "2026-02-15"),
    Release("3.17.2", "3.11", "2026-11-20"),
)


def release_of(version: str) -> Release:
    """Return how to install a version: like the next later known release of its major.

    From 2.22 on it runs on the current Python; the dependencies of older ones have no builds for newer Pythons.

    Raises ``EnvironmentFailed`` for an invalid version.
    """
    try:
        wanted = Version(version)
    except InvalidVersion:
        raise EnvironmentFailed(f"Unknown MLflow version {version!r}. Give one such as 2.22.5.") from None
    current = f"{sys.version_info.major}.{sys.version_info.minor}"
    for known in KNOWN:
        if wanted <= Version(known.version) and wanted.major == Version(known.version).major:
            python = current if wanted >= Version("2.22") else known.python
            return Release(version, python, known.as_of, known.extra)
    # A later 2.x: today's SQLAlchemy 2.1 breaks MLflow 2 (2.22.5).
    return Release(version, current, None, ("sqlalchemy<2.1", "setuptools<81") if wanted.major < 3 else ())


def environment(release: Release, *, install: Sequence[str | Path] = ()) -> Path:
    """Return the Python of a virtual environment with one MLflow version, created once and reused.

    It is in the directory that ``PRODPOINTER_ENVIRONMENTS`` names, else in the user's cache. Concurrent processes that
    need the same environment wait for each other.

    Parameters
    ----------
    release
        The MLflow release to install.
    install
        Further requirements or wheels.

    Raises
    ------
    EnvironmentFailed
        uv is missing, or the installation failed.
    """
    directory = environments_directory()
    directory.mkdir(parents=True, exist_ok=True)
    home = directory / _name(release, install)
    with FileLock(directory / f"{home.name}.lock"):
        # Written last: if it is missing, an earlier process was interrupted.
        complete = home / "complete"
        if not complete.exists():
            shutil.rmtree(home, ignore_errors=True)
            _create(home, release, install)
            complete.touch()
    return home / "bin" / "python"


def environments_directory() -> Path:
    """Return the directory of the environments."""
    chosen = os.environ.get(ENVIRONMENTS_VARIABLE)
    return Path(chosen) if chosen else user_cache_path("prodpointer") / "test-environments"


def _name(release: Release, install: Sequence[str | Path]) -> str:
    """Return a name that depends on everything that is installed; for a wheel, on its content."""
    parts = [release.version, release.python, release.as_of or "", *release.extra]
    for each in install:
        file = Path(each)
        parts.append(hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else str(each))
    return f"mlflow-{release.version}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def _create(home: Path, release: Release, install: Sequence[str | Path]) -> None:
    """Create one environment with the libraries of its date."""
    uv("venv", "--quiet", "--python", interpreter(release.python), str(home))
    day = ["--exclude-newer", release.as_of] if release.as_of else []
    wanted = [f"mlflow=={release.version}", *release.extra, *(str(each) for each in install)]
    uv("pip", "install", "--quiet", "--python", str(home / "bin" / "python"), *day, *wanted)


def interpreter(version: str) -> str:
    """Return an interpreter of that Python version, including unselected ones of pyenv; else the version, for uv."""
    if sys.version_info[:2] == tuple(int(part) for part in version.split(".")):
        return sys.executable
    pyenv = shutil.which("pyenv")
    if pyenv is not None:
        root = subprocess.run([pyenv, "root"], check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603  # as found
        for found in sorted(Path(root).glob(f"versions/{version}.*/bin/python")):
            return str(found)
    return version


def uv(*arguments: str) -> None:
    """Run uv without the settings of the test process, or raise ``EnvironmentFailed``."""
    beside = Path(sys.executable).parent
    found = shutil.which("uv", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise EnvironmentFailed(
            "uv is needed to install another MLflow version, and was not found. Run: pip install uv"
        )
    bound = ("UV_EXCLUDE_NEWER", "UV_PYTHON", "UV_CONSTRAINT", "UV_OVERRIDE", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if name not in bound}
    done = subprocess.run([found, *arguments], check=False, env=env, capture_output=True, text=True)  # noqa: S603  # as found
    if done.returncode != 0:
        raise EnvironmentFailed(without_credentials(f"uv {' '.join(arguments)} failed:\n{done.stderr[-_TAIL:]}"))
