"""What Headgate asks of MLflow over HTTP, and of what is down, silent or damaged. On a real server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from trainings import DIGEST, flight_rows, flight_training

from services import settings as settings_module
from services.errors import ArtifactUnusable, NotFound, RegistryUnreachable
from services.work import fingerprints
from services.work.tracking import (
    Tracking,
    TrainingRecord,
    load_pyfunc,
    probability_of_positive,
    record_training,
    register_prompt,
)

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> TrainingRecord:
    return flight_training(flight_rows(), tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", autouse=True)
def starting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """Started before the first test, so that it comes up while the ones that need no server run."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/files"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        yield process, f"http://127.0.0.1:{port}", folder
        os.killpg(process.pid, 15)
        process.wait(20)


@pytest.fixture(scope="module")
def server(starting_server: tuple[subprocess.Popen[bytes], str, Path]) -> tuple[str, Path]:
    process, address, folder = starting_server
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(f"{address}/health", timeout=1):
                return address, folder
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError((folder / "log").read_text())


@pytest.fixture(scope="module")
def remote(server: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    home = tmp_path_factory.mktemp("remote-home")
    return Tracking(settings_module.load({"HEADGATE_HOME": str(home), "MLFLOW_TRACKING_URI": server[0]}))


def test_a_server_that_is_down_is_unreachable_at_once(tmp_path: Path) -> None:
    down = Tracking(settings_module.load({"HEADGATE_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": NOWHERE}))
    began = time.monotonic()

    with pytest.raises(RegistryUnreachable, match="does not answer"):
        down.ping()
    with pytest.raises(RegistryUnreachable):
        down.prompt("delay-notice")
    with pytest.raises(RegistryUnreachable):
        load_pyfunc(NOWHERE, "models:/bundle.flight-delay@production")
    assert time.monotonic() - began < 10


def test_a_server_that_accepts_and_never_answers_is_unreachable_within_ten_seconds(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        stalled = Tracking(settings_module.load({"HEADGATE_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": address}))
        began = time.monotonic()

        with pytest.raises(RegistryUnreachable):
            stalled.newest_version("flight-delay")

        assert time.monotonic() - began < 10


def test_a_damaged_database_is_unreachable_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is not a database, and long enough to look like a header " * 3)
    damaged = Tracking(settings_module.load({"HEADGATE_HOME": str(tmp_path)}))
    began = time.monotonic()

    with pytest.raises(RegistryUnreachable, match=r"mlflow\.db"):
        damaged.ping()
    assert time.monotonic() - began < 5


def test_over_http_the_pointer_loads_the_model_too(remote: Tracking, training: TrainingRecord) -> None:
    remote.ping()
    version = record_training(remote, training)
    prompt = register_prompt(remote, "delay-notice", "{{ airline }}")

    number = remote.ensure_bundle_version(
        "flight-delay", digest=DIGEST, ref="flight-delay/1", manifest={"text": "x" * 90_000}, model=version
    )
    remote.set_model_alias("bundle.flight-delay", "production", number)
    remote.set_prompt_alias("delay-notice", "production", prompt.version)

    model = load_pyfunc(remote.uri, "models:/bundle.flight-delay@production")
    np.testing.assert_allclose(
        probability_of_positive(model, training.inputs), training.estimator.predict_proba(training.inputs)[:, 1]
    )
    assert remote.model_aliases("bundle.flight-delay") == {"production": number}
    assert remote.prompt_aliases("delay-notice") == {"production": prompt.version}
    assert remote.ensure_bundle_version("notices", digest=DIGEST, ref="notices/1", manifest={}, model=None) == "1"
    with pytest.raises(NotFound):
        remote.version("flight-delay", "99")


def test_over_http_the_digest_leaves_out_what_downloading_adds(
    remote: Tracking, training: TrainingRecord, server: tuple[str, Path]
) -> None:
    version = record_training(remote, replace(training, model_name="digested"))
    (stored,) = [path.parent for path in server[1].rglob("MLmodel") if version.model_id in path.parts]

    assert remote.files(version).digest == fingerprints.of_folder(stored)


def test_over_http_an_artifact_that_is_gone_is_unusable(
    remote: Tracking, training: TrainingRecord, server: tuple[str, Path]
) -> None:
    version = record_training(remote, replace(training, model_name="gone"))
    (stored,) = [path.parent for path in server[1].rglob("MLmodel") if version.model_id in path.parts]
    remote.require_artifact(version)
    shutil.rmtree(stored)

    with pytest.raises(ArtifactUnusable, match="models:/gone/1"):
        remote.files(version)
    with pytest.raises(ArtifactUnusable, match="models:/gone/1"):
        remote.require_artifact(version)
