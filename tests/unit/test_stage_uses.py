"""Uses of stages are found in all kinds of files, and their replacements work."""

from __future__ import annotations

import ast
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prodpointer
from prodpointer.cli import main as command_line
from prodpointer.errors import ProdpointerError
from prodpointer.stage_finder.finder import stage_sources, stage_uses
from tests.conftest import Find
from tests.mlflow_table import ROOT

HEAD = "import mlflow\nfrom mlflow import MlflowClient\nclient = MlflowClient()\n"
"""What stands above a line of Python in these tests, in three lines."""


# Calls in Python


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ('client.get_latest_versions(name, stages=["Production"])', "prodpointer.connect(name).production()"),
        ('mv = client.get_latest_versions("a", ["production"])[0]', 'mv = prodpointer.connect("a").production()'),
        (
            'v = client.get_latest_versions(name="a", stages=("Staging",))[-1].version',
            'v = prodpointer.connect("a", alias="staging").production().version',
        ),
        ("client.get_latest_versions(a.name, [stage])[0]", "prodpointer.connect(a.name, alias=stage).production()"),
        (
            'mvs = client.get_latest_versions(name, ["Production", "Staging"])',
            'mvs = [prodpointer.connect(name, alias=each).production() for each in ["Production", "Staging"]]',
        ),
        (
            "client.get_latest_versions(name, a if b else c)",
            "[prodpointer.connect(name, alias=each).production() for each in (a if b else c)]",
        ),
        ('client.get_latest_versions(name, ["Archived"])', "prodpointer.connect(name).history()"),
        (
            'client.get_latest_versions("a")[0]',
            "max(client.search_model_versions(\"name = 'a'\"), key=lambda mv: int(mv.version))",
        ),
        (
            'client.get_latest_versions(name, ["None"])[0]',
            'max(client.search_model_versions("name = " + repr(name)), key=lambda mv: int(mv.version))',
        ),
        (
            "for mv in client.get_latest_versions(name, ['Production']):\n    pass",
            "prodpointer.connect(name).production()",
        ),
        ("client.get_latest_versions(*given)", "prodpointer.connect(name).production()"),
        ("find = client.get_latest_versions", "prodpointer.connect(name).production()"),
        ('getattr(client, "get_latest_versions")', "prodpointer.connect(name).production()"),
    ],
)
def test_a_read_of_the_latest_is_one_of_the_pointer(found: Find, line: str, instead: str) -> None:
    """What to write instead has the call's own arguments; ``None`` and no stage at all ask for the newest version."""
    (use,) = found(line, head=HEAD)
    assert (use.line, use.kind, use.what, use.instead) == (4, "read", "get_latest_versions", instead)


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        (
            'client.transition_model_version_stage(name, version, "Production", archive_existing_versions=True)',
            "prodpointer.connect(name).promote(version)",
        ),
        (
            'done = client.transition_model_version_stage(name=mv.name, version=3, stage="STAGING")',
            'done = prodpointer.connect(mv.name, alias="staging").promote(3)',
        ),
        (
            'client.transition_model_version_stage(\n    "a",\n    version=mv.version,\n    stage=stage,\n)',
            'prodpointer.connect("a", alias=stage).promote(mv.version)',
        ),
        (
            'client.transition_model_version_stage("a", 3, "Archived")',
            'prodpointer.connect("a").withdraw()  # where this version is live; promote() archives the one it replaces',
        ),
        (
            'move = functools.partial(client.transition_model_version_stage, stage="Production")',
            'move = functools.partial(prodpointer.connect(name).promote(version), stage="Production")',
        ),
        ('getattr(client, "transition_model_version_stage")("a")', "prodpointer.connect(name).promote(version)"),
    ],
)
def test_a_transition_is_a_promotion_or_a_withdrawal(found: Find, line: str, instead: str) -> None:
    """It is one use, also with ``archive_existing_versions``, and what to write instead has its arguments."""
    (use,) = found(line, head=HEAD)
    assert (use.kind, use.what, use.instead) == ("write", "transition_model_version_stage", instead)


def test_the_registry_of_the_client_is_kept(found: Find) -> None:
    """A client of a registry of its own is no reason to ask another one afterwards."""
    text = (
        "from mlflow.tracking import MlflowClient as Client\n"
        "class Job:\n"
        "    def __init__(self, uri):\n"
        "        self.client = Client(uri, registry_uri=REGISTRY)\n"
        "    def promote(self, name, version):\n"
        '        self.client.transition_model_version_stage(name, version, "Production")\n'
    )
    (use,) = found(text)
    assert use.instead == "prodpointer.connect(name, tracking_uri=uri, registry_uri=REGISTRY).promote(version)"


def test_a_method_of_the_files_own_is_not_mlflows(found: Find) -> None:
    """A wrapper of the same name is found where it calls MLflow, and not where it is called on ``self``."""
    text = (
        "class Registry:\n"
        "    def get_latest_versions(self, name):\n"
        '        return self.client.get_latest_versions(name, ["Production"])\n'
        "    def live(self, name):\n"
        "        return self.get_latest_versions(name)[0]\n"
    )
    assert [use.line for use in found(text, head="import mlflow\n")] == [4]


def test_a_call_over_several_lines_has_the_line_of_its_name(found: Find) -> None:
    """A chain of calls is pointed to where the method's name stands."""
    text = 'mv = (\n    MlflowClient()\n    .get_latest_versions("a", ["Production"])\n    [0]\n)\n'
    assert [(use.line, use.text) for use in found(text)] == [(3, '.get_latest_versions("a", ["Production"])')]


