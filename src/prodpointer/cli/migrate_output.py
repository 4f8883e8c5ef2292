"""Output of ``prodpointer migrate``: tables for people, and JSON documents."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from prodpointer.cli.output import SCHEMA_VERSION, json_text, print_json, say
from prodpointer.cli.tables import Column, print_table
from prodpointer.cli.terminal import stop_waiting, write

if TYPE_CHECKING:
    from pathlib import Path

    from prodpointer.migration.apply import PairResult
    from prodpointer.migration.migration import Checked
    from prodpointer.migration.plan import Pair, Plan
    from prodpointer.migration.runs import RunSummary
    from prodpointer.stage_finder.finder import StageUse

_MOST_ROWS = 50
_NEXT = {
    "start": "next: prodpointer migrate apply",
    "apply": "next: prodpointer migrate verify",
}


def print_plan_json(plan: Plan) -> None:
    """Print a plan as one JSON document."""
    _print_long_json(plan.as_json(), "models", (model.as_json() for model in plan.models))


def _print_long_json(head: dict[str, Any], key: str, items: Iterable[dict[str, Any]]) -> None:
    """Print one JSON document whose last key is a list, item by item, to limit the memory for large fleets."""
    head = {"schema_version": SCHEMA_VERSION, **head}
    write(json_text(head).removesuffix("\n}") + f',\n  "{key}": [', end="")
    end = "]\n}"
    for number, item in enumerate(items):
        write(("," if number else "") + "\n" + textwrap.indent(json_text(item), "    "), end="")
        end = "\n  ]\n}"
    write(end)


def print_plan(plan: Plan) -> None:
    """Print the counts, and a line for each model with work to do; ``--json`` and ``--html`` have all models."""
    rows = [model for kind in ("NEEDS A DECISION", "SAFE") for model in plan.models if model.kind.value == kind]
    shown = [
        (
            model.name,
            model.kind.value,
            "\n".join(text for pair in model.pairs if (text := _change(pair))),
            "\n".join(model.reasons),
        )
        for model in rows[:_MOST_ROWS]
    ]
    _print_first(("model", "class", "change", "why"), shown, len(rows), "--html or --json")
    if plan.changes["start"] or plan.changes["apply"]:
        marks, moves = (numbered(plan.changes[key], noun) for key, noun in (("start", "model"), ("apply", "pointer")))
        say(f"start marks {marks}, then apply moves {moves}")
    counts = ", ".join(f"{count} {kind}" for kind, count in plan.counts.items())
    say(counts if plan.models else "No registered models found. Check the registry and --models.")


def _change(pair: Pair) -> str:
    """Return what would change for one alias and its stage, or the versions to choose from."""
    after = " (after start)" if pair.after_start else ""
    changes = [
        f"{each.pointer} {each.name}: {', '.join(map(str, each.was)) or '-'} → {each.to}{after}"
        for each in pair.changes
    ]
    if not changes and pair.judgement.choices:
        sides = ", ".join(f"{side} {version}" for side, version in pair.judgement.choices.items())
        return f"{pair.alias}: {sides}?"
    return "\n".join(changes)


def print_steps(run: str, verb: str, steps: Sequence[PairResult], *, stopped: str = "", dry_run: bool = False) -> None:
    """Print the results of a run: the counts, and a line for each model that was skipped or failed.

    Of a dry run each model that would change has a line too.
    """
    bad = [step for step in steps if step.outcome in ("left", "failed")]
    listed = [step for step in steps if step.outcome != "nothing"] if dry_run else bad
    shown = [(step.name, step.alias or "-", _outcome(step, verb, dry_run=dry_run), step.reason) for step in listed]
    _print_first(("model", "alias", "outcome", "why"), shown[:_MOST_ROWS], len(listed), "--json")
    if dry_run:
        say(f"dry run: {_counted(steps, verb)}; nothing was changed")
    else:
        say(f"run {run}: {_counted(steps, verb)}")
    if stopped:
        say(stopped)
    elif not bad and not dry_run and verb in _NEXT:
        say(_NEXT[verb])


def _outcome(step: PairResult, verb: str, *, dry_run: bool) -> str:
    """Return what was done to a model, or of a dry run what would be."""
    if not dry_run or step.outcome != "moved":
        return step.outcome
    pointers = " and ".join(step.pointers)
    if verb == "undo" and pointers:
        live = f" (live: {_shown(step.from_version)} → {_shown(step.to_version)})"
        return f"would restore {pointers}{live if step.from_version != step.to_version else ''}"
    return {
        "start": "would be marked",
        "apply": f"would move {pointers} to version {step.to_version}",
        "finish": "would empty the stage",
    }.get(verb, "would be unmarked")


def _shown(version: int | None) -> str:
    """Return a version, or the lack of one, in a table."""
    return "-" if version is None else str(version)


def _counted(steps: Sequence[PairResult], verb: str) -> str:
    """Return the count of each outcome: of pointers, or of models if these were marked."""
    counted = Counter("marked" if (verb, step.outcome) == ("start", "moved") else step.outcome for step in steps)
    return ", ".join(f"{count} {outcome}" for outcome, count in counted.items()) or "nothing to do"


def print_steps_json(run: str, steps: Sequence[PairResult], *, dry_run: bool = False) -> None:
    """Print the results of a run as one JSON document."""
    _print_long_json({**_run_json(run, steps), "dry_run": dry_run}, "steps", map(_step_json, steps))


def print_sweep_json(run: str, steps: Sequence[PairResult]) -> None:
    """Print the results of a sweep as one JSON document on one line, with the keys of a run."""
    print_json({**_run_json(run, steps), "steps": [_step_json(step) for step in steps]}, indent=None)


def _run_json(run: str, steps: Sequence[PairResult]) -> dict[str, Any]:
    """Return the name of a run and the count of each outcome."""
    return {"run": run, "counts": dict(Counter(step.outcome for step in steps))}


def _step_json(step: PairResult) -> dict[str, Any]:
    """Return the result for one alias of one model."""
    keys = ("name", "alias", "outcome", "reason", "from_version", "to_version", "pointers", "event")
    return {key: list(value) if isinstance(value := getattr(step, key), tuple) else value for key in keys}


def sweep_line(step: PairResult) -> str:
    """Return one line about a move of the bridge, or about a model that it did not move."""
    if step.outcome != "moved":
        return f"{step.name}: {step.alias or 'model'} {step.outcome}: {step.reason}"
    moved = " and ".join(step.pointers)
    return f"{step.name}: moved the {moved} to version {step.to_version} ({step.reason})"


def print_checks(checks: Sequence[Checked]) -> None:
    """Print a line for each stage/alias pair that disagrees, and the count of those that agree."""
    bad = [each for each in checks if each.problem]
    shown = [(each.name, each.stage, each.alias, each.problem) for each in bad[:_MOST_ROWS]]
    _print_first(("model", "stage", "alias", "problem"), shown, len(bad), "--json")
    say(f"{len(checks) - len(bad)} of {len(checks)} stage/alias pairs agree")


def _print_first(head: Sequence[str], rows: Sequence[Sequence[str]], count: int, whole: str) -> None:
    """Print the first of ``count`` rows, and where to find all of them; nothing if there are none."""
    if rows:
        print_table([*(Column(title) for title in head[:-1]), Column(head[-1], wraps=True)], rows)
    if count > len(rows):
        say(f"... and {count - len(rows)} more: see {whole}")


def print_runs(runs: Sequence[RunSummary]) -> None:
    """Print a line for each run."""
    rows = [
        (
            run.name,
            run.kind,
            str(run.models),
            run.state,
            ", ".join(run.by) or "-",
            *(f"{at:%Y-%m-%d %H:%M:%S}" if at else "-" for at in (run.first, run.last)),
        )
        for run in runs
    ]
    columns = ("run", "kind", "models", "state", "by", "from (UTC)", Column("to (UTC)", optional=True))
    print_table(columns, rows, empty="No runs are recorded.")


def print_stage_uses(uses: Sequence[StageUse]) -> None:
    """Print each use of stages: the place, the line, and its replacement."""
    for use in uses:
        say(f"{use.path}:{use.line}: {use.kind}s {use.what}")
        say(f"    {use.text}")
        say(f"    instead: {use.instead}")
    files = len({use.path for use in uses})
    found = f"{numbered(len(uses), 'use')} of stages in {numbered(files, 'file')}"
    say(found if uses else "No use of stages was found.")


def numbered(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'s' * (number != 1)}"


def print_diff(text: str) -> None:
    """Print a diff: on a terminal without what that would act on, elsewhere as the files have it."""
    stop_waiting()
    if sys.stdout.isatty():
        for line in text.splitlines():
            say(line)
    else:
        click.echo(text.encode("utf-8", "surrogateescape"), nl=False)


def print_fixed(fixed: int, files: int, left: int, *, wrote: bool) -> None:
    """Print on standard error how many uses were, or can be, rewritten, and how many are left for a person."""
    done = "fixed" if wrote else "can be fixed by --fix"
    say(f"{numbered(fixed, 'use')} {done} in {numbered(files, 'file')}; {left} left for a person", err=True)


def warn_of_patterns(paths: Sequence[Path], *, installed: bool) -> None:
    """Say on standard error which Python was searched by the plain patterns, which find less than libcst."""
    if paths and not installed:
        say(
            f"note: Python was searched by plain patterns, which find less, in {numbered(len(paths), 'file')}. "
            "For all uses, run: pip install 'prodpointer[find]'",
            err=True,
        )
        return
    for each in paths:
        reason = "does not parse as Python, or is above 1 MiB"
        say(f"warning: {each} {reason}; it was searched by plain patterns, which find less", err=True)
