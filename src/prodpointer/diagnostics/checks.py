"""The laws of a live pointer, written over the public verbs, so that they hold or fail for a user's own registry."""

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
from prodpointer.mlflow_client.capabilities import Capabilities, capabilities
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.run_logging import ScratchExperiment
from prodpointer.registered_model import RegisteredModel
from prodpointer.types import ModelReply

DIRECTORY = "bundle"
FILE = "newsreco.pkl"
_STAGE: Final = "Production"
_ODD_NAME = "Ünï %41 'quoted' & 日本."


class LawBroken(Exception):
    """A law does not hold; the text says what was found instead."""


@dataclass
class Trial:
    """A registry under trial: three runs that logged the bundles 1, 2 and 3, and the models made so far.

    ``prefix`` starts the name of every model, for registries whose names have several levels. ``cache`` takes the
    downloads, so that nothing of a trial stays in the user's.
    """

    registry: Registry
    experiment: ScratchExperiment
    runs: tuple[str, ...]
    prefix: str
    cache: Path
    made: list[str] = field(default_factory=list)

    @property
    def can(self) -> Capabilities:
        """What the registry can do, as the library found out."""
        return capabilities(self.registry)

    def model(self, pointer: str, *, versions: int = 0, name: str = "") -> RegisteredModel:
        """Connect to a model that nobody has used; ``versions`` of it are registered first."""
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

    def registered_elsewhere(self, path: str, run: int = 0) -> RegisteredModel:
        """Return a model with one version whose source is ``runs:/…``, without a digest, as projects wrote it."""
        found = self.model("auto")
        self.registry.create_model(found.name)
        source = self.experiment.source(self.runs[run], path)
        self.registry.create_version(found.name, source, run_id=self.runs[run], model_id=None, tags={})
        return found

    def pointers(self, model: RegisteredModel) -> dict[str, int]:
        """Return what each pointer of a model names, as one reply of the registry says."""
        reply: ModelReply = self.registry.model(model.name)
        found = {"alias": reply.aliases["production"]} if "production" in reply.aliases else {}
        newest = reply.newest.get(_STAGE)
        return found | ({"stage": newest.version} if newest else {})

    def point(self, model: RegisteredModel, *, alias: int | None = None, stage: int | None = None) -> None:
        """Point to versions past this library's verbs, as other jobs do."""
        if alias is not None:
            self.registry.set_alias(model.name, "production", alias)
        if stage is not None:
            self.registry.move_to_stage(model.name, stage, _STAGE)


Law = Callable[[Trial, str], None]


def bundle(number: int) -> dict[str, Any]:
    """Return the object that the run ``number`` logged."""
    return {"recommender": f"r{number}", "ranker": number}


def bundle_files(number: int) -> dict[str, bytes]:
    """Return what the run ``number`` logs: one pickle by itself and the same in a directory."""
    content = pickle.dumps(bundle(number), protocol=4)  # which every supported Python reads
    return {FILE: content, f"{DIRECTORY}/{FILE}": content}


def same(what: str, found: object, wanted: object) -> None:
    """Raise ``LawBroken`` unless ``found`` equals ``wanted``."""
    if found != wanted:
        raise LawBroken(f"{what}: {found!r} instead of {wanted!r}")


def refused(what: str, kind: type[ProdpointerError], verb: Callable[[], object]) -> None:
    """Raise ``LawBroken`` unless ``verb`` raises ``kind``."""
    try:
        found = verb()
    except kind:
        return
    except ProdpointerError as error:
        raise LawBroken(f"{what}: {type(error).__name__} instead of {kind.__name__} ({error})") from error
    raise LawBroken(f"{what}: {found!r} instead of {kind.__name__}")


def refusal(trial: Trial, pointer: str) -> PointerUnsupported | None:
    """Return why a pointer cannot be held here, None where it can; a refused promotion moves nothing."""
    model = trial.model(pointer)
    run_id = trial.runs[0]
    number = model.register(run_id, DIRECTORY)
    try:
        model.promote(number)
    except PointerUnsupported as error:
        same("pointers after a refused promotion", trial.pointers(model), {})
        refused("reading a pointer that cannot be there", PointerUnsupported, model.live_version)
        return error
    return None


def promoted_is_live(trial: Trial, pointer: str) -> None:
    """Nothing is live at first; what is promoted is live and loads, also an older version after a newer one."""
    model = trial.model(pointer, versions=3)
    same("live before any promotion", (model.production(), model.load_production()), (None, None))
    for number in (1, 3, 2):
        move = model.promote(number, reason="conformance")
        same("the version promoted", move.to_version, number)
        same("the live version", model.live_version(), number)
        same("the object loaded", model.load_production(), bundle(number))
        same("what the pointers name", set(trial.pointers(model).values()), {number})
        same("the pointers moved", set(move.pointers), set(trial.pointers(model)))
    status = model.status()
    same("the status", (status.live, status.agreed), (2, True))
    same("promoting what is live", model.promote(2).pointers, ())


def one_version_in_the_stage(trial: Trial, pointer: str) -> None:
    """After promotions at most one version is in the stage, and no version is gone."""
    model = trial.model(pointer, versions=3)
    for number in (3, 1, 2):
        model.promote(number)
    versions = trial.registry.versions(model.name)
    same("the versions", [each.version for each in versions], [1, 2, 3])
    in_stage = [each.version for each in versions if each.stage == _STAGE]
    same("the versions in the stage", in_stage, [2] if "stage" in trial.pointers(model) else [])


