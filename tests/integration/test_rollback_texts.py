"""What the error says where nothing can be rolled back."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from prodpointer import NothingToRollBack
from tests.integration.conftest import Lab


def test_ten_versions_are_named_at_most(lab: Lab, name: str) -> None:
    """A model of 1,500 versions makes no longer error than one of fifteen; the newest versions are named."""
    model = lab.model(name)
    with closing(sqlite3.connect(lab.file)) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(model_versions)")]
        others = [column for column in columns if column not in ("version", "storage_location")]
        numbers = "WITH RECURSIVE n(version) AS (SELECT 2 UNION ALL SELECT version + 1 FROM n WHERE version < 1500)"
        database.execute(
            f"{numbers} INSERT INTO model_versions (version, {', '.join(others)}) "
            f"SELECT n.version, {', '.join(f'm.{each}' for each in others)} FROM n, model_versions m WHERE m.name = ?",
            (name,),
        )
    with pytest.raises(NothingToRollBack) as refused:
        model.rollback()
    newest = ", ".join(map(str, range(1491, 1501)))
    assert f"other versions: {newest} and 1,490 older ones." in refused.value.what
    assert len(str(refused.value)) < 500
