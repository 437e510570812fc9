"""The lineage store on SQLite and PostgreSQL: migrations, transactions, the append-only record, trouble in words."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import example
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DatabaseError, StatementError
from sqlmodel import SQLModel, col, select

from services import clock as clocks
from services.clock import StoryClock
from services.commands import people
from services.errors import Conflict, StoreUnreachable, StoreUnusable
from services.rules.domain import Cause, Person, Role, SlotRef
from services.settings import Settings
from services.start import open_store
from services.store import audit, lookups, migrate, triggers
from services.store.database import Store
from services.store.models import Application, AuditEvent, Bundle, Deployment, Promotion, Slot, Worker
from services.store.trouble import Incident

processes = multiprocessing.get_context("fork")


def together(work: Callable[[Any, int], None], count: int) -> list[Any]:
    """Run `work(queue, number)` in so many processes at once; what each put on the queue."""
    queue = processes.Queue()
    children = [processes.Process(target=work, args=(queue, number)) for number in range(count)]
    for child in children:
        child.start()
    answers = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join(timeout=60)
    return answers


# Migrations


def test_migrating_again_does_nothing(either_settings: Settings) -> None:
    either_settings.home.mkdir(parents=True)
    store = Store(either_settings.database_url)
    assert migrate.migrate(store)
    assert not migrate.migrate(store)


def test_of_eight_processes_that_start_at_once_exactly_one_migrates(either_settings: Settings) -> None:
    either_settings.home.mkdir(parents=True)

    def start(queue: Any, _number: int) -> None:
        try:
            queue.put(migrate.migrate(Store(either_settings.database_url)))
        except Exception as error:
            queue.put(repr(error))

    answers = together(start, 8)
    assert sorted(map(str, answers)) == ["False"] * 7 + ["True"]


def test_a_process_killed_in_the_middle_of_a_migration_leaves_nothing(either_settings: Settings) -> None:
    either_settings.home.mkdir(parents=True)

    def die() -> None:
        migrate.create_triggers = lambda _connection: os._exit(9)  # type: ignore[assignment]
        migrate.migrate(Store(either_settings.database_url))

    child = processes.Process(target=die)
    child.start()
    child.join(timeout=60)
    assert child.exitcode == 9
    store = Store(either_settings.database_url)
    assert inspect(store.engine).get_table_names() == []
    assert migrate.migrate(store)


def test_a_store_that_a_newer_headgate_wrote_is_refused_and_left_alone(either_settings: Settings) -> None:
    store = open_store(either_settings)
    with store.migrating() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreUnusable, match=r"written by a newer Headgate .*'9999'") as caught:
        open_store(either_settings)
    assert "Install that version" in caught.value.remedy


def test_the_migrations_make_exactly_the_tables_of_the_models(either_store: Store) -> None:
    def ours(_object: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
        return not (kind == "table" and name is not None and name.startswith("huey"))

    with either_store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": ours})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_every_upgrade_leaves_the_triggers_in_place(either_store: Store) -> None:
    with either_store.engine.connect() as connection:
        assert triggers.missing_triggers(connection) == []


OLD = "'2026-03-02 09:00:00.000000'"
OLD_STORE = f"""
INSERT INTO application (name, next_bundle, at, recorded_at) VALUES ('delays', 2, {OLD}, {OLD});
INSERT INTO bundle (id, application, digest, gaps, metrics, parameters, replayed, at, recorded_at)
VALUES (1, 'delays', 'x', '[]', '{{}}', '{{}}', false, {OLD}, {OLD});
INSERT INTO deployment (id, application, stage, bundle_id, state, kind, declared_kind, planned, generation, finished_at,
                        superseded_at, policy_revision, replayed, recorded_at)
VALUES (1, 'delays', 'production', 1, 'succeeded', 'release', NULL, true, 1, {OLD}, {OLD}, 1, false, {OLD}),
       (2, 'delays', 'production', 1, 'succeeded', 'rollback', NULL, false, 2, {OLD}, {OLD}, 1, false, {OLD}),
       (3, 'delays', 'production', 1, 'succeeded', 'rollback', 'rollback', true, 3, {OLD}, NULL, 1, false, {OLD});
INSERT INTO incident (id, application, title, impact_started_at, detected_at, caused_by, inferred, reported_by,
                      replayed, at, recorded_at)
VALUES (1, 'delays', 'inferred', {OLD}, {OLD}, 1, true, 'mia', false, {OLD}, {OLD}),
       (2, 'delays', 'named', {OLD}, {OLD}, 1, false, 'mia', false, {OLD}, {OLD}),
       (3, 'delays', 'never said', {OLD}, {OLD}, NULL, false, 'mia', false, {OLD}, {OLD}),
       (4, 'delays', 'no deployment', {OLD}, {OLD}, NULL, false, 'mia', false, {OLD}, {OLD});
