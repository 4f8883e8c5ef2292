"""Gates accept the numbers of numpy, which training code passes."""

from __future__ import annotations

import numpy as np

from prodpointer.gates.gate import Gate


def test_a_number_of_numpy_is_a_number() -> None:
    """A gate made with one reads as if made with Python's own."""
    assert str(Gate("auc", at_least=np.float32(0.5))) == "auc >= 0.5"
