"""The commands for versions and artifacts: ``register``, ``pull`` and ``adopt``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from prodpointer.artifacts.fetch import Verify
from prodpointer.cli.completion import complete_name, complete_version
from prodpointer.cli.group import Command
from prodpointer.cli.options import BY, DRY_RUN, settings_of, shared_options
from prodpointer.cli.output import print_json, print_warning, say
from prodpointer.errors import ProdpointerError
from prodpointer.registered_model import RegisteredModel


@click.command(
    cls=Command,
    examples=(
        "register news-recommender 7f3a9c… bundle",
        "register news-recommender 7f3a9c… bundle --tag dataset=clicks-2026-11",
        "register news-recommender 7f3a9c… bundle --if-exists reuse --dry-run",
    ),
)
@click.argument("name", shell_complete=complete_name)
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
@BY
@DRY_RUN
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
    by: str | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Register ARTIFACT of the run RUN_ID as a new version.

    It is a version of the registered model NAME, which is created if it does not exist. Nothing goes live.
    """
    settings = settings_of(ctx, options)
    model = settings.model(name, create_database=False if dry_run else None)
    reused = model.registered_version(run_id, artifact) if if_exists == "reuse" else None
    number = model.register(
        run_id,
        artifact,
        tags=_tags(tags),
        sha256=sha256,
        local_path=local_path,
        digest=not no_digest,
        git_commit=git_commit,
        if_exists=if_exists,
        by=by,
        dry_run=dry_run,
    )
    sha256 = None if dry_run and number != reused else _recorded_digest(model, number)
    if settings.as_json:
        marks = {"reused": number == reused, **({"dry_run": True} if dry_run else {})}
        print_json({"name": name, "version": number, "sha256": sha256, **marks})
        return
    done = "reused" if number == reused else "registered"
    digest = "" if dry_run else f", SHA-256 {sha256 or 'not recorded'}"
    say(f"{'dry run: ' if dry_run else ''}{name}: {done} version {number}{digest}")


@click.command(
    cls=Command, examples=("pull news-recommender ./model", "pull news-recommender ./model --verify required")
)
@click.argument("name", shell_complete=complete_name)
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
    """Copy the live version's artifact into a directory.

    The digest of the artifact of NAME is checked before it is copied to DESTINATION.
    """
    settings = settings_of(ctx, options)
    pulled = settings.model(name).pull(destination, verify=verify)
    if pulled is None:
        raise ProdpointerError(f"No version of {name!r} is live.", next_step="Promote a version first.")
    if settings.as_json:
        print_json(pulled.as_json())
    else:
        say(f"{name}: copied version {pulled.version} to {pulled.path}")


@click.command(cls=Command, examples=("adopt news-recommender 3", "adopt news-recommender 3 --dry-run"))
@click.argument("name", shell_complete=complete_name)
@click.argument("version", shell_complete=complete_version)
@DRY_RUN
@shared_options
@click.pass_context
def adopt(ctx: click.Context, /, name: str, version: str, dry_run: bool, **options: Any) -> None:
    """Record the current digest of VERSION of NAME.

    For a version that another tool registered without a digest.
    """
    settings = settings_of(ctx, options)
    model = settings.model(name)
    digest = model.adopt(version, dry_run=dry_run)
    if settings.as_json:
        print_json({"name": name, "version": int(version), "sha256": digest, **({"dry_run": True} if dry_run else {})})
    else:
        kind = "SHA-256" if dry_run else "recorded SHA-256"
        say(f"{'dry run: ' if dry_run else ''}{name}: the {kind} of version {version} is {digest}")


def _recorded_digest(model: RegisteredModel, version: int) -> str | None:
    """Return the digest of a version; where it cannot be read, the version is registered all the same."""
    try:
        return model.version(version).sha256
    except ProdpointerError as error:
        print_warning(f"the digest of version {version} could not be read: {error}")
        return None


def _tags(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return KEY=VALUE pairs as a mapping."""
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"Invalid tag {pair!r}; write KEY=VALUE", param_hint="--tag")
    return dict(pair.split("=", 1) for pair in pairs)
