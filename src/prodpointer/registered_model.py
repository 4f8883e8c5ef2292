"""The verbs on one registered model, each written once for every pointer and both MLflow majors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, Literal

from prodpointer._asynchronous import awaited, followed
from prodpointer._cancellation import raise_if_cancelled
from prodpointer._telemetry import observed
from prodpointer._warnings import warn_unverified
from prodpointer.artifacts import loaders
from prodpointer.artifacts import register as registration
from prodpointer.artifacts.cache import Cache
from prodpointer.artifacts.digest import copy_whole, examine, free_place
from prodpointer.artifacts.fetch import Target, Verify, check_verify
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.artifacts.loaders import Loader
from prodpointer.errors import (
    InvalidName,
    ModelNotFound,
    ProdpointerError,
    RegistryUnavailable,
    RegistryUnsupported,
    without_credentials,
)
from prodpointer.gates.gate import Gate
from prodpointer.gates.parser import gates_of
from prodpointer.history import log
from prodpointer.mlflow_client import (
    Addresses,
    ArtifactStore,
    Registry,
    ask_again_after,
    client_version,
    probe_capabilities,
    read_runs,
    reopen_registry,
)
from prodpointer.pages.model import model_page
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.selection import pointers_to_move
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.promotion.promoter import NOT_GIVEN, Expected, NotGiven, Promoter
from prodpointer.promotion.repair import repair
from prodpointer.promotion.rollback import roll_back
from prodpointer.promotion.statuses import status_of
from prodpointer.serving.follow import Live, OnWithdraw, check_follow
from prodpointer.serving.load import Loading, LoadOptions, OnUnavailable, check_on_unavailable
from prodpointer.serving.state import State
from prodpointer.types import (
    DIGEST_TAG,
    Comparison,
    Difference,
    ModelReply,
    ModelVersion,
    PointerStatus,
    Promotion,
    PromotionList,
    Pulled,
    ReadRun,
    Selection,
    VersionList,
)
from prodpointer.validation import new_model_name, version_number

_A_MOMENT = 1.0  # seconds
_MADE_WITH = (loaders.PYTHON_TAG, loaders.MLFLOW_TAG, loaders.LIBRARIES_TAG)


class RegisteredModel:
    """One registered model and the pointer to its live version; :func:`prodpointer.connect` makes it.

    Threads may share it, and it can be copied and pickled. A pickle holds what ``connect`` was given, as it was bound,
    and never a credential: an address with a login is refused with ``TypeError``. Unpickling sends no request.

    Parameters
    ----------
    name
        Name of the registered model; it need not exist yet.
    registry
        The registry that holds it.
    rule
        Which alias and stage are meant, and any override.
    cache
        Where downloads are kept; by default in the user's cache directory.
    """

    def __init__(self, name: str, registry: Registry, rule: Rule, cache: Cache | None = None) -> None:
        """Bind the arguments; no request is sent yet."""
        self.name = name
        self._registry = registry
        self._rule = rule
        self._artifacts = ArtifactStore(registry)
        self._promoter = Promoter(name, registry, rule, noticed=self._noticed)
        self._cache = cache or Cache()
        self._loading = Loading(name, registry, rule, self._promoter.read, self._cache)
        self._failed: tuple[float, RegistryUnavailable] | None = None

    def __repr__(self) -> str:
        """Return name and registry, without credentials."""
        return f"<RegisteredModel {self.name!r} in {self._registry.addresses.shown}>"

    def __copy__(self) -> RegisteredModel:
        """Return another handle of the same registry."""
        return RegisteredModel(self.name, self._registry, self._rule, self._cache)

    def __deepcopy__(self, _: dict[int, Any]) -> RegisteredModel:
        """Return another handle; connections have no copies."""
        return copy(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes the handle in another process; raises ``TypeError`` where an address holds a login."""
        return _restore, (self.name, self._registry.addresses.portable, self._registry.timeout, self._rule, self._cache)

    @property
    def _labels(self) -> dict[str, str | None]:
        """What the log and the spans call it."""
        workspace = self._registry.addresses.workspace
        return {"model": self.name, "alias": self._rule.alias, "workspace": workspace}

    @property
    def selection(self) -> Selection:
        """Which pointer a promotion would move now, and why; at most two requests."""
        try:
            pointers = self._promoter.read(self._registry.model(self.name))
            snapshot = self._promoter.with_record(pointers)
        except ModelNotFound:
            snapshot = self._promoter.read(ModelReply(self.name, {}, {}, {}))
        chosen, reason = pointers_to_move(snapshot)
        return Selection(
            pointer=chosen.choice,
            requested=snapshot.requested,
            reason=reason,
            client_version=str(client_version()),
            registry_version=snapshot.capabilities.shown_version,
        )

    @observed
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
        git_commit: str | None = None,
        if_exists: Literal["new", "reuse"] = "new",
        dry_run: bool = False,
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
            The owner; by default as for :meth:`promote`.
        git_commit
            The commit of the code that made the artifact; by default the one that the run recorded, else none.
        if_exists
            ``"reuse"`` returns the READY version that this run's artifact has already, so that a job that is tried
            again makes no second one; the tags given are added to it.
        dry_run
            Read and check everything and write nothing; the number returned is the one that the version would get.

        Raises
        ------
        ArtifactNotFound
            The run or the artifact does not exist; nothing was created.
        InvalidName
            A name, tag or digest that no registry can hold, or an unknown `if_exists`; nothing was created.
        """
        if if_exists not in {"new", "reuse"}:
            raise InvalidName(f"Invalid if_exists={if_exists!r}.", next_step="Use 'new' or 'reuse'.")
        self._check_name()
        own = registration.callers_tags(tags, git_commit)
        # A registry that is down fails here, before a request for the run that MLflow would not time out.
        probe_capabilities(self._registry, max_age=_A_MOMENT)
        source = registration.find_source(self._artifacts, run_id, artifact_file)
        if if_exists == "reuse" and (made := self._registered(run_id, source.source)) is not None:
            if not dry_run:
                self._add_tags(made, own)
            return made.version
        own = registration.default_tags(source.run, by) | own
        if digest:
            own |= registration.digest_tags(self._artifacts, source, sha256, local_path)
        if dry_run:
            return max((each.version for each in self._registry.versions(self.name)), default=0) + 1
        raise_if_cancelled()
        self._registry.create_model(self.name)
        return self._registry.create_version(
            self.name, source.source, run_id=run_id, model_id=source.model_id, tags=own
        )

    def registered_version(self, run_id: str, artifact_file: str) -> int | None:
        """Return the READY version that a run's artifact has already, as ``register(if_exists="reuse")`` finds it.

        None where there is none. Raises ``ArtifactNotFound`` for a run or an artifact that does not exist.
        """
        probe_capabilities(self._registry, max_age=_A_MOMENT)
        source = registration.find_source(self._artifacts, run_id, artifact_file)
        made = self._registered(run_id, source.source)
        return None if made is None else made.version

    @observed
    def live_version(self) -> int | None:
        """Return the number of the live version as the pointers name it, or None; one request, two before None.

        An alias whose version was deleted is not noticed here; ``production``, ``status`` and loading notice it.
        """
        return self._loading.live_version()

    @observed
    def production(self) -> ModelVersion | None:
        """Return the live version with its tags, or None when nothing is live; two requests.

        Raises
        ------
        ModelNotFound
            The registered model does not exist.
        """
        return self._loading.production()

    @observed
    def version(self, version: int | str) -> ModelVersion:
        """Return one version with its tags, live or not; one request.

        Raises ``VersionNotFound``, ``ModelNotFound`` or ``InvalidName``.
        """
        self._check_workspace()
        return self._registry.version(self.name, version_number(version))

    @observed
    def versions(self, *, metrics: bool = True) -> list[ModelVersion]:
        """Return all versions, oldest first, with their aliases, whether they are live, and the metrics of their runs.

        Two requests for the versions, one more for each thousand of them, and for the runs one for each hundred of an
        experiment. A run that was deleted or cannot be read leaves ``metrics`` empty, and ``metrics_note`` says why.

        Parameters
        ----------
        metrics
            False reads no runs.

        Raises
        ------
        ModelNotFound
            The registered model does not exist.
        """
        snapshot = self._promoter.take_snapshot(complete=True)
        newest_first = [each.run_id for each in reversed(snapshot.versions) if each.run_id and metrics]
        runs = read_runs(self._registry, newest_first)
        return VersionList(_described(each, snapshot, runs) for each in snapshot.versions)

    @observed
    def compare(self, a: int | str, b: int | str) -> Comparison:
        """Return two versions side by side: metrics and parameters of their runs, tags and datasets.

        Raises
        ------
        VersionNotFound, ModelNotFound, InvalidName
            There is nothing to compare.
        """
        numbers = (version_number(a), version_number(b))
        snapshot = self._promoter.take_snapshot()
        versions = [snapshot.version(number) or self.version(number) for number in numbers]
        runs = read_runs(self._registry, [each.run_id for each in versions if each.run_id])
        first, second = (_described(each, snapshot, runs) for each in versions)
        one, other = (runs.get(each.run_id or "", ReadRun()) for each in versions)
        return Comparison(
            self.name,
            first,
            second,
            metrics=_differences(one.metrics, other.metrics),
            params=_differences(one.params, other.params),
            tags=_differences(*map(_compared_tags, versions)),
            datasets=(one.datasets or first.datasets, other.datasets or second.datasets),
        )

    def page(self, version: int | None = None) -> str:
        """Return the address of the model's page in MLflow's UI, or of a version's; no request.

        Raises
        ------
        RegistryUnsupported
            The registry is no MLflow server, so it has no such page.
        """
        address = self._registry.page(self.name, version)
        if address is None:
            raise RegistryUnsupported(
                "This registry has no UI: it is opened directly, without an MLflow server.",
                where=self._registry.addresses.shown,
                next_step="Start one with `mlflow server --backend-store-uri URI`, and connect to its address.",
            )
        return address

    @observed
    def status(self) -> PointerStatus:
        """Return what both pointers say, whether they agree, and the last recorded event; two requests."""
        snapshot = self._promoter.take_snapshot_to_show(self._registry.model(self.name))
        return status_of(snapshot, self._registry.addresses.workspace)

    @observed
    def history(self) -> list[Promotion]:
        """Return every recorded event, oldest first, with unrecorded moves where they show; two requests.

        Promotions that were intended and never finished, or lost to another one, are among them: see their ``state``.
        A move by another tool is ``"unrecorded"``: only what it moved and the time by which it had happened are known.
        So is the gap where the version that held an event was deleted. Notebooks show the list as a table.
        """
        snapshot = self._promoter.take_snapshot()
        settled = {move.event for move in snapshot.moves}
        others = [event for event in snapshot.recorded if event.event not in settled]
        recorded = log.in_order(snapshot.moves, [*others, *snapshot.refused])
        return PromotionList(log.in_time(recorded, snapshot.now))

    @observed
    def report(self) -> str:
        """Return the status and the history as one HTML page that needs no other file; four requests.

        It shows what was live when, who moved the pointer and why, what the gates measured, and digests. Needs the
        extra ``report`` where only ``mlflow-skinny`` is installed.
        """
        return model_page(
            self.status(),
            self.history(),
            alias=self._rule.written or self._rule.alias,
            stage=self._rule.stage,
            registry=without_credentials(self._registry.addresses.registry_uri),
            at=self._registry.now(),
        )

    @observed
    def live_at(self, when: datetime) -> ModelVersion | None:
        """Return the version that was live at a time by the record, or None where nothing was; two requests.

        Parameters
        ----------
        when
            A time with its zone; a naive one is taken as UTC.

        Raises
        ------
        VersionNotFound
            The version that was live then was deleted.
        """
        snapshot = self._promoter.take_snapshot()
        aware = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
        number = log.live_at(snapshot.moves, aware) if snapshot.moves else snapshot.live
        return None if number is None else snapshot.version(number) or self.version(number)

    @observed
    def promote(
        self,
        version: int | str,
        *,
        expected: int | NotGiven | None = NOT_GIVEN,
        gates: Iterable[Gate | str] = (),
        across_datasets: bool = False,
        record_refusals: bool = True,
        reason: str = "",
        by: str | None = None,
        dry_run: bool = False,
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
        record_refusals
            Whether a refusal by a gate is kept in the history, as an event in the state ``"refused"``.
        reason, by
            Who and why, for the record. By default ``by`` is, in a job of GitHub Actions, GitLab CI, Jenkins, Azure
            Pipelines, Buildkite or CircleCI, who started the job and its address; else ``MLFLOW_TRACKING_USERNAME``,
            else the operating system's user.
        dry_run
            Read and check everything and write nothing: the move returned is ``"intended"`` and has no event, and what
            would refuse the promotion raises.

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
            The read-back shows another version: another client promoted at the same moment.
        """
        return self._promoter.promote(
            version_number(version),
            expected=_checked(expected),
            gates=gates_of(gates),
            across_datasets=across_datasets,
            record_refusals=record_refusals,
            reason=reason,
            by=by,
            dry_run=dry_run,
        )

    @observed
    def rollback(
        self,
        *,
        to: int | str | None = None,
        expected: int | NotGiven | None = NOT_GIVEN,
        reason: str = "",
        by: str | None = None,
        dry_run: bool = False,
    ) -> Promotion:
        """Make the version live that was really live before, and return the move.

        History is a stack: going back twice goes two back, going back after a withdrawal restores what was withdrawn.

        Parameters
        ----------
        to
            A version to go back to; by default the one that was live before.
        expected
            The version that should be live now; by default the one read at the start, so that two rollbacks at
            the same moment go back once.
        reason, by, dry_run
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
        return roll_back(self._promoter, to=target, expected=_checked(expected), reason=reason, by=by, dry_run=dry_run)

    @observed
    def withdraw(
        self,
        *,
        expected: int | NotGiven | None = NOT_GIVEN,
        reason: str = "",
        by: str | None = None,
        dry_run: bool = False,
    ) -> Promotion:
        """Make nothing live any more and return the move; versions stay, in a stage they become Archived.

        The move is recorded with the version withdrawn, so that the next promotion restores the same pointers.

        Parameters
        ----------
        expected, reason, by, dry_run
            As for :meth:`promote`.

        Raises
        ------
        ModelNotFound, ExpectationFailed, PointerUnsupported, PromotionLost
            As for :meth:`promote`.
        """
        withdrawn = self._promoter.withdraw(expected=_checked(expected), reason=reason, by=by, dry_run=dry_run)
        if not dry_run:
            self._loading.delivery.note_named(None)
        return withdrawn

    @observed
    def repair(self, *, dry_run: bool = False) -> PointerStatus:
        """Make the rest follow what is live, which is never moved; return the status then, with what was ``mended``.

        What a promoter that was stopped half way leaves behind is put right: the stage of a moved alias, a second
        version in the stage, an alias of a deleted version, an open intent. ``dry_run`` changes nothing and returns
        what would be ``mended`` beside the status as it is.
        """
        snapshot, mended = repair(self._promoter, dry_run=dry_run)
        return replace(status_of(snapshot, self._registry.addresses.workspace), mended=mended)

    @observed
    def load_production(
        self,
        loader: Loader | None = None,
        *,
        flavor: str | None = None,
        trusted: Collection[str] = (),
        verify: Verify = "warn",
        on_unavailable: OnUnavailable = "raise",
    ) -> Any:
        """Return the live object, or None when nothing is live; its bytes are checked before they are deserialised.

        A download is kept on this machine: the next time one request is sent and no byte comes, two requests where an
        alias of a server before 3.17 names a version that is not the newest.

        Parameters
        ----------
        loader
            A function that takes the path of the verified download; needed for files that are not ``.pkl``,
            ``.joblib``, ``.skops`` or a directory with an ``MLmodel`` file.
        flavor
            The MLflow flavor for a directory with an ``MLmodel`` file; ``pyfunc`` by default.
        trusted
            Names of types that a ``.skops`` file may hold, and of modules that may load a directory with an
            ``MLmodel`` file, beside MLflow's own; never read from the model.
        verify
            ``"required"`` refuses a version without a recorded digest, which ``"warn"`` loads with a warning.
        on_unavailable
            ``"last-known-good"`` loads the last verified live version, with a warning that says how old it is, where
            the registry does not answer. Once the registry has named a version, that version is loaded or none.

        Raises
        ------
        ModelNotFound
            The registered model does not exist.
        RegistryUnavailable, RegistryError
            The registry did not answer in time, or with an error of its own, and there is nothing to fall back to.
        ArtifactNotFound, IntegrityError
            The bytes are gone, or not those that were registered; nothing was loaded or kept.
        UnsafeModel, LoadFailed
            No loader fits, or it failed; see :mod:`prodpointer.artifacts.loaders`.
        """
        options = LoadOptions(loader, flavor, trusted, check_verify(verify))
        return self._loading.load(options, check_on_unavailable(on_unavailable), self._just_failed())

    def follow(
        self,
        every: float = 30.0,
        *,
        loader: Loader | None = None,
        flavor: str | None = None,
        trusted: Collection[str] = (),
        verify: Verify = "warn",
        warm_up: Callable[[Any], object] | None = None,
        on_change: Callable[[int | None, int | None], object] | None = None,
        on_state: Callable[[State, State, ProdpointerError | None], object] | None = None,
        on_withdraw: OnWithdraw = "none",
        max_stale: float | None = None,
    ) -> Live:
        """Return a handle whose ``model`` is the live object, kept current by a thread; close it, or use ``with``.

        A new version is downloaded, verified, loaded and tried beside the one that serves, and takes its place only
        then. One that fails, whatever is raised, is tried again at the next check, then after pauses that double up to
        ten minutes (``every`` where that is longer), and at once after another move. While the registry is down what
        serves goes on; a process that starts then begins with the last-known-good version. ``AccessDenied`` never does
        that.

        Parameters
        ----------
        every
            Seconds between two checks, each of one request (two where an alias of a server before 3.17 names a version
            that is not the newest of its stage); a little less, so that services do not ask all at once. In
            an outage the registry is asked more often at first.
        loader, flavor, trusted, verify
            As for :meth:`load_production`.
        warm_up
            Called with a new object before it serves; what it raises keeps it from serving.
        on_change
            Called with the version before and after each swap, on the thread.
        on_state
            Called once for each change of the state, on the thread: with the state before and after, and
            ``last_error``. What it raises is logged. A check that hangs delays it.
        on_withdraw
            ``"keep"`` goes on with a version that was withdrawn; by default ``model`` is None then.
        max_stale
            Seconds without an answer of the registry after which the state is ``ERROR``, whatever it was, also while a
            check hangs. Give more than ``every`` and a download take.

        Raises
        ------
        InvalidName
            Invalid `every`, `on_withdraw` or `max_stale`.
        """
        check_follow(every, on_withdraw, max_stale)
        stopped = threading.Event()
        return Live(
            Loading(self.name, self._registry, self._rule, self._promoter.read, self._cache, is_stopped=stopped.is_set),
            LoadOptions(loader, flavor, trusted, check_verify(verify)),
            every=every,
            warm_up=warm_up,
            on_change=on_change,
            on_state=on_state,
            on_withdraw=on_withdraw,
            max_stale=max_stale,
            stopped=stopped,
            failed=self._just_failed(),
        )

    @observed
    def pull(self, destination: str | Path, *, verify: Verify = "warn") -> Pulled | None:
        """Copy the live version's verified artifact into a directory; None when nothing is live.

        Parameters
        ----------
        destination
            The directory to put it in, made if it does not exist. What is there already is never replaced.
        verify
            As for :meth:`load_production`.

        Raises
        ------
        ProdpointerError
            The file or directory exists already; and as for :meth:`load_production`.
        """
        demanded = check_verify(verify)
        free = partial(free_place, Path(destination))
        target = self._loading.target()
        if target is None:
            return None
        delivery = self._loading.delivery
        with delivery.deliver(target, verify=demanded, warn=warn_unverified, examine=examine, before=free) as entry:
            place = free(entry.leaf)
            copy_whole(entry.path, place)
        return Pulled(self.name, target.key.version, place, entry.sha256 if entry.recorded else None)

    @observed
    def adopt(self, version: int | str, *, dry_run: bool = False) -> str:
        """Record the digest of a version that was registered elsewhere, and return it; live or not.

        The bytes are those that this machine downloads now, or the ones that it downloaded first. ``dry_run`` returns
        their digest and records nothing in the registry.

        Raises
        ------
        IntegrityError
            The bytes are not those of the recorded digest, or of the first download on this machine.
        VersionNotFound, ModelNotFound, ArtifactNotFound
            There is nothing to adopt.
        """
        self._check_workspace()
        reply = self._registry.model(self.name)
        found = self._registry.version(self.name, version_number(version))
        target = Target(VersionKey.of(reply.created_at, found.version), found)
        with self._loading.delivery.deliver(target, verify="warn", warn=lambda *_: None, adopting=True) as entry:
            digest = entry.sha256
        if found.sha256 is None and not dry_run:
            self._registry.tag_version(self.name, found.version, DIGEST_TAG, digest)
            self._loading.delivery.mark_recorded(target)
        return digest

    # The same verbs for asyncio; the decorator gives each of them the parameters and the type of its verb.

    @awaited(register, writes=True)
    def aregister(self) -> None:
        """Await :meth:`register`; a cancellation is raised once the version is registered, or where nothing was."""

    @awaited(promote, writes=True)
    def apromote(self) -> None:
        """Await :meth:`promote`; a cancellation is raised once the move is done, or where none had begun."""

    @awaited(rollback, writes=True)
    def arollback(self) -> None:
        """Await :meth:`rollback`; cancelled as :meth:`apromote` is."""

    @awaited(withdraw, writes=True)
    def awithdraw(self) -> None:
        """Await :meth:`withdraw`; cancelled as :meth:`apromote` is."""

    @awaited(repair, writes=True)
    def arepair(self) -> None:
        """Await :meth:`repair`; a cancellation is raised at its end."""

    @awaited(adopt, writes=True)
    def aadopt(self) -> None:
        """Await :meth:`adopt`; a cancellation is raised at its end."""

    @awaited(load_production)
    def aload_production(self) -> None:
        """Await :meth:`load_production`; a cancellation stops the download, and a loader that runs goes on."""

    @awaited(pull)
    def apull(self) -> None:
        """Await :meth:`pull`; a cancellation stops the download."""

    @awaited(production)
    def aproduction(self) -> None:
        """Await :meth:`production`."""

    @awaited(live_version)
    def alive_version(self) -> None:
        """Await :meth:`live_version`."""

    @awaited(version)
    def aversion(self) -> None:
        """Await :meth:`version`."""

    @awaited(versions)
    def aversions(self) -> None:
        """Await :meth:`versions`."""

    @awaited(compare)
    def acompare(self) -> None:
        """Await :meth:`compare`."""

    @awaited(status)
    def astatus(self) -> None:
        """Await :meth:`status`."""

    @awaited(history)
    def ahistory(self) -> None:
        """Await :meth:`history`."""

    @awaited(live_at)
    def alive_at(self) -> None:
        """Await :meth:`live_at`."""

    @awaited(report)
    def areport(self) -> None:
        """Await :meth:`report`."""

    @followed(follow)
    def afollow(self) -> None:
        """``async with`` what :meth:`follow` returns: leaving closes it, and the loop of asyncio goes on meanwhile."""

    def _note_outage(self, failure: RegistryUnavailable) -> None:
        """Note that the registry was down a moment ago, so that loading the last-known-good version does not ask again.

        Raises the failure where this machine has none.
        """
        is_here = False
        with suppress(ProdpointerError):  # of a cache that is not used, which the failure mentions
            is_here = self.has_last_known_good
        if not is_here:
            raise self._loading.explain_no_last_known_good(failure)
        self._failed = (time.monotonic(), failure)

    @property
    def has_last_known_good(self) -> bool:
        """Whether this machine has a verified version to load while the registry does not answer."""
        return self._loading.delivery.last_known_good() is not None

    def _noticed(self, snapshot: ModelSnapshot) -> None:
        """Keep which version another verb found live; that nothing is live takes a second request, or a withdrawal."""
        if snapshot.live is not None:
            self._loading.delivery.note_named(VersionKey.of(snapshot.reply.created_at, snapshot.live))

    def _just_failed(self) -> RegistryUnavailable | None:
        """Return the failure of a registry that was asked by ``connect`` a moment ago, once."""
        failed, self._failed = self._failed, None
        return failed[1] if failed is not None and time.monotonic() - failed[0] < _A_MOMENT else None

    def _check_workspace(self) -> None:
        """Raise where the registry had the named workspace and has it no longer."""
        if self._registry.addresses.workspace is not None:
            probe_capabilities(self._registry, max_age=ask_again_after(self._registry))

    def _registered(self, run_id: str, source: str) -> ModelVersion | None:
        """Return the newest version with this run and source that is READY, or None."""
        wanted = (run_id, source, "READY")
        every = self._registry.versions(self.name)
        found = [each for each in every if (each.run_id, each.source, each.status) == wanted]
        return found[-1] if found else None

    def _add_tags(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Add the tags that a version does not have yet, with these values."""
        for key, value in tags.items():
            if version.tags.get(key) != value:
                self._registry.tag_version(self.name, version.version, key, value)

    def _check_name(self) -> None:
        """Raise ``InvalidName`` where registering would make a model that newer MLflow cannot read."""
        try:
            new_model_name(self.name)
        except InvalidName as refusal:
            try:
                self._registry.model(self.name)  # made by an older MLflow: its versions go on
            except ModelNotFound:
                raise refusal from None
            except InvalidName as unread:  # MLflow 3.11.1 and later refuse to look for such a name, so it may be there
                step = f"For a new model choose a name without them. One that is there already: {unread.next_step}"
                raise InvalidName(refusal.what, where=unread.where, next_step=step) from None


