"""An alias is written in place of a stage where that keeps what the code means, and nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from prodpointer.cli.main import main
from prodpointer.stage_finder.finder import stage_sources, stage_uses
from prodpointer.stage_finder.fix import rewrites

HEAD = "import mlflow\nfrom mlflow import MlflowClient\nclient = MlflowClient()\n"


def fixed(path: Path, text: str) -> str:
    """Return what a file holds after ``--fix``."""
    path.write_bytes(text.encode())
    for each in rewrites(list(stage_sources(path))):
        each.write(path)
    return path.read_bytes().decode()


def find(*arguments: object) -> Result:
    """Run ``prodpointer migrate find``."""
    return CliRunner().invoke(main, ["migrate", "find", *map(str, arguments)])


# What is rewritten


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("uri = 'models:/a/Production'", "uri = 'models:/a@production'"),
        ('uri = r"models:/a/STAGING" # x', 'uri = r"models:/a@staging" # x'),
        ('uri = f"models:/{name}/Production"', 'uri = f"models:/{name}@production"'),
        ('uri = "models:/" + n + "/Production"', 'uri = "models:/" + n + "@production"'),
        ('uri = "models:/%s/Production" % n', 'uri = "models:/%s@production" % n'),
        ('uri = "models:/{}/Production".format(n)', 'uri = "models:/{}@production".format(n)'),
        ('uri = ("models:/a"\n    "/Production")', 'uri = ("models:/a"\n    "@production")'),
        ('s = """\nx models:/a/Production\ny models:/b/3\n"""', 's = """\nx models:/a@production\ny models:/b/3\n"""'),
        (
            'client.transition_model_version_stage(name, v, "Production", True)',
            'client.set_registered_model_alias(name, "production", v)',
        ),
        (
            "client.transition_model_version_stage(name, 3, 'Staging', archive_existing_versions=True)",
            "client.set_registered_model_alias(name, 'staging', \"3\")",
        ),
        (
            "client.transition_model_version_stage(name, 0x1f, 'Staging', True)",
            "client.set_registered_model_alias(name, 'staging', \"31\")",
        ),
        ('uri = f"{root}\\{part}", "models:/a/Production"', 'uri = f"{root}\\{part}", "models:/a@production"'),
        ('uri = rf"C:\\{part}", "models:/a/Production"', 'uri = rf"C:\\{part}", "models:/a@production"'),
        (
            'client.transition_model_version_stage(name, v, stage="Production", archive_existing_versions=True)',
            'client.set_registered_model_alias(name, version=v, alias="production")',
        ),
        (
            (
                "client.transition_model_version_stage(\n    name=n,  # the model\n    version=mv.version,\n"
                '    stage="Production",\n    archive_existing_versions=True,\n)'
            ),
            (
                "client.set_registered_model_alias(\n    name=n,  # the model\n    version=mv.version,\n"
                '    alias="production",\n)'
            ),
        ),
        (
            'mv = client.get_latest_versions(name, ["Production"])[0]',
            'mv = client.get_model_version_by_alias(name, "production")',
        ),
        (
            "v = MlflowClient().get_latest_versions(n, stages=('Staging',))[-1].version",
            "v = MlflowClient().get_model_version_by_alias(n, alias='staging').version",
        ),
        (
            (
                "class Job:\n    def __init__(self):\n        self.c = mlflow.tracking.MlflowClient()\n"
                '    def go(self):\n        self.c.transition_model_version_stage("a", "3", "Production", True)'
            ),
            (
                "class Job:\n    def __init__(self):\n        self.c = mlflow.tracking.MlflowClient()\n"
                '    def go(self):\n        self.c.set_registered_model_alias("a", "production", "3")'
            ),
        ),
        (
            (
                "class Job:\n    def go(self):\n        self.c = other()\n"
                "class Other:\n    def go(self):\n        self.c = MlflowClient()\n"
                '        return self.c.get_latest_versions("a", ["Production"])[0]'
            ),
            (
                "class Job:\n    def go(self):\n        self.c = other()\n"
                "class Other:\n    def go(self):\n        self.c = MlflowClient()\n"
                '        return self.c.get_model_version_by_alias("a", "production")'
            ),
        ),
        (
            'def go(c: MlflowClient):\n    return c.get_latest_versions("a", ["Production"])[0]',
            'def go(c: MlflowClient):\n    return c.get_model_version_by_alias("a", "production")',
        ),
        (
            'mv = (\n    client\n    .get_latest_versions("a", ["Production"])\n)[0]',
            'mv = (\n    client\n    .get_model_version_by_alias("a", "production")\n)',
        ),
    ],
)
def test_what_keeps_its_meaning_is_rewritten(tmp_path: Path, before: str, after: str) -> None:
    """Quotes, comments and layout stay, and a second run changes nothing."""
    assert fixed(tmp_path / "job.py", HEAD + before + "\n") == HEAD + after + "\n"
    assert fixed(tmp_path / "job.py", HEAD + after + "\n") == HEAD + after + "\n"


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("a.yaml", "uri: models:/a/Production # live", "uri: models:/a@production # live"),
        ("a.sh", "serve -m models:/$N/Staging -p 1", "serve -m models:/$N@staging -p 1"),
        ("a.json", '{"uri": "models:/a/Production"}', '{"uri": "models:/a@production"}'),
        (".env", "URI=models:/a/Production", "URI=models:/a@production"),
        ("serve", "#!/usr/bin/env bash\nserve models:/a/Production", "#!/usr/bin/env bash\nserve models:/a@production"),
        (
            "Dockerfile",
            "ENV A=models:/a/Production B=models:/b/Staging",
            "ENV A=models:/a@production B=models:/b@staging",
        ),
    ],
)
def test_a_uri_is_rewritten_in_settings_and_scripts(tmp_path: Path, name: str, before: str, after: str) -> None:
    """The plain patterns change the stage and nothing else."""
    assert fixed(tmp_path / name, before) == after


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "uri = f'models:/a/{stage}'"),
        ("a.py", "uri = 'models:/a/Archived'"),
        ("a.py", "uri = 'models:/a/None'"),
        ("a.py", "uri = 'models:/a/Production/part'"),
        ("a.py", "uri = '/'.join(['models:', n, 'Production'])"),
        ("a.py", "uri = 'models:/' + f('/Production') + '/Production'"),
        ("a.py", "print 'two'\nuri = 'models:/a/Production'"),
        ("a.py", "name = 'models:/a/Production'.split('/')"),
        ("a.py", "name = 'models:/a/Production'[8:]"),
        ("a.py", "same = uri == 'models:/a/Production' or 'models:/b/Production' != uri"),
        ("a.py", "same = uri in ('models:/a/Production', 'models:/b/Production')"),
        ("a.py", "known = {'models:/a/Production': 1}\nknown['models:/a/Production']"),
        ("a.py", "assert 'models:/a/Production'"),
        (
            "a.py",
            "import re\nfrom re import compile\nre.match('models:/a/Production', x), compile('models:/a/Staging')",
        ),
        ("a.py", "parse_uri('models:/a/Production'), uris._parse(uri='models:/a/Production')"),
        ("a.py", "uri.startswith('models:/a/Production'), self.assertEqual(uri, 'models:/a/Production')"),
        ("a.py", "match uri:\n    case 'models:/a/Production':\n        pass"),
        ("a.py", "mv = client.transition_model_version_stage(n, v, 'Production', True)"),
        ("a.py", "client.transition_model_version_stage(n, v, 'Archived', True)"),
        ("a.py", "client.transition_model_version_stage(n, v, stage, True)"),
        ("a.py", "client.transition_model_version_stage(n, v, 'P\\x72oduction', True)"),
        ("a.py", "client.transition_model_version_stage(n, v, 'Production')"),
        ("a.py", "client.transition_model_version_stage(n, v, 'Production', archive_existing_versions=False)"),
        ("a.py", "client.transition_model_version_stage(*given, stage='Production', archive_existing_versions=True)"),
        (
            "a.py",
            "client.transition_model_version_stage(n, v, 'Production',\n  # why\n  archive_existing_versions=True)",
        ),
        ("a.py", "def go(other):\n    other.transition_model_version_stage(n, v, 'Production', True)"),
        (
            "a.py",
            "client.transition_model_version_stage(n, v, 'Production', True)\nwith other() as client:\n    pass",
        ),
        (
            "a.py",
            "client.transition_model_version_stage = f\nclient.transition_model_version_stage(n, v, 'Staging', True)",
        ),
        ("a.py", "client.get_latest_versions(n, ['Staging'])[0]\npatch.object(client, 'get_latest_versions')"),
        (
            "a.py",
            (
                "class Job:\n    def __init__(self):\n        self.c = MlflowClient()\n"
                "class Other:\n    def go(self):\n        return self.c.get_latest_versions('a', ['Production'])[0]"
            ),
        ),
        ("a.py", "client.get_latest_versions(n, ['Production'])"),
        ("a.py", "client.get_latest_versions(n, ['Production', 'Staging'])[0]"),
        ("a.py", "client.get_latest_versions(n, ['Production'])[0:1]"),
        ("a.py", "try:\n    client.get_latest_versions(n, ['Production'])[0]\nexcept IndexError:\n    pass"),
        ("a.py", "try:\n    client.get_latest_versions(n, ['Production'])[0]\nexcept* IndexError:\n    pass"),
        ("a.py", "try:\n    client.get_latest_versions(n, ['Production'])[0]\nexcept errors.Empty:\n    pass"),
        ("a.py", "try:\n    client.get_latest_versions(n, ['Production'])[0]\nexcept (*EMPTY, ValueError):\n    pass"),
        ("a.py", "with contextlib.suppress(IndexError):\n    client.get_latest_versions(n, ['Production'])[0]"),
        ("a.py", "with a, pytest.raises(LookupError):\n    client.get_latest_versions(n, ['Production'])[0]"),
        ("a.py", "mv.current_stage == 'Production'"),
        ("a.py", "mv.source"),
        ("a.md", "It was models:/a/Production."),
        ("a.patch", "-uri: models:/a/Production"),
        ("a.csv", "1,models:/a/Production"),
        ("a.log", "loaded models:/a/Production"),
        ("a.R", 'mlflow_load_model("models:/a/Production")'),
        ("a.sql", "SELECT 1 FROM model_versions WHERE current_stage = 'Production'"),
        ("a.java", 'client.transitionModelVersionStage("a", "3", "Production");'),
    ],
)
def test_what_may_change_its_meaning_is_left(tmp_path: Path, name: str, text: str) -> None:
    """It is a finding, which a person decides."""
    head = HEAD if name == "a.py" else ""
    assert fixed(tmp_path / name, head + text) == head + text
    [source] = stage_sources(tmp_path / name)
    assert source.uses


# Files


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_bytes_and_line_ends_stay(tmp_path: Path, end: str) -> None:
    """A mark of byte order, bytes that are not UTF-8, line ends and a missing last one are as before."""
    path = tmp_path / "a.sh"
    path.write_bytes(f"\ufeffa{end}serve models:/a/Production{end}".encode() + b"caf\xe9 models:/\xe9/Staging")
    assert find(path, "--fix").exit_code == 0
    expected = f"\ufeffa{end}serve models:/a@production{end}".encode() + b"caf\xe9 models:/\xe9@staging"
    assert path.read_bytes() == expected


def test_a_call_over_several_lines_keeps_its_line_ends(tmp_path: Path) -> None:
    """Also in a file of Windows."""
    text = HEAD + 'client.transition_model_version_stage(\n    "a",\n    v,\n    "Production",\n    True,\n)\n'
    after = HEAD + 'client.set_registered_model_alias(\n    "a",\n    "production",\n    v,\n)\n'
    assert fixed(tmp_path / "a.py", text.replace("\n", "\r\n")) == after.replace("\n", "\r\n")


def test_permissions_stay(tmp_path: Path) -> None:
    """A script stays one that can be run, and nothing lies beside it."""
    path = tmp_path / "serve.sh"
    path.write_text("serve -m models:/a/Production\n")
    path.chmod(0o750)
    assert find(tmp_path, "--fix").exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o750
    assert [each.name for each in tmp_path.iterdir()] == ["serve.sh"]


def test_a_file_that_cannot_keep_its_owner_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would belong to who runs the command; the others are fixed."""
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("uri: models:/a/Production\n")
    group = next(
        (each for each in (1, *os.getgroups()) if each != os.getegid() and _is_given(tmp_path / "a.yaml", each)), None
    )
    if group is None:
        pytest.skip("needs a second group")

    def refused(*given: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refused)
    done = find(tmp_path, "--fix")
    assert f"group {group}, which a new file cannot be given" in done.output
    assert (tmp_path / "a.yaml").read_text() == "uri: models:/a/Production\n"
    assert (tmp_path / "b.yaml").read_text() == "uri: models:/a@production\n"
    assert len(list(tmp_path.iterdir())) == 2


