"""A database that this process opens itself; tests/skinny has the cases without SQLAlchemy."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

import prodpointer
from prodpointer import SchemaMismatch
from prodpointer.cli.main import main
from tests.conformance.conftest import HERE, Registry, tree


def test_the_environment_configures(direct: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own environment variable names the registry."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", direct.uri)
    assert direct.uri in repr(prodpointer.connect("news"))


def test_a_database_named_by_the_environment_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named SQLite file that does not exist yet becomes a registry."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new.db'}")
    prodpointer.connect("news")
    assert (tmp_path / "new.db").exists()


def test_no_database_is_created_unless_allowed(tmp_path: Path) -> None:
    """``create_database=False`` refuses a file that is not there, and makes none."""
    with pytest.raises(SchemaMismatch, match="create_database=True"):
        prodpointer.connect("news", tracking_uri=f"sqlite:///{tmp_path / 'new.db'}", create_database=False)
    assert tree(tmp_path) == []


def test_a_database_of_another_mlflow_is_not_touched(direct: Registry, tmp_path: Path) -> None:
    """A schema that is not this MLflow's raises SchemaMismatch, and the file keeps every byte."""
    file = tmp_path / "other.db"
    file.write_bytes(Path(direct.uri.removeprefix("sqlite:///")).read_bytes())
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    connection.close()
    before = file.read_bytes()
    for upgrade in (False, True):
        with pytest.raises(SchemaMismatch, match="ffffffffffff"):
            prodpointer.connect("news", tracking_uri=f"sqlite:///{file}", upgrade_database=upgrade)
    assert file.read_bytes() == before
    assert tree(tmp_path) == ["other.db"]


def test_an_older_database_is_upgraded_only_on_request(tmp_path: Path, forgetful: None) -> None:
    """An older schema is left alone unless ``upgrade_database=True``, which upgrades it and keeps its models."""
    file = older_database(tmp_path)
    before = file.read_bytes()
    with pytest.raises(SchemaMismatch, match="upgrade_database=True"):
        prodpointer.connect("kept", tracking_uri=f"sqlite:///{file}")
    assert file.read_bytes() == before
    news = prodpointer.connect("kept", tracking_uri=f"sqlite:///{file}", upgrade_database=True)
    assert news.production() is None


def older_database(directory: Path) -> Path:
    """Return an MLflow database that stands one migration before the newest, with the registered model ``kept``."""
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    file = directory / "older.db"
    engine = create_engine(f"sqlite:///{file}")
    Base.metadata.create_all(engine)
    engine.dispose()
    config = _get_alembic_config(f"sqlite:///{file}")
    scripts = ScriptDirectory.from_config(config)
    command.upgrade(config, str(scripts.get_revision("head").down_revision))
    with sqlite3.connect(file) as connection:
        connection.execute("INSERT INTO registered_models (name, creation_time) VALUES ('kept', 1)")
    connection.close()
    return file


def test_with_two_servers_the_source_names_the_run(
    direct: Registry, served: Registry, forgetful: None, tmp_path: Path
) -> None:
    """Where runs and models are in different places, the source is ``runs:/``, and the version loads."""
    models = f"sqlite:///{tmp_path / 'models.db'}"
    model = prodpointer.connect("news-apart", tracking_uri=served.uri, registry_uri=models)
    model.promote(model.register(served.runs[1], "bundle"))
    assert model.version(1).source == f"runs:/{served.runs[1]}/bundle"
    assert model.load_production() == {"recommender": "r2", "ranker": 2}


def test_the_command_prints_the_row(direct: Registry) -> None:
    """``conformance`` ends with the row for the page; with ``--json`` the findings are one document."""
    arguments = ["--tracking-uri", direct.uri, "--pointer", "stage", "conformance"]
    told = CliRunner().invoke(main, arguments)
    assert (told.exit_code, told.output.splitlines()[-1]) == (0, f"| {HERE} | {HERE} | stage ✅ |")
    document = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).output)
    assert (document["pointers"], document["left"]) == ({"stage": "works"}, [])


def test_a_registry_uri_alone_creates_no_other_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``registry_uri`` alone runs are looked for there too, and not in MLflow's default, which would be made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given").mkdir()
    prodpointer.connect("news", registry_uri=f"sqlite:///{tmp_path / 'given' / 'models.db'}")
    assert "mlflow.db" not in tree(tmp_path)
    assert "given/models.db" in tree(tmp_path)


def test_an_empty_registry_holds_no_such_model(tmp_path: Path) -> None:
    """A registry without any model answers: this model does not exist."""
    with pytest.raises(prodpointer.ModelNotFound):
        prodpointer.connect("news", tracking_uri=f"sqlite:///{tmp_path / 'empty.db'}").production()
