"""The committed page of the benchmark: generated from the committed results, with a reason for every slower case."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.benchmark_page import missed, page
from benchmarks.benchmark_tables import cell, duration
from benchmarks.costs_page import COSTS, costs_page
from benchmarks.measurements import (
    FILE_WARM,
    MODEL_RESTED,
    MODEL_WARM,
    OURS,
    PAGE,
    READ,
    Measurement,
    Results,
    Spread,
    World,
    read,
    spread,
)
from benchmarks.pages import NoSuchPart, fill
from benchmarks.slower import NoReason, slower_places

SQLITE = World("3.17.2", "sqlite")
MADE = {
    "day": "2026-01-01",
    "cores": 2,
    "modelctl": "1.2.1",
    "without_modelctl": "",
    "stores": ["sqlite"],
    "sizes": ["5 MB"],
    "runs": 3,
    "large_runs": 1,
    "process_runs": 1,
    "limit": 300.0,
}


def measured(operation: str, by: str, seconds: float, *, requests: int = 1, size: str = "") -> Measurement:
    """Return a made-up measurement."""
    return Measurement(*SQLITE, operation, "alias", size, by, requests, Spread(*[seconds] * 3), 3)


def test_the_page_is_what_the_results_give() -> None:
    """The committed page is made of the committed results, and of nothing else."""
    assert PAGE.read_text(encoding="utf-8") == page(read())


def test_the_costs_are_what_the_results_give() -> None:
    """The numbers of the page of costs are those of the committed results."""
    assert COSTS.read_text(encoding="utf-8") == costs_page(read())


def test_every_slower_place_has_a_reason() -> None:
    """Wherever the committed results show this library to be slower, the page says why."""
    text = PAGE.read_text(encoding="utf-8")
    found = slower_places(read())
    assert found
    assert all(each.reason in text for each in found)


def test_a_slower_place_without_a_reason_makes_no_page() -> None:
    """A place where this library is slower, without a written reason, is an error that names it."""
    results = Results(MADE, [measured("juggle", OURS, 0.2), measured("juggle", "MLflow", 0.1)])
    with pytest.raises(
        NoReason, match=r"slower than MLflow in juggle, alias \(2\.00 times as long on 3\.17\.2 SQLite\)"
    ):
        page(results)


def test_what_is_not_slower_needs_no_reason() -> None:
    """A place where this library is as fast, or the other one had no result, is in no list."""
    results = Results(MADE, [measured("juggle", OURS, 0.1), measured("juggle", "MLflow", 0.1)])
    assert slower_places(results) == []


@pytest.mark.parametrize(("requests", "held"), [(2, True), (3, False)])
def test_reading_may_take_one_request_more(requests: int, held: bool) -> None:
    """Two requests where plain MLflow sends one hold the target, three miss it."""
    ours = measured(READ, OURS, 0.1, requests=requests)
    found = missed(Results(MADE, [ours, measured(READ, "MLflow", 0.1)]))
    assert (found == []) is held


@pytest.mark.parametrize("operation", [FILE_WARM, MODEL_WARM])
@pytest.mark.parametrize(("seconds", "held"), [(0.5, True), (0.49, False)])
def test_a_warm_load_is_five_times_faster(operation: str, seconds: float, held: bool) -> None:
    """A warm load of 5 MB, as a file or as a model, that is five times faster than MLflow's holds the target."""
    ours = measured(operation, OURS, 0.1, size="5 MB")
    found = missed(Results(MADE, [ours, measured(MODEL_WARM, "MLflow", seconds, size="5 MB")]))
    assert (found == []) is held


def test_a_load_after_a_pause_is_shown_without_a_target() -> None:
    """The target is for warm loads; how it stands after a pause is on the page beside it."""
    warm = [measured(MODEL_WARM, by, seconds, size="5 MB") for by, seconds in ((OURS, 0.01), ("MLflow", 0.06))]
    rested = [measured(MODEL_RESTED, by, seconds, size="5 MB") for by, seconds in ((OURS, 0.02), ("MLflow", 0.07))]
    results = Results(MADE, warm + rested)
    assert missed(results) == []
    assert "6.00x to 6.00x; lowest on 3.17.2 SQLite, alias; after a pause 3.50x to 3.50x (no target)" in page(results)


def test_a_page_without_the_place_for_a_table_is_refused() -> None:
    """A generated part that the page does not have is an error that says what to write."""
    with pytest.raises(NoSuchPart, match="<!-- times -->"):
        fill("# A page\n", {"times": "| |"})


def test_the_text_around_a_table_stays() -> None:
    """Only what stands between the two comments is replaced."""
    before = "one\n<!-- times -->\nold\n<!-- end of times -->\ntwo\n"
    assert fill(before, {"times": "new"}) == "one\n<!-- times -->\n\nnew\n\n<!-- end of times -->\ntwo\n"


def test_results_survive_the_file(tmp_path: Path) -> None:
    """What is written is what is read, a line a measurement."""
    results = Results(MADE, [measured(READ, OURS, 0.1), measured(READ, "MLflow", 0.2)])
    results.write(tmp_path / "results.json")
    assert read(tmp_path / "results.json") == results


@pytest.mark.parametrize(
    ("seconds", "text"), [(61.26, "61.3 s"), (0.99, "990 ms"), (0.0123, "12.3 ms"), (5.04e-8, "50.4 ns")]
)
def test_a_time_has_three_digits_and_its_unit(seconds: float, text: str) -> None:
    """A time is written in the unit that fits it."""
    assert duration(seconds) == text


def test_a_cell_says_how_many_times_as_long() -> None:
    """A contender's cell is a ratio to this library, bold where this library is slower."""
    ours = measured(READ, OURS, 0.1)
    assert cell(measured(READ, "MLflow", 0.25), ours) == "250 ms (250 ms to 250 ms), 2.50x"
    assert cell(measured(READ, "MLflow", 0.05), ours) == "50.0 ms (50.0 ms to 50.0 ms), **0.50x**"
    assert cell(ours, ours) == "100 ms (100 ms to 100 ms)"


def test_the_quartiles_of_one_time_are_that_time() -> None:
    """What was done once has no spread."""
    assert spread([0.25]) == Spread(0.25, 0.25, 0.25)
    assert spread([3.0, 1.0, 2.0]) == Spread(1.5, 2.0, 2.5)
