"""All models with their records, read in pages, and one model read for itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain

from prodpointer.errors import AccessDenied, InvalidName, ModelNotFound, PointerUnsupported
from prodpointer.history import record
from prodpointer.mlflow_client import Capabilities, Place, Registry
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.snapshot import ModelSnapshot, read_reply
from prodpointer.promotion.promoter import Promoter
from prodpointer.types import ModelReply, ModelVersion

OF_ONE_MODEL = (AccessDenied, InvalidName, PointerUnsupported)
"""Errors about one model, which keep no other one from being read."""

_PAGED = (Place.SERVER, Place.DATABASE)  # others list versions of one model only, or in no order


@dataclass(frozen=True)
class Watched:
    """What is looked at: models by patterns, all where there are none, and one pointer or every pointer.

    ``alias`` is None for every pointer of a model; ``rule_of`` returns the rule of one.
    """

    registry: Registry
    rule_of: Callable[[str], Rule]
    globs: Sequence[str] = ()
    alias: str | None = None

    def replies(self) -> Iterator[list[ModelReply]]:
        """Yield the models of each page whose name a pattern matches; one request each."""
        for page in self.registry.model_pages():
            yield [reply for reply in page if self.matches(reply.name)]

    def matches(self, name: str) -> bool:
        """Tell whether a model is looked at."""
        return not self.globs or any(glob == name or fnmatchcase(name, glob) for glob in self.globs)

    def check_names(self, names: Collection[str]) -> None:
        """Raise ``InvalidName`` where a name or a pattern matches none of these models."""
        for glob in self.globs:
            if glob not in names and not any(fnmatchcase(name, glob) for name in names):
                where, step = self.registry.addresses.shown, "`prodpointer status` lists the models."
                raise InvalidName(f"No registered model matches {glob!r}.", where=where, next_step=step)

    def read(self, name: str, known: Iterable[str] = ()) -> list[ModelSnapshot]:
        """Read one model, and return a snapshot for each of its pointers; two requests, and one for each more alias.

        ``known`` are aliases that it had before.
        """
        first = self.rule_of(self.alias or "production")
        snapshot = Promoter(name, self.registry, first).take_snapshot()
        versions = list(snapshot.versions)
        if self.alias is None and not snapshot.complete:  # those that other aliases name may hold no events
            there = {each.version for each in versions}
            missing = sorted(set(snapshot.reply.aliases.values()) - there)
            named = (self.registry.existing_version(name, number) for number in missing)
            versions += [version for version in named if version is not None]
        return self.snapshots(replace(snapshot.reply, versions=tuple(versions)), snapshot.capabilities, known)

    def snapshots(
        self, reply: ModelReply, capabilities: Capabilities, known: Iterable[str] = ()
    ) -> list[ModelSnapshot]:
        """Return a snapshot for each pointer of a model that was read with its versions; no request."""
        where = self.registry.addresses.shown
        aliases = [self.alias] if self.alias else self._aliases(reply, known)
        now = self.registry.now()
        return [read_reply(self.rule_of(alias), reply, capabilities, where, now=now) for alias in aliases]

    def _aliases(self, reply: ModelReply, known: Iterable[str]) -> list[str]:
        """Return the pointers that a model has or had."""
        recorded = (event.alias for event in record.events(reply.versions or ()))
        stages = (stage.lower() for stage in reply.newest if stage in ("Production", "Staging"))
        return sorted({"production", *(alias.lower() for alias in reply.aliases), *recorded, *stages, *known})

    def records(self, replies: Mapping[str, ModelReply], *, found_by_tag: bool = False) -> Iterator[ModelReply]:
        """Yield each of these models with its versions, a request for each page of versions of all models.

        At any moment the versions of one page are in memory. With ``found_by_tag`` they are those alone that hold
        events and were written to since a search finds such versions by a tag. A model whose versions cannot be listed
        comes without any: to read it for itself raises the error.
        """
        rest = set(replies)
        tag = record.RECORD_TAG if found_by_tag and self.registry.finds_tags else None
        for name, versions in self._versions(replies, tag):
            rest.discard(name)
            yield replace(replies[name], versions=None if versions is None else tuple(versions))
        for name in sorted(rest):
            yield replace(replies[name], versions=())

    def _versions(
        self, names: Mapping[str, object], tag: str | None
    ) -> Iterator[tuple[str, list[ModelVersion] | None]]:
        """Yield the versions of each model that has some; None where they cannot be listed."""
        literal = self.globs and not any(set(glob) & set("*?[") for glob in self.globs)
        if literal or self.registry.place not in _PAGED:
            for name in names:
                yield name, self._versions_of(name, tag)
            return
        current, versions = "", list[ModelVersion]()
        for name, found in chain.from_iterable(map(_by_name, self.registry.version_pages(tag))):
            if name != current:
                if current in names:
                    yield current, versions
                current, versions = name, []
            if name in names:
                versions += found
        if current in names:
            yield current, versions

    def _versions_of(self, name: str, tag: str | None) -> list[ModelVersion] | None:
        """Return the versions of one model, None where they cannot be listed."""
        try:
            return self.registry.versions(name, tag)
        except (ModelNotFound, *OF_ONE_MODEL):
            return None


def _by_name(page: Iterable[ModelVersion]) -> list[tuple[str, list[ModelVersion]]]:
    """Return the versions of a page by model, in its order; MLflow 2.0.1 sends one page without an order."""
    found: dict[str, list[ModelVersion]] = {}
    for version in page:
        found.setdefault(version.name, []).append(version)
    return list(found.items())


def slim(reply: ModelReply) -> ModelReply:
    """Return a model with no more than its pointers, for many at once in memory."""
    newest = {stage: replace(version, source="", tags={}) for stage, version in reply.newest.items()}
    return replace(reply, newest=newest)
