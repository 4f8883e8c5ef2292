"""The contents of wheel and sdist: everything that should ship, and nothing else."""

from __future__ import annotations

import configparser
import hashlib
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest

from tests.mlflow_table import ROOT
from tests.packaging.conftest import PROJECT, Distributions, built, said

NAME, VERSION = PROJECT["project"]["name"], PROJECT["project"]["version"]
STEM = f"{NAME}-{VERSION}"
METADATA = f"{STEM}.dist-info"
# In the package there is code, the mark that says it is typed, and what HTML pages are made of.
OF_THE_PACKAGE = (".py", "/py.typed", ".html.jinja", ".css", "/report.js")
SDIST_INCLUDES = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
# What a build takes along whatever the list of includes says.
ALWAYS = {".gitignore", "LICENSE", "README.md", "pyproject.toml"}
GENERATED = {"PKG-INFO"}


def files_of(archive: Path) -> dict[str, bytes]:
    """Return the files of a wheel or an sdist by name, each with its bytes."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            return {each.filename: opened.read(each) for each in opened.infolist() if not each.is_dir()}
    with tarfile.open(archive) as unpacked:
        members = [each for each in unpacked.getmembers() if each.isfile()]
        return {each.name: _read(unpacked, each) for each in members}


def _read(unpacked: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the bytes of one file of an sdist."""
    file = unpacked.extractfile(member)
    assert file is not None
    return file.read()


def tracked() -> set[str]:
    """Return the files that belong to the project: what git tracks; in an unpacked sdist all that was in it."""
    if not (ROOT / ".git").exists():
        assert (ROOT / "PKG-INFO").is_file(), "neither a git checkout nor an unpacked sdist: nothing says what ships"
        found = {each.relative_to(ROOT) for each in ROOT.rglob("*") if each.is_file()}
        made = {"__pycache__", ".tox", ".nox", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
        return {each.as_posix() for each in found if not made & set(each.parts)} - GENERATED
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {each for each in listed.split("\0") if each and (ROOT / each).exists()}


def metadata(distributions: Distributions) -> Message:
    """Return the metadata of the wheel."""
    return Parser().parsestr(files_of(distributions.wheel)[f"{METADATA}/METADATA"].decode())


def test_the_wheel_holds_the_package_and_nothing_else(distributions: Distributions) -> None:
    """Every tracked module, ``py.typed``, the metadata and the licence: a file more or less is red."""
    package = {each.removeprefix("src/") for each in tracked() if each.startswith(f"src/{NAME}/")}
    about = {f"{METADATA}/{each}" for each in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert [each for each in package if not each.endswith(OF_THE_PACKAGE)] == []
    assert f"{NAME}/py.typed" in package
    assert set(files_of(distributions.wheel)) == package | about


def test_the_sdist_holds_what_git_tracks(distributions: Distributions) -> None:
    """Every tracked file and the generated metadata: no file of this machine, and nothing left behind."""
    assert set(files_of(distributions.sdist)) == {f"{STEM}/{each}" for each in tracked() | GENERATED}


def test_the_list_of_includes_decides_about_everything() -> None:
    """Each tracked file or folder at the top is on the list of the sdist, or is one that a build always takes."""
    top = {PurePosixPath(each).parts[0] for each in tracked()}
    assert top - {each.strip("/") for each in SDIST_INCLUDES} == ALWAYS


@pytest.mark.parametrize("which", ["wheel", "sdist"])
def test_the_bytes_are_those_of_the_checkout(distributions: Distributions, which: str) -> None:
    """What ships is what stands here, byte for byte."""
    prefix, source = ("", ROOT / "src") if which == "wheel" else (f"{STEM}/", ROOT)
    found = {name.removeprefix(prefix): body for name, body in files_of(getattr(distributions, which)).items()}
    copied = {name: body for name, body in found.items() if not name.startswith(METADATA) and name not in GENERATED}
    assert [name for name, body in copied.items() if (source / name).read_bytes() != body] == []


def test_a_wheel_of_the_sdist_is_the_wheel_of_the_checkout(distributions: Distributions) -> None:
    """Both ways lead to the same names and the same bytes."""
    assert files_of(distributions.wheel_of_sdist) == files_of(distributions.wheel)


def test_a_build_can_be_repeated(distributions: Distributions, tmp_path: Path) -> None:
    """With one ``SOURCE_DATE_EPOCH`` a second build has the same SHA-256, wheel and sdist."""
    again = built(ROOT, tmp_path, "--sdist", "--wheel")
    first = [distributions.wheel, distributions.sdist]
    assert [digest(each) for each in again] == [digest(each) for each in first]


def digest(file: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_metadata_is_the_projects(distributions: Distributions) -> None:
    """Name, version, Python, licence, dependencies, extras and classifiers are those of ``pyproject.toml``."""
    told, project = metadata(distributions), PROJECT["project"]
    extras = project.get("optional-dependencies", {})
    assert (told["Name"], told["Version"]) == (project["name"], project["version"])
    assert told["Requires-Python"] == project["requires-python"]
    assert (told["License-Expression"], told.get_all("License-File")) == (project["license"], ["LICENSE"])
    assert told.get_all("Provides-Extra", []) == sorted(extras)
    assert len(told.get_all("Requires-Dist", [])) == len(project["dependencies"]) + sum(map(len, extras.values()))
    assert told.get_all("Classifier") == project["classifiers"]
    assert "Typing :: Typed" in project["classifiers"]
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_entry_points_are_the_projects(distributions: Distributions) -> None:
    """The commands and the plugins are those of ``pyproject.toml``, and none more."""
    told = configparser.RawConfigParser(delimiters=("=",))
    told.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    told.read_string(files_of(distributions.wheel)[f"{METADATA}/entry_points.txt"].decode())
    groups = {"console_scripts": PROJECT["project"]["scripts"], **PROJECT["project"].get("entry-points", {})}
    assert {group: dict(told[group]) for group in told.sections()} == groups


def test_the_wheel_runs_on_any_machine(distributions: Distributions) -> None:
    """Python alone and no compiled part: one wheel for all."""
    assert distributions.wheel.name == f"{STEM}-py3-none-any.whl"
    assert b"Root-Is-Purelib: true" in files_of(distributions.wheel)[f"{METADATA}/WHEEL"]


def test_an_index_would_take_both(distributions: Distributions) -> None:
    """The metadata is well formed and the README renders, with warnings as errors."""
    told = said(sys.executable, "-m", "twine", "check", "--strict", distributions.wheel, distributions.sdist)
    assert told.count("PASSED") == 2