# URIs in Python


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ('mlflow.pyfunc.load_model("models:/a/Production")', 'prodpointer.connect("a").load_production()'),
        (
            "m = mlflow.sklearn.load_model(model_uri=f'models:/{name}/production', dst_path='x')",
            'm = prodpointer.connect(name).load_production(flavor="sklearn")',
        ),
        (
            'mlflow.pyfunc.load_model("models:/" + cfg["name"] + "/Staging")',
            'prodpointer.connect(cfg["name"], alias="staging").load_production()',
        ),
        (
            'mlflow.pyfunc.load_model(f"models:/{prefix}-{name}/{args.stage}")',
            'prodpointer.connect(f"{prefix}-{name}", alias=args.stage).load_production()',
        ),
        ('mlflow.pyfunc.load_model("models:/a/None")', 'mlflow.pyfunc.load_model("models:/a/latest")'),
        (
            'mlflow.pyfunc.load_model(model_uri="models:/a/Archived")',
            'mlflow.pyfunc.load_model(model_uri=f"models:/a/{version}")',
        ),
        (
            'mlflow.pyfunc.load_model("models:/a/Production/part")',
            'mlflow.pyfunc.load_model("models:/a@production/part")',
        ),
        ('other.load_model("models:/a/Production")', 'other.load_model("models:/a@production")'),
        ('fetch(1, uri="models:/a/Production")', 'fetch(1, uri="models:/a@production")'),
    ],
)
def test_a_load_by_a_stage_is_a_load_of_what_is_live(found: Find, line: str, instead: str) -> None:
    """Where a flavor of MLflow loads, prodpointer does; any other use of the URI gets the alias in it."""
    (use,) = found(line, head=HEAD)
    assert (use.line, use.kind, use.instead) == (4, "read", instead)


def test_imports_under_other_names_are_known(found: Find) -> None:
    """A flavor, its loader, or MLflow itself may be imported under any name."""
    text = (
        "import mlflow as ml\nimport mlflow.xgboost as boosted\nfrom mlflow.pyfunc import load_model as load\n"
        'ml.pyfunc.load_model("models:/a/Production")\n'
        'boosted.load_model("models:/b/Production")\n'
        'load("models:/c/Production")\n'
    )
    assert [use.instead for use in found(text)] == [
        'prodpointer.connect("a").load_production()',
        'prodpointer.connect("b").load_production(flavor="xgboost")',
        'prodpointer.connect("c").load_production()',
    ]


@pytest.mark.parametrize(
    ("line", "what", "instead"),
    [
        ('uri = "models:/a/Production"', "models:/a/Production", 'uri = "models:/a@production"'),
        ("uri = 'models:/a b/STAGING'", "models:/a b/STAGING", 'uri = "models:/a b@staging"'),
        ('uri = f"models:/{name}/Production"', "models:/{name}/Production", 'uri = f"models:/{name}@production"'),
        ('uri = "models:/" + n + "/Production"', "models:/{n}/Production", 'uri = f"models:/{n}@production"'),
        ('uri = "models:/%s/Production" % n', "models:/{n}/Production", 'uri = f"models:/{n}@production"'),
        ('uri = "models:/%(n)s/%(s)s" % {"n": n, "s": stage}', "models:/{n}/{stage}", None),
        ('uri = "models:/{}/{}".format(n, stage)', "models:/{n}/{stage}", None),
        ('uri = "models:/{1}/{0}".format(stage, n)', "models:/{n}/{stage}", None),
        ('uri = "models:/{n}/{s}".format(n=n, s=stage)', "models:/{n}/{stage}", None),
        ('uri = "/".join(["models:", n, stage])', "models:/{n}/{stage}", None),
        ('uri = os.path.join("models:/", n, stage)', "models:/{n}/{stage}", None),
        ('uri = "models:/{n}/{stage}"', "models:/{n}/{stage}", 'uri = "models:/{n}@{stage}"'),
        ("def load(uri='models:/a/Production'): pass", "models:/a/Production", None),
        ('x = {"uri": "models:/a/Production"}', "models:/a/Production", 'x = {"uri": "models:/a@production"}'),
        ('print(f"is {n!r}: models:/{n}/Production")', "models:/{n}/Production", None),
        ('uri = "models://profile/a/Production"', "models://profile/a/Production", None),
        (
            "uri = f'models:/{c[\"n\"]}/Production'",
            'models:/{c["n"]}/Production',
            "uri = f'models:/{c[\"n\"]}@production'",
        ),
        (
            "uri = f\"models:/{n}/{'Production' if live else 'Staging'}\"",
            "models:/{n}/{'Production' if live else 'Staging'}",
            None,
        ),
    ],
)
def test_a_uri_is_found_however_it_is_put_together(found: Find, line: str, what: str, instead: str | None) -> None:
    """Texts, f-strings, ``+``, ``%``, ``format`` and ``join`` are one thing; the alias is written as an f-string."""
    (use,) = found(line)
    assert (use.kind, use.what) == ("read", what)
    if what == "models:/{n}/{stage}" and instead is None:
        instead = 'uri = f"models:/{n}@{stage.lower()}"'
    if instead is not None:
        assert use.instead == instead
    ast.parse(use.instead)


def test_a_constant_is_looked_up(found: Find) -> None:
    """A name that holds a stage and nothing else is one, whatever it is called."""
    text = 'WHERE = "Production"\nOTHER = "3"\na = f"models:/a/{WHERE}"\nb = f"models:/b/{OTHER}"\n'
    assert [use.instead for use in found(text)] == ['a = f"models:/a@{WHERE.lower()}"']


def test_private_characters_are_characters(found: Find) -> None:
    """Those that stand for an expression inside of this library are no expression in a file."""
    (use,) = found('uri = "models:/\ue0009\ue001/Production" + x')
    assert use.what == "models:/\ufffd9\ue001/Production"


def test_a_text_of_several_lines_is_searched_line_by_line(found: Find) -> None:
    """In a script that Python holds each URI has its own line."""
    text = 'script = """\nserve -m models:/a/Production\nserve -m models:/a/3\nserve -m models:/b/Staging\n"""\n'
    assert [(use.line, use.instead) for use in found(text)] == [
        (2, '"models:/a@production"'),
        (4, '"models:/b@staging"'),
    ]


@pytest.mark.parametrize(
    ("line", "kind", "what", "instead"),
    [
        ('post(f"{url}/api/2.0/mlflow/model-versions/transition-stage")', "write", None, "promote(version)"),
        ('get(url + "/mlflow/registered-models/get-latest-versions")', "read", None, "production()"),
        ("run('SELECT 1 FROM model_versions WHERE current_stage = 1')", "read", "current_stage", "live_version()"),
        ('getattr(client, "current_stage")', "", "", ""),
        ('"models:/{}/{}".format(*parts)', "", "", ""),
        ('os.path.join("models:/", *parts, "Production")', "", "", ""),
        ('",".join(["models:/", "a", "Production"])', "", "", ""),
        ("thread.join(1)", "", "", ""),
    ],
)
def test_a_text_says_more_than_uris(found: Find, line: str, kind: str, what: str | None, instead: str) -> None:
    """Paths of MLflow's REST interface and its table are uses; texts that cannot be told are none."""
    uses = found(f"import mlflow\nx = {line}\n")
    assert [(use.kind, use.instead) for use in uses] == (
        [(kind, f"prodpointer.connect(name).{instead}")] if kind else []
    )
    assert all(use.what == what or (what is None and use.what in line) for use in uses)


