"""Versions with the metrics of their runs, two of them side by side, their pages, and their completion in a shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

import prodpointer
from prodpointer.cli.main import main
from prodpointer.errors import RegistryUnsupported, VersionNotFound
from tests.integration.conftest import NEW_POINTER, Answer, Command, Lab


def measured(lab: Lab, name: str, **metrics: float) -> str:
    """Register a version of a run with some metrics and a parameter, and return the run's id."""
    run_id = lab.run({"bundle/model.pkl": b"{}"})
    for metric, value in metrics.items():
        lab.client.log_metric(run_id, metric, value)
    lab.client.log_param(run_id, "depth", str(len(metrics)))
    prodpointer.connect(name, tracking_uri=lab.uri).register(run_id, "bundle", tags={"n": str(len(metrics))}, by="ada")
    return run_id


@pytest.fixture
def at(cli: Command, lab: Lab) -> Command:
    """Return a function that runs a command on the session's registry."""
    return lambda *arguments: cli("--tracking-uri", lab.uri, *arguments)


def test_versions_have_the_metrics_of_their_runs(lab: Lab, name: str) -> None:
    """Oldest first, with what points to each."""
    measured(lab, name, auc=0.8)
    measured(lab, name, auc=0.9, f1=0.7)
    model = prodpointer.connect(name, tracking_uri=lab.uri)
    model.promote(2)
    first, second = model.versions()
    assert (first.metrics, second.metrics) == ({"auc": 0.8}, {"auc": 0.9, "f1": 0.7})
    assert (first.live, second.live, second.owner) == (False, True, "ada")
    assert second.pointers == (("live", "@production") if NEW_POINTER == "alias" else ("live", "Production"))
    assert [each.metrics for each in model.versions(metrics=False)] == [{}, {}]


def test_a_run_that_is_gone_says_so(lab: Lab, name: str) -> None:
    """A deleted run has metrics still, which are not shown, and a run of no registry never had any."""
    deleted = measured(lab, name, auc=0.8)
    measured(lab, name, auc=0.9)
    lab.client.create_model_version(name, "s3://models/bundle")
    lab.client.delete_run(deleted)
    found = prodpointer.connect(name, tracking_uri=lab.uri).versions()
    assert [dict(each.metrics) for each in found] == [{}, {"auc": 0.9}, {}]
    assert [each.metrics_note for each in found] == ["the run was deleted", "", "it belongs to no run"]


def test_runs_of_several_experiments_are_read(lab: Lab, name: str) -> None:
    """Each experiment is searched."""
    first = measured(lab, name, auc=0.8)
    other = lab.client.create_experiment(f"{name}-other", Path(lab.artifact(first, "")).parent.as_uri())
    run_id = lab.client.create_run(other).info.run_id
    lab.client.log_metric(run_id, "auc", 0.9)
    lab.client.create_model_version(name, "s3://models/bundle", run_id)
    measured(lab, name, auc=0.7)
    found = prodpointer.connect(name, tracking_uri=lab.uri).versions()
    assert [each.metrics for each in found] == [{"auc": 0.8}, {"auc": 0.9}, {"auc": 0.7}]


