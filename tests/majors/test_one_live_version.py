"""One live version: promoters in eight long-lived processes race again and again, and one version is live.

One race is run for each server, database and pointer, and each test reads one fact from its rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.majors.conftest import STORES, NewDatabase
from tests.majors.racing import MAJORS, POINTERS, Race, Racers, race, racers
from tests.servers import Server, serve

ROUNDS = 3
WORKERS = 4


@pytest.fixture(scope="module")
def racing(python_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Racers]:
    """The promoters and the reader, the same for every race."""
    with racers(python_of, tmp_path_factory.mktemp("racers")) as running:
        yield running


@pytest.fixture(scope="session", params=[(version, store) for version in MAJORS for store in STORES], ids="-on-".join)
def busy_server(
    request: pytest.FixtureRequest,
    python_of: Callable[[str], Path],
    new_database: NewDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server with several workers on one database, shared by races that run one after another."""
    version, store = request.param
    database, directory = new_database(store).uri, tmp_path_factory.mktemp("busy")
    with serve(python_of(version), directory, version=version, backend=database, workers=WORKERS) as found:
        yield found


@pytest.fixture(scope="module", params=POINTERS)
def raced(request: pytest.FixtureRequest, racing: Racers, busy_server: Server) -> Race:
    """One race."""
    return race(racing, busy_server.uri, request.param, ROUNDS)


def test_promoters_are_done_or_have_lost(raced: Race) -> None:
    """No promoter gets an error, of a database or another one: each is done, or is told that it lost."""
    assert [each.errors for each in raced.rounds] == [[]] * ROUNDS


def test_one_version_is_live(raced: Race) -> None:
    """When all have returned, plain MLflow sees one version live, the same by both pointers where both are used."""
    assert [len(each.live(raced.pointer)) for each in raced.rounds] == [1] * ROUNDS


def test_the_live_version_is_of_one_who_was_done(raced: Race) -> None:
    """The version that is live was promoted in this round, by a promoter that was told so."""
    for each in raced.rounds:
        assert set(each.live(raced.pointer)) <= set(each.with_result("done"))


def test_the_last_move_recorded_is_what_is_live(raced: Race) -> None:
    """The last done event names the live version; other done promotions were live before and were overtaken."""
    for each in raced.rounds:
        done = [event for event in each.history if event["state"] == "done"]
        assert [done[-1]["version"]] == each.live(raced.pointer)
        assert done[-1]["kind"] == "promote"


def test_the_record_says_what_promoters_were_told(raced: Race) -> None:
    """Each promotion's event is done where its promoter was told done, and lost where it was told lost."""
    for each in raced.rounds:
        recorded = {event["version"]: event["state"] for event in each.history if event["kind"] == "promote"}
        assert {version: recorded[version] for version in each.told} == {
            version: told["result"] for version, told in each.told.items()
        }


def test_who_lost_is_told_of_another_version(raced: Race) -> None:
    """A promoter that lost is told which version was live instead, one that was promoted in this round."""
    for each in raced.rounds:
        for version in each.with_result("lost"):
            assert each.told[version]["winner"] in set(each.told) - {version}


def test_a_reader_sees_a_version_throughout(raced: Race) -> None:
    """A constant reader never sees None after the first promotion, an unknown version or an error."""
    assert raced.misread == []
    assert raced.looks > ROUNDS
