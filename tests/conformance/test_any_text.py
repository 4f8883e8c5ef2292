"""Any text as a name, an alias, a tag or a version is either accepted unchanged or refused with a typed error."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prodpointer import ArtifactNotFound, InvalidName, NothingToRollBack, PointerUnsupported, VersionNotFound
from prodpointer.cli.main import main
from tests.conformance.conftest import Connect, Registry

ODD = ["", " ", "latest", "Latest", "v1", "V007", "a/b", "/", "a:b", "x" * 256, "ü" * 300, "x" * 6000, "None", "[b]x"]
ODD += ["\0", "a\nb", "\x7f", "\ud800", "\u2028", "\u202ename", "e\u0301", "💥", "'", '"', "'\"", "%", "_", "\\", ".."]
ODD += ["../x", "models:/x/1", "-1", "0", "01", "1.0", "+1", "٣", "1e3", "9" * 30, "PRODUCTION", "staging", "--help"]
TEXT = st.one_of(st.sampled_from(ODD), st.text(st.characters(), max_size=30))
VERSIONS = st.one_of(TEXT, st.integers(), st.floats(), st.booleans(), st.binary(max_size=3), st.just([]))

PROFILE = settings.default
assert PROFILE is not None
many = settings(max_examples=5 * PROFILE.max_examples)  # a text is cheaper to try than a story

pytestmark = pytest.mark.filterwarnings("ignore::prodpointer.PointerDriftWarning")


@many
@given(name=TEXT)
@example(name="\ud800")
@example(name="x" * 6000)
def test_a_name_is_taken_or_refused(registry: Registry, fresh: Connect, name: str) -> None:
    """A model of any name goes live, and is found again under that name, or there never is one."""
    try:
        model = fresh(name=name)
        made = model.register(registry.runs[0], "bundle", sha256=registry.digests[0])
    except InvalidName:
        assert name not in registry.names()
        return
    assert model.promote(made).to_version == made
    found = fresh(name=name).production()
    assert found is not None
    assert (found.name, found.version) == (name, made)


@many
@given(alias=TEXT)
def test_an_alias_is_taken_or_refused(fresh: Connect, alias: str) -> None:
    """A version goes live under any alias, and under no other one, or the alias is refused."""
    model = fresh(1)
    try:
        named = fresh(name=model.name, alias=alias)
        named.promote(1)
    except (InvalidName, PointerUnsupported):
        return
    assert named.live_version() == 1
    assert model.live_version() == (1 if alias.lower() == "production" else None)


@many
@given(key=TEXT, value=TEXT)
@example(key="../x", value="")
@example(key="x", value="\ud800")
def test_a_tag_is_taken_or_refused(registry: Registry, fresh: Connect, key: str, value: str) -> None:
    """A version has the tag that was given, to the letter, or is not there."""
    model = fresh()
    try:
        made = model.register(registry.runs[0], "bundle", sha256=registry.digests[0], tags={key: value})
    except InvalidName:
        assert model.name not in registry.names()
        return
    assert model.version(made).tags[key] == value


@many
@given(path=TEXT)
def test_a_path_is_found_or_not(registry: Registry, fresh: Connect, path: str) -> None:
    """No run has an artifact of an odd name, and nothing is made for one."""
    model = fresh()
    with pytest.raises((ArtifactNotFound, InvalidName)):
        model.register(registry.runs[0], f"bundle/{path}x", digest=False)
    assert model.name not in registry.names()


@many
@given(reason=TEXT, by=TEXT)
@example(reason="\ud800", by="")
@example(reason="", by="\ud800")
def test_a_reason_is_kept_or_refused(fresh: Connect, reason: str, by: str) -> None:
    """Who and why are in the record to the letter, cut where they are long, or nothing is moved."""
    model = fresh(1)
    try:
        model.promote(1, reason=reason, by=by)
    except InvalidName:
        assert model.live_version() is None
        return
    (event,) = model.history()
    kept = event.reason.removesuffix("...") if len(reason) > 300 else event.reason
    assert reason.startswith(kept)
    assert kept == reason or len(reason) > 300
    assert event.by == by[:200] or not by


@many
@given(version=VERSIONS)
@example(version=2)
@example(version=2**63)
def test_a_version_is_taken_or_refused(fresh: Connect, version: int) -> None:
    """Only 1, as a number or as text, is the first version; everything else moves nothing."""
    model = fresh(1)
    for verb in (model.promote, model.version, lambda given: model.rollback(to=given)):
        if version is not True and version in (1, "1"):
            verb(version)
            continue
        with pytest.raises((InvalidName, VersionNotFound, NothingToRollBack)):
            verb(version)
        assert model.live_version() is None


@many
@given(name=TEXT, version=TEXT, verb=st.sampled_from(["promote", "status", "history", "rollback", "withdraw"]))
@example(name="\ud800", version="1", verb="promote")
def test_a_command_ends_with_an_exit_code(registry: Registry, name: str, version: str, verb: str) -> None:
    """The command line says what is wrong with any text, in words and not in a traceback."""
    arguments = ["--tracking-uri", registry.uri, verb, name, *([version] if verb == "promote" else [])]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in {0, 1, 2, 3, 4}
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