def test_a_format_stays_with_its_expression(found: Find) -> None:
    """What an f-string does to a name is done to it afterwards too."""
    (use,) = found('x = f"models:/{name!r:>9}/{stage!s}"')
    assert (use.what, use.instead) == ("models:/{name!r:>9}/{stage!s}", 'x = f"models:/{name!r:>9}@{stage!s}"')


# Attributes of a version


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        (
            'live = mv.current_stage == "Production"',
            "live = prodpointer.connect(mv.name).live_version() == int(mv.version)",
        ),
        ('x = mv.current_stage != "Production"', "x = prodpointer.connect(mv.name).live_version() != int(mv.version)"),
        ('x = "Archived" == mv.current_stage', "x = prodpointer.connect(mv.name).live_version() != int(mv.version)"),
        (
            'if mv.current_stage.lower() == "staging":\n    pass',
            'prodpointer.connect(mv.name, alias="staging").live_version() == int(mv.version)',
        ),
        (
            "x = mv.current_stage == wanted",
            "x = prodpointer.connect(mv.name, alias=wanted).live_version() == int(mv.version)",
        ),
        (
            'x = mv.current_stage in ("Production",)',
            "x = int(mv.version) in [prodpointer.connect(mv.name).live_version()]",
        ),
        (
            'x = mv.current_stage in ("None", "Staging", "Archived")',
            "x = int(mv.version) not in [prodpointer.connect(mv.name).live_version()]",
        ),
        (
            "x = mv.current_stage not in wanted",
            "x = int(mv.version) not in [prodpointer.connect(mv.name, alias=each).live_version() for each in wanted]",
        ),
        ("print(mv.current_stage)", "prodpointer.connect(mv.name).live_version() == int(mv.version)"),
        (
            '[v for v in search_model_versions() if v.current_stage == "Production"]',
            "[v for v in search_model_versions() if prodpointer.connect(v.name).live_version() == int(v.version)]",
        ),
        (
            'x = answer["current_stage"] == "Production"',
            'x = prodpointer.connect(answer["name"]).live_version() == int(answer["version"])',
        ),
    ],
)
def test_a_stage_that_is_read_is_a_question_for_what_is_live(found: Find, line: str, instead: str) -> None:
    """A comparison with a stage becomes one with the live version, the right way round."""
    (use,) = found(line, head=HEAD)
    assert (use.line, use.kind, use.what, use.instead) == (4, "read", "current_stage", instead)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("x = mv.source", "x = client.get_model_version_download_uri(mv.name, mv.version)"),
        (
            "return model_version.source",
            "return client.get_model_version_download_uri(model_version.name, model_version.version)",
        ),
        ("x = versions[0].source", None),
        ("x = latest.source", None),
        ("async def get(): return (await newest_model_version()).source", None),
        (
            "x = (mv or other).source",
            "x = client.get_model_version_download_uri((mv or other).name, (mv or other).version)",
        ),
        ('one = None if a else client.get_model_version("a", 3)\nx = one.source', None),
        ('if one := client.get_model_version("a", 3):\n    x = one.source', None),
        ("x = registered.latest_versions[0].source", None),
        ("x = [one for one in client.search_model_versions('')][0].source", None),
        ("one: ModelVersion = find()\nx = one.source", None),
        ("x = job.version.source", None),
        ("x = live_version.source", None),
        ("def get(given: ModelVersion): return given.source", None),
        ("def get(given: 'ModelVersion | None'): return given.source", None),
        ("def get(given: list[ModelVersion]): return [one.source for one in given]", None),
        ('one = client.get_model_version("a", 3)\nx = one.source', None),
        ('one = client.search_model_versions("")[0]\nx = one.source', None),
        ('for one in sorted(client.search_model_versions("")):\n    x = one.source', None),
        ("x = max(client.search_model_versions(''), key=int).source", None),
        ('made = mlflow.register_model("runs:/1/m", "a")\nx = made.source', None),
        ('x = client.get_model_version("a", v).source', 'x = client.get_model_version_download_uri("a", v)'),
        (
            'x = Client().get_model_version_by_alias(n, "best").source',
            'prodpointer.connect(n, alias="best").pull(directory)',
        ),
        (
            'one = client.get_latest_versions(n, ["Production"])[0]\nx = one.source',
            "prodpointer.connect(n).pull(directory)",
        ),
    ],
)
def test_the_source_of_a_version_is_not_what_to_download(found: Find, text: str, instead: str | None) -> None:
    """A version is known by what it was given, or by its name; MLflow tells where its files are."""
    use = found(text, head=HEAD)[-1]
    assert (use.kind, use.what) == ("read", "source")
    assert use.instead == instead if instead else "get_model_version_download_uri(" in use.instead


def test_a_direct_source_is_two_uses(found: Find) -> None:
    """What reads a stage for its version's source does both."""
    uses = found('client.get_latest_versions("a", ["Production"])[0].source')
    assert [(use.what, use.instead) for use in uses] == [
        ("get_latest_versions", 'prodpointer.connect("a").production().source'),
        ("source", 'prodpointer.connect("a").pull(directory)'),
    ]


# What is none