def _is_given(path: Path, group: int) -> bool:
    """Give a file to a group, and tell whether that is allowed."""
    try:
        os.chown(path, -1, group)
    except PermissionError:
        return False
    return True


def test_links_out_of_the_tree_are_not_written(tmp_path: Path) -> None:
    """Whether the link was there from the beginning, or came meanwhile."""
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    tree.mkdir()
    outside.mkdir()
    for directory in (tree, outside):
        (directory / "a.yaml").write_text("uri: models:/a/Production\n")
    (tree / "link.yaml").symlink_to(outside / "a.yaml")
    found = rewrites(list(stage_sources(tree)))
    assert [each.before.path.name for each in found] == ["a.yaml"]
    (tree / "a.yaml").unlink()
    (tree / "a.yaml").symlink_to(outside / "a.yaml")
    with pytest.raises(Exception, match="outside of the source tree"):
        found[0].write(tree)
    assert (outside / "a.yaml").read_text() == "uri: models:/a/Production\n"


def test_a_file_that_changed_meanwhile_is_not_written(tmp_path: Path) -> None:
    """What another program wrote is kept."""
    path = tmp_path / "a.yaml"
    path.write_text("uri: models:/a/Production\n")
    [rewrite] = rewrites(list(stage_sources(tmp_path)))
    path.write_text("uri: models:/b/Production\n")
    with pytest.raises(Exception, match="changed meanwhile"):
        rewrite.write(tmp_path)
    assert path.read_text() == "uri: models:/b/Production\n"


