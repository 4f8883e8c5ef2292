"""Checks of a live pointer, written with the public verbs: they also run on a user's own registry."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from prodpointer.connection import connect, registered_model_names
from prodpointer.errors import (
    ArtifactNotFound,
    ExpectationFailed,
    InvalidName,
    ModelNotFound,
    PointerUnsupported,
    ProdpointerError,
    VersionNotFound,
)
from prodpointer.mlflow_client import Capabilities, Registry, ScratchExperiment, probe_capabilities
from prodpointer.registered_model import RegisteredModel
from prodpointer.types import ModelReply

DIRECTORY = "bundle"
FILE = "newsreco.pkl"
_STAGE: Final = "Production"
_ODD_NAME = "Ünï %41 'quoted' & 日本."


class CheckFailed(Exception):
    """A check failed; the text says what was found instead."""


@dataclass
class Trial:
    """The registry being checked, three runs that logged the bundles 1, 2 and 3, and the models created so far.

    ``prefix`` starts the name of every model, for registries whose names have several levels. ``cache`` is the
    download cache, so that the user's own cache is not touched.
    """

    registry: Registry
    experiment: ScratchExperiment
    runs: tuple[str, ...]
    prefix: str
    cache: Path
    made: list[str] = field(default_factory=list)

    @property
    def can(self) -> Capabilities:
        """The detected capabilities of the registry."""
        return probe_capabilities(self.registry)

    def model(self, pointer: str, *, versions: int = 0, name: str = "") -> RegisteredModel:
        """Connect to a new model, after registering ``versions`` versions of it."""
        fresh = f"{self.prefix}-{len(self.made)}{name}"
        kind: Any = pointer
        addresses = self.registry.addresses
        found = connect(
            fresh,
            tracking_uri=addresses.tracking_uri,
            registry_uri=addresses.registry_uri,
            workspace=addresses.workspace or "",
            pointer=kind,
            timeout=self.registry.timeout,
            cache_dir=self.cache,
        )
        self.made.append(fresh)
        for run_id in self.runs[:versions]:
            found.register(run_id, DIRECTORY)
        return found

    def register_with_plain_mlflow(self, path: str, run: int = 0) -> RegisteredModel:
        """Return a model with one version from ``runs:/…`` without a digest, as plain MLflow registers it."""
        found = self.model("auto")
        self.registry.create_model(found.name)
        source = f"runs:/{self.runs[run]}/{path}"
        self.registry.create_version(found.name, source, run_id=self.runs[run], model_id=None, tags={})
        return found

    def pointers(self, model: RegisteredModel) -> dict[str, int]:
        """Return the version that each pointer of a model names, from one response of the registry."""
        reply: ModelReply = self.registry.model(model.name)
        found = {"alias": reply.aliases["production"]} if "production" in reply.aliases else {}
        newest = reply.newest.get(_STAGE)
        return found | ({"stage": newest.version} if newest else {})

    def point(self, model: RegisteredModel, *, alias: int | None = None, stage: int | None = None) -> None:
        """Move pointers without this library's verbs, as other tools do."""
        if alias is not None:
            self.registry.set_alias(model.name, "production", alias)
        if stage is not None:
            self.registry.move_to_stage(model.name, stage, _STAGE)


Check = Callable[[Trial, str], None]


def bundle(number: int) -> dict[str, Any]:
    """Return the object that the run ``number`` logged."""
    return {"recommender": f"r{number}", "ranker": number}


def bundle_files(number: int) -> dict[str, bytes]:
    """Return the files that the run ``number`` logs: a single pickle, and the same pickle in a directory."""
    content = pickle.dumps(bundle(number), protocol=4)  # a protocol that every supported Python reads
    return {FILE: content, f"{DIRECTORY}/{FILE}": content}


def require_equal(what: str, found: object, wanted: object) -> None:
    """Raise ``CheckFailed`` unless ``found`` equals ``wanted``."""
    if found != wanted:
        raise CheckFailed(f"{what}: {found!r} instead of {wanted!r}")


def require_error(what: str, kind: type[ProdpointerError], verb: Callable[[], object]) -> None:
    """Raise ``CheckFailed`` unless ``verb`` raises ``kind``."""
    try:
        found = verb()
    except kind:
        return
    except ProdpointerError as error:
        raise CheckFailed(f"{what}: {type(error).__name__} instead of {kind.__name__} ({error})") from error
    raise CheckFailed(f"{what}: {found!r} instead of {kind.__name__}")


def find_refusal(trial: Trial, pointer: str) -> PointerUnsupported | None:
    """Return the error if this registry does not support a pointer, else None; a refused promotion moves nothing."""
    model = trial.model(pointer)
    run_id = trial.runs[0]
    number = model.register(run_id, DIRECTORY)
    try:
        model.promote(number)
    except PointerUnsupported as error:
        require_equal("pointers after a refused promotion", trial.pointers(model), {})
        require_error("reading an unsupported pointer", PointerUnsupported, model.live_version)
        return error
    return None


def promoted_is_live(trial: Trial, pointer: str) -> None:
    """Nothing is live at first; a promoted version is live and loads, also if it is older than the one before."""
    model = trial.model(pointer, versions=3)
    require_equal("live before any promotion", (model.production(), model.load_production()), (None, None))
    for number in (1, 3, 2):
        move = model.promote(number, reason="conformance")
        require_equal("the version promoted", move.to_version, number)
        require_equal("the live version", model.live_version(), number)
        require_equal("the object loaded", model.load_production(), bundle(number))
        require_equal("the versions that the pointers name", set(trial.pointers(model).values()), {number})
        require_equal("the pointers moved", set(move.pointers), set(trial.pointers(model)))
    status = model.status()
    require_equal("the status", (status.live, status.agreed), (2, True))
    require_equal("pointers moved by promoting the live version", model.promote(2).pointers, ())


