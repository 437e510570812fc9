"""Starting the dashboard, and building the sample before it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from datetime import date

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.desk import err, say
from services.errors import BadInput, Conflict
from services.queries import status as statuses
from services.settings import Settings
from services.start import PROJECT, environment_of, open_store, worker_lives
from services.store.database import Store

ADDRESS = "127.0.0.1"
SAMPLE_FOLDER = "sample"  # where the sample keeps its data, inside the home
EMBEDDED_FILES = ("headgate.db", "mlflow.db", "queue.db", "worker.log")


def serve(settings: Settings, port: int, *, browser: bool) -> None:
    """Become the dashboard's process. Does not return."""
    refuse_a_taken_port(port)
    say(f"Headgate opens on http://{ADDRESS}:{port}/ (stop it with Ctrl+C).")
    sys.stdout.flush()
    os.chdir(PROJECT)  # Streamlit reads .streamlit/config.toml from the working directory
    arguments = [
        *(sys.executable, "-m", "streamlit", "run", str(PROJECT / "app.py")),
        *("--server.address", ADDRESS, "--server.port", str(port), "--server.headless", "false" if browser else "true"),
    ]
    os.execve(sys.executable, arguments, environment_of(settings))


def refuse_a_taken_port(port: int) -> None:
    """Raises BadInput before anything is built, rather than after."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise BadInput(
                f"Port {port} is taken ({error.strerror}).", f"Choose another: --port {port + 1}."
            ) from error


def build_sample(settings: Settings, *, fresh: bool, until: date | None) -> None:
    """Build the sample where it is not complete. Raises BadInput where the home holds somebody's own work."""
    store = open_store(settings)
    if fresh:
        _throw_away(settings, store)
        store = open_store(settings)
    from services.sample import told

    if told.is_complete(store):
        return
    _refuse_a_used_home(store)
    from services.sample.build import build
    from services.work.tracking import Tracking

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=False) as bar:
        task = bar.add_task("Building the sample", total=1.0)
        build(
            settings,
            store,
            Tracking(settings),
            until=until,
            progress=lambda part, text: bar.update(task, completed=part, description=text),
        )


def _refuse_a_used_home(store: Store) -> None:
    others = [a["name"] for a in statuses.status(store)["applications"] if a["name"] not in _sample_applications()]
    if others:
        raise BadInput(
            f"This HEADGATE_HOME holds applications of your own ({', '.join(others)}).",
            "Give the sample one of its own: HEADGATE_HOME=.headgate-demo headgate demo.",
        )


def _sample_applications() -> frozenset[str]:
    from services.sample.story import APPLICATIONS

    return frozenset(application.name for application in APPLICATIONS)


def _throw_away(settings: Settings, store: Store) -> None:
    if not (settings.embedded_store and settings.embedded_tracking):
        raise BadInput(
            "--fresh throws away what is embedded, and this store or MLflow is elsewhere.",
            "Unset HEADGATE_DATABASE_URL and MLFLOW_TRACKING_URI, or build without --fresh.",
        )
    _refuse_a_used_home(store)
    if worker_lives(store):
        raise Conflict("A dashboard or a worker is running on this home.", "Stop it first, then build again.")
    store.close()
    for name in EMBEDDED_FILES:
        for path in settings.home.glob(f"{name}*"):
            path.unlink()
    for folder in (settings.artifact_root, settings.home / SAMPLE_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)
