"""Many at once on one slot: one of them wins, the others are told why not, and readers never see a mixture.

HEADGATE_RACE_SECONDS is how long the race lasts on each database; HEADGATE_READS how often the pointer is resolved.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from multiprocessing.synchronize import Event
from typing import Any

import pytest
from hands import judge
from places import (
    LEAD,
    MAKER,
    PRODUCTION,
    Builder,
    Place,
    RunningClock,
    at_once,
    building,
    disagreements,
    in_child,
    processes,
    promotion_of,
    story_clock,
    time_passes,
)
from sqlalchemy import func
from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.commands import approvals, bundles, deployments, promotions, rollbacks
from services.errors import ConditionsNotMet, HeadgateError, Refused
from services.rules.domain import BundleRef, DeploymentState, Phase
from services.store.models import AuditEvent, Deployment, Promotion
from services.work import deploy, reconcile
from services.work.tracking import DIGEST_TAG, MANIFEST_TAG

RACERS = 8
RACE_SECONDS = float(os.environ.get("HEADGATE_RACE_SECONDS", "20"))
READS = int(os.environ.get("HEADGATE_READS", "10000"))
SECONDS_BETWEEN_MOVES = 0.5


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def builder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return building(request, tmp_path_factory)


# The same press of a button.


def test_one_click_that_arrives_four_times_at_once_is_one_promotion(builder: Builder) -> None:
    place = builder.copy(builder.both_live)

    def click() -> int:
        return promotions.request(
            place.store, BundleRef("delays", 1), "production", actor=MAKER, clock=story_clock(), key="click"
        )

    answers = at_once([click] * 4)
    assert len(set(answers)) == 1, answers
    assert isinstance(answers[0], int)


def ask(place: Place) -> object:
    return promotions.request(place.store, BundleRef("delays", 1), "production", actor=MAKER, clock=story_clock())


def approve(place: Place) -> object:
    return approvals.approve(place.store, promotion_of(place.store, 2), actor=LEAD, clock=story_clock())


def roll_back(place: Place) -> object:
    return rollbacks.roll_back(
        place.store,
        PRODUCTION,
        actor=LEAD,
        clock=story_clock(),
        reason="Late",
        to=BundleRef("delays", 1),
        generation=2,
    )


def quarantine(place: Place) -> object:
    return bundles.quarantine(place.store, BundleRef("delays", 1), actor=LEAD, clock=story_clock(), reason="Late")


@pytest.mark.parametrize(
    ("press", "situation"),
    [(ask, "both_live"), (approve, "waiting"), (roll_back, "both_live"), (quarantine, "both_live")],
    ids=["promote", "approve", "roll back", "quarantine"],
)
def test_of_eight_who_press_the_same_button_at_once_one_wins_and_seven_are_told_why_not(
    builder: Builder, press: Callable[[Place], object], situation: str
) -> None:
    place = builder.copy(getattr(builder, situation))
    answers = at_once([partial(press, place)] * RACERS)
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(refused) == RACERS - 1, answers
    assert [told for told in refused if unclear(told)] == []


# Everybody does something else.


@dataclass
class Done:
    """What one process got done, and what it was told instead."""

    promotions: dict[str, list[int]] = field(default_factory=lambda: {"requested": [], "approved": [], "returned": []})
    quarantines: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unclear: list[str] = field(default_factory=list)


def unclear(error: HeadgateError) -> str:
    """What a person should never read: anything but a no, or a no without a way on, or the database's own words."""
    said = str(error)
    words = ("locked", "database", "Error", "constraint", "deadlock")
    remedies = [c.remedy for c in error.conditions] if isinstance(error, ConditionsNotMet) else [error.remedy]
    bad = not isinstance(error, Refused) or not all(remedies) or any(word in said for word in words)
    return f"{type(error).__name__}: {said}" if bad else ""


