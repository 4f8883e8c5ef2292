"""The verbs on one registered model, each written once for every pointer and both MLflow majors."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any, Final

from prodpointer import journal, registration
from prodpointer.artifacts import check_digest, downloaded
from prodpointer.detection import ASK_AGAIN_AFTER, capabilities, client_version
from prodpointer.errors import (
    ExpectationFailed,
    InvalidName,
    ModelNotFound,
    ProdpointerError,
    PromotionLost,
    PromotionRefused,
)
from prodpointer.loaders import Loader, load
from prodpointer.mlflow_border.artifact_store import ArtifactStore
from prodpointer.mlflow_border.registry import Registry
from prodpointer.names import new_model_name, version_number
from prodpointer.notices import warn_about, warn_unverified
from prodpointer.records import ModelReply, ModelVersion, PointerStatus, Promotion, Pulled, Selection
from prodpointer.selection import Rule, View, pointer_for, pointer_name, view


class _NotGiven(Enum):
    """The absence of an expectation, since None means "nothing is live"."""

    NOT_GIVEN = "not given"


NOT_GIVEN: Final = _NotGiven.NOT_GIVEN


def _called(version: int | None) -> str:
    """Return what a message calls a version or the lack of one."""
    return "Nothing" if version is None else f"Version {version}"


class RegisteredModel:
    """One registered model and the pointer to its live version; :func:`prodpointer.connect` makes it.

    Parameters
    ----------
    name
        Name of the registered model; it need not exist yet.
    registry
        The registry that holds it.
    rule
        Which alias and stage are meant, and any override.
    """

    def __init__(self, name: str, registry: Registry, rule: Rule) -> None:
        """Bind name, registry and rule; nothing is asked yet."""
        self.name = name
        self._registry = registry
        self._rule = rule
        self._artifacts = ArtifactStore(registry)

    def __repr__(self) -> str:
        """Return name and registry, without credentials."""
        return f"<RegisteredModel {self.name!r} in {self._registry.addresses.shown}>"

    @property
    def selection(self) -> Selection:
        """Which pointer a promotion would move now, and why; one request, two where no pointer is set."""
        versions: list[ModelVersion] = []
        try:
            seen = self._view(self._registry.model(self.name))
            if seen.unset:
                versions = self._registry.versions(self.name)
        except ModelNotFound:
            seen = self._view(ModelReply(self.name, {}, {}, {}))
        pointers, reason = self._moved(seen, versions)
        return Selection(
            pointer=pointer_name(pointers),
            requested=seen.requested,
            reason=reason,
            client_version=str(client_version()),
            registry_version=seen.capabilities.shown_version,
        )

    def register(
        self,
        run_id: str,
        artifact_file: str,
        *,
        tags: Mapping[str, str] | None = None,
        sha256: str | None = None,
        local_path: str | Path | None = None,
        digest: bool = True,
        by: str | None = None,
    ) -> int:
        """Register a run's artifact as a new version and return its number; nothing goes live.

        The registered model is created if it does not exist. A single file works with this library everywhere, but
        plain ``models:/`` URIs cannot load one in any MLflow version: log the file inside a directory and register
        the directory where other readers matter.

        Parameters
        ----------
        run_id
            The run that logged the artifact.
        artifact_file
            A file or directory below the run's artifacts, the name a flavor model was logged under, or on MLflow 3
            ``models:/m-…``.
        tags
            Tags of the version, beside the owner, commit, dataset and library tags it always gets.
        sha256, local_path
            The digest, or a local copy to take it from; either saves the one download that computes it.
        digest
            False records no digest, and loading will warn.
        by
            The owner; by default ``MLFLOW_TRACKING_USERNAME``, else the operating system's user.

        Raises
        ------
        ArtifactNotFound
            The run or the artifact does not exist; nothing was created.
        InvalidName
            A name, tag or digest that no registry can hold; nothing was created.
        """
        self._check_name()
        own = registration.callers_tags(tags)
        capabilities(self._registry, max_age=ASK_AGAIN_AFTER)
        source = registration.find_source(self._artifacts, run_id, artifact_file)
        own |= registration.default_tags(source.run, by)
        if digest:
            own |= registration.digest_tags(self._artifacts, source, sha256, local_path)
        self._registry.create_model(self.name)
        return self._registry.create_version(
            self.name, source.source, run_id=run_id, model_id=source.model_id, tags=own
        )

    def live_version(self) -> int | None:
        """Return the number of the live version as the pointers name it, or None; one request.

        An alias whose version was deleted is not noticed here; ``production``, ``status`` and loading notice it.
        """
        seen = self._look()
        warn_about(seen, self._registry.addresses.registry_uri, self.name)
        return seen.live

    def production(self) -> ModelVersion | None:
        """Return the live version with its tags, or None when nothing is live; at most two requests.

        Raises
        ------
        ModelNotFound
            The registered model does not exist.
        """
        reply = self._registry.model(self.name)
        seen = self._readable(reply)
        version = self._registry.existing_version(self.name, seen.live) if seen.live is not None else None
        if version is None and seen.live is not None and seen.live == seen.alias:
            seen = replace(seen, dangling=True)
            version = reply.newest.get(self._rule.stage) if seen.live is not None else None
        warn_about(seen, self._registry.addresses.registry_uri, self.name)
        return version

    def version(self, version: int | str) -> ModelVersion:
        """Return one version with its tags, live or not; one request.

        Raises ``VersionNotFound``, ``ModelNotFound`` or ``InvalidName``.
        """
        return self._registry.version(self.name, version_number(version))

    def status(self) -> PointerStatus:
        """Return what both pointers say, whether they agree, and the last recorded event; two requests."""
        seen = self._look()
        versions = self._registry.versions(self.name)
        seen = self._counted(seen, versions)
        in_stage = self._in_stage(versions)
        incomplete = seen.requested == "both" and (seen.alias is None) != (seen.stage is None)
        pointers, _ = self._moved(seen, versions)
        return PointerStatus(
            name=self.name,
            live=seen.live,
            alias=seen.alias,
            stage=seen.stage,
            agreed=not (seen.dangling or seen.drifted or incomplete or len(in_stage) > 1),
            pointer=pointer_name(pointers),
            last_event=journal.last_event(versions, self._rule.alias),
            dangling=seen.dangling,
            in_stage=in_stage,
        )

    def promote(
        self,
        version: int | str,
        *,
        expected: int | _NotGiven | None = NOT_GIVEN,
        reason: str = "",
        by: str | None = None,
    ) -> Promotion:
        """Make ``version`` live and return the move, read back from the registry; what is live already moves nothing.

        Promoting an older version is a real way back: a displaced version is archived where stages are used.

        Parameters
        ----------
        version
            The number of an existing version.
        expected
            The version that should be live now, None for "nothing is live"; not given means no expectation.
        reason, by
            Who and why, for the returned move; ``by`` is ``MLFLOW_TRACKING_USERNAME`` or the system's user by default.

        Raises
        ------
        VersionNotFound, ModelNotFound, InvalidName
            There is nothing to promote; nothing was moved.
        PromotionRefused
            The version is not READY, or moving it to staging would take it out of production; nothing was moved.
        ExpectationFailed
            Another version is live than ``expected``; nothing was moved.
        PointerUnsupported
            This client or registry cannot hold the pointer, or another set pointer would be left behind.
        PromotionLost
            The read-back shows another version: somebody else promoted at the same moment.
        """
        number = version_number(version)
        seen = self._look(writing=True)
        versions = self._registry.versions(self.name)
        seen = self._counted(seen, versions)
        self._check_expected(seen, expected)
        candidate = next((each for each in versions if each.version == number), None) or self._registry.version(
            self.name, number
        )
        pointers, _ = self._moved(seen, versions)
        self._check_promotable(candidate, pointers, seen)
        move = self._move(seen.live, number, pointers, reason, by)
        if self._names_already(seen, number, pointers, versions):
            return replace(move, pointers=())
        pointer_for(pointers, seen, self._registry, self.name).set(number)
        self._read_back(number, pointers)
        return move

    def withdraw(self, *, reason: str = "", by: str | None = None) -> Promotion:
        """Make nothing live any more and return the move; versions stay, in a stage they become Archived.

        The move is recorded with the version withdrawn, so that the next promotion restores the same pointers.

        Raises
        ------
        ModelNotFound, PointerUnsupported, PromotionLost
            As for :meth:`promote`.
        """
        seen = self._look(writing=True)
        versions = self._registry.versions(self.name)
        seen = self._counted(seen, versions)
        pointers = tuple(name for name, at in (("alias", seen.alias), ("stage", seen.stage)) if at is not None)
        if seen.requested != "auto":
            wanted, _ = seen.moved()
            pointers = tuple(pointer for pointer in pointers if pointer in wanted)
        seen.check_nothing_left_behind(pointers, None, self._where())
        move = self._move(seen.live, None, pointers, reason, by)
        if not pointers:
            return move
        if seen.live is not None:
            move = replace(move, event=journal.next_id(journal.last_event(versions)))
            key = f"{journal.EVENT_TAG}{move.event}"
            self._registry.tag_version(self.name, seen.live, key, journal.event_text(move))
        pointer_for(pointers, seen, self._registry, self.name).clear()
        self._read_back(None, pointers)
        return move

    def load_production(self, loader: Loader | None = None, *, flavor: str | None = None) -> Any:
        """Return the live object, or None when nothing is live; its bytes are checked before they are deserialised.

        Parameters
        ----------
        loader
            A function that takes the path of the verified download; needed for files that are not ``.pkl``,
            ``.joblib`` or a directory with an ``MLmodel`` file.
        flavor
            The MLflow flavor for a directory with an ``MLmodel`` file; ``pyfunc`` by default.

        Raises
        ------
        ModelNotFound
            The registered model does not exist.
        ArtifactNotFound, IntegrityError
            The bytes are gone, or not those that were registered; nothing was loaded.
        UnsafeModel, LoadFailed
            No loader fits, or it failed; see :mod:`prodpointer.loaders`.
        """
        version = self.production()
        if version is None:
            return None
        with downloaded(self._artifacts, self._location(version), lasting=True) as path:
            self._verify(version, path)
            return load(path, loader=loader, flavor=flavor, tags=version.tags)

    def pull(self, destination: str | Path) -> Pulled | None:
        """Copy the live version's verified artifact into a directory; None when nothing is live.

        Parameters
        ----------
        destination
            The directory to put it in, made if it does not exist. What is there already is never replaced.

        Raises
        ------
        ProdpointerError
            The file or directory exists already; and as for :meth:`load_production`.
        """
        version = self.production()
        if version is None:
            return None
        with downloaded(self._artifacts, self._location(version)) as path:
            self._verify(version, path)
            target = Path(destination) / path.name
            if target.exists():
                raise ProdpointerError(
                    "There is a file or directory of that name already.",
                    where=str(target),
                    next_step="Give another destination, or move it away.",
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(str(path), target)
        return Pulled(self.name, version.version, target, version.sha256)

    def _check_name(self) -> None:
        """Raise ``InvalidName`` where registering would make a model that newer MLflow cannot read."""
        try:
            new_model_name(self.name)
        except InvalidName as refusal:
            try:
                self._registry.model(self.name)  # made by an older MLflow: its versions go on
            except ModelNotFound:
                raise refusal from None

    def _moved(self, seen: View, versions: list[ModelVersion]) -> tuple[tuple[str, ...], str]:
        """Return the pointers that a promotion moves and why.

        Where none is set, those of the last recorded event are restored. Where one is, the event may be older than what
        other tools did since: promotions are not recorded yet.
        """
        last = journal.last_event(versions, self._rule.alias) if seen.unset else None
        return seen.moved(last.pointers if last else ())

    def _view(self, reply: ModelReply) -> View:
        """Read a reply by this model's rule."""
        return view(self._rule, reply, capabilities(self._registry), self._where())

    def _readable(self, reply: ModelReply) -> View:
        """Read a reply, and refuse where None would be no answer."""
        seen = self._view(reply)
        seen.check_readable(self._where())
        return seen

    def _look(self, *, writing: bool = False) -> View:
        """Ask for one reply and read it; before a write make sure that the registry is still what it was."""
        if writing:
            capabilities(self._registry, max_age=ASK_AGAIN_AFTER)
        return self._readable(self._registry.model(self.name))

    def _counted(self, seen: View, versions: list[ModelVersion]) -> View:
        """Return the view without an alias that names a deleted version; the alias itself is still moved."""
        if seen.alias is None or any(version.version == seen.alias for version in versions):
            return seen
        return replace(seen, dangling=True)

    def _in_stage(self, versions: list[ModelVersion]) -> tuple[int, ...]:
        """Return every version in the stage that the alias stands for."""
        return tuple(each.version for each in versions if self._rule.stage and each.stage == self._rule.stage)

    def _check_expected(self, seen: View, expected: int | _NotGiven | None) -> None:
        """Raise ``ExpectationFailed`` unless the live version is the one expected."""
        if expected is NOT_GIVEN:
            return
        wanted = None if expected is None else version_number(expected)
        if seen.live != wanted:
            error = ExpectationFailed(
                f"{_called(seen.live)} of {self.name!r} is live, and {_called(wanted).lower()} was expected.",
                where=self._where(),
                next_step="Look again at what is live, and promote with that expectation.",
            )
            error.expected, error.live = wanted, seen.live
            raise error

    def _check_promotable(self, candidate: ModelVersion, pointers: tuple[str, ...], seen: View) -> None:
        """Raise where the candidate may not go live with these pointers."""
        seen.check_supported(pointers, self._where())
        seen.check_nothing_left_behind(pointers, candidate.version, self._where())
        if candidate.status != "READY":
            raise PromotionRefused(
                f"Version {candidate.version} of {self.name!r} is {candidate.status}, not READY.", where=self._where()
            )
        if "stage" in pointers and self._rule.stage == "Staging" and candidate.stage == "Production":
            raise PromotionRefused(
                f"Version {candidate.version} of {self.name!r} is in Production; a version has one stage, so moving it "
                "to Staging would take it out of production.",
                where=self._where(),
                next_step="Promote another version to production first.",
            )

    def _names_already(self, seen: View, number: int, pointers: tuple[str, ...], versions: list[ModelVersion]) -> bool:
        """Tell whether every pointer to be moved names the version already, and the stage no other one beside it."""
        if "alias" in pointers and seen.alias != number:
            return False
        return "stage" not in pointers or self._in_stage(versions) == (number,)

    def _move(
        self, live: int | None, version: int | None, pointers: tuple[str, ...], reason: str, by: str | None
    ) -> Promotion:
        """Return the value that describes a move made now."""
        return Promotion(
            name=self.name,
            from_version=live,
            to_version=version,
            pointers=pointers,
            at=datetime.now(timezone.utc),
            by=by or registration.acting_user(),
            reason=reason,
            alias=self._rule.alias,
        )

    def _read_back(self, version: int | None, pointers: tuple[str, ...]) -> None:
        """Raise ``PromotionLost`` unless each pointer that was moved names ``version`` now."""
        seen = self._look()
        named = {"alias": seen.alias, "stage": seen.stage}
        for pointer in pointers:
            if named[pointer] != version:
                error = PromotionLost(
                    f"The {pointer} of {self.name!r} was set to {_called(version).lower()}, and names "
                    f"{_called(named[pointer]).lower()} now: another promotion came at the same moment.",
                    where=self._where(),
                    next_step="Look at what is live, and promote again if that is still wanted.",
                )
                error.winner = named[pointer]
                raise error

    def _location(self, version: ModelVersion) -> str:
        """Return where the bytes of a version are, by its number and never by its ``source``."""
        return self._artifacts.located(self._registry.download_uri(self.name, version.version))

    def _verify(self, version: ModelVersion, path: Path) -> None:
        """Check a download against the recorded digest; warn where there is none."""
        if version.sha256 is None:
            warn_unverified(self.name, version.version)
        else:
            check_digest(path, version.sha256, f"version {version.version} of {self.name!r}")

    def _where(self) -> str:
        """Return the registry, fit to be shown."""
        return self._registry.addresses.shown
