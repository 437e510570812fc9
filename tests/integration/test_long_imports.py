"""A long import, in parts: others write in between, one that dies is completed, and a mistake stops all of it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import func
from sqlmodel import col, select

from services import clock as clocks
from services.clock import StoryClock
from services.commands import imports, people
from services.commands.history_files import FileRefused
from services.errors import StoreUnreachable
from services.rules.domain import Person, Role
from services.settings import Settings
from services.store import audit
from services.store.database import Store
from services.store.models import Application, AuditEvent, AuditHead, Bundle, CommitRow, Deployment

processes = multiprocessing.get_context("fork")
ROWS, LABELS, PART = 3_000, 700, 200
HEADER = "id,application,stage,bundle,finished_at,commits"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Deployments of three applications, each with a commit."""
    path = tmp_path / "history.csv"
    lines = [
        f"d{n},flights-{n % 3},production,v{n % LABELS},2026-01-05T10:00:00Z,2026-01-04T10:00:00Z" for n in range(ROWS)
    ]
    path.write_text("\n".join([HEADER, *lines]))
    return path


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "PART", PART)


def bring_in(store: Store, path: Path, maker: Person) -> imports.Imported:
    return imports.deployments(store, path, actor=maker, clock=StoryClock(clocks.wall(), replayed=False))


def stored(store: Store, table: Any = Deployment) -> int:
    with store.reading() as session:
        return session.exec(select(func.count()).select_from(table)).one()


def wait_until(found: Callable[[], bool]) -> None:
    deadline = clocks.monotonic() + 30
    while not found():
        assert clocks.monotonic() < deadline
        clocks.sleep(0.005)


def test_it_is_all_there_once_with_its_bundles_and_commits(either_store: Store, history: Path, maker: Person) -> None:
    found = bring_in(either_store, history, maker)

    assert (found.added, found.known, sorted(found.applications)) == (ROWS, 0, ["flights-0", "flights-1", "flights-2"])
    assert found.parts == ROWS * 2 / PART  # a commit is a row as well
    assert (stored(either_store), stored(either_store, CommitRow)) == (ROWS, ROWS)
    assert stored(either_store, Bundle) == 3 * LABELS


def test_one_that_was_killed_is_completed_by_running_it_again(
    either_settings: Settings, either_store: Store, history: Path, maker: Person
) -> None:
    # given an import that is killed after its first parts
    child = processes.Process(target=lambda: bring_in(Store(either_settings.database_url), history, maker))
    child.start()
    wait_until(lambda: stored(either_store) > 0)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join(timeout=30)
    there = stored(either_store)
    assert 0 < there < ROWS
    assert there * 2 % PART == 0

    # when it is run again
    found = bring_in(either_store, history, maker)

    # then nothing is missing and nothing is doubled
    assert (found.added, found.known) == (ROWS - there, there)
    assert (stored(either_store), stored(either_store, CommitRow)) == (ROWS, ROWS)
    assert stored(either_store, Bundle) == 3 * LABELS
    with either_store.reading() as session:
        assert audit.verify(session).broken_at is None
    assert bring_in(either_store, history, maker).added == 0


def test_other_writers_have_their_turn_in_between(
    either_settings: Settings, either_store: Store, history: Path, maker: Person, clock: StoryClock
) -> None:
    child = processes.Process(target=lambda: bring_in(Store(either_settings.database_url), history, maker))
    child.start()
    wait_until(lambda: stored(either_store) > 0)
    waited = []
    for turn in range(3):
        began = clocks.monotonic()
        people.meet(either_store, Person(f"p{turn}", frozenset({Role.MAKER})), clock=clock)
        waited.append(clocks.monotonic() - began)
    child.join(timeout=60)

    with either_store.reading() as session:
        actions = session.exec(select(AuditEvent.action).order_by(col(AuditEvent.seq))).all()
    last_part = max(place for place, action in enumerate(actions) if action == "deployments.imported")
    assert len([action for action in actions[:last_part] if action != "deployments.imported"]) == 3
    assert max(waited) < 3
    assert stored(either_store) == ROWS