@pytest.mark.parametrize(
    "text",
    [
        '"""Loads models:/a/Production; see client.get_latest_versions."""',
        '# mlflow.pyfunc.load_model("models:/a/Production")',
        'uri = "models:/a/3"',
        'uri = "models:/a/latest"',
        'uri = "models:/a/LATEST"',
        'uri = "models:/a@production"',
        'uri = "models:/a@Production"',
        'uri = "models:/m-0123456789abcdef0123456789abcdef"',
        'uri = "models:/m-0123456789abcdef0123456789abcdef/production.pkl"',
        'uri = "models:/a/production-eu"',
        'uri = "models:/a/production.v2"',
        'uri = "my-models:/a/Production"',
        'uri = "s3://models/a/Production"',
        'uri = f"models:/{name}/{version}"',
        'uri = f"models:/{name}/{number}"',
        'uri = f"models:/{name}/{mv.version}"',
        'uri = f"models:/{name}/{stage_version}"',
        'uri = "models:/%s/%d" % (name, version)',
        'uri = uri if uri.startswith("models:/") else "None"',
        "inspect.source",
        "event.source",
        "self.source",
        "dataset.source",
        "version.source_code",
        "mv.source = 3",
        "mv.sources",
        "version = Dataset()\nversion.source",
        "def read(version: Dataset): return version.source",
        "self.current_stage",
        "pipeline.current_stage = 3",
        "def get_latest_versions(name): return []",
        "get_latest_versions(name)",
    ],
)
def test_what_uses_no_stage_is_not_reported(found: Find, text: str) -> None:
    """Versions, aliases, logged models, docstrings, comments and attributes of other things use none."""
    assert found(text, head="import mlflow\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "game.current_stage == 'Production'",
        "pypi.get_latest_versions('requests')",
        "latest.source",
        "x['current_stage']",
    ],
)
def test_words_that_others_use_too_count_where_mlflow_is(found: Find, text: str) -> None:
    """In a file that says nothing of a model registry they are not reported, and in another they are."""
    assert found(text) == []
    assert len(found(text, head="import mlflow\n")) == 1


@pytest.mark.parametrize(
    "text",
    ["mlflow pipeline: models:/a/3", "models:/a@production", "this.current_stage", "getLatestVersions", "a.source"],
)
@pytest.mark.parametrize("name", ["a.yaml", "a.java", "a.R", "a.md", "Dockerfile"])
def test_what_uses_no_stage_is_not_reported_elsewhere(found: Find, text: str, name: str) -> None:
    """Nor is it in other languages."""
    assert found(f"mlflow\n{text}\n", name) == []


# Other languages


@pytest.mark.parametrize(
    ("name", "line", "what", "instead"),
    [
        ("a.yaml", "uri: models:/a/Production", "models:/a/Production", "uri: models:/a@production"),
        ("a.yml", "- uri: 'models:/{{ n }}/Staging'", "models:/{{ n }}/Staging", "- uri: 'models:/{{ n }}@staging'"),
        ("a.yml", "u: models:/${{ env.N }}/Production", None, "u: models:/${{ env.N }}@production"),
        ("a.sh", "serve -m models:/$N/Production -p 1", None, "serve -m models:/$N@production -p 1"),
        ("a.sh", 'serve -m "models:/${N}/${STAGE}"', None, 'serve -m "models:/${N}@${STAGE}"'),
        ("Dockerfile", "ENV URI=models:/a/Production", None, "ENV URI=models:/a@production"),
        (".env", "URI=models:/a/none", None, "URI=models:/a/latest"),
        ("a.json", '{"uri": "models:/a/Archived"}', None, '{"uri": "models:/a/VERSION"}'),
        ("a.toml", 'uri = "models:/a/Production"', None, 'uri = "models:/a@production"'),
        ("a.sql", "SELECT f('models:/' || n || '/Production')", None, "SELECT f('models:/' || n || '@production')"),
        ("a.md", "Load `models:/a/Production`.", "models:/a/Production", "Load `models:/a@production`."),
        ("a.rst", "Either models:/<name>/<stage>.", "models:/<name>/<stage>", "Either models:/<name>@<stage>."),
        (
            "a.R",
            'paste0("models:/", n, "/Production")',
            "models:/{n}/Production",
            'paste0("models:/", n, "@production")',
        ),
        ("a.R", 'file.path("models:", n, "Production")', "models:/{n}/Production", "models:/{n}@production"),
        ("a.R", 'sprintf("models:/%s/%s", n, stage)', "models:/%s/%s", 'sprintf("models:/%s@%s", n, stage)'),
        (
            "A.java",
            'u = "models:/" + n + "/Production";',
            "models:/{n}/Production",
            'u = "models:/" + n + "@production";',
        ),
        ("A.java", 'u = "models:/" + n + "/" + stage;', "models:/{n}/{stage}", 'u = "models:/" + n + "@" + stage;'),
        ("A.scala", 'val u = s"models:/$n/Production"', "models:/$n/Production", 'val u = s"models:/$n@production"'),
        (
            "a.txt",
            "models:/a/Production or models:/b/3 or models:/c@production",
            "models:/a/Production",
            "models:/a@production or models:/b/3 or models:/c@production",
        ),
    ],
)
def test_a_uri_is_found_in_any_language(found: Find, name: str, line: str, what: str | None, instead: str) -> None:
    """The whole line is written anew, with the alias in the URI."""
    (use,) = found(f"first\n  {line}\n", name)
    assert (use.line, use.kind, use.text, use.instead) == (2, "read", line, instead)
    assert use.what == what or what is None


