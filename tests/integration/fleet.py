"""A small set of models in the test registry, moved as plain MLflow moves them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from prodpointer import RegisteredModel, connect
from prodpointer.migration.apply import PairResult
from prodpointer.migration.bridge import Bridge, Sweep
from prodpointer.migration.migration import Migration, flatten, run_name
from prodpointer.migration.plan import Plan, Planned
from tests.integration.conftest import Lab, quiet


@dataclass(frozen=True)
class Fleet:
    """Models whose names begin alike, so that each test has a fleet of its own."""

    lab: Lab
    prefix: str

    @property
    def glob(self) -> str:
        """The pattern that matches this fleet and no other."""
        return f"{self.prefix}-*"

    def add(self, name: str, versions: int = 3, *, alias: int | None = None, stage: int | None = None) -> str:
        """Make a model, point to its versions as plain MLflow does, and return its whole name."""
        name = f"{self.prefix}-{name}"
        with quiet():
            self.lab.client.create_registered_model(name)
            for _ in range(versions):
                self.lab.client.create_model_version(name, "s3://models/bundle")
        if stage is not None:
            self.to_stage(name, stage)
        if alias is not None:
            self.set_alias(name, alias)
        return name

    def to_stage(self, name: str, version: int, stage: str = "Production", *, archive: bool = True) -> None:
        """Move a version to a stage as a job written for MLflow 2 does."""
        archives = archive and stage in ("Production", "Staging")
        with quiet():
            self.lab.client.transition_model_version_stage(name, str(version), stage, archives)

    def set_alias(self, name: str, version: int, alias: str = "production") -> None:
        """Set an alias as a job written for MLflow 3 does."""
        self.lab.client.set_registered_model_alias(name, alias, str(version))

    def take_alias(self, name: str, alias: str = "production") -> None:
        """Delete an alias as plain MLflow does."""
        self.lab.client.delete_registered_model_alias(name, alias)

    def delete(self, name: str, version: int) -> None:
        """Delete a version."""
        self.lab.client.delete_model_version(name, str(version))

    def at(self, name: str) -> tuple[dict[str, int], dict[int, str]]:
        """Return what plain MLflow tells: every alias, and the stage of each version that is in one."""
        aliases = {alias: int(version) for alias, version in self.lab.client.get_registered_model(name).aliases.items()}
        found = self.lab.client.search_model_versions(f"name='{name}'")
        return aliases, {int(each.version): each.current_stage for each in found if each.current_stage != "None"}

    def tags(self, name: str) -> dict[str, str]:
        """Return the tags of a model."""
        return dict(self.lab.client.get_registered_model(name).tags)

    def model(self, name: str, **options: Any) -> RegisteredModel:
        """Return a model of this library."""
        return connect(name, tracking_uri=self.lab.uri, **options)

    def migration(self, *globs: str, **options: Any) -> Migration:
        """Return the verbs over this fleet."""
        return Migration(tracking_uri=self.lab.uri, models=globs or (self.glob,), **options)

    def plan(self, *globs: str, **options: Any) -> Plan:
        """Return the plan of this fleet."""
        return self.migration(*globs, **options).plan()

    def planned(self, name: str) -> Planned:
        """Return the plan of one model."""
        (found,) = [model for model in self.plan().models if model.name == name]
        return found

    def apply(
        self, run: str | None = None, *, mapping: dict[str, str] | None = None, **options: Any
    ) -> list[PairResult]:
        """Carry out a fresh plan."""
        migration = self.migration(mapping=mapping)
        return flatten(migration.apply(migration.plan(), run_name(run), **options))

    def start(self, run: str | None = None) -> list[PairResult]:
        """Begin the window."""
        return flatten(self.migration().start(run_name(run)))

    def finish(self, run: str | None = None, *globs: str) -> list[PairResult]:
        """End the stages."""
        return flatten(self.migration(*globs).finish(run_name(run)))

    def undo(self, run: str) -> list[PairResult]:
        """Take a run back."""
        return flatten(self.migration().undo(run))

    def problems(self) -> dict[str, str]:
        """Return what plain clients would miss, by model."""
        results = list(self.migration().verify())
        assert [result.error for result in results if result.error] == []
        return {check.name: check.problem for result in results for check in result.value or () if check.problem}

    def bridge(self, **options: Any) -> Sweeps:
        """Return a bridge over this fleet, after the sweep with which it begins."""
        found = Sweeps(Bridge(self.migration(), run_name("bridge"), **options))
        found.sweep()
        return found

    def bridge_failing(self) -> Sweeps:
        """Return a bridge over this fleet, after a first sweep in which models may fail."""
        found = Sweeps(Bridge(self.migration(), run_name("bridge")))
        found.bridge.sweep()
        return found


@dataclass(frozen=True)
class Sweeps:
    """A bridge that sweeps when it is told to."""

    bridge: Bridge

    def sweep(self) -> Sweep:
        """Sweep once; nothing may fail."""
        found = self.bridge.sweep()
        assert [step for step in found.steps if step.outcome == "failed"] == []
        return found


def fresh(lab: Lab) -> Fleet:
    """Return a new fleet."""
    return Fleet(lab, f"fleet{uuid.uuid4().hex[:10]}")


def outcomes(steps: list[PairResult]) -> dict[tuple[str, str], str]:
    """Return the outcome of each alias of each model."""
    return {(step.name, step.alias): step.outcome for step in steps}
