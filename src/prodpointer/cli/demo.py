"""``demo``: two real models, trained, promoted, loaded and rolled back on one machine without a server."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from prodpointer.cli.group import Command
from prodpointer.cli.options import JSON, settings_of
from prodpointer.cli.output import print_json, say
from prodpointer.connection import connect
from prodpointer.errors import ProdpointerError
from prodpointer.mlflow_client import local_artifacts_in, log_directory
from prodpointer.registered_model import RegisteredModel

MODEL = "digits"
_ARTIFACT = "bundle"
_ARTIFACTS = "artifacts"


@dataclass(frozen=True)
class Step:
    """One step of the demo; ``live`` and ``accuracy`` are measured, None if the step loads nothing."""

    did: str
    version: int | None = None
    live: int | None = None
    accuracy: float | None = None

    def __str__(self) -> str:
        """Return the step as one line for people."""
        if self.accuracy is not None:
            return f"{self.did}: version {self.live} is live, accuracy {self.accuracy:.4f} on held-out rows"
        return self.did if self.version is None else f"{self.did} as version {self.version}"

    def as_json(self) -> dict[str, Any]:
        """Return the keys that ``demo --json`` prints for one step."""
        return asdict(self)


@click.command(cls=Command, examples=("demo", "demo --dir ./prodpointer-demo"))
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for the registry (default: a new one).",
)
@JSON
@click.pass_context
def demo(ctx: click.Context, /, directory: Path | None, **options: Any) -> None:
    """Train, promote and roll back on this machine.

    Two models are trained, registered, promoted, loaded and rolled back in an SQLite registry. Needs no server.
    """
    settings = settings_of(ctx, options)
    directory = directory or Path(tempfile.mkdtemp(prefix="prodpointer-demo-"))
    steps = []
    for step in demonstrate(directory):
        steps.append(step)
        if not settings.as_json:
            say(f"{len(steps)}. {step}")
    uri = registry_uri(directory.absolute())
    if settings.as_json:
        print_json({"directory": str(directory), "tracking_uri": uri, "steps": [step.as_json() for step in steps]})
    else:
        say(f"Try next: prodpointer --tracking-uri {uri} status {MODEL}")


def demonstrate(directory: Path) -> Iterator[Step]:
    """Train and register two classifiers, promote one, then the other, then roll back; yield each finished step.

    Parameters
    ----------
    directory
        Directory for the registry (``registry.db``) and its artifacts; created if it does not exist. A second run in
        the same directory adds two more versions.

    Raises
    ------
    ProdpointerError
        scikit-learn is not installed, or one of the calls failed.
    """
    directory = directory.absolute()
    with local_artifacts_in(directory / _ARTIFACTS):
        yield from _steps(directory)


def _steps(directory: Path) -> Iterator[Step]:
    """Yield each finished step."""
    directory.mkdir(parents=True, exist_ok=True)
    uri = registry_uri(directory)
    train, held_out = _digits()
    digits = connect(MODEL, tracking_uri=uri)
    chosen = digits.selection
    yield Step(f"created a registry with MLflow {chosen.client_version} at {uri}")
    yield Step(f"chose the {chosen.pointer} as pointer: {chosen.reason}")
    versions = []
    for name, classifier in _classifiers():
        classifier.fit(*train)
        version = _register(digits, uri, directory, {"classifier": classifier, "trained_on": len(train[0])})
        versions.append(version)
        yield Step(f"trained a {name} on {len(train[0])} rows and registered it", version=version)
    for version in versions:
        digits.promote(version, reason="demo")
        yield _scored(digits, f"promoted version {version}", version, held_out)
    back = digits.rollback(reason="demo").to_version
    yield _scored(digits, f"rolled back to version {back}", back, held_out)


def registry_uri(directory: Path) -> str:
    """Return the URI of the demo's registry in a directory."""
    return f"sqlite:///{(directory / 'registry.db').as_posix()}"


def _scored(digits: RegisteredModel, did: str, version: int | None, held_out: tuple[Any, Any]) -> Step:
    """Load the live version and score the loaded object."""
    live = digits.live_version()
    bundle = digits.load_production()
    accuracy = float(bundle["classifier"].score(*held_out))
    return Step(f"{did} and loaded it", version=version, live=live, accuracy=accuracy)


def _register(digits: RegisteredModel, uri: str, directory: Path, bundle: dict[str, Any]) -> int:
    """Log a bundle as a directory with one pickle (every MLflow can download a directory), and register it."""
    with tempfile.TemporaryDirectory(prefix="prodpointer-demo-") as scratch:
        Path(scratch, "digits.pkl").write_bytes(pickle.dumps(bundle))
        run_id = log_directory(uri, "prodpointer-demo", directory / _ARTIFACTS, Path(scratch), _ARTIFACT)
    return digits.register(run_id, _ARTIFACT, tags={"dataset": "scikit-learn digits"})


def _digits() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return the digits dataset of scikit-learn: training rows and held-out rows."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ModuleNotFoundError:
        raise ProdpointerError(
            "The demo needs scikit-learn, which is not installed.", next_step="pip install scikit-learn"
        ) from None
    rows, labels = load_digits(return_X_y=True)
    train, held_out, train_labels, held_out_labels = train_test_split(rows, labels, test_size=0.3, random_state=7)
    return (train, train_labels), (held_out, held_out_labels)


def _classifiers() -> list[tuple[str, Any]]:
    """Return two classifiers of different accuracy."""
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    return [
        ("decision tree of depth 6", DecisionTreeClassifier(max_depth=6, random_state=7)),
        ("support vector classifier", SVC(gamma=0.001, random_state=7)),
    ]