def one_version_in_the_stage(trial: Trial, pointer: str) -> None:
    """After promotions at most one version is in the stage, and no version is missing."""
    model = trial.model(pointer, versions=3)
    for number in (3, 1, 2):
        model.promote(number)
    versions = trial.registry.versions(model.name)
    require_equal("the versions", [each.version for each in versions], [1, 2, 3])
    in_stage = [each.version for each in versions if each.stage == _STAGE]
    require_equal("the versions in the stage", in_stage, [2] if "stage" in trial.pointers(model) else [])


def withdrawn_is_restored(trial: Trial, pointer: str) -> None:
    """After a withdrawal no pointer is set; the next promotion sets the same pointers again."""
    model = trial.model(pointer, versions=2)
    moved = model.promote(1).pointers
    require_equal("the pointers withdrawn", model.withdraw().pointers, moved)
    require_equal("live after a withdrawal", (model.production(), trial.pointers(model)), (None, {}))
    require_equal("the pointers restored", model.promote(2).pointers, moved)


def expectations_are_checked(trial: Trial, pointer: str) -> None:
    """A wrong expectation refuses the promotion and moves nothing; a correct one lets it pass."""
    model = trial.model(pointer, versions=2)
    model.promote(1, expected=None)
    require_error("a wrong expectation", ExpectationFailed, lambda: model.promote(2, expected=2))
    require_equal("live after a refusal", model.live_version(), 1)
    require_equal("live as expected", model.promote(2, expected=1).from_version, 1)


def missing_things_are_named(trial: Trial, pointer: str) -> None:
    """A version, model, run or artifact that does not exist raises its own error and changes nothing."""
    model = trial.model(pointer, versions=1)
    model.promote(1)
    require_error("a missing version", VersionNotFound, lambda: model.promote(9))
    require_error("a missing version read", VersionNotFound, lambda: model.version(9))
    require_equal("live after a refusal", model.live_version(), 1)
    absent = trial.model(pointer)
    trial.made.remove(absent.name)
    require_error("a missing model read", ModelNotFound, absent.live_version)
    require_error("a missing model promoted", ModelNotFound, lambda: absent.promote(1))
    require_error("a missing artifact", ArtifactNotFound, lambda: absent.register(trial.runs[0], "no-such-file.pkl"))
    require_error("a missing run", ArtifactNotFound, lambda: absent.register("0" * 32, DIRECTORY))
    require_error("a model after refused registrations", ModelNotFound, absent.live_version)


def others_moves_are_seen(trial: Trial, pointer: str) -> None:
    """An alias or stage set by another tool is live at once; the alias counts if both are set."""
    del pointer
    model = trial.model("auto", versions=3)
    if trial.can.stages:
        trial.point(model, stage=2)
        require_equal("live by a stage alone", model.live_version(), 2)
    if trial.can.aliases:
        trial.point(model, alias=1)
        require_equal("live by an alias", model.live_version(), 1)
        require_equal("agreed in the status", model.status().agreed, not trial.can.stages)
    set_before = set(trial.pointers(model))
    moved = model.promote(3).pointers
    require_equal("the pointers moved", set(moved) >= set_before, True)
    require_equal("the versions that the pointers name", set(trial.pointers(model).values()), {3})


def files_and_directories_load(trial: Trial, pointer: str) -> None:
    """A registered file and a registered directory load, also if plain MLflow registered them as ``runs:/``."""
    del pointer
    model = trial.model("auto")
    for artifact in (FILE, DIRECTORY):
        model.promote(model.register(trial.runs[1], artifact))
        require_equal(f"the object of {artifact}", model.load_production(), bundle(2))
    for artifact in (FILE, DIRECTORY):
        other = trial.register_with_plain_mlflow(artifact)
        other.promote(1)
        require_equal(f"the object of runs:/…/{artifact}", other.load_production(), bundle(1))


def odd_names_are_kept_or_refused(trial: Trial, pointer: str) -> None:
    """A name that newer MLflow cannot read is refused before anything is created; any other name works."""
    del pointer
    for name in ("/b", ":b"):
        model = trial.model("auto", name=name)
        trial.made.remove(model.name)
        require_error(f"a name with {name[0]!r}", InvalidName, partial(model.register, trial.runs[0], DIRECTORY))
    model = trial.model("auto", versions=2, name=_ODD_NAME)
    model.promote(2)
    require_equal("live under an odd name", (model.live_version(), model.load_production()), (2, bundle(2)))


def models_are_listed(trial: Trial, pointer: str) -> None:
    """An existing model is in the list of all models."""
    del pointer
    model = trial.model("auto", versions=1)
    addresses = trial.registry.addresses
    names = registered_model_names(
        tracking_uri=addresses.tracking_uri,
        registry_uri=addresses.registry_uri,
        workspace=addresses.workspace or "",
        timeout=trial.registry.timeout,
    )
    require_equal("whether the list has the model", model.name in names, True)


EACH_POINTER: Sequence[Check] = (
    promoted_is_live,
    one_version_in_the_stage,
    withdrawn_is_restored,
    expectations_are_checked,
    missing_things_are_named,
)
"""The checks of every pointer that a registry supports."""

ONCE: Sequence[Check] = (
    others_moves_are_seen,
    files_and_directories_load,
    odd_names_are_kept_or_refused,
    models_are_listed,
)
"""The checks that run with ``auto`` only."""


def run_check(check: Check, trial: Trial, pointer: str) -> str | None:
    """Return None if a check passes, else what was found; warnings are ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check(trial, pointer)
        except (CheckFailed, ProdpointerError) as failure:
            return f"{type(failure).__name__}: {failure}"
    return None
