"""The live version and its object: ask the registry, bring the bytes here, verify, load."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Collection
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from packaging.version import Version

from prodpointer._telemetry import annotate
from prodpointer._warnings import warn_about, warn_last_known_good, warn_unverified
from prodpointer.artifacts.cache import Cache
from prodpointer.artifacts.digest import DigestAhead
from prodpointer.artifacts.entries import CacheEntry
from prodpointer.artifacts.fetch import Delivery, Target, Verify
from prodpointer.artifacts.last_known_good import LastLive, VersionKey
from prodpointer.artifacts.loaders import Loader, load
from prodpointer.errors import (
    InvalidName,
    ModelNotFound,
    ProdpointerError,
    RegistryError,
    RegistryUnavailable,
    WorkspaceNotFound,
)
from prodpointer.mlflow_client import ArtifactStore, Registry
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.selection import check_readable
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.serving.metrics import Labels
from prodpointer.types import ModelReply, ModelVersion

_log = logging.getLogger("prodpointer")

OnUnavailable = Literal["raise", "last-known-good"]

NO_ANSWER = (RegistryUnavailable, RegistryError)
"""What a registry that is down looks like: no answer, or an error of its own."""

# From here on an alias goes with its version, so one that is set names a version that exists (3.16.1 and 3.17.0).
_ALIAS_GOES_WITH_VERSION = Version("3.17.0")


@dataclass(frozen=True)
class LoadOptions:
    """How a caller wants bytes to become an object; see :meth:`prodpointer.RegisteredModel.load_production`."""

    loader: Loader | None = None
    flavor: str | None = None
    trusted: Collection[str] = ()
    verify: Verify = "warn"

    def load(self, entry: CacheEntry) -> Any:
        """Return the object in verified bytes; the bytes of an MLflow model stay as long as the object does.

        Such a model may open its files long after it was loaded. An object without weak references, such as a dict,
        cannot keep them.
        """
        model = load(
            entry.path,
            loader=self.loader,
            flavor=self.flavor,
            trusted=self.trusted,
            tags=entry.tags,
            sha256=entry.sha256,
            examined=entry.examined,
        )
        if entry.lock is not None and (entry.path / "MLmodel").is_file():
            lock = entry.lock.hand_over()
            try:
                weakref.finalize(model, lock.release)
            except TypeError:  # the end of a dict, for example, cannot be noticed, and an eternal lock is an open file
                lock.release()
        return model


def check_on_unavailable(value: str) -> OnUnavailable:
    """Return what to do while the registry is down, or raise ``InvalidName``."""
    if value not in get_args(OnUnavailable):
        raise InvalidName(f"Invalid on_unavailable={value!r}.", next_step="Use 'raise' or 'last-known-good'.")
    return "last-known-good" if value == "last-known-good" else "raise"


class Loading:
    """Reads which version of one registered model is live, and loads it.

    ``view`` reads a reply by the rule, ``is_stopped`` tells whether downloads are cancelled.
    """

    def __init__(
        self,
        name: str,
        registry: Registry,
        rule: Rule,
        view: Callable[[ModelReply], ModelSnapshot],
        cache: Cache,
        *,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = name
        self.label: str = f"{name}@{rule.alias}"
        self.labels: Labels = Labels(name, rule.alias, registry.addresses.workspace or "", registry.addresses.shown)
        self._registry = registry
        self._rule = rule
        self._view = view
        artifacts = ArtifactStore(registry, stopped=is_stopped)
        self.delivery: Delivery = Delivery(name, registry, artifacts, cache, rule.sees)

    def live_version(self) -> int | None:
        """Return the number that the pointers name; see :meth:`prodpointer.RegisteredModel.live_version`."""
        reply, seen = self.ask()
        self._note_named(reply, seen.live)
        self._warn(seen)
        return seen.live

    def production(self) -> ModelVersion | None:
        """Return the live version; see :meth:`prodpointer.RegisteredModel.production`."""
        reply, seen = self.ask()
        version, seen = self._find_existing(reply, seen)
        self._note_named(reply, None if version is None else version.version)
        self._warn(seen)
        return version

    def target(self) -> Target | None:
        """Return the live version as what is to be on this machine, or None; one request where that is enough."""
        return self.find_target(*self.ask())

    def ask(self) -> tuple[ModelReply, ModelSnapshot]:
        """Ask the registry what is live; it is asked a second time before nothing is.

        From the moment that this returns the registry has answered: nothing that fails afterwards is a reason to load
        another version than the one that it named.
        """
        try:
            reply, seen = self._read()
            return (reply, seen) if seen.live is not None else self._read()
        except (ModelNotFound, WorkspaceNotFound):
            self.delivery.note_named(None)  # withdrawn, or the model was deleted
            raise

    def find_target(
        self, reply: ModelReply, seen: ModelSnapshot, warn: Callable[[ModelSnapshot], None] | None = None
    ) -> Target | None:
        """Return the live version in an answer as what is to be on this machine, or None.

        The reply that names the number carries the newest version of each stage. Another version takes a second
        request, unless the cache has it with its digest and the registry's aliases never name a deleted version.
        """
        number = seen.live
        version = next((each for each in reply.newest.values() if each.version == number), None)
        key = None if number is None else VersionKey.of(reply.created_at, number)
        try:
            if version is None and key is not None and not self._is_known(seen, key):
                version, seen = self._find_existing(reply, seen)
                key = None if version is None else VersionKey.of(reply.created_at, version.version)
        finally:  # also where the second request has no answer
            self.delivery.note_named(key, first=key is not None)
        (warn or self._warn)(seen)
        return None if key is None else Target(key, version)

    def load(
        self, options: LoadOptions, on_unavailable: OnUnavailable, failed: RegistryUnavailable | None = None
    ) -> Any:
        """Return the live object or None; see :meth:`prodpointer.RegisteredModel.load_production`.

        Parameters
        ----------
        options
            How bytes become an object.
        on_unavailable
            What to do while the registry is down. Once it has named a version, that one is loaded or none.
        failed
            The failure of a request of a moment ago, which is not repeated.
        """
        ahead: DigestAhead | None = None
        try:
            if failed is not None and on_unavailable == "last-known-good":
                raise failed
            ahead = self.delivery.digest_ahead()  # while the registry is asked
            reply, seen = self.ask()
        except NO_ANSWER as error:
            if on_unavailable == "raise":
                raise
            return self._load_last_known_good(options, error, ahead)
        target = self.find_target(reply, seen)
        if target is None:
            return None
        annotate(version=target.key.version)
        delivering = self.delivery.deliver(target, verify=options.verify, warn=warn_unverified, examine=ahead.examine)
        with delivering as entry:
            model = options.load(entry)
        self.delivery.note_verified(target.key)
        return model

    def load_last(
        self, last: LastLive, options: LoadOptions, why: ProdpointerError, ahead: DigestAhead | None = None
    ) -> tuple[Any, int]:
        """Return the object of a last-known-good version, and the size of its artifact, without the registry.

        Raises ``why`` where its bytes are not here.
        """
        examine = None if ahead is None else ahead.examine
        with self.delivery.deliver_last_known_good(last, verify=options.verify, why=why, examine=examine) as entry:
            return options.load(entry), entry.size

    def explain_no_last_known_good(self, why: ProdpointerError) -> ProdpointerError:
        """Return the failure to ask, with what is known of why no version stands in for the live one."""
        try:
            known = self.delivery.explain_no_last_known_good()
        except ProdpointerError as refusal:  # of the cache, which matters to loads alone
            known = str(refusal)
        if not known:
            return why
        explained = copy(why)  # of several callers, who need not see the same cache
        explained.what, explained.__cause__ = f"{why.what} {known}", why.__cause__
        return explained

    def leave_inherited_connections(self) -> None:
        """Connect to a database anew, in a process that was forked from one that is connected."""
        self._registry.leave_inherited_connections()

    def _load_last_known_good(self, options: LoadOptions, why: ProdpointerError, ahead: DigestAhead | None) -> Any:
        """Return the last-known-good object, and warn; raise ``why`` without one."""
        last = self.delivery.last_known_good()
        if last is None:
            raise self.explain_no_last_known_good(why)
        annotate(version=last.key.version)
        model, _ = self.load_last(last, options, why, ahead)
        _log.info("%s: last-known-good version %s loaded: %s", self.label, last.key.version, why)
        warn_last_known_good(self.name, last.key.version, last.at, why, named=self.delivery.last_named())
        return model

    def _find_existing(self, reply: ModelReply, seen: ModelSnapshot) -> tuple[ModelVersion | None, ModelSnapshot]:
        """Return the version that is live and exists, or None, and what is seen once a deleted one does not count."""
        version = self._registry.existing_version(self.name, seen.live) if seen.live is not None else None
        if version is None and seen.live is not None and seen.live == seen.alias:
            seen = replace(seen, dangling=True)
            version = reply.newest.get(self._rule.stage) if seen.live is not None else None
        return version, seen

    def _is_known(self, seen: ModelSnapshot, key: VersionKey) -> bool:
        """Tell whether a version takes no second request, and certainly exists."""
        version = seen.capabilities.version
        goes_with_version = version is not None and version >= _ALIAS_GOES_WITH_VERSION
        return goes_with_version and self.delivery.has_recorded(key)

    def _read(self) -> tuple[ModelReply, ModelSnapshot]:
        """Ask for a reply and read it, and refuse where None would be no answer."""
        reply = self._registry.model(self.name)
        seen = self._view(reply)
        check_readable(seen, self._registry.addresses.shown)
        return reply, seen

    def _note_named(self, reply: ModelReply, number: int | None) -> None:
        self.delivery.note_named(None if number is None else VersionKey.of(reply.created_at, number))

    def _warn(self, seen: ModelSnapshot) -> None:
        warn_about(seen, self._registry.addresses.identity, self.name)
