"""What is served while the registry does not answer; an answer of the registry always takes precedence."""

from __future__ import annotations

import pickle
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import prodpointer
from prodpointer import (
    LastKnownGoodWarning,
    LoadFailed,
    PointerUnsupported,
    ProdpointerError,
    RegisteredModel,
    RegistryError,
    RegistryUnavailable,
    State,
)
from tests.integration.conftest import HAS_ALIASES, Lab, silent

Connect = Callable[..., RegisteredModel]


@contextmanager
def no_bytes(lab: Lab, model: RegisteredModel, number: int) -> Iterator[None]:
    """Let a store fail for the file of one version: a link to itself cannot be read, and is there."""
    run_id = model.version(number).run_id
    assert run_id is not None
    file = lab.artifact(run_id, "bundle/model.pkl")
    content = file.read_bytes()
    file.unlink()
    file.symlink_to(file)
    try:
        yield
    finally:
        file.unlink()
        file.write_bytes(content)


@pytest.fixture
def here(lab: Lab, name: str, tmp_path: Path) -> Connect:
    """Return a function that connects with the cache of this machine, which the test owns."""
    return lambda **options: prodpointer.connect(name, tracking_uri=lab.uri, cache_dir=tmp_path / "here", **options)


@pytest.fixture
def elsewhere(lab: Lab, name: str, tmp_path: Path) -> RegisteredModel:
    """Return the model with three versions as another machine sees it."""
    return lab.model(name, 3, cache_dir=tmp_path / "elsewhere")


def fallback(model: RegisteredModel, told: str = "") -> int:
    """Return which version is loaded while the registry is silent, with a warning that tells something."""
    with pytest.warns(LastKnownGoodWarning, match=told):
        return int(model.load_production(on_unavailable="last-known-good")["n"])


def no_fallback(model: RegisteredModel) -> str:
    """Return what is said where no version is loaded while the registry is silent."""
    with pytest.raises((RegistryUnavailable, RegistryError)) as raised:
        model.load_production(on_unavailable="last-known-good")
    return str(raised.value)


def loaded(model: RegisteredModel, elsewhere: RegisteredModel, *numbers: int) -> None:
    """Let versions go live one after the other, and be loaded here."""
    for number in numbers:
        elsewhere.promote(number)
        assert model.load_production()["n"] == number


def test_a_version_that_was_rolled_back_from_is_not_loaded_against_an_answer(
    lab: Lab, here: Connect, elsewhere: RegisteredModel
) -> None:
    """Where the registry names a version whose bytes cannot be had, no other version is loaded in its place."""
    model = here()
    elsewhere.promote(1)
    loaded(model, elsewhere, 2)
    elsewhere.rollback()
    with no_bytes(lab, elsewhere, 1), pytest.raises(ProdpointerError, match="bundle"):
        model.load_production(on_unavailable="last-known-good")


def test_a_version_that_was_rolled_back_from_does_not_begin_to_serve(
    lab: Lab, here: Connect, elsewhere: RegisteredModel
) -> None:
    """A handle that starts serves what the registry names, or nothing."""
    model = here()
    elsewhere.promote(1)
    loaded(model, elsewhere, 2)
    elsewhere.rollback()
    with no_bytes(lab, elsewhere, 1), model.follow(0.05) as live:
        assert not live.wait_ready(0.5)
        assert (live.model, live.state) == (None, State.ERROR)


def test_an_answer_without_bytes_is_remembered(lab: Lab, here: Connect, elsewhere: RegisteredModel) -> None:
    """What the registry named last counts in the outage that follows, and the error says what is known."""
    model = here()
    elsewhere.promote(1)
    loaded(model, elsewhere, 2)
    elsewhere.rollback()
    with no_bytes(lab, elsewhere, 1), pytest.raises(ProdpointerError):
        model.load_production()
    with silent(lab):
        told = no_fallback(model)
    assert "The registry last named version 1, and its bytes are not on this machine." in told
    assert "Version 2 was live before" in told


