"""Calls of MLflow's client with a timeout."""

from __future__ import annotations

import threading

import pytest

from prodpointer.mlflow_client.worker import InTime, NoAnswer

SHORT = 0.1


def test_methods_are_called_in_time(gate: threading.Event) -> None:
    """What has the methods is used as before, but for the limit."""

    class Client:
        """Something with a method, an attribute and a call that hangs."""

        name = "client"

        def add(self, one: int, two: int = 2) -> int:
            """Add."""
            return one + two

        def hang(self) -> None:
            """Hang."""
            gate.wait()

    client = InTime(Client(), None, "test://methods", SHORT * 5)
    assert (client.name, client.add(1, two=3), client.within(Client.add, 1)) == ("client", 4, 3)
    assert not hasattr(client, "subtract")
    with pytest.raises(NoAnswer):
        client.hang()
