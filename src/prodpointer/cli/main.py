"""The command line: a thin layer over the API.

Results go to standard output, as tables for people or as one JSON document with ``--json``; progress and errors go to
standard error. Only commands that need MLflow import it; ``--help`` and ``--version`` do not.
"""

from __future__ import annotations

import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, get_args

import click

from prodpointer.artifacts.fetch import Verify
from prodpointer.cli.demo import MODEL, demonstrate, registry_uri
from prodpointer.cli.migrate import migrate
from prodpointer.cli.options import JSON, Settings, settings_of, shared_options
from prodpointer.cli.output import print_history, print_json, print_move, print_statuses, say
from prodpointer.cli.registry import conformance, doctor
from prodpointer.cli.signals import quiet
from prodpointer.errors import AccessDenied, InvalidName, ModelNotFound, PointerUnsupported, ProdpointerError
from prodpointer.promotion.promoter import NOT_GIVEN
from prodpointer.registered_model import RegisteredModel
from prodpointer.types import PointerStatus, Promotion, called

DISAGREE = 4
"""The exit code for pointers that disagree."""


class _Commands(click.Group):
    """A group that ends with the documented exit codes and prints errors and warnings as one line each."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, or print its error in one line."""
        try:
            with quiet():
                return super().invoke(ctx)
        except ProdpointerError as error:
            say(f"error: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=_Commands)
@click.version_option(package_name="prodpointer")
@shared_options
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Show and change which version of a registered model is live, the same way on MLflow 2 and MLflow 3.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 promotion refused or lost, 4 pointers disagree, 5 registry
    unavailable.
    """
    ctx.obj = settings_of(ctx, options)


@main.command()
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for the registry (default: a new one).",
)
@JSON
@click.pass_context
def demo(ctx: click.Context, /, directory: Path | None, **options: Any) -> None:
    """Train, register, promote, load and roll back on this machine. Needs no server."""
    settings = settings_of(ctx, options)
    directory = directory or Path(tempfile.mkdtemp(prefix="prodpointer-demo-"))
    steps = []
    for step in demonstrate(directory):
        steps.append(step)
        if not settings.as_json:
            say(f"{len(steps)}. {step}")
    uri = registry_uri(directory.absolute())
    if settings.as_json:
        print_json({"directory": str(directory), "tracking_uri": uri, "steps": [step.as_json() for step in steps]})
    else:
        say(f"Try next: prodpointer --tracking-uri {uri} status {MODEL}")


@main.command()
@click.argument("name")
@click.argument("run_id")
@click.argument("artifact")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A tag for the version; may be repeated.")
@click.option("--sha256", help="The artifact's digest; saves the download that computes it.")
@click.option(
    "--local-path",
    type=click.Path(exists=True, path_type=Path),
    help="A local copy to compute the digest from.",
)
@click.option("--git-commit", help="The commit of the code (default: the one that the run recorded).")
@click.option("--no-digest", is_flag=True, help="Record no digest; loading warns that it cannot verify the artifact.")
@click.option(
    "--if-exists",
    type=click.Choice(("new", "reuse")),
    default="new",
    help="If the artifact is already registered: create a new version, or reuse that one (default: new).",
)
@shared_options
@click.pass_context
def register(  # noqa: PLR0917  # click passes them by name
    ctx: click.Context,
    /,
    name: str,
    run_id: str,
    artifact: str,
    tags: tuple[str, ...],
    sha256: str | None,
    local_path: Path | None,
    git_commit: str | None,
    no_digest: bool,
    if_exists: Any,
    **options: Any,
) -> None:
    """Register ARTIFACT of the run RUN_ID as a new version of NAME, without making it live."""
    settings = settings_of(ctx, options)
    model = settings.model(name, create_database=None)
    number = model.register(
        run_id,
        artifact,
        tags=_tags(tags),
        sha256=sha256,
        local_path=local_path,
        digest=not no_digest,
        git_commit=git_commit,
        if_exists=if_exists,
    )
    version = model.version(number)
    if settings.as_json:
        print_json({"name": name, "version": number, "sha256": version.sha256})
    else:
        say(f"{name}: registered version {number}, SHA-256 {version.sha256 or 'not recorded'}")


@main.command()
@click.argument("name")
@click.argument("version")
@click.option("--expected", help="Refuse unless this version is live; 'none': no version is live.")
@click.option(
    "--gate",
    "gates",
    multiple=True,
    help="Refuse unless this condition holds, such as 'auc >= production + 0.002'; may be repeated.",
)
@click.option("--across-datasets", is_flag=True, help="Compare metrics even if the runs logged different datasets.")
@click.option("--reason", default="", help="The reason, recorded in the history.")
@shared_options
@click.pass_context
def promote(  # noqa: PLR0917  # click passes them by name
    ctx: click.Context,
    /,
    name: str,
    version: str,
    expected: str | None,
    gates: tuple[str, ...],
    across_datasets: bool,
    reason: str,
    **options: Any,
) -> None:
    """Make VERSION of NAME live; it may be older than the live version."""
    settings = settings_of(ctx, options)
    model = settings.model(name)
    move = model.promote(
        version, expected=_expected(expected), gates=gates, across_datasets=across_datasets, reason=reason
    )
    _show_move(settings, move)


@main.command()
@click.argument("name")
@click.option("--reason", default="", help="The reason, recorded in the history.")
@shared_options
@click.pass_context
def withdraw(ctx: click.Context, /, name: str, reason: str, **options: Any) -> None:
    """Unset the pointers of NAME, so that no version is live; the versions stay."""
    settings = settings_of(ctx, options)
    _show_move(settings, settings.model(name).withdraw(reason=reason))


@main.command()
@click.argument("name")
@click.option("--to", help="The version to roll back to (default: the one that was live before).")
@click.option("--expected", help="Refuse unless this version is live; 'none': no version is live.")
@click.option("--reason", default="", help="The reason, recorded in the history.")
@shared_options
@click.pass_context
def rollback(
    ctx: click.Context, /, name: str, to: str | None, expected: str | None, reason: str, **options: Any
) -> None:
    """Make the previously live version of NAME live again. Twice goes back two versions; a withdrawal is undone."""
    settings = settings_of(ctx, options)
    model = settings.model(name)
    _show_move(settings, model.rollback(to=to, expected=_expected(expected), reason=reason))


@main.command()
@click.argument("name")
@shared_options
@click.pass_context
def repair(ctx: click.Context, /, name: str, **options: Any) -> None:
    """Set NAME's other pointers to the live version, for example after an interrupted promotion."""
    settings = settings_of(ctx, options)
    found = settings.model(name).repair()
    if settings.as_json:
        print_json({"models": [found.as_json()]})
    else:
        for text in found.mended or ("nothing to repair",):
            say(f"{name}: {text}")
    if not found.agreed:
        ctx.exit(DISAGREE)


@main.command()
@click.argument("name")
@click.option("--at", "when", help="Show the version that was live at this time, such as 2026-11-23T12:00 (UTC).")
@shared_options
@click.pass_context
def history(ctx: click.Context, /, name: str, when: str | None, **options: Any) -> None:
    """Show each move of NAME's pointer, oldest first, including unrecorded moves by other tools."""
    settings = settings_of(ctx, options)
    model = settings.model(name)
    if when is not None:
        _print_live_at(settings, model, when)
        return
    found = model.history()
    if settings.as_json:
        print_json({"name": name, "events": [event.as_json() for event in found]})
    else:
        print_history(found)


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@shared_options
@click.pass_context
def status(ctx: click.Context, /, names: tuple[str, ...], **options: Any) -> None:
    """Show the alias and the stage of the named models, or of all models. Exit code 4: they disagree.

    For a model that cannot be read the error is printed and sets the exit code; the others are shown.
    """
    settings = settings_of(ctx, options)
    results = [_status(settings, name) for name in names or settings.names()]
    found = [each for each in results if isinstance(each, PointerStatus)]
    errors = [each for each in results if isinstance(each, ProdpointerError)]
    for text in dict.fromkeys(map(str, errors)):
        say(f"error: {text}", err=True)
    if found or not errors:
        _show_statuses(settings, found)
    if errors:
        ctx.exit(errors[0].exit_code)
    if not all(each.agreed for each in found):
        ctx.exit(DISAGREE)


def _status(settings: Settings, name: str) -> PointerStatus | ProdpointerError:
    """Return the status of a model, or the error if it concerns this model only."""
    try:
        return settings.model(name).status()
    except (ModelNotFound, InvalidName, PointerUnsupported, AccessDenied) as error:
        return error


@main.command()
@click.argument("name")
@click.argument("destination", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--verify",
    type=click.Choice(get_args(Verify)),
    default="warn",
    help="What to do if no digest is recorded (default: warn).",
)
@shared_options
@click.pass_context
def pull(ctx: click.Context, /, name: str, destination: Path, verify: Verify, **options: Any) -> None:
    """Copy the artifact of NAME's live version into the directory DESTINATION, after checking its digest."""
    settings = settings_of(ctx, options)
    pulled = settings.model(name).pull(destination, verify=verify)
    if pulled is None:
        raise ProdpointerError(f"No version of {name!r} is live.", next_step="Promote a version first.")
    if settings.as_json:
        print_json(pulled.as_json())
    else:
        say(f"{name}: copied version {pulled.version} to {pulled.path}")


@main.command()
@click.argument("name")
@click.argument("version")
@shared_options
@click.pass_context
def adopt(ctx: click.Context, /, name: str, version: str, **options: Any) -> None:
    """Record the current digest of VERSION of NAME, which another tool registered without one."""
    settings = settings_of(ctx, options)
    model = settings.model(name)
    digest = model.adopt(version)
    if settings.as_json:
        print_json({"name": name, "version": int(version), "sha256": digest})
    else:
        say(f"{name}: the recorded SHA-256 of version {version} is {digest}")


main.add_command(conformance)
main.add_command(doctor)
main.add_command(migrate)


def _tags(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return KEY=VALUE pairs as a mapping."""
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"Invalid tag {pair!r}; write KEY=VALUE", param_hint="--tag")
    return dict(pair.split("=", 1) for pair in pairs)


def _expected(text: str | None) -> Any:
    """Return the value of ``--expected``: a version, None for no live version, or NOT_GIVEN."""
    return NOT_GIVEN if text is None else None if text.lower() == "none" else text


def _show_move(settings: Settings, move: Promotion) -> None:
    """Print one move of a pointer, as text or as JSON."""
    if settings.as_json:
        print_json(move.as_json())
    else:
        print_move(move)


def _show_statuses(settings: Settings, found: list[PointerStatus]) -> None:
    """Print the status of models, as a table or as JSON."""
    if settings.as_json:
        print_json({"models": [each.as_json() for each in found]})
    else:
        print_statuses(found)


def _print_live_at(settings: Settings, model: RegisteredModel, when: str) -> None:
    """Print the version that was live at a time."""
    try:
        at = datetime.fromisoformat(f"{when[:-1]}+00:00" if when.endswith("Z") else when)
    except ValueError:
        raise click.BadParameter(f"Invalid time {when!r}; write it like 2026-11-23T12:00", param_hint="--at") from None
    at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    version = model.live_at(at)
    if settings.as_json:
        print_json({"name": model.name, "at": at.isoformat(), "version": version.version if version else None})
    else:
        say(f"{model.name}: {called(version.version if version else None)} was live at {at.isoformat()}")
