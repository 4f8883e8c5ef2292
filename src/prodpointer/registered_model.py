"""The verbs on one registered model, each written once for every pointer and both MLflow majors."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from prodpointer import journal, registration
from prodpointer.artifacts import check_digest, downloaded
from prodpointer.detection import ASK_AGAIN_AFTER, capabilities, client_version
from prodpointer.errors import InvalidName, ModelNotFound, ProdpointerError
from prodpointer.gate_text import gates_of
from prodpointer.gates import Gate
from prodpointer.loaders import Loader, load
from prodpointer.mlflow_border.artifact_store import ArtifactStore
from prodpointer.mlflow_border.registry import Registry
from prodpointer.names import new_model_name, version_number
from prodpointer.notices import warn_about, warn_unverified
from prodpointer.promotion import NOT_GIVEN, Expected, Look, NotGiven, Promoter
from prodpointer.records import ModelReply, ModelVersion, PointerStatus, Promotion, Pulled, Selection
from prodpointer.selection import Rule, View, pointer_name


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
        self._promoter = Promoter(name, registry, rule)

    def __repr__(self) -> str:
        """Return name and registry, without credentials."""
        return f"<RegisteredModel {self.name!r} in {self._registry.addresses.shown}>"

    @property
    def selection(self) -> Selection:
        """Which pointer a promotion would move now, and why; at most two requests."""
        try:
            look = self._promoter.looked(self._promoter.view(self._registry.model(self.name)))
        except ModelNotFound:
            look = Look(self._promoter.view(ModelReply(self.name, {}, {}, {})), (), ())
        pointers, reason = look.pointers
        return Selection(
            pointer=pointer_name(pointers),
            requested=look.seen.requested,
            reason=reason,
            client_version=str(client_version()),
            registry_version=look.seen.capabilities.shown_version,
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
        if_exists: Literal["new", "reuse"] = "new",
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
        if_exists
            ``"reuse"`` returns the version that this run's artifact has already, so that a job that is tried again
            makes no second one.

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
        if if_exists == "reuse" and (made := self._registered(run_id, source.source)) is not None:
            return made
        own |= registration.default_tags(source.run, by)
        if digest:
            own |= registration.digest_tags(self._artifacts, source, sha256, local_path)
        self._registry.create_model(self.name)
        return self._registry.create_version(
            self.name, source.source, run_id=run_id, model_id=source.model_id, tags=own
        )

    def live_version(self) -> int | None:
        """Return the number of the live version as the pointers name it, or None; one request, two before None.

        An alias whose version was deleted is not noticed here; ``production``, ``status`` and loading notice it.
        """
        _, seen = self._live()
        warn_about(seen, self._registry.addresses.registry_uri, self.name)
        return seen.live

    def production(self) -> ModelVersion | None:
        """Return the live version with its tags, or None when nothing is live; two requests.

        Raises
        ------
        ModelNotFound
            The registered model does not exist.
        """
        reply, seen = self._live()
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
        return self._status(self._promoter.look())

    def history(self) -> list[Promotion]:
        """Return every recorded event, oldest first, with moves that nobody recorded where they show; two requests.

        Promotions that were intended and never finished, or lost to another one, are among them: see their ``state``.
        A move by another tool is ``"unrecorded"``: of it is known what it moved, and the time by which it had happened.
        So is the gap where the version that held an event was deleted.
        """
        look = self._promoter.look()
        settled = {move.event for move in look.moves}
        others = [event for event in look.recorded if event.event not in settled]
        return journal.in_order(look.moves, others)

    def live_at(self, when: datetime) -> ModelVersion | None:
        """Return the version that was live at a time, as the record tells, or None where nothing was; two requests.

        Parameters
        ----------
        when
            A time with its zone; a naive one is taken as UTC.

        Raises
        ------
        VersionNotFound
            The version that was live then was deleted.
        """
        look = self._promoter.look()
        aware = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
        number = journal.live_at(look.moves, aware) if look.moves else look.seen.live
        return None if number is None else look.version(number) or self.version(number)

    def promote(
        self,
        version: int | str,
        *,
        expected: int | NotGiven | None = NOT_GIVEN,
        gates: Iterable[Gate | str] = (),
        across_datasets: bool = False,
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
        gates
            What the version's metrics have to be, as :class:`prodpointer.Gate` or as text
            (``"auc >= production + 0.002"``). All are judged, and the verdicts are in the event. With nothing in
            production the absolute conditions alone count.
        across_datasets
            Whether metrics of runs that logged other datasets may be compared.
        reason, by
            Who and why, for the record; ``by`` is ``MLFLOW_TRACKING_USERNAME`` or the system's user by default.

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
        GateFailed
            A metric is missing, not a number, not comparable or not good enough; nothing was moved.
        PromotionLost
            The read-back shows another version: somebody else promoted at the same moment.
        """
        return self._promoter.promote(
            version_number(version),
            expected=_checked(expected),
            gates=gates_of(gates),
            across_datasets=across_datasets,
            reason=reason,
            by=by,
        )

    def rollback(
        self,
        *,
        to: int | str | None = None,
        expected: int | NotGiven | None = NOT_GIVEN,
        reason: str = "",
        by: str | None = None,
    ) -> Promotion:
        """Make the version live that was really live before, and return the move.

        History is a stack: going back twice goes two back, going back after a withdrawal restores what was withdrawn.

        Parameters
        ----------
        to
            A version to go back to; by default the one that was live before.
        expected
            The version that should be live now; by default the one read at the start, so that two who go back at the
            same moment go back once.
        reason, by
            As for :meth:`promote`.

        Raises
        ------
        NothingToRollBack
            Nothing is recorded of what was live before, or that version is deleted, not READY or without its artifact.
            The text names a candidate. Nothing was moved.
        ExpectationFailed, PromotionRefused, PointerUnsupported, PromotionLost
            As for :meth:`promote`.
        """
        target = None if to is None else version_number(to)
        return self._promoter.roll_back(to=target, expected=_checked(expected), reason=reason, by=by)

    def withdraw(self, *, reason: str = "", by: str | None = None) -> Promotion:
        """Make nothing live any more and return the move; versions stay, in a stage they become Archived.

        The move is recorded with the version withdrawn, so that the next promotion restores the same pointers.

        Raises
        ------
        ModelNotFound, PointerUnsupported, PromotionLost
            As for :meth:`promote`.
        """
        return self._promoter.withdraw(reason=reason, by=by)

    def repair(self) -> PointerStatus:
        """Make the rest follow what is live, which is never moved; return the status then, with what was ``mended``.

        What a promoter that was stopped half way leaves behind is put right: the stage of a moved alias, a second
        version in the stage, an alias of a deleted version, an intent that nobody closed.
        """
        look, mended = self._promoter.repair()
        return replace(self._status(look), mended=mended)

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
        with downloaded(self._artifacts, self._artifacts.location_of(version), lasting=True) as path:
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
        with downloaded(self._artifacts, self._artifacts.location_of(version)) as path:
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

    def _registered(self, run_id: str, source: str) -> int | None:
        """Return the newest version with this run and source, or None."""
        found = [each for each in self._registry.versions(self.name) if (each.run_id, each.source) == (run_id, source)]
        return found[-1].version if found else None

    def _check_name(self) -> None:
        """Raise ``InvalidName`` where registering would make a model that newer MLflow cannot read."""
        try:
            new_model_name(self.name)
        except InvalidName as refusal:
            try:
                self._registry.model(self.name)  # made by an older MLflow: its versions go on
            except ModelNotFound:
                raise refusal from None

    def _status(self, look: Look) -> PointerStatus:
        """Return what a look tells."""
        seen = look.seen
        incomplete = seen.requested == "both" and (seen.alias is None) != (seen.stage is None)
        return PointerStatus(
            name=self.name,
            live=seen.live,
            alias=seen.alias,
            stage=seen.stage,
            agreed=not (seen.dangling or seen.drifted or incomplete or len(look.in_stage) > 1),
            pointer=pointer_name(look.pointers[0]),
            last_event=look.recorded[-1] if look.recorded else None,
            dangling=seen.dangling,
            in_stage=look.in_stage,
        )

    def _readable(self, reply: ModelReply) -> View:
        """Read a reply, and refuse where None would be no answer."""
        seen = self._promoter.view(reply)
        seen.check_readable(self._where())
        return seen

    def _live(self) -> tuple[ModelReply, View]:
        """Ask for a reply and read it; look a second time before saying that nothing is live."""
        reply = self._registry.model(self.name)
        seen = self._readable(reply)
        if seen.live is None:
            reply = self._registry.model(self.name)
            seen = self._readable(reply)
        return reply, seen

    def _verify(self, version: ModelVersion, path: Path) -> None:
        """Check a download against the recorded digest; warn where there is none."""
        if version.sha256 is None:
            warn_unverified(self.name, version.version)
        else:
            check_digest(path, version.sha256, f"version {version.version} of {self.name!r}")

    def _where(self) -> str:
        """Return the registry, fit to be shown."""
        return self._registry.addresses.shown


def _checked(expected: int | str | NotGiven | None) -> Expected:
    """Return an expectation with its version as a number, or raise ``InvalidName``."""
    return expected if expected is None or isinstance(expected, NotGiven) else version_number(expected)