# Notebooks


def notebook(*cells: tuple[str, str], output: str = "") -> dict[str, Any]:
    """Return a notebook with cells of a type and a source each."""
    return {
        "cells": [
            {"cell_type": kind, "outputs": [{"text": [output]}], "source": source.splitlines(keepends=True)}
            for kind, source in cells
        ],
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
    }


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_notebook_is_rewritten_line_by_line(tmp_path: Path, ascii_only: bool) -> None:
    """Only the sources of code change, however the file is written; a call over several lines is left."""
    several = 'client.transition_model_version_stage(\n    "a", v,\n    "Production")'
    before = notebook(
        ("code", HEAD + 'a = "é", "models:/é/Production"\nclient.get_latest_versions("a", ["Production"])[0]'),
        ("markdown", "Was models:/a/Production."),
        ("code", "!serve -m models:/a/Staging"),
        ("code", several),
    )
    after = notebook(
        ("code", HEAD + 'a = "é", "models:/é@production"\nclient.get_model_version_by_alias("a", "production")'),
        ("markdown", "Was models:/a/Production."),
        ("code", "!serve -m models:/a@staging"),
        ("code", several),
    )
    texts = [json.dumps(each, indent=1, ensure_ascii=ascii_only) + "\n" for each in (before, after)]
    assert fixed(tmp_path / "a.ipynb", texts[0]) == texts[1]