def _checked(expected: int | str | NotGiven | None) -> Expected:
    """Return an expectation with its version as a number, or raise ``InvalidName``."""
    return expected if expected is None or isinstance(expected, NotGiven) else version_number(expected)


def _restore(name: str, addresses: Addresses, timeout: float, rule: Rule, cache: Cache) -> RegisteredModel:
    """Return a handle that was pickled."""
    return RegisteredModel(name, reopen_registry(addresses, timeout=timeout), rule, cache)


def _described(version: ModelVersion, snapshot: ModelSnapshot, runs: Mapping[str, ReadRun]) -> ModelVersion:
    """Return a version with what the pointers and its run say of it."""
    run = runs.get(version.run_id or "", ReadRun(problem="" if version.run_id else "it belongs to no run"))
    aliases = tuple(sorted(alias for alias, number in snapshot.reply.aliases.items() if number == version.version))
    return replace(
        version,
        live=version.version == snapshot.live,
        aliases=aliases,
        metrics=run.metrics,
        metrics_note=run.problem,
    )


def _compared_tags(version: ModelVersion) -> dict[str, str]:
    """Return the tags of a version that tell it from others: not the record, and not what has a place of its own."""
    own = {registration.COMMIT_TAG, *_MADE_WITH}
    return {key: value for key, value in version.tags.items() if key in own or not key.startswith("prodpointer.")}


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return every value of two mappings side by side, in order of the names."""
    return tuple(Difference(name, a.get(name), b.get(name)) for name in sorted({*a, *b}))
