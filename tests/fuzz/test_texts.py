"""Whatever text comes from outside, each reader returns a value or raises its documented error."""

from __future__ import annotations

import base64
import json
import zlib
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import strategies as st

from prodpointer import validation
from prodpointer.cli import main as cli
from prodpointer.errors import InvalidName, ProdpointerError, UnsafeModel, without_credentials
from prodpointer.gates.parser import parse_gate
from prodpointer.history import events as codec
from prodpointer.history import log, record
from prodpointer.mlflow_client import converters, mlmodel, uris
from prodpointer.stage_finder.finder import stage_uses
from prodpointer.types import ModelVersion, Verdict
from tests.fuzz.broken import WORDS, broken, junk, texts
from tests.fuzz.conftest import Driven
from tests.fuzz.registry import ANSWERS, NAME, event, tags_of

# What Hypothesis does while memory is collected may come upon the end of the stack too, and nothing is lost by that.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

NOW = datetime(2026, 11, 30, 13, tzinfo=timezone.utc)
PASSED = Verdict("auc >= 0.5", "auc", 0.7, None, 0.5, passed=True)
EVENT = json.loads(record.event_text(event(4, 2, 3, gates=(PASSED,), sha256="0" * 64)).split("\n")[1])


def held(tags: dict[str, str]) -> ModelVersion:
    """Return a version that has these tags."""
    return ModelVersion(NAME, 2, None, "READY", "", None, None, None, tags)


def a_pack() -> tuple[str, list[Any]]:
    """Return the key of a pack of events, and the rows in it."""
    text = codec.packed([event(number, 1, 2) for number in range(1, 40)])
    return f"{record.PACK_TAG}1-39-abc", json.loads(zlib.decompress(base64.b85decode(text)))


PACK_KEY, ROWS = a_pack()
BOMB = base64.b85encode(zlib.compress(b"[" * 20_000_000, 9)).decode()


def packed(text: str) -> str:
    """Return a text as a pack holds it."""
    return base64.b85encode(zlib.compress(text.encode(errors="surrogatepass"), 1)).decode()


event_keys = st.one_of(
    st.just("000000000004-0123abcd"),
    st.sampled_from(WORDS),
    st.from_regex(r"\d{12}-[0-9a-f]{8}", fullmatch=True),
    st.text(max_size=20),
).map(lambda key: record.EVENT_TAG + key)
pack_keys = st.one_of(st.just(PACK_KEY), st.sampled_from(WORDS).map(lambda key: record.PACK_TAG + key))
pack_texts = st.one_of(texts(ROWS[:3]).map(packed), st.just(BOMB), st.text(max_size=100))
record_texts = st.one_of(
    st.builds(
        lambda *lines: "\n".join(lines),
        st.text(max_size=20),
        texts({"event": "000000000004-0123abcd", **EVENT}),
        pack_texts,
    ),
    st.text(max_size=100),
)
hostile_tags = st.one_of(
    st.dictionaries(st.sampled_from([record.RECORD_TAG, record.REFUSED_TAG]), record_texts, max_size=2),
    st.dictionaries(event_keys, texts(EVENT), max_size=4),
    st.dictionaries(pack_keys, pack_texts, max_size=2),
    st.builds(
        lambda one, other: one | other,
        st.dictionaries(event_keys, texts(EVENT), max_size=30),
        st.dictionaries(pack_keys, pack_texts, max_size=2),
    ),
)


def test_events(driven: Driven) -> None:
    """The tags of a version are read as a record, and the record is packed, whatever they say."""

    def check(tags: Any) -> None:
        version = held({**tags_of([event(1, None, 2)]), **tags})
        record.read_record([version])
        recorded = record.events([version], "production")
        moves = log.add_unrecorded(log.settled(recorded, 2), 2, NOW)
        log.stack(moves)
        log.live_at(moves, NOW)
        log.in_order(moves, recorded)
        log.next_id(recorded)
        log.deciding(2, "000000000009-0123abcd", "production", [version], "Production")
        for state in ("intended", "done", "lost", "refused"):
            written = record.changes(replace(event(9, 1, 2), state=state), version, NOW).applied_to(version)
            assert all(len(text) <= 5000 for key, text in written.tags.items() if key not in version.tags)
        record.raising(event(1, None, 2), event(9, None, 2), version)
        record.changes_to_find(version)
        for each in recorded:
            record.event_text(each)

    driven(hostile_tags, check)


