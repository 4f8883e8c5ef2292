"""Settings for ``gunicorn -c examples/news_api/gunicorn.conf.py``."""

import gc
from pathlib import Path

worker_class = "uvicorn_worker.UvicornWorker"
workers = 2
chdir = str(Path(__file__).parent)  # where newsreco.py is, which pickles name


def worker_exit(server: object, worker: object) -> None:  # noqa: ARG001  # gunicorn gives both
    """Leave the last garbage collections out, which take seconds after MLflow was imported."""
    gc.freeze()


def on_exit(server: object) -> None:  # noqa: ARG001
    """Leave them out in the master too, which has imported MLflow with ``--preload``."""
    gc.freeze()