VERBS: dict[str, Callable[[RegisteredModel], object]] = {
    "status": lambda model: model.status(),
    "history": lambda model: model.history(),
    "live_version": lambda model: model.live_version(),
    "production": lambda model: model.production(),
    "repair": lambda model: model.repair(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_look_is_remembered(lab: Lab, here: Connect, elsewhere: RegisteredModel, verb: str) -> None:
    """Any verb that is told of a move back ends the fallback to the version before it."""
    model = here()
    elsewhere.promote(1)
    loaded(model, elsewhere, 2)
    elsewhere.rollback()
    VERBS[verb](model)
    with silent(lab):
        assert "last named version 1" in no_fallback(model)


@pytest.mark.parametrize("verb", ["rollback", "promote"])
def test_a_move_back_from_here_is_remembered(lab: Lab, here: Connect, elsewhere: RegisteredModel, verb: str) -> None:
    """A move that this machine made itself is the last that it knows of what is live."""
    model = here()
    elsewhere.promote(1)
    loaded(model, elsewhere, 2)
    model.rollback() if verb == "rollback" else model.promote(1)
    with silent(lab):
        assert "last named version 1" in no_fallback(model)


def test_the_version_that_was_moved_back_to_is_loaded(lab: Lab, here: Connect, elsewhere: RegisteredModel) -> None:
    """After a move back to a version whose bytes are here, that one is the fallback."""
    model = here()
    loaded(model, elsewhere, 1, 2)
    elsewhere.rollback()
    model.live_version()
    with silent(lab):
        assert fallback(model) == 1


def test_a_move_forward_to_a_version_that_was_live_before_is_no_new_version(
    lab: Lab, here: Connect, elsewhere: RegisteredModel
) -> None:
    """A number above the last one is a move back too, where it was live here earlier."""
    model = here()
    loaded(model, elsewhere, 3, 1)
    elsewhere.promote(3)
    model.live_version()
    with silent(lab):
        assert fallback(model) == 3


def test_a_new_version_does_not_take_the_service_away(lab: Lab, here: Connect, elsewhere: RegisteredModel) -> None:
    """A version that is new here and whose bytes never came leaves the one before as the fallback."""
    model = here()
    loaded(model, elsewhere, 2)
    elsewhere.promote(3)
    with no_bytes(lab, elsewhere, 3), pytest.raises(ProdpointerError):
        model.load_production()
    with silent(lab):
        assert fallback(model, "Version 3 went live since then") == 2


def test_a_new_version_that_does_not_load_is_no_fallback(lab: Lab, here: Connect, elsewhere: RegisteredModel) -> None:
    """A version whose bytes came and became no object leaves the one before as the fallback."""
    model = here()
    loaded(model, elsewhere, 1)
    run_id = lab.run({"bundle/model.pkl": b"cno_such_module\nThing\n."})
    elsewhere.promote(elsewhere.register(run_id, "bundle"))
    with pytest.raises(LoadFailed):
        model.load_production()
    with silent(lab):
        assert fallback(model) == 1


def test_a_load_that_ends_after_a_rollback_does_not_undo_it(
    lab: Lab, here: Connect, elsewhere: RegisteredModel
) -> None:
    """What was live when a load began is not what is live when it ends."""
    model = here()
    elsewhere.promote(1)
    elsewhere.promote(2)

    def slowly(path: Path) -> Any:
        model.rollback()
        return pickle.loads((path / "model.pkl").read_bytes())

    assert model.load_production(slowly)["n"] == 2
    with silent(lab):
        assert "last named version 1" in no_fallback(model)


def test_a_load_that_ends_after_a_withdrawal_does_not_undo_it(
    lab: Lab, here: Connect, elsewhere: RegisteredModel
) -> None:
    """A version that was withdrawn while it was loaded is no fallback."""
    model = here()
    elsewhere.promote(1)

    def slowly(path: Path) -> Any:
        model.withdraw()
        return pickle.loads((path / "model.pkl").read_bytes())

    assert model.load_production(slowly)["n"] == 1
    with silent(lab):
        assert "When the registry last answered, nothing was live." in no_fallback(model)


@contextmanager
def full_disk() -> Iterator[None]:
    """Let this process write no byte, which fails as a full disk does; files can be removed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("verb", ["load_production", "live_version", "status"])
def test_a_version_that_was_rolled_back_from_on_a_full_disk_is_not_loaded(
    lab: Lab, here: Connect, elsewhere: RegisteredModel, verb: str
) -> None:
    """Where the answer cannot be noted, the notes that it proves wrong are gone."""
    loaded(here(), elsewhere, 1, 2)
    elsewhere.rollback()
    with full_disk():
        getattr(here(), verb)()
    with silent(lab):
        no_fallback(here())


def test_a_withdrawal_that_is_seen_on_a_full_disk_ends_the_fallback(
    lab: Lab, here: Connect, elsewhere: RegisteredModel
) -> None:
    """A version that was withdrawn is not loaded, whether or not that could be noted."""
    loaded(here(), elsewhere, 1)
    elsewhere.withdraw()
    with full_disk():
        assert here().load_production() is None
    with silent(lab):
        no_fallback(here())


def test_a_new_version_on_a_full_disk_does_not_take_the_service_away(
    lab: Lab, here: Connect, elsewhere: RegisteredModel
) -> None:
    """What is verified here stays, though the newer version can be neither noted nor downloaded."""
    loaded(here(), elsewhere, 1, 2)
    elsewhere.promote(3)
    with full_disk(), pytest.raises(ProdpointerError, match="File too large"):
        here().load_production()
    with silent(lab):
        assert fallback(here()) == 2


def test_a_machine_that_loads_nothing_keeps_nothing(here: Connect, elsewhere: RegisteredModel, tmp_path: Path) -> None:
    """A job that promotes and looks makes no note of what is live: it has nothing to serve."""
    model = here()
    model.promote(1)
    model.status()
    model.live_version()
    model.withdraw()
    assert [path for path in (tmp_path / "here").rglob("*") if path.is_file()] == []


def test_handles_with_other_overrides_share_nothing(
    lab: Lab, here: Connect, elsewhere: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one process is told of its pointer says nothing of what a process with another environment sees."""
    lab.to_stage(elsewhere.name, 1, "Production")
    monkeypatch.setenv("PRODPOINTER_POINTER", "stage")
    model = here()
    assert model.load_production()["n"] == 1
    monkeypatch.setenv("PRODPOINTER_POINTER", "alias")
    if HAS_ALIASES:
        assert here().load_production() is None
    else:
        with pytest.raises(PointerUnsupported):
            here().load_production()
    with silent(lab):
        assert fallback(model) == 1


def test_handles_of_other_stages_share_nothing(lab: Lab, here: Connect, elsewhere: RegisteredModel) -> None:
    """One alias may stand for a stage in one process and for another stage in another one."""
    lab.to_stage(elsewhere.name, 1, "Production")
    lab.to_stage(elsewhere.name, 2, "Staging")
    model, other = (here(pointer="stage", stages={"production": stage}) for stage in ("Production", "Staging"))
    assert model.load_production()["n"] == 1
    assert other.load_production()["n"] == 2
    with silent(lab):
        assert fallback(model) == 1
