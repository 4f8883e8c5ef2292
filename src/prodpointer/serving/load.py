"""What is live, and the object that it is: asked, brought here, verified, loaded."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from packaging.version import Version

from prodpointer._warnings import warn_about, warn_last_known_good, warn_unverified
from prodpointer.artifacts.cache import Cache, Entry, LastLive
from prodpointer.artifacts.digest import DigestAhead, Examined, sha256_of
from prodpointer.artifacts.fetch import Delivery, Target, Verify, created_name
from prodpointer.artifacts.loaders import Loader, load
from prodpointer.artifacts.locks import Use
from prodpointer.errors import (
    InvalidName,
    ModelNotFound,
    ProdpointerError,
    RegistryError,
    RegistryUnavailable,
    WorkspaceNotFound,
)
from prodpointer.mlflow_client.artifact_store import ArtifactStore
from prodpointer.mlflow_client.registry import Registry
from prodpointer.pointers.selection import Rule, View
from prodpointer.types import ModelReply, ModelVersion

OnUnavailable = Literal["raise", "last-known-good"]

NO_ANSWER = (RegistryUnavailable, RegistryError)
"""What a registry that is down looks like: nothing answers, or what answers is an error of its own."""

# From here on an alias goes with its version, so one that is set names a version that exists (3.16.1 and 3.17.0).
_ALIAS_GOES_WITH_VERSION = Version("3.17.0")


@dataclass(frozen=True)
class HowToLoad:
    """How a caller wants bytes to become an object; see :meth:`prodpointer.RegisteredModel.load_production`."""

    loader: Loader | None = None
    flavor: str | None = None
    trusted: Collection[str] = ()
    verify: Verify = "warn"

    def loaded(self, entry: Entry, use: Use, examined: Examined | None = None) -> Any:
        """Return the object in verified bytes; those of a model of MLflow's stay as long as the object does.

        Such a model may open its files long after it was loaded. Those of an object without weak references, such as
        a dict, stay for as long as any others that nobody uses.
        """
        model = load(
            entry.path,
            loader=self.loader,
            flavor=self.flavor,
            trusted=self.trusted,
            tags=entry.tags,
            sha256=entry.sha256,
            examined=examined,
        )
        if (entry.path / "MLmodel").is_file():
            kept = use.handed_over()
            try:
                weakref.finalize(model, kept.end)
            except TypeError:  # the end of a dict, for example, cannot be noticed, and a use for ever is an open file
                kept.end()
        return model


def checked_on_unavailable(value: str) -> OnUnavailable:
    """Return what to do while the registry is down, or raise ``InvalidName``."""
    if value not in get_args(OnUnavailable):
        raise InvalidName(
            f"{value!r} says nothing about a registry that is down.", next_step="Use 'raise' or 'last-known-good'."
        )
    return "last-known-good" if value == "last-known-good" else "raise"


class Loading:
    """Reads what is live of one registered model, and loads it.

    Parameters
    ----------
    name, registry, rule
        As for :class:`prodpointer.RegisteredModel`.
    view
        Reads a reply by the rule.
    cache
        Where downloads are kept.
    stopped
        Whether nobody waits for a download any more.
    """

    def __init__(
        self,
        name: str,
        registry: Registry,
        rule: Rule,
        view: Callable[[ModelReply], View],
        cache: Cache,
        *,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Bind what is given; nothing is asked yet."""
        self.name = name
        self._registry = registry
        self._rule = rule
        self._view = view
        artifacts = ArtifactStore(registry, stopped=stopped)
        self.delivery: Delivery = Delivery(name, registry, artifacts, cache, rule.sees)

    def live_version(self) -> int | None:
        """Return the number that the pointers name; see :meth:`prodpointer.RegisteredModel.live_version`."""
        reply, seen = self.asked()
        self._notice(reply, seen.live)
        self._tell(seen)
        return seen.live

    def production(self) -> ModelVersion | None:
        """Return the live version; see :meth:`prodpointer.RegisteredModel.production`."""
        reply, seen = self.asked()
        version, seen = self._existing(reply, seen)
        self._notice(reply, None if version is None else version.version)
        self._tell(seen)
        return version

    def target(self) -> Target | None:
        """Return the live version as what is to be on this machine, or None; one request where that is enough."""
        return self.target_in(*self.asked())

    def asked(self) -> tuple[ModelReply, View]:
        """Ask the registry what is live; it is asked a second time before nothing is.

        From the moment that this returns the registry has answered: nothing that fails afterwards is a reason to load
        another version than the one that it named.
        """
        try:
            reply, seen = self._read()
            return (reply, seen) if seen.live is not None else self._read()
        except (ModelNotFound, WorkspaceNotFound):
            self.delivery.saw_nothing_live()
            raise

    def target_in(self, reply: ModelReply, seen: View, tell: Callable[[View], None] | None = None) -> Target | None:
        """Return the live version in an answer as what is to be on this machine, or None.

        The reply that names the number carries the newest version of each stage. Another one is asked for, unless the
        cache has it with its digest and the registry is one whose aliases name no version that was deleted.
        """
        created, number = created_name(reply.created_at), seen.live
        version = next((each for each in reply.newest.values() if each.version == number), None)
        known = version is not None or number is None or self._is_known(seen, created, number)
        try:
            if not known:
                version, seen = self._existing(reply, seen)
                number = None if version is None else version.version
        finally:  # also where the second question has no answer
            self.delivery.saw_named(created, number, first=number is not None)
        (tell or self._tell)(seen)
        return None if number is None else Target(number, created, version)

    def load(self, how: HowToLoad, on_unavailable: OnUnavailable, failed: RegistryUnavailable | None = None) -> Any:
        """Return the live object or None; see :meth:`prodpointer.RegisteredModel.load_production`.

        Parameters
        ----------
        how
            How bytes become an object.
        on_unavailable
            What to do while the registry is silent. Once it has named a version, that one is loaded or none.
        failed
            The failure of a registry that was asked a moment ago, which is not asked again.
        """
        ahead: DigestAhead | None = None
        try:
            if failed is not None and on_unavailable == "last-known-good":
                raise failed
            ahead = self.delivery.digest_ahead()  # while the registry is asked
            reply, seen = self.asked()
        except NO_ANSWER as error:
            if on_unavailable == "raise":
                raise
            return self.last_known_good(how, error, ahead)
        target = self.target_in(reply, seen)
        if target is None:
            return None
        delivered = self.delivery.delivered(target, verify=how.verify, warn=warn_unverified, digest_of=ahead.of)
        with delivered as (entry, use):
            model = how.loaded(entry, use, ahead.examined(entry.path))
        self.saw_live(target)
        return model

    def last_known_good(self, how: HowToLoad, why: ProdpointerError, ahead: DigestAhead | None = None) -> Any:
        """Return the last-known-good object, and warn; raise ``why`` without one."""
        last = self.delivery.last_known_good()
        if last is None:
            raise self.without_last_known_good(why)
        model = self.loaded_last(last, how, why, ahead)
        warn_last_known_good(self.name, last.version, last.at, why, named=self.delivery.last_named())
        return model

    def loaded_last(
        self, last: LastLive, how: HowToLoad, why: ProdpointerError, ahead: DigestAhead | None = None
    ) -> Any:
        """Return the object of a last-known-good version, without the registry."""
        digest_of = sha256_of if ahead is None else ahead.of
        with self.delivery.last_delivered(last, verify=how.verify, why=why, digest_of=digest_of) as (entry, use):
            return how.loaded(entry, use, None if ahead is None else ahead.examined(entry.path))

    def without_last_known_good(self, why: ProdpointerError) -> ProdpointerError:
        """Return the failure to ask, with what is known of why no version stands in for the live one."""
        try:
            known = self.delivery.why_no_last_known_good()
        except ProdpointerError as refusal:  # of the cache, which matters to those alone who load
            known = str(refusal)
        if not known:
            return why
        told = copy(why)  # of several callers, who need not see the same cache
        told.what, told.__cause__ = f"{why.what} {known}", why.__cause__
        return told

    def saw_live(self, target: Target) -> None:
        """Keep a version that was live just now as last-known-good; what cannot be kept is no failure of loading it."""
        with suppress(OSError):
            self.delivery.saw_live(target)

    def _existing(self, reply: ModelReply, seen: View) -> tuple[ModelVersion | None, View]:
        """Return the version that is live and exists, or None, and what is seen once a deleted one does not count."""
        version = self._registry.existing_version(self.name, seen.live) if seen.live is not None else None
        if version is None and seen.live is not None and seen.live == seen.alias:
            seen = replace(seen, dangling=True)
            version = reply.newest.get(self._rule.stage) if seen.live is not None else None
        return version, seen

    def _is_known(self, seen: View, created: str, number: int) -> bool:
        """Tell whether a version need not be asked for, and certainly exists."""
        version = seen.capabilities.version
        goes_along = version is not None and version >= _ALIAS_GOES_WITH_VERSION
        return goes_along and self.delivery.has_recorded(created, number)

    def _read(self) -> tuple[ModelReply, View]:
        """Ask for a reply and read it, and refuse where None would be no answer."""
        reply = self._registry.model(self.name)
        seen = self._view(reply)
        seen.check_readable(self._registry.addresses.shown)
        return reply, seen

    def _notice(self, reply: ModelReply, number: int | None) -> None:
        """Keep on this machine what the registry said is live."""
        self.delivery.saw_named(created_name(reply.created_at), number)

    def _tell(self, seen: View) -> None:
        """Warn of what a reader should know."""
        warn_about(seen, self._registry.addresses.identity, self.name)