def withdrawn_is_restored(trial: Trial, pointer: str) -> None:
    """After a withdrawal nothing is live by any pointer; the next promotion brings the same pointers back."""
    model = trial.model(pointer, versions=2)
    moved = model.promote(1).pointers
    same("the pointers withdrawn", model.withdraw().pointers, moved)
    same("live after a withdrawal", (model.production(), trial.pointers(model)), (None, {}))
    same("the pointers restored", model.promote(2).pointers, moved)


def expectations_are_checked(trial: Trial, pointer: str) -> None:
    """A wrong expectation refuses and moves nothing; the right one goes on."""
    model = trial.model(pointer, versions=2)
    model.promote(1, expected=None)
    refused("a wrong expectation", ExpectationFailed, lambda: model.promote(2, expected=2))
    same("live after a refusal", model.live_version(), 1)
    same("live as expected", model.promote(2, expected=1).from_version, 1)


def missing_things_are_named(trial: Trial, pointer: str) -> None:
    """A version, model, run or artifact that does not exist is an error of its own and changes nothing."""
    model = trial.model(pointer, versions=1)
    model.promote(1)
    refused("a missing version", VersionNotFound, lambda: model.promote(9))
    refused("a missing version read", VersionNotFound, lambda: model.version(9))
    same("live after a refusal", model.live_version(), 1)
    absent = trial.model(pointer)
    trial.made.remove(absent.name)
    refused("a missing model read", ModelNotFound, absent.live_version)
    refused("a missing model promoted", ModelNotFound, lambda: absent.promote(1))
    refused("a missing artifact", ArtifactNotFound, lambda: absent.register(trial.runs[0], "no-such-file.pkl"))
    refused("a missing run", ArtifactNotFound, lambda: absent.register("0" * 32, DIRECTORY))
    refused("a model after refused registrations", ModelNotFound, absent.live_version)


def others_moves_are_seen(trial: Trial, pointer: str) -> None:
    """What other jobs point to by alias or stage is live at once; the alias counts where both are set."""
    del pointer
    model = trial.model("auto", versions=3)
    if trial.can.stages:
        trial.point(model, stage=2)
        same("live by a stage alone", model.live_version(), 2)
    if trial.can.aliases:
        trial.point(model, alias=1)
        same("live by an alias", model.live_version(), 1)
        same("whether drift agrees", model.status().agreed, not trial.can.stages)
    set_before = set(trial.pointers(model))
    moved = model.promote(3).pointers
    same("the pointers moved", set(moved) >= set_before, True)
    same("what the pointers name", set(trial.pointers(model).values()), {3})


def files_and_directories_load(trial: Trial, pointer: str) -> None:
    """A registered file and a registered directory load, also where others registered them by ``runs:/``."""
    del pointer
    model = trial.model("auto")
    for artifact in (FILE, DIRECTORY):
        model.promote(model.register(trial.runs[1], artifact))
        same(f"the object of {artifact}", model.load_production(), bundle(2))
    for artifact in (FILE, DIRECTORY):
        other = trial.registered_elsewhere(artifact)
        other.promote(1)
        same(f"the object of runs:/…/{artifact}", other.load_production(), bundle(1))


def odd_names_are_kept_or_refused(trial: Trial, pointer: str) -> None:
    """A name that newer MLflow cannot read is refused before anything is made; any other one works."""
    del pointer
    for name in ("/b", ":b"):
        model = trial.model("auto", name=name)
        trial.made.remove(model.name)
        refused(f"a name with {name[0]!r}", InvalidName, partial(model.register, trial.runs[0], DIRECTORY))
    model = trial.model("auto", versions=2, name=_ODD_NAME)
    model.promote(2)
    same("live under an odd name", (model.live_version(), model.load_production()), (2, bundle(2)))


def models_are_listed(trial: Trial, pointer: str) -> None:
    """A model that exists is in the list of all models."""
    del pointer
    model = trial.model("auto", versions=1)
    addresses = trial.registry.addresses
    names = registered_model_names(
        tracking_uri=addresses.tracking_uri,
        registry_uri=addresses.registry_uri,
        workspace=addresses.workspace or "",
        timeout=trial.registry.timeout,
    )
    same("whether the list has the model", model.name in names, True)


EACH_POINTER: Sequence[Law] = (
    promoted_is_live,
    one_version_in_the_stage,
    withdrawn_is_restored,
    expectations_are_checked,
    missing_things_are_named,
)
"""The laws of every pointer that a registry can hold."""

ONCE: Sequence[Law] = (
    others_moves_are_seen,
    files_and_directories_load,
    odd_names_are_kept_or_refused,
    models_are_listed,
)
"""The laws that are tried under ``auto`` alone."""


def check(law: Law, trial: Trial, pointer: str) -> str | None:
    """Return None where a law holds, else what was found; MLflow's and this library's warnings are not findings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            law(trial, pointer)
        except (LawBroken, ProdpointerError) as broken:
            return f"{type(broken).__name__}: {broken}"
    return None
