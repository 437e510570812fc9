"""A later stage with `auto`: what is live in the stage before enters by itself, once, when all that it needs is met."""

from __future__ import annotations

import example
import pytest
from hands import Team, deploy, judge
from sqlmodel import col, select

from services.clock import StoryClock
from services.commands import automation, holds, promotions
from services.rules.domain import Person, Phase, SlotRef, Verdict
from services.store.database import Store
from services.store.models import Promotion

STAGING = SlotRef("delays", "staging")
POLICY = example.POLICY.replace('name = "staging"', 'name = "staging"\nauto = true\nsoak = "2h"')


@pytest.fixture
def team(either_store: Store, clock: StoryClock, maker: Person, lead: Person) -> Team:
    return Team(either_store, clock, maker, lead, text=POLICY)


def enter(team: Team) -> list[int]:
    return automation.enter(team.store, clock=team.clock)


def staging_promotions(team: Team) -> list[tuple[int, bool, Phase]]:
    """Bundle, whether nobody asked for it, and where it stands."""
    with team.store.reading() as session:
        rows = session.exec(select(Promotion).where(Promotion.stage == "staging").order_by(col(Promotion.id)))
        return [(row.bundle_id, row.automatic, row.phase) for row in rows]


def test_it_enters_when_it_has_soaked_and_is_live_when_its_gates_have_passed(team: Team) -> None:
    team.make(1)
    team.wait(hours=1)
    assert enter(team) == []

    team.wait(hours=1)
    (promotion,) = enter(team)
    judge(team.store, team.clock)
    deploy(team.store, STAGING, team.clock)

    assert staging_promotions(team) == [(1, True, Phase.SUCCEEDED)]
    assert promotion
    assert enter(team) == []


def test_it_waits_for_a_hold_to_be_lifted(team: Team, lead: Person) -> None:
    team.make(1)
    team.wait(hours=3)
    holds.set_(team.store, STAGING, actor=lead, clock=team.clock, reason="Holidays")
    assert enter(team) == []
    holds.lift(team.store, STAGING, actor=lead, clock=team.clock)
    assert len(enter(team)) == 1


def test_what_a_gate_stopped_or_a_person_took_back_does_not_come_again(team: Team, lead: Person) -> None:
    team.make(1)
    team.wait(hours=3)
    enter(team)
    judge(team.store, team.clock, accuracy=Verdict.FAILED)
    assert enter(team) == []

    team.make(2)
    team.wait(hours=3)
    (second,) = enter(team)
    promotions.withdraw(team.store, second, actor=lead, clock=team.clock, reason="Not now")
    assert enter(team) == []
    assert staging_promotions(team) == [(1, True, Phase.BLOCKED), (2, True, Phase.WITHDRAWN)]


def test_a_newer_bundle_takes_the_place_of_one_that_still_waits_for_its_gates(team: Team) -> None:
    team.make(1)
    team.wait(hours=3)
    enter(team)
    team.make(2)
    team.wait(hours=3)
    enter(team)
    assert staging_promotions(team) == [(1, True, Phase.SUPERSEDED), (2, True, Phase.GATING)]


def test_nothing_enters_where_the_policy_does_not_say_so(
    either_store: Store, clock: StoryClock, maker: Person, lead: Person
) -> None:
    team = Team(either_store, clock, maker, lead)
    team.make(1)
    team.wait(days=1)
    assert enter(team) == []