def test_where_a_part_cannot_be_written_it_says_what_stays_and_goes_on_from_there(
    either_settings: Settings, either_store: Store, history: Path, maker: Person
) -> None:
    # given somebody who locks the store for long, once the import has begun
    def lock() -> None:
        wait_until(lambda: stored(either_store) > 0)
        with either_store.writing() as session:
            session.exec(select(AuditHead).with_for_update()).one()
            clocks.sleep(2)

    other = Thread(target=lock)
    other.start()
    impatient = Store(either_settings.database_url, busy_seconds=0.2)
    with pytest.raises(StoreUnreachable, match=r"^\d+ rows of history.csv are imported, then: ") as refused:
        bring_in(impatient, history, maker)
    other.join()

    assert "Run it again for the others" in refused.value.remedy
    assert bring_in(either_store, history, maker).added == ROWS - int(refused.value.message.split()[0])


def test_two_who_import_the_same_at_once_import_it_once(
    either_settings: Settings, either_store: Store, history: Path, maker: Person
) -> None:
    def bring() -> None:
        with suppress(Exception):  # on PostgreSQL one of them may be told to try again
            bring_in(Store(either_settings.database_url), history, maker)

    children = [processes.Process(target=bring) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=60)
    bring_in(either_store, history, maker)

    assert (stored(either_store), stored(either_store, CommitRow)) == (ROWS, ROWS)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("d\0,flights,production,v1,2026-01-05T10:00:00Z,", "a character that no text has"),
        (f"{'d' * 201},flights,production,v1,2026-01-05T10:00:00Z,", "id is longer than 200 characters"),
        (f"d,flights,{'s' * 201},v1,2026-01-05T10:00:00Z,", "stage is longer than 200 characters"),
        ("d,flights,production,v1,0001-01-01T00:00:00+10:00,", "is not a time in ISO 8601"),
    ],
)
def test_what_no_store_would_take_is_found_in_the_last_row_before_anything_is_written(
    either_store: Store, history: Path, maker: Person, row: str, said: str
) -> None:
    history.write_text(f"{history.read_text()}\n{row}")

    with pytest.raises(FileRefused, match=rf"row {ROWS + 2}: .*{said}"):
        bring_in(either_store, history, maker)

    assert stored(either_store, Application) == 0


def test_a_deployment_that_has_not_ended_is_no_history(either_store: Store, history: Path, maker: Person) -> None:
    history.write_text(f"{HEADER},state\nd,flights,production,v1,2026-01-05T10:00:00Z,,started")

    with pytest.raises(FileRefused, match="row 2: state 'started' is no end"):
        bring_in(either_store, history, maker)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("i,flights,Late,2026-01-06T12:00:00Z,2026-01-06T12:30:00Z,grave", "'grave' is not a severity"),
        ("i,flights,Late,2026-01-06T12:00:00Z,2026-01-06T11:30:00Z,", "detected before its impact began"),
    ],
)
def test_an_incident_that_cannot_be_is_found_before_anything_is_written(
    either_store: Store, tmp_path: Path, maker: Person, clock: StoryClock, row: str, said: str
) -> None:
    path = tmp_path / "incidents.csv"
    good = [f"i{n},flights,Late,2026-01-06T12:00:00Z,2026-01-06T12:30:00Z,low" for n in range(PART)]
    path.write_text("\n".join(["id,application,title,impact_started_at,detected_at,severity", *good, row]))

    with pytest.raises(FileRefused, match=rf"row {PART + 2}: .*{said}"):
        imports.past_incidents(either_store, path, actor=maker, clock=clock)
    assert stored(either_store, Application) == 0

    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    found = imports.past_incidents(either_store, path, actor=maker, clock=clock)
    assert (found.added, found.parts) == (PART, imports.INCIDENT_WEIGHT)
