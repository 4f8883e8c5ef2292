"""What ``prodpointer migrate`` prints for people, and its JSON documents."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from prodpointer._text import visible
from prodpointer.cli.output import SCHEMA_VERSION, json_text, print_json, print_table, say

if TYPE_CHECKING:
    from prodpointer.migration.apply import Step
    from prodpointer.migration.migration import Checked, Run
    from prodpointer.migration.plan import Pair, Plan
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
    """Print one JSON document whose last key is a list, item by item: the text of a fleet is never there as a whole."""
    head = {"schema_version": SCHEMA_VERSION, **head}
    click.echo(json_text(head).removesuffix("\n}") + f',\n  "{key}": [', nl=False)
    end = "]\n}"
    for number, item in enumerate(items):
        click.echo(("," if number else "") + "\n" + textwrap.indent(json_text(item), "    "), nl=False)
        end = "\n  ]\n}"
    click.echo(end)


def print_plan(plan: Plan) -> None:
    """Print the counts, and a line for each model with something to do; the whole is in ``--json`` and ``--html``."""
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
    counts = ", ".join(f"{count} {kind}" for kind, count in plan.counts.items())
    say(counts if plan.models else "No registered model was found: look at the registry and at --models.")


def _change(pair: Pair) -> str:
    """Return what would change of one alias and its stage, or what there is to choose."""
    judged = pair.judgement
    if judged.target is not None:
        moved = pair.alias if pair.names != judged.target else pair.stage
        was = pair.names if pair.names != judged.target else (", ".join(map(str, pair.holds)) or None)
        return f"{moved}: {'-' if was is None else was} -> {judged.target}"
    if judged.choices:
        return f"{pair.alias}: " + ", ".join(f"{side} {version}" for side, version in judged.choices.items()) + "?"
    return ""


def print_steps(run: str, verb: str, steps: Sequence[Step], *, stopped: str = "") -> None:
    """Print what became of a run: the counts, and a line for each model that was left or failed."""
    bad = [step for step in steps if step.outcome in ("left", "failed")]
    shown = [(step.name, step.alias or "-", step.outcome, step.reason) for step in bad[:_MOST_ROWS]]
    _print_first(("model", "alias", "outcome", "why"), shown, len(bad), "--json")
    hint = "; `prodpointer migrate undo` lists the runs" if verb == "undo" and not steps else ""
    say(f"run {run}: {_counted(steps, verb)}{hint}")
    if stopped:
        say(stopped)
    elif not bad and verb in _NEXT:
        say(_NEXT[verb])


def _counted(steps: Sequence[Step], verb: str) -> str:
    """Return how many there are of each outcome: pointers, and models where these were marked."""
    counted = Counter("marked" if (verb, step.outcome) == ("start", "moved") else step.outcome for step in steps)
    return ", ".join(f"{count} {outcome}" for outcome, count in counted.items()) or "there was nothing to do"


def print_steps_json(run: str, steps: Sequence[Step]) -> None:
    """Print what became of a run as one JSON document."""
    _print_long_json(_run_json(run, steps), "steps", map(_step_json, steps))


def print_sweep_json(run: str, steps: Sequence[Step]) -> None:
    """Print what a sweep did as one JSON document on one line, with the keys of a run."""
    print_json({**_run_json(run, steps), "steps": [_step_json(step) for step in steps]}, indent=None)


def _run_json(run: str, steps: Sequence[Step]) -> dict[str, Any]:
    """Return the name of a run and how many there are of each outcome."""
    return {"run": run, "counts": dict(Counter(step.outcome for step in steps))}


def _step_json(step: Step) -> dict[str, Any]:
    """Return what became of one alias of one model."""
    keys = ("name", "alias", "outcome", "reason", "from_version", "to_version", "pointers", "event")
    return {key: list(value) if isinstance(value := getattr(step, key), tuple) else value for key in keys}


def sweep_line(step: Step) -> str:
    """Return one line on what the bridge did or left."""
    if step.outcome != "moved":
        return f"{step.name}: {step.alias or 'model'} {step.outcome}: {step.reason}"
    moved = " and ".join(step.pointers)
    return f"{step.name}: moved the {moved} to version {step.to_version} ({step.reason})"


def print_checks(checks: Sequence[Checked]) -> None:
    """Print a line for each model for which plain clients differ, and how many there were."""
    bad = [each for each in checks if each.problem]
    shown = [(each.name, each.stage, each.alias, each.problem) for each in bad[:_MOST_ROWS]]
    _print_first(("model", "stage", "alias", "problem"), shown, len(bad), "--json")
    say(f"{len(checks) - len(bad)} of {len(checks)} pairs of stage and alias are as plain clients need them")


def _print_first(head: Sequence[str], rows: Sequence[Sequence[str]], count: int, whole: str) -> None:
    """Print the first rows of ``count``, and where the whole is; nothing where there are none."""
    from rich.table import Table

    table = Table(*head)
    for row in rows:
        table.add_row(*map(visible, row))
    if rows:
        print_table(table)
    if count > len(rows):
        say(f"... and {count - len(rows)} more: see {whole}")


def print_runs(runs: Sequence[Run]) -> None:
    """Print a line for each run."""
    from rich.table import Table

    table = Table("run", "kind", "models", "from (UTC)", "to (UTC)")
    for run in runs:
        times = [f"{at:%Y-%m-%d %H:%M:%S}" if at else "-" for at in (run.first, run.last)]
        table.add_row(visible(run.name), run.kind, str(run.models), *times)
    print_table(table if runs else "No run is recorded.")


def print_stage_uses(uses: Sequence[StageUse]) -> None:
    """Print each place that uses stages: where, what stands there, and what to write instead."""
    for use in uses:
        say(f"{use.path}:{use.line}: {use.kind}s {use.what}")
        say(f"    {use.text}")
        say(f"    instead: {use.instead}")
    files = len({use.path for use in uses})
    say(f"{len(uses)} uses of stages in {files} files" if uses else "No use of stages was found.")
