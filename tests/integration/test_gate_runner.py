"""The runner, with real child processes: whatever happens in there, the worker gets an answer in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import gate_judges
import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.linear_model import LogisticRegression

from services import settings as settings_module
from services.errors import Fenced
from services.rules.domain import Component, ComponentKind, GateOutcome, Verdict
from services.work import fingerprints, tracking
from services.work.gates import runner
from services.work.gates.task import GateTask

TASK = GateTask("trial", {"kind": "prompt", "variables": ["minutes"]}, "flight-delay", ())
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """So that the first test's time limit is not spent on the fork server's imports."""
    supervised(gate_judges.raise_in_words)


def supervised(
    judge: Callable,
    *,
    seconds: float = 60,
    memory_mib: int = 4096,
    heard: list[str] | None = None,
    still_mine: Callable[[], bool] | None = None,
) -> GateOutcome:
    progress = [] if heard is None else heard
    return runner.supervise(
        judge, TASK, seconds=seconds, memory_mib=memory_mib, progress=progress.append, still_mine=still_mine
    )


@pytest.fixture(scope="module")
def delays(tmp_path_factory) -> GateTask:
    """A real model in a real MLflow, its held-out data, and a gate on it."""
    folder = tmp_path_factory.mktemp("delays")
    chance = np.random.default_rng(11)
    rows = pd.DataFrame({"hour": chance.integers(0, 24, 8_000), "wind": chance.normal(10, 4, 8_000)})
    odds = 0.15 * (rows["hour"] - 12) + 0.1 * (rows["wind"] - 10)
    rows["late"] = (chance.random(8_000) < 1 / (1 + np.exp(-odds))).astype(int)
    training, held_out = rows.iloc[:4_000], rows.iloc[4_000:]
    held_out.to_parquet(folder / "held_out.parquet")
    settings = settings_module.load({"HEADGATE_HOME": str(folder / "home")})
    store = tracking.Tracking(settings)
    features = ["hour", "wind"]
    version = tracking.record_training(
        store,
        tracking.TrainingRecord(
            experiment="flight-delay",
            model_name="flight-delay",
            estimator=LogisticRegression().fit(training[features], training["late"]),
            inputs=training[features],
            params={},
            metrics={"roc_auc": 0.75},
            datasets=(),
            started_at=datetime(2026, 5, 1, tzinfo=UTC),
            ended_at=datetime(2026, 5, 2, tzinfo=UTC),
        ),
    )
    model = Component(
        ComponentKind.MODEL,
        "flight-delay",
        version.version,
        version.uri,
        details={"signature": store.files(version).signature},
    )
    data = Component(
        ComponentKind.DATASET,
        "held-out",
        uri=str(folder / "held_out.parquet"),
        digest=fingerprints.of_file(folder / "held_out.parquet"),
        details={"context": "evaluation"},
    )
    return GateTask(
        gate="accuracy",
        definition={"kind": "evaluation", "metric": "roc_auc", "min": 0.68, "source": "data", "confidence": 0.95},
        application="flight-delay",
        components=(model, data),
        metrics={"roc_auc": 0.75},
        data={"evaluation": {"input": "evaluation", "path": ""}, "target": "late", "features": features},
        tracking_uri=settings.tracking_uri,
    )


def gone(pid: int, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_an_outcome_and_its_progress_come_back_whole(monkeypatch):
    monkeypatch.setenv("HEADGATE_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "needed")
    heard: list[str] = []
    outcome = supervised(gate_judges.surroundings, heard=heard)
    assert (outcome.verdict, outcome.summary) == (Verdict.PASSED, "All is well.")
    assert (outcome.warnings, outcome.data_digest) == (("a warning",), "sha256:0")
    assert heard == ["looking around", "done looking"]


def test_a_child_has_a_directory_of_its_own_and_a_scrubbed_environment(monkeypatch):
    monkeypatch.setenv("HEADGATE_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "needed")
    evidence = supervised(gate_judges.surroundings).evidence
    environment, directory = evidence["environment"], evidence["directory"]
    assert environment["HOME"] == environment["TMPDIR"] == directory
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["MLFLOW_TRACKING_TOKEN"] == "needed"
    assert "HEADGATE_DATABASE_URL" not in environment
    assert "PYTHONPATH" not in environment
    assert not Path(directory).exists()
    assert evidence["pid"] != os.getpid()


def test_a_child_has_the_libraries_loaded_and_starts_in_a_moment():
    began = time.monotonic()
    evidence = supervised(gate_judges.surroundings).evidence
    assert evidence["loaded"] == ["mlflow", "pandas", "sklearn", "skops"]
    assert evidence["main"] is None
    assert time.monotonic() - began < 2


def test_a_gate_that_runs_too_long_is_stopped_with_all_it_started():
    heard: list[str] = []
    outcome = supervised(gate_judges.sleep, seconds=1, heard=heard)
    assert outcome.verdict is Verdict.ERRORED
    assert "ran longer than its limit of 1 s and was stopped" in outcome.summary
    assert "HEADGATE_GATE_SECONDS" in outcome.summary
    child, grandchild = map(int, heard[0].split()[:2])
    assert gone(child)
    assert gone(grandchild)


def test_a_gate_that_takes_too_much_memory_is_stopped():
    outcome = supervised(gate_judges.grow, memory_mib=1500)
    assert outcome.verdict is Verdict.ERRORED
    assert "of 1,500 allowed" in outcome.summary


def test_a_process_that_ends_itself_is_errored_with_its_last_words():
    outcome = supervised(gate_judges.crash)
    assert outcome.verdict is Verdict.ERRORED
    assert "ended without an answer (exit code 7)" in outcome.summary
    assert outcome.evidence["output"] == "last words"


def test_a_crash_in_native_code_is_errored_and_names_the_signal():
    outcome = supervised(gate_judges.fault)
    assert outcome.verdict is Verdict.ERRORED
    assert "SIGSEGV" in outcome.summary


def test_an_exception_is_errored_with_its_traceback_in_the_evidence():
    outcome = supervised(gate_judges.raise_something)
    assert outcome.verdict is Verdict.ERRORED
    assert outcome.summary.startswith("The gate stopped with KeyError: 'no such column")
    assert "raise_something" in outcome.evidence["traceback"]


def test_an_error_in_words_keeps_its_words():
    outcome = supervised(gate_judges.raise_in_words)
    assert (outcome.verdict, outcome.summary) == (Verdict.ERRORED, "The file is gone. Put it back.")


def test_a_model_that_leaves_is_errored():
    outcome = supervised(gate_judges.leave)
    assert outcome.verdict is Verdict.ERRORED
    assert "SystemExit: the model has had enough" in outcome.summary


@pytest.mark.parametrize("judge", [gate_judges.answer_a_set, gate_judges.answer_not_a_number])
def test_evidence_that_is_not_plain_json_is_errored(judge):
    outcome = supervised(judge)
    assert outcome.verdict is Verdict.ERRORED
    assert "not plain JSON" in outcome.summary


def test_a_task_that_cannot_cross_into_a_process_is_errored():
    outcome = supervised(lambda _task, _progress: GateOutcome(Verdict.PASSED, "never"))
    assert outcome.verdict is Verdict.ERRORED
    assert "could not be started" in outcome.summary


def test_evidence_of_some_megabytes_crosses_the_pipe():
    assert len(supervised(gate_judges.answer_much).evidence["text"]) == 3_000_000


def test_a_run_that_was_taken_over_ends_its_child_and_says_so():
    heard: list[str] = []
    with pytest.raises(Fenced, match="taken over by another worker"):
        supervised(gate_judges.sleep, heard=heard, still_mine=lambda: False)
    assert gone(int(heard[0].split()[0]))


def test_a_run_that_is_still_mine_is_asked_about_and_goes_on():
    asked: list[float] = []
    outcome = supervised(gate_judges.sleep, seconds=3.5, still_mine=lambda: not asked.append(time.monotonic()))
    assert outcome.verdict is Verdict.ERRORED
    assert 2 <= len(asked) <= 4


def test_several_threads_of_a_worker_run_gates_at_once():
    outcomes: list[GateOutcome] = []
    threads = [threading.Thread(target=lambda: outcomes.append(supervised(gate_judges.surroundings))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.verdict for outcome in outcomes] == [Verdict.PASSED] * 4
    assert len({outcome.evidence["directory"] for outcome in outcomes}) == 4


def test_a_gate_is_judged_by_the_module_of_its_kind():
    prompt = Component(ComponentKind.PROMPT, "notice", "1", details={"template": "{{minutes}} late"})
    task = GateTask(TASK.gate, TASK.definition, TASK.application, (prompt,))
    heard: list[str] = []
    outcome = runner.run(task, seconds=30, memory_mib=4096, progress=heard.append)
    assert outcome.verdict is Verdict.PASSED
    assert heard == ["reading 1 prompt"]


def test_a_real_model_is_measured_in_the_child_whatever_its_run_logged(delays: GateTask):
    heard: list[str] = []
    outcome = runner.run(delays, seconds=60, memory_mib=4096, progress=heard.append)
    assert outcome.verdict is Verdict.PASSED, outcome.summary
    assert heard == ["reading the held-out data", "loading the model", "scoring 4,000 rows", "resampling"]
    assert outcome.evidence["source"] == "measured on 4,000 held-out rows"
    assert outcome.data_digest == delays.of_kind(ComponentKind.DATASET)[0].digest
    for logged in (delays.metrics["roc_auc"] - 0.1, delays.metrics["roc_auc"] + 0.1):
        again = runner.run(
            replace(delays, metrics={"roc_auc": logged}), seconds=60, memory_mib=4096, progress=heard.append
        )
        assert (again.verdict, again.summary) == (outcome.verdict, outcome.summary)
        assert again.evidence["logged"] == logged


@pytest.mark.parametrize(
    ("metric", "limit"), [("brier", {"max": 0.25}), ("accuracy", {"min": 0.6}), ("f1", {"min": 0.2})]
)
def test_a_real_model_answers_to_every_way_of_asking(delays: GateTask, metric: str, limit: dict):
    task = replace(delays, definition={"kind": "evaluation", "metric": metric, **limit})
    outcome = runner.run(task, seconds=60, memory_mib=4096, progress=lambda _text: None)
    assert outcome.verdict is Verdict.PASSED, outcome.summary


def test_a_model_that_is_gone_is_errored_in_words(delays: GateTask):
    nowhere = Component(ComponentKind.MODEL, "flight-delay", "9", uri="models:/flight-delay/9")
    task = replace(delays, components=(nowhere, *delays.components[1:]))
    outcome = runner.run(task, seconds=60, memory_mib=4096, progress=lambda _text: None)
    assert outcome.verdict is Verdict.ERRORED
    assert "models:/flight-delay/9" in outcome.summary


def test_held_out_data_that_changed_since_the_bundle_was_made_is_errored(delays: GateTask, tmp_path):
    (data,) = delays.of_kind(ComponentKind.DATASET)
    changed = tmp_path / "changed.parquet"
    pd.read_parquet(data.uri).assign(late=1).to_parquet(changed)
    task = replace(delays, components=(delays.components[0], replace(data, uri=str(changed))))
    outcome = runner.run(task, seconds=60, memory_mib=4096, progress=lambda _text: None)
    assert outcome.verdict is Verdict.ERRORED
    assert "changed since the bundle was made" in outcome.summary


def test_a_child_ends_when_its_parent_is_killed_and_leaves_nothing_behind(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
            import gate_judges
            from services.work.gates import runner
            from services.work.gates.task import GateTask

            if __name__ == "__main__":
                task = GateTask("trial", {}, "flight-delay", ())
                told = lambda text: print(text, flush=True)
                runner.supervise(gate_judges.sleep, task, seconds=60, memory_mib=4096, progress=told)
            else:
                raise SystemExit("the child imported its parent's main module")
        """)
    )
    folder = tmp_path / "project"
    (folder / "services").mkdir(parents=True)
    (folder / "services" / "__init__.py").write_text("raise RuntimeError('a namesake was imported')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(gate_judges.__file__).parent)])}
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child, grandchild, directory = parent.stdout.readline().split()
        parent.send_signal(signal.SIGKILL)
        assert gone(int(child))
        assert gone(int(grandchild))
    assert not Path(directory).exists()