def hurry(place: Place, seed: int, clock: Clock, seconds: float) -> Done:
    """Promote, approve, roll back, quarantine and lift whatever comes, for so many seconds."""
    chance, done = random.Random(seed), Done()
    presses = (_request, _request, _approve, _approve, _approve, _return, _quarantine, _lift, _lift)
    until = clocks.monotonic() + seconds
    while clocks.monotonic() < until:
        try:
            chance.choice(presses)(place, BundleRef("delays", chance.choice((1, 2))), clock, done)
        except HeadgateError as error:
            done.refused[type(error).__name__] += 1
            done.unclear += [said] if (said := unclear(error)) else []
    return done


def _request(place: Place, ref: BundleRef, clock: Clock, done: Done) -> None:
    done.promotions["requested"].append(promotions.request(place.store, ref, "production", actor=MAKER, clock=clock))
    judge(place.store, clock)  # type: ignore[arg-type]


def _approve(place: Place, ref: BundleRef, clock: Clock, done: Done) -> None:
    promotion = promotion_of(place.store, ref.number)
    approvals.approve(place.store, promotion, actor=LEAD, clock=clock)
    done.promotions["approved"].append(promotion)
    deploy.carry_out(place.store, place.tracking, PRODUCTION, clock=clock)


def _return(place: Place, ref: BundleRef, clock: Clock, done: Done) -> None:
    promotion = rollbacks.roll_back(place.store, PRODUCTION, actor=LEAD, clock=clock, reason="Hurry", to=ref)
    done.promotions["returned"].append(promotion)
    deploy.carry_out(place.store, place.tracking, PRODUCTION, clock=clock)


def _quarantine(place: Place, ref: BundleRef, clock: Clock, done: Done) -> None:
    bundles.quarantine(place.store, ref, actor=LEAD, clock=clock, reason="Hurry")
    done.quarantines[f"bundle.quarantined {ref}"] += 1


def _lift(place: Place, ref: BundleRef, clock: Clock, done: Done) -> None:
    bundles.unquarantine(place.store, ref, actor=LEAD, clock=clock, reason="Hurry")
    done.quarantines[f"bundle.unquarantined {ref}"] += 1


def watch(place: Place, seconds: float) -> list[str]:
    """Look again and again: what two of were there that may be there once?"""
    found, until, store = [], clocks.monotonic() + seconds, place.store
    while clocks.monotonic() < until:
        with store.reading() as session:
            live = session.exec(
                select(func.count(col(Deployment.id))).where(
                    Deployment.stage == "production",
                    Deployment.state == DeploymentState.SUCCEEDED,
                    col(Deployment.superseded_at).is_(None),
                )
            ).one()
            on_their_way = session.exec(
                select(func.count(col(Promotion.id))).where(
                    Promotion.stage == "production", Promotion.phase == Phase.DEPLOYING
                )
            ).one()
        found += [f"{live} are live"] if live != 1 else []
        found += [f"{on_their_way} are on their way"] if on_their_way > 1 else []
        clocks.sleep(0.02)
    return found


