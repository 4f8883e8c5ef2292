"""The command line: a thin layer over the API.

Results go to standard output, as tables for people or as one JSON document with ``--json``; progress and errors go to
standard error. Only commands that need MLflow import it; ``--help`` and ``--version`` do not.
"""

from __future__ import annotations

from typing import Any

import click

from prodpointer.cli.artifacts import adopt, pull, register
from prodpointer.cli.demo import demo
from prodpointer.cli.group import Group
from prodpointer.cli.migrate import migrate
from prodpointer.cli.moves import promote, repair, rollback, withdraw
from prodpointer.cli.options import keep_settings, shared_options
from prodpointer.cli.output import print_error
from prodpointer.cli.registry import conformance, doctor
from prodpointer.cli.report import report
from prodpointer.cli.show import history, status
from prodpointer.cli.signals import quiet
from prodpointer.cli.versions import compare, open_page, versions
from prodpointer.cli.watch import watch
from prodpointer.errors import ProdpointerError


class _Commands(Group):
    """A group that ends with the documented exit codes and prints errors and warnings as one line each."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, or print its error in one line."""
        try:
            with quiet():
                return super().invoke(ctx)
        except ProdpointerError as error:
            print_error(error)
            ctx.exit(error.exit_code)


@click.group(
    cls=_Commands,
    examples=("demo", "status", "promote news-recommender 4 --gate 'auc >= production'", "rollback news-recommender"),
)
@click.version_option(package_name="prodpointer")
@shared_options
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Show and change which version of a registered model is live, the same way on MLflow 2 and MLflow 3.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 promotion refused or lost, 4 pointers disagree, 5 registry
    unavailable.
    """
    keep_settings(ctx, options)


# One line for each section of the help, in its order; a new command joins one of them.
main.add("Begin", demo, doctor)
main.add("See what is live", status, versions, compare, history, report, open_page, watch)
main.add("Change what is live", promote, rollback, withdraw, repair)
main.add("Versions and artifacts", register, pull, adopt)
main.add("Whole registries", migrate, conformance)