def test_one_event(driven: Driven) -> None:
    """One text is an event that can be written again, or a ``ValueError``."""

    def check(value: Any) -> None:
        with suppress(ValueError):
            found = codec.event_from(NAME, value[0], value[1])
            assert codec.event_from(NAME, value[0], record.event_text(found)) is not None

    driven(st.tuples(event_keys.map(lambda key: key.removeprefix(record.EVENT_TAG)), texts(EVENT)).map(list), check)


FUNCTIONS = {
    "reply_from_json": ANSWERS["/api/2.0/mlflow/registered-models/get"],
    "replies_from_json": ANSWERS["/api/2.0/mlflow/registered-models/search"],
    "versions_from_json": ANSWERS["/api/2.0/mlflow/model-versions/search"],
    "version_from_json": ANSWERS["/api/2.0/mlflow/model-versions/get"],
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_entities(driven: Driven, function: str) -> None:
    """The JSON of a registry becomes our values, or an error of ours."""

    def check(document: Any) -> None:
        with suppress(ProdpointerError):
            getattr(converters, function)(document)

    # That an answer is a mapping is made sure of before.
    driven(broken(FUNCTIONS[function]).filter(lambda document: isinstance(document, dict)), check)


GATE_PARTS = [
    "auc",
    "ndcg@10",
    "'a b'",
    '"',
    "'",
    ">=",
    "<=",
    ">",
    "=",
    "production",
    "Production",
    "+",
    "-",
    "0.8",
    "1e400",
    "1e-400",
    ".5",
    "nan",
    "inf",
    "0x1",
    "1_0",
    "and",
    "across",
    "datasets",
    "%",
    ",",
    "*",
    "/",
    "\u0663",
    "\u2212",
    "\u00a0",
    "\n",
    "\x00",
    "\ud800",
    "9" * 400,
]
gate_texts = st.one_of(
    st.lists(st.sampled_from(GATE_PARTS), max_size=12).map(" ".join),
    st.lists(st.sampled_from(GATE_PARTS), max_size=12).map("".join),
    st.text(max_size=60),
    st.integers(900, 1000).flatmap(
        lambda count: st.sampled_from([" ", "a", "-", "'", ">=", "a "]).map(lambda x: x * count)
    ),
    junk,
)


def test_gates(driven: Driven) -> None:
    """A text is a gate whose own text is the same gate, or it is refused as none."""

    def check(text: Any) -> None:
        with suppress(InvalidName):
            gate = parse_gate(text)
            assert parse_gate(str(gate)) == gate

    driven(gate_texts, check)


MLMODEL = {
    "artifact_path": "bundle",
    "flavors": {
        "python_function": {
            "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
            "loader_module": "mlflow.sklearn",
            "model_path": "model.pkl",
            "python_version": "3.11.8",
        },
        "sklearn": {"code": None, "pickled_model": "model.pkl", "skops_trusted_types": None},
    },
    "saved_input_example_info": {"artifact_path": "input_example.json", "serving_input_path": "serving.json"},
    "mlflow_version": "3.17.2",
}
MODULES = [
    "mlflow.__main__",
    "mlflow.pyfunc",
    "os",
    "mlflow.",
    ".",
    "mlflow.\u00e9",
    "__main__",
    "mlflow.a" * 200,
    "mlflow..x",
]
YAML = [
    "&a [*a]",
    "a: &a {b: *a}",
    "!!python/object/apply:os.system [x]",
    "!!binary '='",
    "!!timestamp 0000-99-99",
    "!!bool x",
    "!!int ''",
    "!!timestamp",
    "a: 0x",
    "a: 1:60:60",
    "a: 9999-99-99",
    "? [a]\n: b",
    "? {a: b}\n: c",
    "<<: 3",
    "<<: [*x]",
    "%YAML 9.9\n---\na",
    "---\na\n---\nb",
    "\t",
    "a: b: c",
    "[" * 5000,
    "{" * 5000,
    "- " * 5000,
    "&a " * 500,
    "a: 1e999999999",
    "=",
    "flavors: &a {x: *a}",
    "flavors: {=: 1}",
    "flavors: {x: {loader_module: !!set {a}}}",
    "flavors: {x: {model_path: '" + "a/" * 5000 + "'}}",
    "flavors: {x: {model_path: '" + "a" * 5000 + "'}}",
    'flavors: {x: {model_path: "a\\0b"}}',
    'flavors: {x: {model_path: "\\ud800"}}',
    "flavors: {x: {model_path: ../..}}",
    "x: &a0 [1]\n" + "".join(f"y{each}: &a{each + 1} [*a{each}, *a{each}]\n" for each in range(60)),
]
mlmodels = st.one_of(
    texts(MLMODEL),
    st.sampled_from(MODULES).map(lambda name: json.dumps({"flavors": {"x": {"loader_module": name}}})),
    st.sampled_from(YAML),
    st.lists(st.sampled_from(YAML), min_size=2, max_size=4).map("\n".join),
)


def test_mlmodel_files(driven: Driven, tmp_path: Path) -> None:
    """An ``MLmodel`` file may be followed, or the model is unsafe; nothing is imported for it."""

    def check(text: Any) -> None:
        (tmp_path / "MLmodel").write_bytes(text.encode(errors="surrogatepass"))
        with suppress(UnsafeModel):
            mlmodel._check(tmp_path, ())  # noqa: SLF001  # what is read before MLflow may import anything

    driven(mlmodels, check)


PYTHON = [
    "import mlflow",
    "from mlflow import MlflowClient",
    "client = MlflowClient()",
    "def f(stage='Production'):",
    "    v = client.get_latest_versions(name, stages=['Production'])[0]",
    "v = client.get_latest_versions(*a, **k)",
    "client.transition_model_version_stage(name='n', version=1, stage=s)",
    'uri = f"models:/{name}/{stage!r:>{w}}"',
    "mlflow.pyfunc.load_model('models:/%s/Production' % name)",
    "mlflow.pyfunc.load_model('models:/{}/{}'.format(*a))",
    "x = '/'.join(['models:', n, 'Staging'])",
    "if mv.current_stage in ('Production', 'None'):",
    "    pass",
    "lambda: v.source",
    "%run models:/a/Production",
    "!ls models:/a/Staging",
    "# MAGIC models:/a/Production",
    "'''",
    "\\",
    "(",
    ")",
    "\x0c",
    "\x00",
    "\ud800",
    "\ue0001\ue001 models:/a/Production",
    "\u2028",
    "v[" * 150,
    "-" * 3000 + "1",
    "x" + ".a" * 3000 + ".current_stage",
    "'models:/a/Production'" + "+'b'" * 2000,
    "async def g(): await client.get_latest_versions(n)",
    "match v:",
    "    case 1: v.current_stage",
    "SELECT current_stage FROM model_versions",
    "models:/a/Production" * 300,
    "def h(a, /, *, b: ModelVersion) -> None: b.source",
    "getattr(client, 'get_latest_versions')(n)",
    "\ufeffimport mlflow",
    "f'{x!r}{{models:/a/Production}}'",
    "print(f'''models:/{a",
    "}/Production''')",
    "client.get_latest_versions(n, [])[0][1:2].x",
    "mlflow_get_latest_versions(",
    "a" * 20_000 + "/Production models:/",
    "models:/" + "a" * 20_000,
    "model_versions " + "from " * 4000 + "current_stage",
]
lines = st.lists(st.one_of(st.sampled_from(PYTHON), st.text(max_size=30)), max_size=12).map("\n".join)
NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "source": ["import mlflow\n", "uri = 'models:/a/Production'"]},
        {"cell_type": "markdown", "source": "models:/a/Production"},
        {"cell_type": "code", "source": "%%sql\nSELECT current_stage FROM model_versions"},
    ],
    "metadata": {"kernelspec": {"language": "python"}, "language_info": {"name": "python"}},
    "nbformat": 4,
}
files = st.one_of(
    st.tuples(st.sampled_from(["a.py", "a.pyi", "a.sql", "a.yaml", "a.R", "a.sh", "A.scala", "a", "a.ipynb"]), lines),
    st.tuples(st.just("a.ipynb"), texts(NOTEBOOK)),
    st.tuples(
        st.just("a.ipynb"), lines.map(lambda text: json.dumps({"cells": [{"cell_type": "code", "source": text}]}))
    ),
).map(list)


