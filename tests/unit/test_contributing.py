"""What CONTRIBUTING.md keeps of other places is what stands there."""

from __future__ import annotations

import re

import pytest
from benchmarks import house

from tests import mutations
from tests.mlflow_table import ROOT
from tests.mutations import MUTATIONS, SOURCE, Mutation


def laws() -> set[str]:
    """Return the names of the laws of the conformance suite."""
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "conformance").glob("test_*.py")]
    return {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}


def test_every_law_has_a_mutation() -> None:
    """No law stands without a mutation that it catches, and no mutation names a law that is gone."""
    assert {law for mutation in MUTATIONS for law in mutation.laws} == laws()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: str(mutation.what))
def test_a_mutation_breaks_one_place(mutation: Mutation) -> None:
    """What a mutation breaks stands exactly once in the source."""
    assert (SOURCE / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1


def test_the_list_is_that_of_the_mutations() -> None:
    """CONTRIBUTING.md holds the list that ``python -m tests.mutations --table`` prints."""
    assert mutations.table() in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_table_of_the_house_is_what_the_code_is_like() -> None:
    """CONTRIBUTING.md holds the table that ``python -m benchmarks.house`` prints; ``--write`` puts it there."""
    assert house.table() in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_what_is_measured_of_a_file_is_what_stands_there() -> None:
    """Blank lines, comments and docstrings are no code; a handler of everything counts, with its reason or without."""
    text = (
        '"""What it is."""\n\n# why\nLIMIT = 3\n"""What a limit is."""\n\n\ndef f(a, *, b: int) -> None:\n'
        '    """Do it."""\n    try:\n        print("""\n\n""")\n    except Exception:  # noqa: BLE001\n        pass\n'
    )
    module = house.Module(ROOT, text)
    assert module.code_lines == {4, 8, 10, 11, 12, 13, 14, 15}
    assert house.annotated([module]) == ([False, True], [True])
    assert house.broad(module) == [False]
    assert len(list(house.public(module.tree))) == 2
