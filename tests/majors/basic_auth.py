"""A server that requires a login: MLflow's basic-auth app with an admin, an editor and a reader."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests import mlflow_table
from tests.servers import Server, environment, serve

# The app needs it from 2.22 on, and from 3.0 on a key of its own.
NEEDED = ("Flask-WTF<2",)
CONFIGURATION = """[mlflow]
default_permission = {default}
database_uri = sqlite:///{directory}/logins.db
admin_username = admin
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 600
"""


@dataclass(frozen=True)
class Login:
    """A user of the server and the password, which no output may show."""

    name: str
    password: str


ADMIN = Login("admin", "adm1n-of-the-registry")
EDITOR = Login("editor", "ed1tor-of-the-models")
READER = Login("reader", "re4der-of-the-models")
VISITOR = Login("visitor", "v1sitor-of-the-registry")
LOGINS = (ADMIN, EDITOR, READER)


@dataclass(frozen=True)
class Guarded:
    """A server with these three users, and what a model allows to whom nothing was granted."""

    server: Server
    default_permission: str

    @property
    def uri(self) -> str:
        """The server's address, without a login."""
        return self.server.uri

    def grant(self, kind: str, resource: str, login: Login, permission: str) -> None:
        """Give a user a permission, as the admin does; MLflow 2 knows those on one registered model alone."""
        body = {"username": login.name, "permission": permission}
        if self.server.version.startswith("3."):
            body |= {"resource_type": kind, "resource_id": resource}
            self._as_admin("3.0/mlflow/users/permissions/grant", body)
        else:
            assert kind == "registered_model"
            self._as_admin("2.0/mlflow/registered-models/permissions/create", {**body, "name": resource})

    def add(self, login: Login) -> None:
        """Make a user."""
        self._as_admin("2.0/mlflow/users/create", {"username": login.name, "password": login.password})

    def make_workspace(self, name: str) -> None:
        """Make a workspace, on a server that has some."""
        self._as_admin("3.0/mlflow/workspaces", {"name": name})

    def somebody(self) -> Login:
        """Make a user whom no other test uses."""
        login = replace(VISITOR, name=f"somebody-{uuid.uuid4().hex[:8]}")
        self.add(login)
        return login

    def _as_admin(self, path: str, body: dict[str, str]) -> None:
        """Send one call of the admin's."""
        token = base64.b64encode(f"{ADMIN.name}:{ADMIN.password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.uri}/api/{path}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as reply:
            assert reply.status in (200, 201, 204)


@contextmanager
def guarded(
    version: str, directory: Path, *, default_permission: str, extra_args: tuple[str, ...] = ()
) -> Iterator[Guarded]:
    """Run a server of one MLflow version that wants a login, until the block ends."""
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "basic_auth.ini"
    configuration.write_text(
        CONFIGURATION.format(default=default_permission, directory=directory, password=ADMIN.password)
    )
    row = replace(mlflow_table.row(version), python=f"{sys.version_info.major}.{sys.version_info.minor}")
    with serve(
        environment(row, install=NEEDED),
        directory,
        version=version,
        extra_args=("--app-name", "basic-auth", *extra_args),
        env={"MLFLOW_AUTH_CONFIG_PATH": str(configuration), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-a-test-server"},
        credentials=(ADMIN.name, ADMIN.password),
    ) as server:
        found = Guarded(server, default_permission)
        for login in (EDITOR, READER, VISITOR):
            found.add(login)
        _make_cheap(directory / "logins.db", (*LOGINS, VISITOR))
        yield found


def _make_cheap(logins: Path, known: tuple[Login, ...]) -> None:
    """Keep the passwords as werkzeug does, hashed once: MLflow 2 hashes at each request, which takes it 0.1 s."""
    with closing(sqlite3.connect(logins)) as connection, connection:
        for login in known:
            hashed = hashlib.pbkdf2_hmac("sha256", login.password.encode(), b"salt", 1).hex()
            kept = (f"pbkdf2:sha256:1$salt${hashed}", login.name)
            assert connection.execute("UPDATE users SET password_hash = ? WHERE username = ?", kept).rowcount == 1
