"""The runs of many versions in few requests: one run tells its experiment, which is then searched for the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from prodpointer.errors import AccessDenied, ArtifactNotFound, ProdpointerError
from prodpointer.mlflow_client.converters import LoggedRun
from prodpointer.mlflow_client.registry import Registry
from prodpointer.types import ReadRun

_IN_ONE_SEARCH = 100  # runs
_MOST_SEARCHES = 200  # for one list: 20,000 runs of one experiment
_MOST_SINGLE = 20  # runs that are read by themselves: one for each experiment, and those that are gone or denied
_RUN_ID = re.compile(r"[0-9A-Za-z_\-]{1,256}")
_GONE = ReadRun(problem="the run does not exist")
_DENIED = ReadRun(problem="the run may not be read")
_NOT_READ = ReadRun(problem="not read: the runs are in too many experiments")
_NOT_READ_AFTER_DENIED = ReadRun(problem="not read: too many other runs may not be read")


def read_runs(registry: Registry, run_ids: Iterable[str]) -> dict[str, ReadRun]:
    """Return what each run measured, or why that is not known; a tracking server that fails is a reason, no error.

    Parameters
    ----------
    registry
        The registry; runs are read through its client's tracking URI.
    run_ids
        The runs, those that matter most first.
    """
    wanted = list(dict.fromkeys(run_ids))
    found = {run_id: _GONE for run_id in wanted if not _RUN_ID.fullmatch(run_id)}
    try:
        found.update(_read(registry, [run_id for run_id in wanted if run_id not in found]))
    except ProdpointerError as error:
        failed = ReadRun(problem=error.what)
    else:
        failed = _NOT_READ if _DENIED not in found.values() else _NOT_READ_AFTER_DENIED
    return {run_id: found.get(run_id, failed) for run_id in wanted}


def _read(registry: Registry, pending: list[str]) -> Iterator[tuple[str, ReadRun]]:
    """Yield the runs that can be read within the bounds, and those that may not be: the next one may."""
    searches = 0
    for _ in range(_MOST_SINGLE):
        if not pending:
            return
        first, *pending = pending
        try:
            run = existing_run(registry, first)
        except AccessDenied:
            yield first, _DENIED
            continue
        yield first, _as_read(run)
        if run is None:
            continue
        others: dict[str, LoggedRun] = {}
        for start in range(0, len(pending), _IN_ONE_SEARCH):
            if searches == _MOST_SEARCHES:
                break
            searches += 1
            try:
                others |= _search(registry, run.run.experiment_id, pending[start : start + _IN_ONE_SEARCH])
            except AccessDenied:  # to all of the experiment; a run may be read by itself
                break
        yield from ((run_id, _as_read(each)) for run_id, each in others.items())
        pending = [run_id for run_id in pending if run_id not in others]


def existing_run(registry: Registry, run_id: str) -> LoggedRun | None:
    """Return a run, also a deleted one, which says so; None for one that does not exist."""
    gone = ArtifactNotFound("deleted")
    try:
        # An id that cannot be one is INVALID_PARAMETER_VALUE.
        with registry.translate(f"read the run {run_id!r}", missing=lambda: gone, invalid=ArtifactNotFound):
            return registry.runs.run(run_id)
    except ArtifactNotFound:
        return None


def _search(registry: Registry, experiment_id: str, run_ids: Sequence[str]) -> dict[str, LoggedRun]:
    """Return those of the runs that are in an experiment."""
    with registry.translate(f"read the runs of the experiment {experiment_id!r}"):
        return {each.run.run_id: each for each in registry.runs.runs(experiment_id, run_ids)}


def _as_read(run: LoggedRun | None) -> ReadRun:
    """Return what a run measured."""
    if run is None:
        return _GONE
    if run.deleted:
        return ReadRun(problem="the run was deleted")
    return ReadRun(run.metrics, run.params, run.run.datasets)