@pytest.mark.parametrize(
    ("name", "line", "what", "instead"),
    [
        (
            "a.R",
            'mlflow_transition_model_version_stage("a", v, "Production")',
            "mlflow_transition_model_version_stage",
            'system2("prodpointer", c("promote", "a", v))',
        ),
        (
            "a.R",
            'mlflow_transition_model_version_stage(version = 3, name = n, stage = "Archived")',
            "mlflow_transition_model_version_stage",
            'system2("prodpointer", c("withdraw", n))',
        ),
        (
            "a.R",
            'mlflow::mlflow_get_latest_versions(n, list("Staging"))',
            "mlflow_get_latest_versions",
            'system2("prodpointer", c("status", n, "--json", "--alias", "staging"), stdout = TRUE)',
        ),
        (
            "a.R",
            'mv$current_stage == "Production"',
            "current_stage",
            'system2("prodpointer", c("status", NAME, "--json"), stdout = TRUE)',
        ),
        (
            "A.java",
            'client.transitionModelVersionStage(f("a", 1), "3", stage, true);',
            "transitionModelVersionStage",
            'new ProcessBuilder("prodpointer", "promote", f("a", 1), "3", "--alias", stage).inheritIO().start();',
        ),
        (
            "A.scala",
            'client.getLatestVersions("a", Seq("Production").asJava)',
            "getLatestVersions",
            'new ProcessBuilder("prodpointer", "status", "a", "--json").inheritIO().start();',
        ),
        (
            "A.java",
            "modelVersion.getSource();",
            "source",
            'new ProcessBuilder("prodpointer", "pull", NAME, DIRECTORY).inheritIO().start();',
        ),
        (
            "a.sh",
            "curl -X POST $URL/api/2.0/mlflow/model-versions/transition-stage -d @a",
            "model-versions/transition-stage",
            "prodpointer promote NAME VERSION",
        ),
        (
            "a.ts",
            "fetch(`/ajax-api/2.0/mlflow/registered-models/get-latest-versions`)",
            "registered-models/get-latest-versions",
            "prodpointer status NAME --json",
        ),
        ("a.sh", "jq .model_version.current_stage", "current_stage", "prodpointer status NAME --json"),
        (
            "a.md",
            'Call `client.get_latest_versions("a")`.',
            "get_latest_versions",
            "prodpointer.connect(name).production()",
        ),
    ],
)
def test_a_call_is_found_in_any_language(found: Find, name: str, line: str, what: str, instead: str) -> None:
    """R and Java start the command with the call's arguments, a shell gets it to fill in."""
    (use,) = found(f"# mlflow\n{line}\n", name)
    kind = "write" if "ransition" in what else "read"
    assert (use.line, use.kind, use.what, use.instead) == (2, kind, what, instead)


def test_mlflows_own_table_has_its_column_of_stages(found: Find) -> None:
    """SQL on MLflow's database reads the table of aliases instead."""
    text = "SELECT run_id FROM model_versions v\nWHERE v.current_stage = 'Production' AND v.name = 'a'\n"
    (use,) = found(text, "report.sql")
    chosen = "SELECT name, version FROM registered_model_aliases WHERE alias = 'production'"
    assert use.instead == f"WHERE (v.name, v.version) IN ({chosen}) AND v.name = 'a'"


def test_a_call_over_several_lines_has_its_arguments(found: Find) -> None:
    """Also in languages that are read by line."""
    text = 'x <- mlflow_transition_model_version_stage(\n  name = "a",\n  version = 3,\n  stage = "Staging"\n)\n'
    (use,) = found(text, "a.R")
    assert use.instead == 'system2("prodpointer", c("promote", "a", 3, "--alias", "staging"))'


def test_two_uris_of_one_line_are_both_written_anew(found: Find) -> None:
    """Each is a use, and both have the line without any stage."""
    uses = found("cp models:/a/Production models:/b/Staging", "a.sh")
    assert [use.what for use in uses] == ["models:/a/Production", "models:/b/Staging"]
    assert {use.instead for use in uses} == {"cp models:/a@production models:/b@staging"}


def test_a_long_line_is_cut(found: Find) -> None:
    """Of a line of more than 200 characters the beginning is shown, and what changes is written alone."""
    (use,) = found("x" * 300 + " models:/a/Production " + "y" * 300, "bundle.js")
    assert (use.text, use.instead) == ("x" * 200, "models:/a@production")


# Python that is not quite


def test_a_file_that_does_not_parse_is_read_by_line(found: Find) -> None:
    """The plain patterns tell what they can; all of it is valid Python."""
    text = (
        'print "of Python 2"\n'
        'mv = client.get_latest_versions("a", ["Production"])[0]\n'
        'uri = f"models:/{name}/Production"\n'
        "elif client.get_latest_versions(\n"
        '    load(x, "models:/a/Staging"\n'
    )
    assert [(use.line, use.instead) for use in found(text, head="import mlflow\n")] == [
        (3, "prodpointer.connect(name).production()"),
        (4, 'f"models:/{name}@production"'),
        (5, "prodpointer.connect(name).production()"),
        (6, '"models:/a@staging"'),
    ]


def test_a_line_that_begins_with_percent_is_python(found: Find) -> None:
    """It is IPython's only where the file is no Python with it."""
    (use,) = found('uri = ("models:/%s/Production"\n    % name)\n')
    assert use.instead == 'uri = (f"models:/{name}@production")'


def test_magic_of_databricks_is_read(found: Find) -> None:
    """Its notebooks are Python files that keep other languages in comments."""
    (use,) = found("# Databricks notebook source\n# MAGIC %sh serve -m models:/a/Production\n")
    assert (use.line, use.instead) == (2, "# MAGIC %sh serve -m models:/a@production")


def test_a_script_is_known_by_its_first_line(found: Find) -> None:
    """A program of Python may have no suffix."""
    (use,) = found('#!/usr/bin/env python3\nx = "models:/a/" + "Production"\n', "promote")
    assert use.instead == 'x = "models:/a@production"'


def test_an_expression_without_end_is_no_error(found: Find) -> None:
    """More parts than Python can write of a syntax tree: then the line is read as one that does not parse."""
    long = " + ".join(["a"] * 1500)
    (use,) = found(f"client.transition_model_version_stage(\n{long}, 1, 'Production')\n")
    assert use.instead == "prodpointer.connect(name).promote(version)"


@pytest.mark.parametrize("text", ['re.compile("\\d")', 'f"\\{n}"'])
@pytest.mark.filterwarnings("error")
def test_what_python_warns_of_is_no_error(found: Find, text: str) -> None:
    """The warning is for who runs the file, and the file is read as Python."""
    (use,) = found(f"{text}, f'models:/{{n}}/Production'\nn = 'models:'\n# models:/b/Production\n")
    assert use.what == "models:/{n}/Production"


def test_a_large_file_of_python_is_read_by_line(tmp_path: Path) -> None:
    """Above 1 MiB libcst takes a minute and gigabytes."""
    path = tmp_path / "a.py"
    path.write_text("x = 'models:/a/Production'\n" + "#" * 2**20)
    (source,) = stage_sources(path)
    assert [(use.what, use.edit) for use in source.uses] == [("models:/a/Production", None)]
    assert not source.parsed


# Notebooks


def notebook(*cells: tuple[str, str], language: str = "python") -> str:
    """Return a notebook with cells of a type and a source each."""
    written = [
        {"cell_type": kind, "metadata": {}, "outputs": [{"text": ["models:/output/Production"]}], "source": lines}
        for kind, lines in ((kind, source.splitlines(keepends=True)) for kind, source in cells)
    ]
    return json.dumps({"cells": written, "metadata": {"language_info": {"name": language}}, "nbformat": 4}, indent=1)


