"""A client without aliases (2.2.2) with registries that have them: never a wrong None, never only a stage."""

from __future__ import annotations

from tests import mlflow_table
from tests.majors.conftest import Job
from tests.servers import Server

OLD = "2.2.2"
THREE = mlflow_table.newest_of_major(3).version


def test_an_old_client_loads_what_an_alias_names(job: Job, server: Server, name: str) -> None:
    """The alias set by a newer client is what the old client loads, though its own entities drop aliases."""
    for payload in ("first", "second"):
        job(THREE, server.uri, name, "register", payload)
    job(THREE, server.uri, name, "promote", 1)
    assert job(OLD, server.uri, name, "live_version") == 1
    assert job(OLD, server.uri, name, "load_production") == {"payload": "first"}


def test_an_old_client_moves_the_pointer_that_is_there(job: Job, server: Server, name: str) -> None:
    """An old client's promotion and withdrawal move the alias where the model has one, and newer clients see it."""
    for payload in ("first", "second"):
        job(OLD, server.uri, name, "register", payload)
    made = job(THREE, server.uri, name, "promote", 1)["pointers"]
    assert job(OLD, server.uri, name, "promote", 2)["pointers"] == made
    assert job(THREE, server.uri, name, "load_production") == {"payload": "second"}
    assert job(OLD, server.uri, name, "withdraw")["pointers"] == made
    assert job(THREE, server.uri, name, "load_production") is None


def test_an_old_client_names_its_errors(job: Job, server: Server, name: str) -> None:
    """The errors over REST are the library's own for an old client too."""
    assert job(OLD, server.uri, name, "live_version") == "ModelNotFound"
    job(OLD, server.uri, name, "register", "first")
    job(THREE, server.uri, name, "promote", 1)
    assert job(OLD, server.uri, name, "promote", 9) == "VersionNotFound"
