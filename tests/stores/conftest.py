"""An S3 server in this process, a registry with its artifacts there, and a proxy between the two."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from mlflow import MlflowClient
from moto.server import ThreadedMotoServer

import prodpointer
from tests.integration.conftest import cli, quiet
from tests.proxy import Proxy, proxy

__all__ = ["cli"]  # the command line, a fixture

BUCKET = "models"


@dataclass(frozen=True)
class Store:
    """A bucket behind a proxy, and a registry whose runs keep their artifacts there."""

    proxy: Proxy
    s3: Any
    uri: str
    client: MlflowClient
    experiment: str

    def model(self, name: str, *versions: Mapping[str, bytes], **options: Any) -> prodpointer.RegisteredModel:
        """Return a registered model; each version is a directory ``bundle`` of such files."""
        model = prodpointer.connect(name, tracking_uri=self.uri, **options)
        for files in versions:
            run = self.client.create_run(self.experiment).info
            for path, content in files.items():
                self.s3.put_object(Bucket=BUCKET, Key=f"{self.key(run.run_id)}/bundle/{path}", Body=content)
            model.register(run.run_id, "bundle")
        return model

    def key(self, run_id: str) -> str:
        """Return the key below which a run's artifacts are."""
        return str(self.client.get_run(run_id).info.artifact_uri).removeprefix(f"s3://{BUCKET}/")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Run a server of S3 in this process and return its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3(s3_server: str) -> Any:
    """A client of the server, past any proxy, and the bucket."""
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=s3_server, **keys)
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, MlflowClient, str]:
    """A registry in an SQLite file, with an experiment whose artifacts go to the bucket."""
    uri = f"sqlite:///{(tmp_path_factory.mktemp('registry') / 'registry.db').as_posix()}"
    with quiet():
        prodpointer.connect("any", tracking_uri=uri)
        client = MlflowClient(uri)
        experiment = client.create_experiment("stores", f"s3://{BUCKET}/runs")
    return uri, client, experiment


@pytest.fixture
def store(
    s3_server: str, s3: Any, registry: tuple[str, MlflowClient, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Store]:
    """The bucket through a proxy of the test's own: MLflow keeps a client for each address."""
    settings = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    with proxy(s3_server) as between:
        for name, value in {**settings, "MLFLOW_S3_ENDPOINT_URL": between.uri}.items():
            monkeypatch.setenv(name, value)
        yield Store(between, s3, *registry)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A model's name of the test's own."""
    return str(abs(hash(request.node.nodeid)))


def pickled(number: int) -> dict[str, bytes]:
    """Return the files of a version: a pickle of its number."""
    return {"model.pkl": pickle.dumps({"n": number})}