def test_a_notebook_is_read_as_one_program(found: Find) -> None:
    """What one cell imports another one uses; each use has the line of the file, and outputs use nothing."""
    text = notebook(
        ("code", "import mlflow.sklearn as skl\nname = 'a'"),
        ("markdown", "Now models:/a/Staging"),
        ("code", '%matplotlib inline\nm = skl.load_model(f"models:/{name}/Production")\n'),
        ("code", "%%bash\nserve -m models:/a/Production"),
        ("code", "!serve -m models:/a/Production"),
        ("code", "def broken(:\n    x = 'models:/a/Production'"),
    )
    uses = found(text, "a.ipynb")
    assert [(use.text, use.instead) for use in uses] == [
        ("Now models:/a/Staging", "Now models:/a@staging"),
        (
            'm = skl.load_model(f"models:/{name}/Production")',
            'm = prodpointer.connect(name).load_production(flavor="sklearn")',
        ),
        ("serve -m models:/a/Production", "serve -m models:/a@production"),
        ("!serve -m models:/a/Production", "!serve -m models:/a@production"),
        ("x = 'models:/a/Production'", '"models:/a@production"'),
    ]
    lines = text.split("\n")
    assert all(json.dumps(use.text)[1:-1] in lines[use.line - 1] for use in uses)


@pytest.mark.parametrize(
    "text",
    [
        notebook(("code", 'load("models:/a/Production")'), language="R"),
        json.dumps({"worksheets": [{"cells": [{"cell_type": "code", "input": ["load('models:/a/Production')"]}]}]}),
        json.dumps({"cells": [{"cell_type": "code", "source": "x = 1\nload('models:/a/Production')"}]}),
        "no notebook at all: models:/a/Production",
        '{"cells": [3, "models:/a/Production", {"source": 3}]} models:/a/Production',
    ],
)
def test_a_notebook_of_any_kind_is_read(found: Find, text: str) -> None:
    """Other languages, older formats, sources that are one text, and what is no notebook."""
    assert {use.what for use in found(text, "a.ipynb")} == {"models:/a/Production"}


@pytest.mark.parametrize(
    "text", ["3", "[]", '{"cells": 3}', '{"cells": [{"source": 3}, 4], "metadata": []}', "{" * 9999]
)
def test_a_damaged_notebook_is_no_error(found: Find, text: str) -> None:
    """Whatever JSON it is, what can be read is read."""
    assert found(text + '\n\n"models:"', "a.ipynb") == []


# Which files


def test_uses_come_by_path_and_line(tmp_path: Path) -> None:
    """The order is that of the paths, then of the lines, whatever the order on the disk."""
    for name in ("b/z.yaml", "b/a.yaml", "a.yaml", "c.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("models:/y/Production\nmodels:/x/Production\n")
    assert [(use.path.relative_to(tmp_path).as_posix(), use.line) for use in stage_uses(tmp_path)] == [
        (name, line) for name in ("a.yaml", "b/a.yaml", "b/z.yaml", "c.yaml") for line in (1, 2)
    ]


@pytest.mark.parametrize(
    "directory",
    [
        ".git",
        ".venv",
        "node_modules",
        "a/__pycache__",
        "lib/site-packages/a",
        "environment/lib",
        "mlruns/0/models",
        "mlartifacts/0",
    ],
)
def test_what_others_wrote_is_skipped(tmp_path: Path, directory: str) -> None:
    """Hidden directories, installed packages and virtual environments are not looked into, unless they are the root."""
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "pyvenv.cfg").touch()
    (tmp_path / directory).mkdir(parents=True, exist_ok=True)
    (tmp_path / directory / "a.yaml").write_text("models:/a/Production")
    assert list(stage_uses(tmp_path)) == []
    assert len(list(stage_uses(tmp_path / directory))) == 1


@pytest.mark.parametrize(
    "content",
    [b"\0models:/a/Production", b"models:/a/Production" + b" " * 8000 + b"\0", b"models:/a/Production" + b" " * 2**21],
    ids=["a NUL", "a NUL within 8 KiB", "above 2 MiB"],
)
def test_binary_and_large_files_are_skipped(tmp_path: Path, content: bytes) -> None:
    """They are not the user's source."""
    (tmp_path / "a.yaml").write_bytes(content)
    assert list(stage_uses(tmp_path)) == []


def test_a_notebook_may_be_large(tmp_path: Path) -> None:
    """It keeps its pictures beside its code."""
    cell = {"cell_type": "code", "source": ["uri = 'models:/a/Production'\n"], "outputs": [{"png": "x" * 2**22}]}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "plots.ipynb").write_text(json.dumps(notebook))
    assert [use.what for use in stage_uses(tmp_path)] == ["models:/a/Production"]


