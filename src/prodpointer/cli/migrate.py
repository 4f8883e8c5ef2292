"""The commands of ``prodpointer migrate``: a thin layer over ``prodpointer.migration``.

Results go to standard output; progress goes to standard error, as a bar on a terminal and as plain lines elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prodpointer.cli.group import Group
from prodpointer.cli.migrate_output import (
    numbered,
    print_checks,
    print_diff,
    print_fixed,
    print_plan,
    print_plan_json,
    print_runs,
    print_stage_uses,
    print_steps,
    print_steps_json,
    print_sweep_json,
    sweep_line,
    warn_of_patterns,
)
from prodpointer.cli.options import (
    BY,
    DEFAULT_TIMEOUT,
    DRY_RUN,
    JSON,
    PROFILE,
    REASON,
    REGISTRY_URI,
    TIMEOUT,
    TRACKING_URI,
    WORKSPACE,
    YES,
    Command,
    Settings,
    is_given,
    settings_of,
)
from prodpointer.cli.output import ask, print_json, say
from prodpointer.cli.progress import show_progress
from prodpointer.cli.report import write_page
from prodpointer.cli.signals import stopped_by_signals
from prodpointer.cli.terminal import may_ask
from prodpointer.errors import ProdpointerError, RegistryUnavailable

if TYPE_CHECKING:
    from prodpointer.migration.apply import PairResult
    from prodpointer.migration.bridge import Sweep
    from prodpointer.migration.migration import Migration
    from prodpointer.stage_finder.fix import Rewrite

WORK_TO_DO = 4
"""The exit code for work to do, models that need a decision, or pointers that disagree."""


@click.group(
    cls=Group,
    short_help="Migrate models from stages to aliases, without downtime.",
    examples=("migrate plan", "migrate start", "migrate apply", "migrate verify"),
)
def migrate() -> None:
    """Migrate registered models from stages to aliases, without downtime.

    plan shows what start and apply would change; verify compares the pointers as plain clients read them; finish
    empties the stages; runs lists what was done, and undo reverts a run; bridge copies moves by other tools to the
    other pointer; find lists source code that still uses stages.
    """


_REGISTRY = (JSON, TIMEOUT, WORKSPACE, REGISTRY_URI, TRACKING_URI, PROFILE)
_MODELS = (
    click.option(
        "--map",
        "mapping",
        multiple=True,
        metavar="STAGE=ALIAS",
        help="The alias for a stage, or skip; may be repeated (default: Production=production Staging=staging "
        "Archived=skip).",
    ),
    click.option(
        "--models",
        multiple=True,
        metavar="GLOB",
        help="Names of the models, such as 'news-*'; may be repeated (default: all models).",
    ),
)
_AT_ONCE = click.option(
    "--at-once", type=click.IntRange(1, 64), default=8, show_default=True, help="Models processed at a time."
)
_FAILURES = click.option(
    "--max-failures",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Models that may fail; one more stops the run.",
)
_RUN = click.option("--run", help="The name of this run, for undo (default: generated).")


def _options(*own: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Add a command's own options, and those that select the registry and the models."""

    def add(command: Command) -> Command:
        for option in (*_REGISTRY, *_MODELS, *reversed(own)):
            command = option(command)
        return command

    return add


def _opened(ctx: click.Context, options: dict[str, Any]) -> tuple[Settings, Migration]:
    """Return the settings and the migration that they describe."""
    from prodpointer.migration.migration import Migration

    keys = ("as_json", "timeout", "workspace", "registry_uri", "tracking_uri", "profile")
    settings = settings_of(ctx, {key: options.pop(key) for key in keys})
    if is_given(ctx, "pointer", "alias"):
        raise click.UsageError("--pointer and --alias cannot be used with migrate. Use --map STAGE=ALIAS.")
    mapping = options.pop("mapping", ())
    for pair in mapping:
        if "=" not in pair:
            raise click.BadParameter(f"Invalid mapping {pair!r}; write STAGE=ALIAS", param_hint="--map")
    migration = Migration(
        tracking_uri=settings.tracking_uri,
        registry_uri=settings.registry_uri,
        workspace=settings.workspace,
        timeout=settings.timeout or DEFAULT_TIMEOUT,
        models=options.pop("models", ()),
        mapping=dict(pair.split("=", 1) for pair in mapping),
        at_once=options.pop("at_once", 8),
        most_failures=options.pop("max_failures", 20),
        must_match=True,
    )
    return settings, migration


