"""Settings: every variable, its default, and what cannot be meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services import settings
from services.errors import BadInput


def test_everything_embedded_lies_in_the_home(tmp_path: Path) -> None:
    found = settings.load({"HEADGATE_HOME": str(tmp_path)})
    assert found.home == tmp_path
    assert found.database_url == f"sqlite:///{tmp_path}/headgate.db"
    assert found.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert found.artifact_root == tmp_path / "mlartifacts"
    assert (found.embedded_store, found.embedded_tracking, found.starts_worker) == (True, True, True)


def test_the_home_is_absolute_whatever_was_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.load({}).home == tmp_path / ".headgate"
    assert settings.load({"HEADGATE_HOME": ""}).home == tmp_path / ".headgate"


@pytest.mark.parametrize("prefix", ["postgres://", "postgresql://", "postgresql+psycopg://"])
def test_a_postgresql_address_is_taken_as_people_write_it(prefix: str) -> None:
    found = settings.load({"HEADGATE_DATABASE_URL": f"{prefix}me@host/lineage"})
    assert found.database_url == "postgresql+psycopg://me@host/lineage"
    assert not found.embedded_store


def test_another_database_is_refused_with_what_to_write() -> None:
    with pytest.raises(BadInput, match="neither SQLite nor PostgreSQL") as caught:
        settings.load({"HEADGATE_DATABASE_URL": "mysql://me@host/lineage"})
    assert "postgresql://" in caught.value.remedy


def test_somebody_elses_mlflow_is_not_embedded() -> None:
    assert not settings.load({"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}).embedded_tracking


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf"])
def test_a_number_that_cannot_be_meant_is_bad_input_and_names_its_variable(text: str) -> None:
    with pytest.raises(BadInput, match="HEADGATE_GATE_SECONDS"):
        settings.load({"HEADGATE_GATE_SECONDS": text})


def test_makers_are_pairs() -> None:
    found = settings.load({"HEADGATE_MAKERS": "mlflow-bot=mia, jenkins = max"})
    assert found.makers == {"mlflow-bot": "mia", "jenkins": "max"}
    with pytest.raises(BadInput, match="HEADGATE_MAKERS"):
        settings.load({"HEADGATE_MAKERS": "mia"})


def test_the_worker_beside_the_dashboard_can_be_switched_off() -> None:
    assert not settings.load({"HEADGATE_WORKER": "off"}).starts_worker


def test_the_table_at_the_top_names_every_variable_that_is_read() -> None:
    source = Path(settings.__file__).read_text()
    table, code = source.split('"""', 2)[1:]
    read = set(re.findall(r'"((?:HEADGATE|MLFLOW)_[A-Z_]+)"', code))
    assert read == set(re.findall(r"^\| ((?:HEADGATE|MLFLOW)_[A-Z_]+) ", table, re.MULTILINE))


def test_a_relative_sqlite_address_is_meant_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = settings.load({"MLFLOW_TRACKING_URI": "sqlite:///runs.db", "HEADGATE_DATABASE_URL": "sqlite:///mine.db"})
    assert found.tracking_uri == f"sqlite:///{tmp_path / 'runs.db'}"
    assert found.database_url == f"sqlite:///{tmp_path / 'mine.db'}"
