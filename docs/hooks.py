"""What the site makes of this project's own text: pages of the root, every command's help, links of docstrings."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import griffe
from links import dead_links
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority

ROOT = Path(__file__).resolve().parent.parent
INCLUDED = re.compile(r"^--8<-- (?P<what>[\w .]+)$", re.MULTILINE)
ROLE = re.compile(r":(?:class|func|meth):`(?:prodpointer\.)?(?P<name>[\w.]+)`")
TWIN = re.compile(r"(?:awaitable|awaited)\((?P<verb>\w+).*\)")
ELSEWHERE = re.compile(r"""(?:src|href)=["'](?:https?:)?//(?!mlflow\.org[/"'])[^"']*""")
OUTWARD = re.compile(r"\[(?P<text>[^\]]+)\]\(https?://[^)]*\)")
HELP_WIDTH = 96


class Roles(griffe.Extension):  # type: ignore[misc]  # of no known type here
    """Makes a link of each name that a docstring gives with a role."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the roles in one docstring; a name that the reference does not have fails the build."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(r"[`\g<name>`][prodpointer.\g<name>]", obj.docstring.value)


class Twins(griffe.Extension):  # type: ignore[misc]  # as above
    """Gives what is awaited the parameters of what it awaits, as its decorator does."""

    def on_function_instance(self, *, func: griffe.Function, **_: Any) -> None:
        """Take the parameters over from the function that the decorator names."""
        for decorator in func.decorators:
            if found := TWIN.fullmatch(str(decorator.value)):
                verb = func.parent.members[found["verb"]]
                func.parameters, func.returns = verb.parameters, verb.returns
                func.labels.add("async")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what a page asks for: a file of the root, every command's help, or the tree of errors."""
    return INCLUDED.sub(lambda found: _included(found["what"]), markdown)


def on_post_page(output: str, config: Any, **_: Any) -> str:
    """Refuse a page that loads or links to anything that is not the site's own or MLflow's."""
    own = config.site_url
    if found := ELSEWHERE.findall(output.replace(own, "") if own else output):
        raise PluginError(f"The page leads elsewhere: {', '.join(found)}")
    return output


# After the plugin that copies scripts into the site.
@event_priority(-200)  # type: ignore[untyped-decorator]
def on_post_build(config: Any, **_: Any) -> None:
    """Refuse a site with a dead link."""
    if found := dead_links(Path(config.site_dir), config.site_url or ""):
        raise PluginError("Dead links:\n" + "\n".join(found))


def _included(what: str) -> str:
    """Return what is to stand on a page."""
    if what == "every command":
        return "\n".join(_helps())
    if what == "the tree of errors":
        return _tree_of_errors()
    text = OUTWARD.sub(r"\g<text>", (ROOT / what).read_text(encoding="utf-8")).replace("](docs/", "](")
    return text.replace("](CONTRIBUTING.md)", "](contributing.md)").replace("](CHANGELOG.md)", "](changelog.md)")


def _helps() -> Iterator[str]:
    """Yield a heading and what ``--help`` prints, for the whole and for each command."""
    from prodpointer.cli.main import main

    yield from _help(
        main,
        click.Context(main, info_name="prodpointer", max_content_width=HELP_WIDTH, **main.context_settings),
        level=2,
    )


def _help(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    """Yield the help of one command and of those below it."""
    context.terminal_width = HELP_WIDTH
    yield f"{'#' * level} `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
    for name, below in getattr(command, "commands", {}).items():
        yield from _help(below, click.Context(below, info_name=name, parent=context), 3)


def _tree_of_errors() -> str:
    """Return the tree that the docstring of ``errors.py`` draws."""
    from prodpointer import errors

    drawn = (errors.__doc__ or "").split("::\n", 1)[1].split("\n\nBeside", 1)[0].replace("``", "")
    return f"```text\n{textwrap.dedent(drawn).strip()}\n```"