@migrate.command(
    short_help="Show what would change for each model, and why.",
    examples=("migrate plan", "migrate plan --models 'news-*' --html plan.html"),
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Also write the plan as an HTML page.")
@_options()
@click.pass_context
def plan(ctx: click.Context, /, html: Path | None, **options: Any) -> None:
    """Show for each model what start and then apply would change and why, without changing anything.

    Exit code 0: nothing to do. 4: work to do, or models that need a decision.
    """
    settings, migration = _opened(ctx, options)
    made = migration.plan()
    if html is not None:
        from prodpointer.migration.report import plan_page

        write_page(html, plan_page(made, datetime.now(timezone.utc)))
    if settings.as_json:
        print_plan_json(made)
    else:
        print_plan(made)
    ctx.exit(0 if made.is_done else WORK_TO_DO)


@migrate.command(
    short_help="Mark the models, so that promotions move both pointers.",
    examples=("migrate start --models 'news-*' --run week-1", "migrate start --dry-run"),
)
@_options(_RUN, DRY_RUN, _AT_ONCE, _FAILURES)
@click.pass_context
def start(ctx: click.Context, /, run: str | None, dry_run: bool, **options: Any) -> None:
    """Begin the migration: mark the models, so that every promotion moves both pointers.

    The mark is the tag prodpointer.pointer=both. Models that have this tag already, and models whose stages finish has
    emptied, are not changed.
    """
    _run(ctx, options, run, lambda migration, name: migration.start(name, dry_run=dry_run), dry_run=dry_run)


@migrate.command(
    short_help="Set the missing pointers.",
    examples=(
        "migrate apply --models 'news-*' --run week-1",
        "migrate apply --prefer alias --dry-run",
        "migrate apply --by ada --reason 'off stages, MLFLOW-101'",
    ),
)
@click.option(
    "--prefer",
    type=click.Choice(("alias", "stage", "journal")),
    help="Which pointer counts for models that need a decision (default: they are not changed).",
)
@_options(_RUN, REASON, BY, DRY_RUN, _AT_ONCE, _FAILURES)
@click.pass_context
def apply(ctx: click.Context, /, prefer: Any, run: str | None, dry_run: bool, **options: Any) -> None:
    """Set the missing pointers; each model is read again right before it is changed.

    Can be interrupted and run again. Exit code 4: some models need a decision and were not changed.
    """
    record = _record(options)

    def begin(migration: Migration, name: str) -> Iterator[Any]:
        return migration.apply(migration.plan(), name, prefer=prefer, dry_run=dry_run, **record)

    _run(ctx, options, run, begin, dry_run=dry_run)


@migrate.command(
    short_help="Empty the stages of models whose readers use the alias.",
    examples=("migrate finish --models 'news-*' --dry-run", "migrate finish --models '*' --yes"),
)
@_options(_RUN, REASON, BY, DRY_RUN, YES, _AT_ONCE, _FAILURES)
@click.pass_context
def finish(ctx: click.Context, /, run: str | None, dry_run: bool, yes: bool, **options: Any) -> None:
    """Empty the stages of models whose readers use the alias: name them with --models ('*' for all). Can be undone.

    Asks for confirmation on a terminal, unless --yes is given.
    """
    if not options["models"]:
        raise click.UsageError("Name the models whose readers use the alias: --models 'news-*' ('*' for all).")
    record = _record(options)

    def begin(migration: Migration, name: str) -> Iterator[Any]:
        if not (yes or dry_run) and may_ask():
            stages = " and ".join(rule.stage or "" for rule in migration.rules)
            models = numbered(len(migration.models()), "model")
            ask(f"The stages {stages} of {models} will be empty: clients that read them find no version.")
        return migration.finish(name, dry_run=dry_run, **record)

    _run(ctx, options, run, begin, dry_run=dry_run)


@migrate.command(
    short_help="Restore the pointers to their state before a run.",
    examples=("migrate undo week-1 --dry-run", "migrate undo week-1 --reason 'readers were not ready'"),
)
@click.argument("run", required=False)
@_options(REASON, BY, DRY_RUN, YES, _AT_ONCE, _FAILURES)
@click.pass_context
def undo(ctx: click.Context, /, run: str | None, dry_run: bool, yes: bool, **options: Any) -> None:
    """Restore the pointers to their state before RUN; models promoted since are not changed.

    Undo the last run first: where a later run changed the same models, this asks on a terminal, and refuses elsewhere,
    unless --yes is given. Without RUN: list the recorded runs, as migrate runs does.
    """
    record = _record(options)
    if run is None:
        _show_runs(ctx, options)
        return

    def begin(migration: Migration, name: str) -> Iterator[Any]:
        results = migration.undo(name, dry_run=dry_run, **record)
        if not (yes or dry_run):
            _check_order(migration, name)
        return results

    _run(ctx, options, run, begin, dry_run=dry_run)


@migrate.command(
    short_help="List the recorded runs.", examples=("migrate runs", "migrate runs --models 'news-*' --json")
)
@_options()
@click.pass_context
def runs(ctx: click.Context, /, **options: Any) -> None:
    """List the recorded runs, the oldest first: kind, number of models, by whom, when, and the state.

    The state is done, undone, partly undone, interrupted (run the command again to complete it), or open for a start
    whose mark is still set.
    """
    _show_runs(ctx, options)


def _record(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options that are only recorded out of those of a command, and return them."""
    return {key: options.pop(key) for key in ("reason", "by")}


def _show_runs(ctx: click.Context, options: dict[str, Any]) -> None:
    """Print the recorded runs."""
    settings, migration = _opened(ctx, options)
    found = migration.runs()
    if settings.as_json:
        print_json({"runs": [each.as_json() for each in found]})
    else:
        print_runs(found)


def _check_order(migration: Migration, run: str) -> None:
    """Ask where later runs changed the same models; refuse where no terminal is attached."""
    later = migration.later_runs(run)
    if not later:
        return
    newest = ", ".join(f"{name!r} ({numbered(count, 'model')})" for name, count in later.items())
    what = f"Later runs changed models of the run {run!r}: {newest}. These models would be left as they are."
    if may_ask():
        ask(what)
        return
    raise ProdpointerError(
        what, next_step=f"Undo the last run first: `prodpointer migrate undo {list(later)[-1]}`, or give --yes."
    )


def _run(
    ctx: click.Context,
    options: dict[str, Any],
    run: str | None,
    begin: Callable[[Migration, str], Iterator[Any]],
    *,
    dry_run: bool,
) -> None:
    """Execute one run, show its progress, and print its results."""
    from prodpointer.migration.migration import flatten, run_name

    name = run_name(run)
    verb = ctx.command.name or ""
    settings, migration = _opened(ctx, options)
    errors: list[ProdpointerError] = []
    steps: list[PairResult] = []
    results = begin(migration, name)  # reads and asks, and changes nothing: Ctrl-C ends the command
    with stopped_by_signals(migration.stopped):
        for result in show_progress(results, migration.total, verb):
            steps += flatten([result])
            if result.error is not None:
                errors.append(result.error)
    steps.sort(key=lambda step: (step.name, step.alias))
    if settings.as_json:
        print_steps_json(name, steps, dry_run=dry_run)
    else:
        print_steps(name, verb, steps, stopped=_stopped(migration, errors), dry_run=dry_run)
    code = _exit_code(steps, errors, stopped=migration.stopped.is_set())
    work = dry_run and any(step.outcome in ("moved", "closed") for step in steps)
    ctx.exit(code or (WORK_TO_DO if work else 0))


def _stopped(migration: Migration, errors: list[ProdpointerError]) -> str:
    """Return why a run stopped early, or the empty text if it did not."""
    if migration.stopped.is_set():
        return "Stopped by a signal. Run the command again to continue."
    if len(errors) > migration.most_failures:
        return f"Stopped after {len(errors)} failures. Fix the cause, then run the command again to continue."
    return ""


def _exit_code(steps: list[PairResult], errors: list[ProdpointerError], *, stopped: bool) -> int:
    """Return the exit code of a run."""
    if errors:
        return errors[-1].exit_code if all(isinstance(each, RegistryUnavailable) for each in errors) else 1
    if stopped:
        return 1
    return WORK_TO_DO if any(step.outcome == "left" for step in steps) else 0


@migrate.command(short_help="Compare stages and aliases as plain MLflow reads them.", examples=("migrate verify",))
@_options(_AT_ONCE)
@click.pass_context
def verify(ctx: click.Context, /, **options: Any) -> None:
    """Read each model's stage and alias as plain MLflow clients do. Exit code 4: they differ."""
    settings, migration = _opened(ctx, options)
    checks: list[Any] = []
    errors: list[ProdpointerError] = []
    with stopped_by_signals(migration.stopped):
        results = migration.verify()
        for result in show_progress(results, migration.total, "verify"):
            checks += result.value or []
            if result.error is not None:
                errors.append(result.error)
                say(f"error: {result.item.name}: {result.error}", err=True)
    if settings.as_json:
        print_json({"checked": len(checks), "problems": [each.as_json() for each in checks if each.problem]})
    else:
        print_checks(checks)
    problems = any(each.problem for each in checks)
    ctx.exit(_exit_code([], errors, stopped=migration.stopped.is_set()) or (WORK_TO_DO if problems else 0))


@migrate.command(
    runs_on=True,
    short_help="Copy moves by other tools to the other pointer.",
    examples=("migrate bridge --every 30", "migrate bridge --once"),
)
@click.option(
    "--every",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds between two sweeps.",
)
@click.option("--once", is_flag=True, help="Run one sweep and exit, for use with a scheduler.")
@click.option("--start", "mark", is_flag=True, help="Mark models as start does, including new ones.")
@click.option("--run", help="The name of this run in the history (default: generated).")
@_options(REASON, BY, _AT_ONCE)
@click.pass_context
def bridge(ctx: click.Context, /, every: float, once: bool, mark: bool, run: str | None, **options: Any) -> None:
    """Copy moves that plain MLflow makes on one pointer to the other, until SIGTERM or Ctrl-C. One line per move."""
    from prodpointer.migration.bridge import Bridge
    from prodpointer.migration.migration import run_name

    name, record = run_name(run), _record(options)
    settings, migration = _opened(ctx, options)
    say(f"bridge {name}: {'one sweep' if once else f'every {every:g} s, until SIGTERM or Ctrl-C'}", err=True)
    last: Sweep | None = None
    with stopped_by_signals(migration.stopped):
        for last in Bridge(migration, name, every=every, mark=mark, **record).sweeps():
            _print_sweep(settings, name, last)
            if once:
                migration.stopped.set()
    if not once or last is None:
        return
    failed = any(step.outcome == "failed" for step in last.steps)
    ctx.exit(last.error.exit_code if last.error else 1 if failed else 0)


def _print_sweep(settings: Settings, name: str, sweep: Sweep) -> None:
    """Print the moves of a sweep, as one JSON document or one line each; nothing if there were none."""
    if sweep.error is not None:
        say(f"error: {sweep.error}", err=True)
    elif sweep.steps and settings.as_json:
        print_sweep_json(name, sweep.steps)
    else:
        for step in sweep.steps:
            say(sweep_line(step))


@migrate.command(
    short_help="List the source code that still uses stages.", examples=("migrate find .", "migrate find src --diff")
)
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--diff", is_flag=True, help="Print the changes that are sure to keep the meaning, as a unified diff.")
@click.option("--fix", is_flag=True, help="Write these changes; list what is left to do by hand.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
@click.pass_context
def find(ctx: click.Context, /, path: Path, diff: bool, fix: bool, as_json: bool) -> None:
    """List the lines in the source tree PATH that read or write stages, each with the line to write instead.

    Exit code 0: no use of stages, or none left after --fix. 4: there are some.
    """
    from prodpointer.stage_finder.finder import parses_python, stage_sources
    from prodpointer.stage_finder.fix import rewrites

    unread: list[Path] = []
    sources = list(stage_sources(path, unread=unread))
    for each in unread:
        say(f"warning: {each} could not be read", err=True)
    by_patterns = [source.path for source in sources if not source.parsed]
    warn_of_patterns(by_patterns, installed=parses_python())
    found = rewrites(sources) if diff or fix else []
    found = [each for each in found if not fix or _write(each, path)]
    after = {source.path: source for source in sources} | {each.before.path: each.after for each in found if fix}
    left = [use for source in after.values() for use in source.uses]
    text = "".join(each.diff() for each in found) if diff else None
    fixed = sum(each.fixed for each in found)
    if as_json or settings_of(ctx, {}).as_json:
        print_json(
            {
                "uses": [use.as_json() for use in left],
                "by_patterns": [each.as_posix() for each in by_patterns],
                "fixed": fixed if fix else 0,
                "diff": text and text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            }
        )
    elif text is not None:
        print_diff(text)
    else:
        print_stage_uses(left)
    if diff or fix:
        print_fixed(fixed, len(found), len(left) if fix else len(left) - fixed, wrote=fix)
    ctx.exit(WORK_TO_DO if left else 0)


def _write(rewrite: Rewrite, root: Path) -> bool:
    """Write one file, or say why not."""
    try:
        rewrite.write(root)
    except ProdpointerError as error:
        say(f"warning: not fixed: {error}", err=True)
        return False
    return True
