"""The events behind the delivery metrics: the same on both databases, and without what must not count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hands import Team

from services import settings as settings_module
from services.clock import StoryClock
from services.commands import drills, gates, imports, incidents
from services.commands.incidents import Report
from services.queries import application, delivery
from services.rules.domain import Person, SlotRef, Verdict
from services.rules.metrics import compute, last_days
from services.start import open_store
from services.store.database import Store

PRODUCTION = SlotRef("delays", "production")
PAST = """id,application,stage,bundle,finished_at,requested_at,commits
d1,delays,production,v1,2026-02-20T10:00:00Z,2026-02-20T09:00:00Z,2026-02-19T09:00:00Z;2026-02-19T12:00:00Z
d2,delays,production,v2,2026-02-21T10:00:00Z,2026-02-21T09:00:00Z,2026-02-20T09:00:00Z
"""


def a_story(store: Store, clock: StoryClock, maker: Person, lead: Person, folder: Path) -> Team:
    """A past that was imported, two releases, an incident, a way back, and a block that somebody judged."""
    team = Team(store, clock, maker, lead)
    path = folder / "past.csv"
    path.write_text(PAST, encoding="utf-8")
    imports.deployments(store, path, actor=maker, clock=clock)
    team.live(1)
    team.live(2)
    team.wait(hours=2)
    report = Report("delays", "Late", clock.now(), clock.now())
    number = incidents.open_(store, report, actor=maker, clock=clock)
    team.roll_back()
    team.deploy()
    incidents.resolve(store, number, actor=maker, clock=clock, done="Went back.", caught_by="none needed")
    return team


def numbers(team: Team) -> dict[str, object]:
    now = team.clock.now()
    values = compute(delivery.events(team.store, ["delays"]), last_days(90, now), now)
    return {name: (value.value, value.low, value.high, value.n) for name, value in values.items()}


def test_both_databases_give_the_same_numbers(
    new_database: Callable[[], str], tmp_path: Path, maker: Person, lead: Person, clock: StoryClock
) -> None:
    found = []
    for name, address in (("sqlite", {}), ("postgresql", {"HEADGATE_DATABASE_URL": new_database()})):
        folder = tmp_path / name
        folder.mkdir()
        store = open_store(settings_module.load({"HEADGATE_HOME": str(folder), **address}))
        try:
            found.append(numbers(a_story(store, StoryClock(clock.at, replayed=False), maker, lead, folder)))
        finally:
            store.close()

    assert found[0] == found[1]
    assert found[0]["deployments"][0] == 4  # type: ignore[index]
    assert found[0]["change_fail_rate"][0] == 0.25  # type: ignore[index]


@pytest.fixture
def team(either_store: Store, clock: StoryClock, maker: Person, lead: Person, tmp_path: Path) -> Team:
    return a_story(either_store, clock, maker, lead, tmp_path)


def test_only_the_applications_asked_for_are_read(team: Team) -> None:
    assert not delivery.events(team.store, ["another"]).deployments
    assert {one.application for one in delivery.events(team.store).deployments} == {"delays"}


def test_drills_count_in_nothing(team: Team) -> None:
    team.live(3)
    before = numbers(team)
    drill = drills.begin(team.store, PRODUCTION, actor=team.lead, clock=team.clock)
    drills.back(team.store, drill, actor=team.lead, clock=team.clock)
    team.deploy()
    drills.forward(team.store, drill, actor=team.lead, clock=team.clock)
    team.deploy()
    drills.finish(team.store, drill, clock=team.clock)
    assert any(one.drill for one in delivery.events(team.store).deployments)

    after = numbers(team)

    counted = ("deployments", "deployments_all", "change_fail_rate", "deployment_rework_rate", "rollback_time")
    assert {name: before[name] for name in counted} == {name: after[name] for name in counted}


def test_imported_deployments_never_touch_a_slot_nor_where_to_go_back_to(team: Team) -> None:
    assert team.live_number() is not None

    offer = application.rollback_offer(team.store, PRODUCTION)

    assert [str(way.candidate.ref) for way in offer.ways] == ["delays/2"]
    assert offer.live is not None
    assert str(offer.live.ref) == "delays/1"


def test_a_wait_for_approval_ends_with_the_decision(team: Team) -> None:
    waits = delivery.events(team.store).approvals

    assert len(waits) == 2
    assert all(wait.decided_at and wait.decided_at - wait.opened_at >= timedelta(minutes=1) for wait in waits)


def test_what_a_page_does_not_ask_for_is_not_read(team: Team) -> None:
    assert delivery.events(team.store).commits
    with team.store.reading() as session:
        assert not delivery.read(session, None, commits=False, rules={}).commits


def test_what_somebody_said_of_a_block_travels_with_the_run(team: Team) -> None:
    team.ask(team.make(3), "staging", accuracy=Verdict.FAILED)
    run = max(one.id for one in delivery.events(team.store).gate_runs if one.verdict is Verdict.FAILED)
    gates.decide(team.store, int(run), defect=True, actor=team.maker, clock=team.clock)

    decided = next(one for one in delivery.events(team.store).gate_runs if one.id == run)

    assert decided.decision == "defect"
