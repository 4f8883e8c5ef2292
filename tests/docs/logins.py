"""The server with a login that a page starts: MLflow's basic-auth app, with the user ``ada``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

USER, PASSWORD = "ada", "open-sesame-1843"
CONFIGURATION = """[mlflow]
default_permission = READ
database_uri = sqlite:///{directory}/logins.db
admin_username = {user}
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


def login_options(directory: Path) -> dict[str, Any]:
    """Return what a server needs beside its own options so that it wants the login."""
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "basic_auth.ini"
    configuration.write_text(CONFIGURATION.format(directory=directory, user=USER, password=PASSWORD), encoding="utf-8")
    return {
        "extra_args": ("--app-name", "basic-auth"),
        "env": {"MLFLOW_AUTH_CONFIG_PATH": str(configuration), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-a-page"},
        "credentials": (USER, PASSWORD),
    }