def test_many_runs_are_read_in_one_search(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions of one experiment take one read of a run and one search, whatever their number."""
    for _ in range(4):
        measured(lab, name, auc=0.8)
    model = prodpointer.connect(name, tracking_uri=lab.uri)
    client = type(lab.client)
    calls: list[str] = []
    for method in ("get_run", "search_runs"):

        def counted(
            *arguments: object, _call: object = getattr(client, method), _name: str = method, **options: object
        ) -> object:
            calls.append(_name)
            return _call(*arguments, **options)  # type: ignore[operator]

        monkeypatch.setattr(client, method, counted)
    assert [each.metrics for each in model.versions()] == [{"auc": 0.8}] * 4
    assert calls == ["get_run", "search_runs"]


def test_two_versions_are_compared(lab: Lab, name: str) -> None:
    """Metrics, parameters and tags of both, each that either has."""
    measured(lab, name, auc=0.8)
    measured(lab, name, auc=0.9, f1=0.7)
    found = prodpointer.connect(name, tracking_uri=lab.uri).compare(1, "2")
    assert [(each.name, each.a, each.b) for each in found.metrics] == [("auc", 0.8, 0.9), ("f1", None, 0.7)]
    assert [(each.name, each.a, each.b) for each in found.params] == [("depth", "1", "2")]
    assert [(each.name, each.a, each.b) for each in found.tags if each.differs] == [("n", "1", "2")]
    assert [each.change for each in found.metrics] == [pytest.approx(0.1), None]
    assert not found.same_datasets


def test_a_version_that_does_not_exist_is_not_compared(lab: Lab, name: str) -> None:
    """It is named."""
    with pytest.raises(VersionNotFound):
        lab.model(name).compare(1, 7)


def test_versions_are_listed(at: Command, lab: Lab, name: str) -> None:
    """As rows, the newest first, and as JSON, the oldest first."""
    measured(lab, name, auc=1 - 0.79)
    measured(lab, name, auc=0.9)
    lines = at("versions", name).out.splitlines()
    assert lines[0].startswith("version\tpointers\tstatus\tmetrics\t")
    assert [line.split("\t")[0] for line in lines[1:]] == ["2", "1"]
    assert "auc=0.21\t" in lines[2]
    document = at("versions", name, "--json").document
    assert [each["metrics"] for each in document["versions"]] == [{"auc": 1 - 0.79}, {"auc": 0.9}]
    assert {"version", "live", "aliases", "stage", "sha256", "owner"} < set(document["versions"][0])


def test_a_comparison_is_shown(at: Command, lab: Lab, name: str) -> None:
    """What is equal is left out unless it is asked for; datasets that are not the same are said."""
    measured(lab, name, auc=0.8)
    measured(lab, name, auc=0.9)
    answer: Answer = at("compare", name, "1", "2")
    assert answer.out == "kind\tname\tversion 1\tversion 2\tchange\nmetric\tauc\t0.8\t0.9\t+0.1\n"
    assert answer.err == "The runs logged no datasets; their metrics may not be comparable.\n"
    assert "parameter\tdepth\t1\t1\t\n" in at("compare", name, "1", "2", "--all").out
    assert set(at("compare", name, "1", "2", "--json").document) >= {"a", "b", "metrics", "params", "tags", "datasets"}


def test_a_database_has_no_page(at: Command, lab: Lab, name: str) -> None:
    """The error says how to start a UI."""
    with pytest.raises(RegistryUnsupported):
        lab.model(name).page()
    answer = at("open", name, "--print")
    assert (answer.exit_code, "mlflow server" in answer.err) == (1, True)


def completions(lab: Lab, *words: str, incomplete: str = "") -> list[str]:
    """Return what a shell offers after some words."""
    shell = ShellComplete(main, {}, "prodpointer", "_PRODPOINTER_COMPLETE")
    return [each.value for each in shell.get_completions(["--tracking-uri", lab.uri, *words], incomplete)]


def test_names_and_versions_are_completed(lab: Lab, name: str) -> None:
    """Names that begin with the letters given, and the versions of the model named before."""
    lab.model(name, 2)
    assert completions(lab, "status", incomplete=name[:9]) == [name]
    assert completions(lab, "promote", name) == ["2", "1"]
    assert completions(lab, "promote", incomplete="no-such-model") == []
    assert "versions" in completions(lab, incomplete="ver")


def test_completion_of_a_registry_that_is_down_is_empty(closed_port: int, capfd: pytest.CaptureFixture[str]) -> None:
    """And silent: a traceback in the line that a user types is of no use."""
    shell = ShellComplete(main, {}, "prodpointer", "_PRODPOINTER_COMPLETE")
    down = ["--tracking-uri", f"http://127.0.0.1:{closed_port}"]
    assert shell.get_completions([*down, "status"], "") == []
    assert shell.get_completions(["--profile", "no-such-profile", "status"], "") == []
    assert capfd.readouterr() == ("", "")