def test_source_trees(driven: Driven, tmp_path: Path) -> None:
    """A file is looked through for stages, whatever is in it."""

    def check(file: Any) -> None:
        path = tmp_path / file[0]
        path.write_bytes(file[1].encode(errors="surrogatepass"))
        try:
            for use in stage_uses(tmp_path):
                json.dumps(use.as_json())
        finally:
            path.unlink()

    driven(files, check)


URIS = [
    "http://",
    "https://me:secret@host:99999/x",
    "http://[::1",
    "http://[",
    "sqlite:",
    "sqlite:/",
    "sqlite://",
    "sqlite:///",
    "sqlite:///x.db",
    "sqlite:///:memory:",
    "sqlite:///file:x?uri=true",
    "postgresql+psycopg2://u:p@h/d",
    "databricks",
    "databricks-uc://p",
    "uc:x",
    "file:",
    "C:\\x",
    "//x",
    "\x00",
    "http://h\ud800/",
    "http://\u2100/",
    "models:/",
    "runs:/",
    "arn:aws:x",
    "http://h:port/",
    "mysql://a:b@c@d/e",
    "://",
    ":",
    "http://" + "a" * 10_000,
    "http://" + "@" * 5000,
    "a" * 10_000 + "://b@c",
    "sqlite:///" + "\x00",
]
named = st.one_of(st.sampled_from(WORDS), st.sampled_from(URIS), st.text(max_size=40), junk)