INSERT INTO audit_event (seq, at, recorded_at, actor, action, application, subject, previous_hash, hash, replayed)
VALUES (1, {OLD}, {OLD}, 'mia', 'incident.opened', 'delays', 'incident 3', 'x', 'y', false),
       (2, {OLD}, {OLD}, 'mia', 'incident.linked', 'delays', 'incident 4', 'y', 'z', false)
"""


def test_an_upgrade_keeps_apart_what_somebody_said_and_what_nobody_said(either_settings: Settings) -> None:
    # given a store of the second revision, in which "no deployment" and "not known" looked the same
    either_settings.home.mkdir(parents=True)
    store = Store(either_settings.database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with store.migrating() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for statement in OLD_STORE.split(";\n"):
            connection.exec_driver_sql(statement)

    assert migrate.migrate(store)

    with store.reading() as session:
        incidents = session.exec(select(Incident).order_by(col(Incident.id))).all()
        said = [(row.title, row.cause, row.caused_by, row.inferred) for row in incidents]
        planned = session.exec(select(Deployment.planned).order_by(col(Deployment.id))).all()
    assert said == [
        ("inferred", Cause.UNKNOWN, 1, True),
        ("named", Cause.DEPLOYMENT, 1, False),
        ("never said", Cause.UNKNOWN, None, False),
        ("no deployment", Cause.NONE, None, False),
    ]
    assert planned == [None, False, True]
    with store.engine.connect() as connection:
        indexes = {index["name"] for index in inspect(connection).get_indexes("deployment")}
        assert {"uq_live_deployment", "uq_started_deployment", "uq_deployment_external"} <= indexes
    store.close()


# What is stored


def test_times_come_back_aware_and_in_utc(either_store: Store) -> None:
    in_tokyo = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    with either_store.writing() as session:
        session.add(Worker(id="w", started_at=in_tokyo, beat_at=in_tokyo))
    with either_store.reading() as session:
        row = session.get(Worker, "w")
        assert row is not None
        assert (row.beat_at, row.beat_at.tzinfo) == (in_tokyo, UTC)


def test_a_time_without_a_zone_is_refused(either_store: Store) -> None:
    with pytest.raises(StatementError, match="without a zone"), either_store.writing() as session:
        session.add(Worker(id="w", started_at=datetime(2026, 3, 1), beat_at=clocks.wall()))


def test_enums_are_stored_by_their_value(either_store: Store, maker: Person, lead: Person, clock: StoryClock) -> None:
    example.apply(either_store, maker, clock, lead)
    example.register(either_store, maker, clock)
    with either_store.engine.connect() as connection:
        assert connection.execute(text("SELECT phase FROM promotion")).scalar_one() == "deploying"
        kinds = connection.execute(text("SELECT DISTINCT kind FROM component")).scalars()
        assert set(kinds) == {"model", "dataset", "prompt"}


def test_a_reference_to_nothing_is_refused(either_store: Store, clock: StoryClock) -> None:
    with pytest.raises(Conflict), either_store.writing() as session:
        session.add(Bundle(application="nobody", number=1, digest="x", at=clock.now(), recorded_at=clock.now()))


def test_a_transaction_that_fails_leaves_nothing(either_store: Store, clock: StoryClock) -> None:
    def half() -> None:
        with either_store.writing() as session:
            session.add(Application(name="half", at=clock.now(), recorded_at=clock.now()))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    with either_store.reading() as session:
        assert session.exec(select(Application)).all() == []


def test_what_a_writer_has_read_stays_true_until_it_has_written(
    either_store: Store, either_settings: Settings, maker: Person, lead: Person, clock: StoryClock
) -> None:
    # given two processes, the second of which begins while the first pauses between its read and its write
    example.apply(either_store, maker, clock, lead)
    has_read = processes.Event()

    def count_up(queue: Any, number: int) -> None:
        if number == 1:
            has_read.wait(20)
        with Store(either_settings.database_url).writing() as session:
            slot = lookups.locked_slot(session, SlotRef("delays", "production"))
            read = slot.generation
            has_read.set()
            clocks.sleep(0.4)
            slot.generation = read + 1
            session.add(slot)
        queue.put(read)

    # then the second sees what the first wrote
    assert sorted(together(count_up, 2)) == [0, 1]
    with either_store.reading() as session:
        slot = session.get(Slot, ("delays", "production"))
        assert slot is not None
        assert slot.generation == 2


def test_a_slot_has_one_active_promotion_whatever_anybody_tries(
    either_store: Store, maker: Person, lead: Person, clock: StoryClock
) -> None:
    example.apply(either_store, maker, clock, lead)
    example.register(either_store, maker, clock)
    with either_store.reading() as session:
        first = session.exec(select(Promotion)).one().model_dump(exclude={"id", "idempotency_key"})
    with pytest.raises(Conflict), either_store.writing() as session:
        session.add(Promotion(**first))


# The record


@pytest.fixture
def recorded(either_store: Store, clock: StoryClock) -> Store:
    for name in ("ann", "ben", "cat", "dan"):
        people.meet(either_store, Person(name, frozenset({Role.MAKER})), clock=clock)
    return either_store


def tamper(store: Store, *statements: str) -> None:
    """As somebody could who may do everything in the database: the triggers are taken away first."""
    with store.migrating() as connection:
        if store.sqlite:
            connection.execute(text("DROP TRIGGER audit_event_no_update"))
            connection.execute(text("DROP TRIGGER audit_event_no_delete"))
        else:
            connection.execute(text("ALTER TABLE audit_event DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(text(statement))


def verified(store: Store) -> audit.Verification:
    with store.reading() as session:
        return audit.verify(session)


def test_an_untouched_record_verifies(recorded: Store) -> None:
    found = verified(recorded)
    assert (found.events, found.broken_at) == (4, None)


@pytest.mark.parametrize(
    ("statements", "broken_at", "reason"),
    [
        (["UPDATE audit_event SET body = replace(body, 'ben', 'bob') WHERE seq = 2"], 2, "hash of its text"),
        (["DELETE FROM audit_event WHERE seq = 2"], 2, "event 2 is missing"),
        (["DELETE FROM audit_event WHERE seq = 4"], 4, "newest events are missing"),
        (["DELETE FROM audit_event"], 1, "newest events are missing"),
        (["UPDATE audit_event SET actor = 'bob' WHERE seq = 3"], 3, "columns of event 3 were changed: actor"),
        (["UPDATE audit_event SET replayed = true WHERE seq = 3"], 3, "columns of event 3 were changed: replayed"),
        (["UPDATE audit_event SET application = 'x', action = 'y' WHERE seq = 1"], 1, "action, application"),
        (["DELETE FROM audit_head"], 5, "newest events are missing"),
        (
            [
                "UPDATE audit_event SET seq = 99 WHERE seq = 2",
                "UPDATE audit_event SET seq = 2 WHERE seq = 3",
                "UPDATE audit_event SET seq = 3 WHERE seq = 99",
            ],
            2,
            "hash of its text",
        ),
    ],
    ids=["text", "missing", "newest", "all", "column", "flag", "two columns", "head", "reordered"],
)
def test_what_was_tampered_with_is_found_where_it_happened(
    recorded: Store, statements: list[str], broken_at: int, reason: str
) -> None:
    tamper(recorded, *statements)
    found = verified(recorded)
    assert found.broken_at == broken_at
    assert reason in found.reason


def test_a_changed_time_beside_the_hashed_text_is_found(recorded: Store) -> None:
    tamper(recorded, "UPDATE audit_event SET at = '2020-01-01 00:00:00.000000' WHERE seq = 4")
    assert verified(recorded).reason == "the columns of event 4 were changed: at"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET actor = 'bob'",
        "DELETE FROM audit_event",
        "INSERT INTO audit_event SELECT * FROM audit_event WHERE seq = 1 ON CONFLICT (seq) DO UPDATE SET actor = 'bob'",
    ],
)
def test_the_record_takes_nothing_but_new_events(recorded: Store, statement: str) -> None:
    if recorded.sqlite:  # whose parser wants a WHERE before ON CONFLICT, and has one
        statement = statement.replace("INSERT INTO", "INSERT OR REPLACE INTO").split(" ON CONFLICT")[0]
    with pytest.raises((DatabaseError, Conflict), match="append-only"), recorded.migrating() as connection:
        connection.execute(text(statement))
    assert verified(recorded).broken_at is None


@pytest.mark.parametrize("either_settings", ["postgresql"], indirect=True)  # SQLite has no TRUNCATE
def test_the_record_cannot_be_truncated(recorded: Store) -> None:
    with pytest.raises(DatabaseError, match="append-only"), recorded.migrating() as connection:
        connection.execute(text("TRUNCATE audit_event"))


def test_eight_writers_make_one_chain(either_settings: Settings, recorded: Store, clock: StoryClock) -> None:
    def write(queue: Any, number: int) -> None:
        store = Store(either_settings.database_url)
        for turn in range(5):
            people.meet(store, Person(f"p{number}-{turn}", frozenset({Role.MAKER})), clock=clock)
        queue.put(number)

    together(write, 8)
    found = verified(recorded)
    assert (found.events, found.broken_at) == (44, None)


def test_an_event_keeps_what_it_was_told_letter_by_letter(either_store: Store, clock: StoryClock) -> None:
    name = 'o\'brien <b> "x" 🛫 ' + "ü" * 300
    people.meet(either_store, Person(name, frozenset({Role.MAKER}), "ń"), clock=clock)
    with either_store.reading() as session:
        assert session.exec(select(AuditEvent.actor)).one() == name
    assert verified(either_store).broken_at is None


# Trouble, in words


def test_a_store_that_is_read_only_says_so_and_can_be_read(settings: Settings, store: Store, clock: StoryClock) -> None:
    url = f"sqlite:///file:{settings.home / 'headgate.db'}?mode=ro&uri=true"
    read_only = Store(url)
    assert not migrate.migrate(read_only)
    with pytest.raises(StoreUnusable, match="cannot be written to") as caught:
        people.meet(read_only, Person("ann", frozenset()), clock=clock)
    assert "permissions" in caught.value.remedy


def test_a_home_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    from services import settings as settings_module

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnusable, match="cannot be made"):
        open_store(settings_module.load({"HEADGATE_HOME": str(tmp_path / "file" / "home")}))
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        migrate.migrate(Store(f"sqlite:///{tmp_path}/nowhere/headgate.db"))


@pytest.mark.parametrize("damage", ["scribbled over", "overwritten in the middle"])
def test_a_damaged_file_says_so_and_is_left_as_it_is(settings: Settings, store: Store, damage: str) -> None:
    store.close()
    path = settings.home / "headgate.db"
    whole = path.read_bytes()
    path.write_bytes(b"no database at all " * 500 if damage == "scribbled over" else whole[:100] + b"\xff" * 40_000)
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match="is damaged") as caught:
        open_store(settings)
    assert "backup" in caught.value.remedy
    assert path.read_bytes() == before


def test_a_store_that_another_process_has_locked_says_so(
    either_settings: Settings, either_store: Store, maker: Person, lead: Person, clock: StoryClock
) -> None:
    example.apply(either_store, maker, clock, lead)
    slot = SlotRef("delays", "production")
    with either_store.writing() as session:
        lookups.locked_slot(session, slot)
        impatient = Store(either_settings.database_url, busy_seconds=0.2)
        began = clocks.monotonic()
        said = r"locked by another process for 0\.2 seconds"
        with pytest.raises(StoreUnreachable, match=said), impatient.writing() as other:
            lookups.locked_slot(other, slot)
        assert clocks.monotonic() - began < 5
    with either_store.reading() as session:  # while it is locked and after, it can be read
        assert session.get(Slot, ("delays", "production")) is not None


def test_readers_do_not_wait_for_a_writer(either_settings: Settings, either_store: Store) -> None:
    with either_store.writing() as session:
        session.add(Worker(id="w", started_at=clocks.wall(), beat_at=clocks.wall()))
        session.flush()
        with Store(either_settings.database_url, busy_seconds=0.2).reading() as other:
            assert other.exec(select(Worker)).all() == []


def test_a_server_that_does_not_answer_says_so() -> None:
    store = Store("postgresql+psycopg://nobody@127.0.0.1:1/lineage")
    with pytest.raises(StoreUnreachable, match="does not answer") as caught:
        migrate.migrate(store)
    assert "HEADGATE_DATABASE_URL" in caught.value.remedy


def test_a_store_whose_table_is_gone_says_so(either_store: Store) -> None:
    with either_store.migrating() as connection:
        connection.execute(text("DROP TABLE worker"))
    with pytest.raises(StoreUnusable, match="is incomplete"), either_store.reading() as session:
        session.exec(select(Worker)).all()


def test_a_backup_taken_while_somebody_writes_is_whole(settings: Settings, store: Store, tmp_path: Path) -> None:
    def write(queue: Any, number: int) -> None:
        clock = StoryClock(datetime(2026, 3, 1, tzinfo=UTC))
        for turn in range(15):
            people.meet(Store(settings.database_url), Person(f"p{turn}", frozenset({Role.MAKER})), clock=clock)
        queue.put(number)

    queue = processes.Queue()
    child = processes.Process(target=write, args=(queue, 0))
    child.start()
    clocks.sleep(0.05)
    with sqlite3.connect(settings.home / "headgate.db") as source, sqlite3.connect(tmp_path / "copy.db") as copy:
        source.backup(copy)
    queue.get(timeout=30)
    child.join(timeout=30)
    assert verified(Store(f"sqlite:///{tmp_path / 'copy.db'}")).broken_at is None
    assert verified(store).broken_at is None