def test_a_notebook_whose_output_repeats_its_source_is_left(tmp_path: Path) -> None:
    """Where a line stands cannot be told then, and an output is never changed."""
    text = json.dumps(notebook(("code", "uri = 'models:/a/Production'"), output="uri = 'models:/a/Production'"))
    assert fixed(tmp_path / "a.ipynb", text) == text
    [use] = next(iter(stage_sources(tmp_path))).uses
    assert use.as_json()["fixable"] is False


def test_a_notebook_with_a_cell_that_cannot_be_read_is_left(tmp_path: Path) -> None:
    """A line may stand in that cell; what the others use is found."""
    document = notebook(("code", "uri = 'models:/a/Production'"), ("code", "uri = 'models:/b/Staging'"))
    document["cells"].insert(0, {"cell_type": "code", "source": [3, "uri = 'models:/a/Production'"]})
    document["cells"].insert(0, None)
    text = json.dumps(document)
    assert fixed(tmp_path / "a.ipynb", text) == text
    assert [use.instead for use in stage_uses(tmp_path)] == [
        'uri = "models:/a@production"',
        'uri = "models:/b@staging"',
    ]


# The command


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with a use that can be fixed, and one that is for a person."""
    monkeypatch.chdir(tmp_path)
    tree = Path("jobs")
    tree.mkdir()
    (tree / "a.py").write_text(HEAD + 'uri = "models:/a/Production"\nmv.current_stage == "Production"')
    (tree / "b.yaml").write_text("uri: models:/b/Production")
    return tree


def test_a_diff_can_be_applied_and_changes_nothing_itself(tree: Path) -> None:
    """It goes to standard output alone, and gives what ``--fix`` writes."""
    before = {path: path.read_bytes() for path in tree.iterdir()}
    shown = find(tree, "--diff")
    assert shown.exit_code == 4
    assert {path: path.read_bytes() for path in tree.iterdir()} == before
    subprocess.run(["git", "apply", "-"], input=shown.stdout_bytes, check=True)
    applied = {path: path.read_bytes() for path in tree.iterdir()}
    for path, content in before.items():
        path.write_bytes(content)
    both = find(tree, "--diff", "--fix")
    assert both.stdout_bytes == shown.stdout_bytes
    assert {path: path.read_bytes() for path in tree.iterdir()} == applied != before


def test_a_fix_tells_what_is_left(tree: Path) -> None:
    """Exit code 4 while something is left, 0 when nothing is."""
    done = find(tree, "--fix")
    assert done.exit_code == 4
    assert "jobs/a.py:5: reads current_stage" in done.stdout
    assert "1 use of stages in 1 file\n" in done.stdout
    assert "2 uses fixed in 2 files; 1 left for a person" in done.output
    assert find(tree / "b.yaml", "--fix").exit_code == 0
    (tree / "b.yaml").write_text("uri: models:/b/Production")
    assert "1 use fixed in 1 file; 0 left for a person" in find(tree / "b.yaml", "--fix").output


def test_json_has_the_fixes(tree: Path) -> None:
    """What is left, the number of what was fixed, and the diff."""
    document = json.loads(find(tree, "--json", "--diff", "--fix").stdout)
    assert [use["what"] for use in document["uses"]] == ["current_stage"]
    assert (document["fixed"], document["by_patterns"]) == (2, [])
    assert document["diff"].startswith("--- a/jobs/a.py\n+++ b/jobs/a.py\n")


def test_python_that_does_not_parse_is_named(tree: Path) -> None:
    """It is searched by the plain patterns, and never rewritten."""
    (tree / "old.py").write_text("print 'two'\nuri = 'models:/a/Production'\n")
    shown = find(tree, "--fix")
    assert "jobs/old.py does not parse as Python" in shown.output
    assert "models:/a/Production" in (tree / "old.py").read_text()


def test_without_libcst_python_is_searched_by_patterns(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The uses that the plain patterns find are listed, with a note what to install."""
    monkeypatch.setitem(sys.modules, "libcst", None)
    shown = find(tree)
    assert shown.exit_code == 4
    assert "jobs/a.py:4: reads models:/a/Production" in shown.stdout
    assert "pip install 'prodpointer[find]'" in shown.output


@pytest.mark.parametrize("option", ["--diff", "--fix"])
def test_without_libcst_python_is_not_rewritten(tree: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """It is an error that says what to install, and no file is written."""
    monkeypatch.setitem(sys.modules, "libcst", None)
    refused = find(tree, option)
    assert refused.exit_code == 1
    assert "pip install 'prodpointer[find]'" in refused.output
    assert (tree / "b.yaml").read_text() == "uri: models:/b/Production"