def test_of_eight_who_promote_approve_roll_back_and_quarantine_at_once_each_time_one_wins(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = builder.copy(builder.both_live)
    clock = RunningClock(clocks.wall())
    monkeypatch.setattr(rollbacks, "CALL_SECONDS", 0.5)
    answers = at_once(
        [partial(hurry, place, seed, clock, RACE_SECONDS) for seed in range(RACERS)]
        + [partial(watch, place, RACE_SECONDS)]
    )
    done = [answer for answer in answers if isinstance(answer, Done)]
    seen = [answer for answer in answers if not isinstance(answer, Done)]
    assert seen == [[]]
    assert [said for one in done for said in one.unclear] == []
    winners = {what: [id_ for one in done for id_ in one.promotions[what]] for what in done[0].promotions}
    quarantines = sum((one.quarantines for one in done), Counter())
    refused = sum((one.refused for one in done), Counter())
    totals = {what: len(ids) for what, ids in winners.items()} | dict(quarantines) | dict(refused)
    print(f"in {RACE_SECONDS:g} s: {totals}")  # noqa: T201 (shown with -s)
    assert totals["returned"] + totals["approved"] >= 2, totals
    assert [what for what, ids in winners.items() if len(set(ids)) != len(ids)] == []
    _, found = in_child(partial(after_the_race, place, clock, quarantines))
    assert found == [], totals
    assert deployments.busy(place.store, PRODUCTION) is False


def after_the_race(place: Place, clock: Clock, quarantines: Counter[str]) -> list[str]:
    """What does not fit, once all have gone home."""
    time_passes(place.store)
    reconcile.reconcile(place.store, place.tracking, clock=clock)
    found = disagreements(place)
    with place.store.reading() as session:
        deployed = session.exec(select(Deployment.promotion_id).where(col(Deployment.promotion_id).is_not(None))).all()
        found += [] if len(set(deployed)) == len(deployed) else ["one promotion deployed twice"]
        for number in (1, 2):
            found += _turns(session, f"delays/{number}", quarantines)
    return found


def _turns(session: Session, ref: str, quarantines: Counter[str]) -> list[str]:
    """A quarantine and its end take turns in the record, and each is somebody's who was told that it worked."""
    actions = ("bundle.quarantined", "bundle.unquarantined")
    told = session.exec(
        select(AuditEvent.action)
        .where(AuditEvent.subject == ref, col(AuditEvent.action).in_(actions))
        .order_by(col(AuditEvent.seq))
    ).all()
    found = [f"{ref}: {a} twice in a row" for a, b in pairwise(told) if a == b]
    counted = Counter(f"{action} {ref}" for action in told)
    return found + [f"{key} was told otherwise" for key in counted if counted[key] != quarantines[key]]


# Readers.


def move_about(place: Place, over: Event) -> int:
    """Roll back to the other bundle twice a second, until it is over. How often that was."""
    clock, moves = RunningClock(clocks.wall()), 0
    while not over.is_set():
        ref = BundleRef("delays", 1 + moves % 2)
        rollbacks.roll_back(place.store, PRODUCTION, actor=LEAD, clock=clock, reason="To and fro", to=ref)
        deploy.carry_out(place.store, place.tracking, PRODUCTION, clock=clock)
        moves += 1
        over.wait(SECONDS_BETWEEN_MOVES)
    return moves


def resolve(place: Place, reads: int, over: Event) -> Counter[tuple[str, ...]]:
    """What a server gets: the model that it loads, and what the manifest beside it names."""
    client, seen = place.tracking.client, Counter[tuple[str, ...]]()
    try:
        for _ in range(reads):
            found = client.get_model_version_by_alias("bundle.delays", "production")
            named = {c["kind"]: c["uri"] for c in json.loads(found.tags[MANIFEST_TAG])["components"]}
            seen[found.source, named["model"], named["prompt"], found.tags[DIGEST_TAG]] += 1
    finally:
        over.set()
    return seen


def pinned(place: Place) -> set[tuple[str, ...]]:
    """The model that is loaded, and what belongs to it, of either bundle."""
    tracking, found = place.tracking, set()
    for version in tracking.versions("bundle.delays"):
        named = {c["kind"]: c for c in json.loads(version.tags[MANIFEST_TAG])["components"]}
        own = tracking.version("delays", named["model"]["version"])
        found.add((own.source, own.uri, named["prompt"]["uri"], version.tags[DIGEST_TAG]))
    return found


def test_readers_of_the_pointer_see_one_bundle_or_the_other_and_never_a_mixture(builder: Builder) -> None:
    place = builder.copy(builder.both_live)
    over = processes.Event()
    answers: list[Any] = at_once([partial(move_about, place, over), partial(resolve, place, READS, over)])
    moves = next(answer for answer in answers if isinstance(answer, int))
    seen = next(answer for answer in answers if isinstance(answer, Counter))
    _, whole = in_child(partial(pinned, place))
    print(f"{READS} reads under {moves} moves: {sorted(seen.values())}")  # noqa: T201 (shown with -s)
    assert moves >= 2
    assert len({prompt for _, _, prompt, _ in whole}) == 2
    assert set(seen) == whole
    assert sum(seen.values()) == READS