@pytest.mark.parametrize("directory", [".github/workflows", ".circleci", ".gitlab/ci"])
def test_pipelines_are_looked_through(tmp_path: Path, directory: str) -> None:
    """The directories of CI are hidden, but the user's own source."""
    (tmp_path / directory).mkdir(parents=True)
    (tmp_path / directory / "train.yml").write_text("run: score models:/a/Production")
    assert len(list(stage_uses(tmp_path))) == 1


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither out of the tree nor back into it, and a link that leads nowhere is no error; the root may be one."""
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    for directory in (tree, outside):
        directory.mkdir()
        (directory / "a.yaml").write_text("models:/a/Production")
    (tree / "out").symlink_to(outside)
    (tree / "back").symlink_to(tree)
    (tree / "b.yaml").symlink_to(outside / "a.yaml")
    (tree / "c.yaml").symlink_to("nowhere")
    unread: list[Path] = []
    assert [use.path.name for use in stage_uses(tree, unread=unread)] == ["a.yaml"]
    assert unread == []
    assert [use.path for use in stage_uses(tree / "out")] == [tree / "out" / "a.yaml"]
    assert len(list(stage_uses(tree / "b.yaml"))) == 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """What is no file is not opened."""
    os.mkfifo(tmp_path / "a.yaml")
    assert list(stage_uses(tmp_path)) == []


@pytest.mark.parametrize("name", ["a.py", "a.yaml"])
def test_text_that_is_not_utf_8_is_read(tmp_path: Path, name: str) -> None:
    """What cannot be decoded is replaced, the rest of the line is there, and so are the columns of the tree."""
    (tmp_path / name).write_bytes(b'caf\xe9 = "caf\xe9", "models:/caf\xe9/Production"\n')
    (use,) = stage_uses(tmp_path)
    assert use.what == "models:/caf\ufffd/Production"
    assert use.instead.endswith('"models:/caf\ufffd@production"')


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_editors_do(tmp_path: Path, end: str) -> None:
    """Every line end counts once, a form feed does not, and a mark of byte order is no text."""
    text = "\ufeffa = 1\f" + end + "b = '\u2028'" + end + "c = 'models:/a/Production'" + end
    (tmp_path / "a.py").write_bytes(text.encode())
    (tmp_path / "a.yaml").write_bytes(text.encode())
    assert [use.line for use in stage_uses(tmp_path)] == [3, 3]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """It is in ``unread``, and the others are read all the same; here it goes away meanwhile."""
    for name in ("a.yaml", "b.yaml", "c.yaml"):
        (tmp_path / name).write_text("models:/a/Production")
    unread: list[Path] = []
    uses = stage_uses(tmp_path, unread=unread)
    first = next(uses)
    (tmp_path / "b.yaml").unlink()
    assert [use.path.name for use in (first, *uses)] == ["a.yaml", "c.yaml"]
    assert unread == [tmp_path / "b.yaml"]


def test_a_file_alone_is_read(tmp_path: Path) -> None:
    """It is not looked through as a directory, which would be one more that cannot be read."""
    (tmp_path / "a.yaml").write_text("models:/a/Production")
    unread: list[Path] = []
    assert len(list(stage_uses(tmp_path / "a.yaml", unread=unread))) == 1
    assert unread == []


def test_a_root_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """It is raised by the call, before anything is asked for."""
    with pytest.raises(ProdpointerError, match="no such file") as caught:
        stage_uses(tmp_path / "missing")
    assert str(tmp_path / "missing") in caught.value.where


def test_a_use_in_json_has_a_path_with_slashes(tmp_path: Path) -> None:
    """All fields are in it, and nothing that JSON has no name for."""
    (tmp_path / "a.yaml").write_text("uri: models:/a/Production")
    (use,) = stage_uses(tmp_path)
    assert json.loads(json.dumps(use.as_json())) == {
        "path": (tmp_path / "a.yaml").as_posix(),
        "line": 1,
        "kind": "read",
        "what": "models:/a/Production",
        "text": "uri: models:/a/Production",
        "instead": "uri: models:/a@production",
        "fixable": True,
    }


# A project of strangers

PROJECT = {
    "churn/__init__.py": "",
    "churn/registry.py": (
        "import mlflow as ml\n"
        "from mlflow.tracking import MlflowClient as Registry\n"
        "\n"
        "registry = Registry()\n"
        "\n"
        "\n"
        "def current(name):\n"
        '    """Return what models:/NAME/Production is."""\n'
        '    return registry.get_latest_versions(name, stages=["Production"])[0]\n'
        "\n"
        "\n"
        "def release(name, version, stage='Production'):\n"
        "    for old in registry.search_model_versions(f\"name='{name}'\"):\n"
        "        if old.current_stage == stage:\n"
        "            registry.transition_model_version_stage(name, old.version, 'Archived')\n"
        "    registry.transition_model_version_stage(\n"
        "        name=name, version=version, stage=stage, archive_existing_versions=False\n"
        "    )\n"
        "\n"
        "\n"
        "def weights(name):\n"
        "    return ml.artifacts.download_artifacts(current(name).source), registry.get_model_version(name, 1).source\n"
    ),
    "churn/serve.py": (
        "from mlflow import lightgbm as booster, pyfunc\n"
        "NAME = 'churn'\n"
        "model = booster.load_model(f'models:/{NAME}/Production')\n"
        "shadow = pyfunc.load_model(model_uri='models:/churn/Staging')\n"
        "pinned = pyfunc.load_model('models:/churn/3')\n"
        "pinned.source, pinned.current\n"
    ),
    "churn/old.py": "print 'two'\nuri = 'models:/churn/Production'\n",
    "explore.ipynb": notebook(("code", "import mlflow\nmlflow.pyfunc.load_model('models:/churn/Production')")),
    "Dockerfile": 'FROM python\nCMD ["mlflow", "models", "serve", "-m", "models:/churn/Production"]\n',
    "pipelines/nightly.yaml": "steps:\n  - run: score --model models:/churn/${STAGE}\n  - run: x models:/churn/7\n",
    "analysis/report.R": 'library(mlflow)\nv <- mlflow_get_latest_versions("churn", list("Production"))\n',
    "jvm/Score.java": (
        "import org.mlflow.tracking.MlflowClient;\n"
        'String uri = "models:/" + name + "/Production";\n'
        'client.transitionModelVersionStage("churn", "3", "Staging");\n'
    ),
    "node_modules/mlflow/index.js": "'models:/churn/Production'",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of several languages that knows nothing of prodpointer."""
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "notes.txt").write_bytes(b"M\xfcller: models:/churn/Production\n")
    return tmp_path


def test_every_use_of_a_project_is_found(project: Path) -> None:
    """Each reader and writer of a stage is listed with its line, and nothing else is."""
    assert [(use.path.relative_to(project).as_posix(), use.line, use.what) for use in stage_uses(project)] == [
        ("Dockerfile", 2, "models:/churn/Production"),
        ("analysis/report.R", 2, "mlflow_get_latest_versions"),
        ("churn/old.py", 2, "models:/churn/Production"),
        ("churn/registry.py", 9, "get_latest_versions"),
        ("churn/registry.py", 14, "current_stage"),
        ("churn/registry.py", 15, "transition_model_version_stage"),
        ("churn/registry.py", 16, "transition_model_version_stage"),
        ("churn/registry.py", 22, "source"),
        ("churn/serve.py", 3, "models:/{NAME}/Production"),
        ("churn/serve.py", 4, "models:/churn/Staging"),
        ("explore.ipynb", 15, "models:/churn/Production"),
        ("jvm/Score.java", 2, "models:/{name}/Production"),
        ("jvm/Score.java", 3, "transitionModelVersionStage"),
        ("notes.txt", 1, "models:/churn/Production"),
        ("pipelines/nightly.yaml", 2, "models:/churn/${STAGE}"),
    ]


