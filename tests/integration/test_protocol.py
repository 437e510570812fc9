"""A deployment whose process dies, stalls or cannot reach MLflow: in the end store, MLflow and record agree."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hands import judge
from places import (
    DIED,
    LEAD,
    MAKER,
    PRODUCTION,
    Builder,
    Place,
    building,
    deaths,
    disagreements,
    in_child,
    phase,
    promotion_of,
    story_clock,
    time_passes,
)
from sqlmodel import select

from services.commands import approvals, promotions, rollbacks
from services.errors import Refused
from services.rules.domain import BundleRef, Phase
from services.settings import Settings
from services.store.models import AuditEvent, Deployment
from services.work import deploy, reconcile
from services.work.deploy import Ended
from services.work.reconcile import Reconciled
from services.work.tracking import Tracking


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def builder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return building(request, tmp_path_factory)


# A process that dies.


def approve_and_deploy(place: Place) -> None:
    """As often as one likes: what is approved already stays approved."""
    store = place.store
    promotion = promotion_of(store, 2)
    try:
        approvals.approve(store, promotion, actor=LEAD, clock=story_clock())
    except Refused:
        assert phase(store, promotion) in (Phase.DEPLOYING, Phase.SUCCEEDED)
    deploy.carry_out(store, place.tracking, PRODUCTION, clock=story_clock())


def roll_back_and_deploy(place: Place) -> None:
    store = place.store
    rollbacks.roll_back(
        store, PRODUCTION, actor=LEAD, clock=story_clock(), reason="Complaints", to=BundleRef("delays", 1), key="click"
    )
    deploy.carry_out(store, place.tracking, PRODUCTION, clock=story_clock())


def reconcile_alone(place: Place) -> None:
    """Nobody clicks again: whatever was committed is finished."""


@pytest.mark.parametrize(
    ("act", "situation", "live"),
    [(approve_and_deploy, "waiting", 2), (roll_back_and_deploy, "both_live", 1)],
    ids=["deploy", "rollback"],
)
def test_a_process_that_dies_at_any_point_is_made_good(
    builder: Builder, act: Callable[[Place], None], situation: str, live: int
) -> None:
    points = deaths(builder, getattr(builder, situation), act, reconcile_alone, live=live)
    transactions, calls = (5, 5) if act is approve_and_deploy else (4, 3)
    assert points >= 2 * (transactions + calls), "every transaction and every call is a point before and a point after"


# A mover that stalls, and wakes up when the world has moved on.


class Stalling(Tracking):
    """Stops in front of its n-th alias call, after it has looked at its lease, while `meanwhile` happens."""

    def __init__(self, settings: Settings, at: int, meanwhile: Callable[[], None], then: Callable[[], None]) -> None:
        super().__init__(settings)
        self.left, self.meanwhile, self.then = at, meanwhile, then

    def set_model_alias(self, name: str, alias: str, version: str) -> None:
        stalled = self._stall()
        super().set_model_alias(name, alias, version)
        if stalled:
            self.then()

    def set_prompt_alias(self, name: str, alias: str, version: str) -> None:
        stalled = self._stall()
        super().set_prompt_alias(name, alias, version)
        if stalled:
            self.then()

    def _stall(self) -> bool:
        self.left -= 1
        if self.left == 0:
            self.meanwhile()
        return self.left == 0


def somebody_rolls_back(place: Place) -> None:
    time_passes(place.store)
    roll_back_and_deploy(place)


def zombie(place: Place, at: int, then: Callable[[], None] = lambda: None) -> tuple[Ended, list[str], list[str]]:
    """A mover of bundle 2 stalls, somebody brings bundle 1 back, the mover wakes up and goes on."""
    store, clock = place.store, story_clock()
    promotions.request(store, BundleRef("delays", 2), "production", actor=MAKER, clock=clock)
    judge(store, clock)
    approvals.approve(store, promotion_of(store, 2), actor=LEAD, clock=clock)
    stalling = Stalling(place.settings, at, partial(somebody_rolls_back, place), then)
    ended = deploy.carry_out(store, stalling, PRODUCTION, clock=clock)
    with store.reading() as session:
        told = list(session.exec(select(AuditEvent.action).where(AuditEvent.action == "aliases.repaired")))
    return ended, told, disagreements(place, 1)


@pytest.fixture
def one_live_again(builder: Builder) -> Place:
    """Bundle 1 is live, after 2 was; 2 can be promoted again."""
    place = builder.copy(builder.both_live)
    _, answer = in_child(partial(roll_back_to_one, place))
    assert answer is None, answer
    return place


def roll_back_to_one(place: Place) -> None:
    rollbacks.roll_back(
        place.store, PRODUCTION, actor=LEAD, clock=story_clock(), reason="Earlier", to=BundleRef("delays", 1)
    )
    deploy.carry_out(place.store, place.tracking, PRODUCTION, clock=story_clock())


@pytest.mark.parametrize("at", [1, 2, 3], ids=["before the pointer", "before the model", "before the prompt"])
def test_a_mover_that_wakes_up_too_late_puts_right_what_it_wrote(one_live_again: Place, at: int) -> None:
    _, (ended, told, found) = in_child(partial(zombie, one_live_again, at))
    assert ended is Ended.BUSY
    assert told == ["aliases.repaired"]
    assert found == []


def test_a_mover_that_writes_late_and_dies_is_recognised_by_reconcile_and_put_right(one_live_again: Place) -> None:
    exitcode, _ = in_child(partial(zombie, one_live_again, 1, partial(os._exit, DIED)))
    assert exitcode == DIED

    def look() -> tuple[list[str], list[Reconciled], list[str]]:
        before = disagreements(one_live_again, 1)
        time_passes(one_live_again.store)
        found = reconcile.reconcile(one_live_again.store, one_live_again.tracking, clock=story_clock())
        return before, found, disagreements(one_live_again, 1)

    _, (before, reconciled, after) = in_child(look)
    assert before != []
    assert [found.why for found in reconciled if found.repaired] == ["a mover of Headgate's own wrote late"]
    assert after == []


# MLflow that does not answer.


def test_a_deployment_waits_while_mlflow_is_away_and_is_finished_when_it_is_back(builder: Builder) -> None:
    place = builder.copy(builder.waiting)
    away = Tracking(replace(place.settings, tracking_uri="http://127.0.0.1:1"))

    def story() -> tuple[Ended, Phase, str, list[str]]:
        store, promotion = place.store, promotion_of(place.store, 2)
        approvals.approve(store, promotion, actor=LEAD, clock=story_clock())
        ended = deploy.carry_out(store, away, PRODUCTION, clock=story_clock())
        with store.reading() as session:
            note = session.exec(select(Deployment.note).where(Deployment.promotion_id == promotion)).one()
        waiting = phase(store, promotion)
        (found,) = [r for r in reconcile.reconcile(store, place.tracking, clock=story_clock()) if r.slot == PRODUCTION]
        return ended, waiting, note, [*disagreements(place, 2), *([] if found.finished == "live" else [str(found)])]

    _, (ended, waiting, note, found) = in_child(story)
    assert (ended, waiting) == (Ended.WAITING, Phase.DEPLOYING)
    assert "http://127.0.0.1:1 does not answer" in note
    assert found == []


def test_a_rollback_while_mlflow_is_away_is_recorded_waits_and_wins(builder: Builder) -> None:
    place = builder.copy(builder.waiting)
    away = Tracking(replace(place.settings, tracking_uri="http://127.0.0.1:1"))

    def story() -> tuple[Ended, list[str]]:
        store = place.store
        approvals.approve(store, promotion_of(store, 2), actor=LEAD, clock=story_clock())
        deploy.carry_out(store, away, PRODUCTION, clock=story_clock())
        rollbacks.roll_back(store, PRODUCTION, actor=LEAD, clock=story_clock(), reason="Stuck")
        ended = deploy.carry_out(store, away, PRODUCTION, clock=story_clock())
        reconcile.reconcile(store, place.tracking, clock=story_clock())
        return ended, disagreements(place, 1)

    _, (ended, found) = in_child(story)
    assert (ended, found) == (Ended.WAITING, [])
