"""One registry with jobs on both majors: each loads what the other promoted."""

from __future__ import annotations

import pytest

from tests import mlflow_table
from tests.majors.conftest import Job
from tests.servers import Server

TWO = mlflow_table.newest_of_major(2).version
THREE = mlflow_table.newest_of_major(3).version
BOTH_WAYS = pytest.mark.parametrize(("one", "other"), [(TWO, THREE), (THREE, TWO)])


def two_versions(job: Job, server: Server, name: str, by: str) -> None:
    """Register the versions 1 and 2 from one client."""
    assert [job(by, server.uri, name, "register", payload) for payload in ("first", "second")] == [1, 2]


@BOTH_WAYS
def test_what_one_promotes_the_other_loads(job: Job, server: Server, name: str, one: str, other: str) -> None:
    """A version promoted by a process on one major is what a process on the other loads, up, and back again."""
    two_versions(job, server, name, by=one)
    for version, payload in ((1, "first"), (2, "second"), (1, "first")):
        job(one, server.uri, name, "promote", version)
        assert job(other, server.uri, name, "live_version") == version
        assert job(other, server.uri, name, "load_production") == {"payload": payload}


@BOTH_WAYS
def test_both_choose_the_same_pointer(job: Job, server: Server, name: str, one: str, other: str) -> None:
    """The registry decides and not the client: what one made, the other moves, and no second pointer appears."""
    two_versions(job, server, name, by=one)
    expected = ["stage"] if server.version == TWO else ["alias"]
    assert job(one, server.uri, name, "promote", 1)["pointers"] == expected
    assert job(other, server.uri, name, "promote", 2)["pointers"] == expected
    assert job(one, server.uri, name, "status")["live"] == 2


def test_old_jobs_see_each_promotion(job: Job, server: Server, name: str) -> None:
    """A model that MLflow 2 jobs put in Production stays right for them, whichever major promotes."""
    two_versions(job, server, name, by=TWO)
    job(TWO, server.uri, name, "plain_promote", 1)
    assert job(THREE, server.uri, name, "load_production") == {"payload": "first"}
    job(THREE, server.uri, name, "promote", 2)
    assert job(TWO, server.uri, name, "plain_load", "/Production") == {"payload": "second"}
    if server.version == THREE:
        assert job(THREE, server.uri, name, "plain_load", "@production") == {"payload": "second"}


@BOTH_WAYS
def test_what_one_withdraws_the_other_restores(job: Job, server: Server, name: str, one: str, other: str) -> None:
    """A withdrawal by one major is nothing live for the other, whose promotion brings the same pointers back."""
    two_versions(job, server, name, by=one)
    job(one, server.uri, name, "promote", 1)
    cleared = job(one, server.uri, name, "withdraw")["pointers"]
    assert job(other, server.uri, name, "load_production") is None
    assert job(other, server.uri, name, "promote", 2)["pointers"] == cleared