def verbs(text: str) -> list[tuple[ast.Call, ast.Call | None, str]]:
    """Return the calls of ``connect`` in a text of Python, each with the call of a verb on what it returns."""
    tree = ast.parse(text)
    called = {node.func: node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return [
        (node.value, called.get(node), node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call)
        if ast.unparse(node.value.func) == "prodpointer.connect"
    ]


def bound(function: Callable[..., Any], call: ast.Call, *given: object) -> inspect.BoundArguments:
    """Return how a function takes the arguments of a call, or raise ``TypeError``."""
    named = {each.arg: each.value for each in call.keywords if each.arg}
    return inspect.signature(function).bind(*given, *call.args, **named)


def test_each_verb_that_is_suggested_exists(project: Path) -> None:
    """What is written for Python is Python, and takes the arguments that the registered model's verbs take."""
    uses = [use for use in stage_uses(project) if use.path.suffix in {".py", ".ipynb"}]
    found = [each for use in uses for each in verbs(use.instead)]
    for connected, verb, name in found:
        bound(prodpointer.connect, connected)
        assert verb is not None
        bound(getattr(prodpointer.RegisteredModel, name), verb, None)
    assert {name for *_, name in found} >= {"production", "promote", "withdraw", "load_production", "live_version"}


@pytest.mark.parametrize(
    "line", ["x/model-versions/transition-stage", "x/registered-models/get-latest-versions", "mlflow: mv.source"]
)
def test_each_command_that_is_suggested_exists(found: Find, line: str) -> None:
    """What is written for a shell is a command of prodpointer with as many arguments as it takes."""
    (use,) = found(line, "a.sh")
    program, verb, *words = use.instead.split()
    command = command_line.main.commands[verb]
    assert program == "prodpointer"
    command.make_context(verb, list(words))


# Whatever is written

NAMES = st.sampled_from(
    [
        "name",
        '"a"',
        "cfg['n']",
        'cfg["n"]',
        "f'{a}-b'",
        "a or b",
        "(x := 3)",
        "lambda: 0",
        "*a",
        "r'\\d'",
        "f'{a!r:>9}'",
    ]
)
STAGES = st.sampled_from(
    [
        '"Production"',
        "'none'",
        "stage",
        "[stage]",
        '["Production"]',
        "('a', 'Archived')",
        "None",
        "a if b else c",
        "**k",
    ]
)
LINES = st.sampled_from(
    [
        "x = client.get_latest_versions({name}, {stage})[0].source",
        "f'{{client.get_latest_versions({name}, {stage})}}'",
        "client.transition_model_version_stage({name}, v, {stage}); y()",
        "if ({name}).current_stage == {stage} and not b: pass",
        "x = [mv.current_stage in {stage} for mv in ({name})]",
        "mlflow.pyfunc.load_model('models:/%s/%s' % ({name}, {stage}))",
        "mlflow.pyfunc.load_model('models:/{{}}/Production'.format({name}))",
        "load('models:/' + ({name}) + '/' + ({stage}))",
        'uri = f"""models:/{{ {name} }}/{{ {stage} }}"""',
        "os.path.join('models:/', {name}, {stage})",
        "({name}).get_model_version({stage}).source",
        "client.get_model_version(\n  {name},\n  {stage}).source",
    ]
)


@given(line=LINES, name=NAMES, stage=STAGES, broken=st.sampled_from(["", "\n)", "\nprint 'two'"]))
def test_what_is_written_for_python_is_python(
    tmp_path_factory: pytest.TempPathFactory, line: str, name: str, stage: str, broken: str
) -> None:
    """Whatever the arguments are, and whether or not the file parses."""
    path = tmp_path_factory.mktemp("any") / "a.py"
    path.write_text("import mlflow\n" + line.format(name=name, stage=stage) + broken, encoding="utf-8")
    for use in stage_uses(path):
        ast.parse(use.instead)


SIGNS = [
    "models:/",
    "/Production",
    "/stage",
    "${",
    "}",
    "{{",
    "}}",
    "$(",
    ")",
    "<a",
    ">",
    '"',
    "'",
    "%s",
    "[0]",
    "\n",
    "\r",
]
WORDS = ["mv", "a", " ", ".current_stage", ".source", "get_latest_versions(", "\ue0007\ue001", "\ud7ff", "\x0c"]


@given(
    parts=st.lists(st.sampled_from(SIGNS + WORDS), max_size=40),
    name=st.sampled_from(["a.py", "a.ipynb", "a.R", "a.sql", "a"]),
)
def test_no_text_is_an_error(tmp_path_factory: pytest.TempPathFactory, parts: list[str], name: str) -> None:
    """Any text is read to its end, and every use names a line of it."""
    path = tmp_path_factory.mktemp("any") / name
    text = "mlflow from model_versions " + "".join(parts)
    path.write_bytes(text.encode())
    for use in stage_uses(path):
        assert 1 <= use.line <= text.count("\n") + text.count("\r") + 1


@pytest.mark.parametrize(
    "part", ["${a}", "{{a}}", "$(a)", "<a>", "{a}", "a b ", "models:/a", "mv", "a.", '"', "{{", "stage"]
)
def test_no_text_takes_long(found: Find, part: str) -> None:
    """Each character is read a few times, however often something is begun and not finished."""
    for start in ("models:/", "models:/a/%s ", "'models:/' + mlflow model_versions.source "):
        assert len(found(start + part * 20_000, "a.yaml")) <= 2


def test_looking_for_uses_needs_no_mlflow() -> None:
    """The modules import the standard library, libcst, the errors, and one another."""
    allowed = {*sys.stdlib_module_names, "libcst", "prodpointer"}
    paths = sorted((ROOT / "src" / "prodpointer" / "stage_finder").glob("*.py"))
    assert paths
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            names = [module] if module else [each.name for each in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.partition(".")[0] in allowed
                assert not name.startswith("prodpointer") or name.split(".")[1] in {"stage_finder", "errors"}
