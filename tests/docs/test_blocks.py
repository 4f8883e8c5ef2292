"""Recognising blocks, and comparing output."""

from __future__ import annotations

import pytest

from tests.docs.blocks import blocks, marks
from tests.docs.comparing import difference

PAGE = """Text.

<!-- meanwhile: something happens -->

=== "MLflow 2"

    ```text
    a stage
    ```

After the tab:

```python title="train.py"
print("<!-- meanwhile: no mark -->")
```
"""


def test_a_block_in_a_tab_is_of_that_major() -> None:
    """What stands in a tab is without its indent and runs with that major alone; what stands after it with both."""
    assert [(block.kind, block.body, block.major) for block in blocks(PAGE)] == [
        ("text", "a stage\n", 2),
        ("file", 'print("<!-- meanwhile: no mark -->")\n', None),
    ]


def test_a_mark_stands_in_no_block() -> None:
    """A comment is a mark, code that looks like one is code."""
    page = PAGE + "```console\n<!-- meanwhile: no mark -->\n```\n"
    assert [mark.what for mark in marks(page)] == ["something happens"]


def test_a_diagram_is_drawn_by_the_site() -> None:
    """It is text, and no code that could be run."""
    assert [block.kind for block in blocks("```mermaid\nflowchart TD\n```\n")] == ["diagram"]


@pytest.mark.parametrize("info", ["", "bash", "toml", 'console title="log"', "python linenums", "{.python}"])
def test_an_unknown_block_has_no_kind(info: str) -> None:
    """A block that is not one of those that are run is told by having no kind."""
    assert [block.kind for block in blocks(f"```{info}\nx\n```\n")] == [""]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("version 1\n", "version 1\n"),
        ("from … to 2\n", "from 1 to 2\n"),
        ("a\n…\nd\n", "a\nb\nc\nd\n"),
        ("at 2026-11-28 12:00:00\n", "at 2027-01-02 03:04:05\n"),
        ("SHA-256 " + "0" * 64, "SHA-256 " + "ab" * 32),
    ],
)
def test_the_same_is_the_same(shown: str, printed: str) -> None:
    """Times, digests and what is left out make no difference."""
    assert difference(shown, printed) == ""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("version 1\n", "version 2\n"),
        ("", "a line too many\n"),
        ("a line too many\n", ""),
        ("from … to 2\n", "from 1\nto 2\n"),
        ("(a|b)\n", "a\n"),
        ("SHA-256 abc\n", "SHA-256 " + "ab" * 32),
    ],
)
def test_what_differs_is_told(shown: str, printed: str) -> None:
    """Anything else does, and the difference is shown line by line."""
    assert "shown" in difference(shown, printed)
