"""``prodpointer report`` with a real registry."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conftest import Command, Lab


def test_report_writes_a_page(cli: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """The file holds the model's record, and the command says where it is."""
    lab.model(name).promote(1, reason="the first one", by="grace")
    file = tmp_path / "news.html"
    answer = cli("--tracking-uri", lab.uri, "report", name, "--html", file)
    assert (answer.exit_code, answer.out) == (0, f"{name}: wrote {file}\n")
    page = file.read_text(encoding="utf-8")
    assert [text for text in ("Version 1 is live", "the first one", "grace") if text not in page] == []


def test_report_prints_json(cli: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """With ``--json`` it is the name and the file, also of a model of which nothing is recorded."""
    lab.client.create_registered_model(name)
    file = tmp_path / "news.html"
    answer = cli("--tracking-uri", lab.uri, "report", name, "--html", file, "--json")
    assert answer.document == {"name": name, "html": str(file)}


def test_a_page_that_cannot_be_written_is_an_error(cli: Command, lab: Lab, name: str, tmp_path: Path) -> None:
    """It is one line that names the file."""
    lab.client.create_registered_model(name)
    file = tmp_path / "nowhere" / "news.html"
    answer = cli("--tracking-uri", lab.uri, "report", name, "--html", file)
    assert (answer.exit_code, str(file) in answer.err, answer.out) == (1, True, "")
