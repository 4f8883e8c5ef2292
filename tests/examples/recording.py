"""Record a terminal: run commands of this package, and draw what they print as one SVG.

``python -m tests.examples.recording FILE`` in an environment with this package and MLflow; ``nox -s recording`` makes
one. Each command runs in a terminal of 80 columns. In a browser the lines appear one command after the other; where
nothing moves, all of them are there. The picture needs no other file, and can be read on a light and on a dark page.
"""

from __future__ import annotations

import html
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

import prodpointer
from tests.servers import FOREIGN_SETTINGS, SERVER_ENVIRONMENT
from tests.terminal import run_on_terminal

MODEL = "news"
COLUMNS = 80
COMMANDS = (
    f'register {MODEL} "$RUN_ID" bundle',
    f"promote {MODEL} 3 --gate 'auc >= production' --reason 'new ranker'",
    "status",
    f"rollback {MODEL} --reason 'worse on Sundays'",
    f"history {MODEL}",
)
_LETTER, _LINE, _SIZE = 8.4, 17, 14  # pixels
_EDGE, _TITLE = 16, 34
_COMMAND, _ANSWER = 1.6, 0.8  # seconds until the next one appears
_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', 'DejaVu Sans Mono', monospace"
_BUTTONS = "\n".join(
    f'<circle cx="{18 + 20 * number}" cy="17" r="6" fill="{colour}"/>'
    for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
)
_PROMPT = Style(color="green", bold=True)


@dataclass(frozen=True)
class Line:
    """One line of the terminal, and how many seconds after the begin it appears."""

    text: Text
    at: float


def record(directory: Path) -> list[Line]:
    """Run the commands in a directory with a new registry, and return what a terminal shows of them."""
    environment = _environment(directory)
    environment["RUN_ID"] = _prepare(environment["MLFLOW_TRACKING_URI"], directory)
    lines: list[Line] = []
    at = 0.5
    for command in COMMANDS:
        typed = Text.assemble(("$ ", _PROMPT), f"prodpointer {command}")
        lines += [Line(part, at) for part in _wrapped(typed)]
        lines += [Line(part, at + _ANSWER) for part in _wrapped(Text.from_ansi(_run(command, directory, environment)))]
        lines.append(Line(Text(""), at + _ANSWER))
        at += _COMMAND + _ANSWER
    return lines[:-1]


def _environment(directory: Path) -> dict[str, str]:
    """Return the variables of the commands: a registry of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*FOREIGN_SETTINGS, "NO_COLOR"))}
    return {
        **kept,
        **SERVER_ENVIRONMENT,
        "MLFLOW_TRACKING_URI": f"sqlite:///{directory / 'mlflow.db'}",
        "MLFLOW_TRACKING_USERNAME": "ada",
    }


def _prepare(uri: str, directory: Path) -> str:
    """Register and promote two versions, and return a run that has logged a third."""
    os.environ["MLFLOW_TRACKING_USERNAME"] = "ada"
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("news", (directory / "artifacts").as_uri()))
    news = prodpointer.connect(MODEL)
    runs = [_run_of(auc) for auc in (0.91, 0.92, 0.93)]
    for run, reason in zip(runs[:2], ("the first one", "more clicks"), strict=True):
        news.promote(news.register(run, "bundle"), reason=reason)
    return runs[2]


def _run_of(auc: float) -> str:
    """Log a run with a metric and a bundle, and return its id."""
    with mlflow.start_run() as run:
        mlflow.log_metric("auc", auc)
        mlflow.log_dict({"auc": auc}, "bundle/model.json")
    return str(run.info.run_id)


def _run(command: str, directory: Path, environment: dict[str, str]) -> str:
    """Run a command whose standard output is a terminal, and return what it wrote there."""
    arguments = [environment["RUN_ID"] if each == "$RUN_ID" else each for each in shlex.split(command)]
    code, written, errors = run_on_terminal(
        [sys.executable, "-m", "prodpointer", *arguments],
        directory,
        environment,
        columns=COLUMNS,
        terminal="xterm-256color",
        with_errors=False,
    )
    if code:
        raise SystemExit(f"prodpointer {command}: exit code {code}: {errors}")
    return written.rstrip("\n")


def _wrapped(text: Text) -> list[Text]:
    """Return a text in lines as a terminal breaks them: at its last column."""
    return [
        part
        for line in text.split("\n", allow_blank=True)
        for part in line.divide(range(COLUMNS, max(len(line), 1), COLUMNS))
    ]


def draw(lines: Sequence[Line]) -> str:
    """Return the picture of a terminal with these lines."""
    width = round(COLUMNS * _LETTER + 2 * _EDGE)
    height = _TITLE + len(lines) * _LINE + _EDGE
    rows = "\n".join(_row(line, number) for number, line in enumerate(lines))
    said = html.escape("\n".join(line.text.plain.rstrip() for line in lines))
    background, text = SVG_EXPORT_THEME.background_color.hex, SVG_EXPORT_THEME.foreground_color.hex
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
  width="{width}" height="{height}">
<title>prodpointer in a terminal</title>
<desc>{said}</desc>
<style>
text {{ font: {_SIZE}px {_FONT}; fill: {text}; white-space: pre; }}
@keyframes wait {{ from, to {{ visibility: hidden }} }}
@media (prefers-reduced-motion: reduce) {{ g {{ animation: none !important }} }}
</style>
<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"
  fill="{background}" stroke="#8b949e" stroke-opacity=".5"/>
{_BUTTONS}
{rows}
</svg>
"""


def _row(line: Line, number: int) -> str:
    """Return one line of the picture."""
    console = Console(width=COLUMNS, color_system="truecolor", force_terminal=True)
    y = _TITLE + number * _LINE + _SIZE
    column, parts = 0, []
    for segment in Segment.simplify(line.text.render(console)):
        if segment.text.strip():
            parts.append(_part(segment, column, y))
        column += segment.cell_length
    if not parts:
        return ""
    return f'<g style="animation: wait {line.at:.1f}s">{"".join(parts)}</g>'


def _part(segment: Segment, column: int, y: int) -> str:
    """Return a text of one style, as wide as its columns whatever the font."""
    text, style = segment.text, segment.style or Style()
    blank = len(text) - len(text.lstrip(" "))
    looks = [f'x="{_EDGE + (column + blank) * _LETTER:.1f}" y="{y}"']
    if style.color and not style.color.is_default:
        looks.append(f'style="fill: {style.color.get_truecolor(SVG_EXPORT_THEME).hex}"')
    if style.bold:
        looks.append('font-weight="bold"')
    if style.italic:
        looks.append('font-style="italic"')
    if style.dim:
        looks.append('opacity=".7"')
    text = text.strip(" ")
    return f'<text {" ".join(looks)} textLength="{len(text) * _LETTER:.1f}">{html.escape(text)}</text>'


def main(file: Path) -> None:
    """Record, and write the picture."""
    with tempfile.TemporaryDirectory(prefix="recording-") as scratch:
        lines = record(Path(scratch))
    file.write_text(re.sub(r"\n{2,}", "\n", draw(lines)), encoding="utf-8")
    print(f"wrote {file}: {len(lines)} lines")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