def test_names_and_addresses(driven: Driven) -> None:
    """What a caller names is taken, or refused by an error of ours."""

    def check(value: Any) -> None:
        for function in (validation.model_name, validation.alias_name, validation.version_number):
            with suppress(ProdpointerError):
                function(value)
        text = value if isinstance(value, str) else json.dumps(value)
        without_credentials(text)
        for called in (validation.new_model_name, uris.place_of, uris.sqlite_file, uris.root_of):
            with suppress(ProdpointerError):
                called(text)
        with suppress(ProdpointerError):
            validation.readable_text(text, "The text")
        with suppress(ProdpointerError):
            validation.stage_for("production", {"production": text})
        with suppress(ProdpointerError):
            found = uris.resolve_addresses(text, None)
            assert isinstance(found.shown + found.identity, str)

    driven(named, check)


COMMANDS = [
    "status",
    "promote",
    "rollback",
    "withdraw",
    "repair",
    "history",
    "register",
    "migrate",
    "plan",
    "verify",
    "doctor",
    "cache",
]
OPTIONS = [
    "--json",
    "--alias",
    "--pointer",
    "--timeout",
    "--registry-uri",
    "--workspace",
    "--at",
    "--gate",
    "--reason",
    "--help",
    "--",
    "-h",
]
arguments = st.lists(st.one_of(st.sampled_from(COMMANDS), st.sampled_from(OPTIONS), named.map(str)), max_size=6)


def test_command_lines(driven: Driven, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command ends with one of our exit codes, and no traceback."""
    monkeypatch.chdir(tmp_path)
    nowhere = f"sqlite:///{tmp_path}/nowhere/registry.db"

    def check(given: Any) -> None:
        result = CliRunner().invoke(cli.main, ["--tracking-uri", nowhere, *given], prog_name="prodpointer")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code in range(6)

    driven(arguments, check)
