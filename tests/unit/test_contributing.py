"""Every law has a mutation that it catches."""

from __future__ import annotations

import re

import pytest

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
