"""Adopting, restoring and syncing by a process that dies on the way: done again, or reconciled, all agrees."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest
from places import LEAD, MAKER, PRODUCTION, Builder, Place, building, deaths, slot, story_clock
from sqlmodel import col, select

from services.commands import strays
from services.commands.strays import Choice
from services.errors import Conflict
from services.store.models import AuditEvent, Bundle
from services.store.trouble import Stray
from services.work import deploy, sync
from services.work import strays as carrying

NEW = "delays/3"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def builder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return building(request, tmp_path_factory)


def choose(choice: Choice, place: Place) -> None:
    """A person chooses, and a worker carries it out. What is settled by then needs no choice any more."""
    with suppress(Conflict):
        strays.choose(place.store, PRODUCTION, choice, actor=LEAD, clock=story_clock(), reason="Urgent")
    work(place)


def work(place: Place) -> None:
    """A worker finds what was chosen."""
    for chosen in strays.chosen(place.store):
        carrying.carry_out(place.store, place.tracking, place.settings, chosen, clock=story_clock())


def told(place: Place, *, choice: Choice) -> list[str]:
    """What the record leaves unexplained of a choice that was carried out."""
    with place.store.reading() as session:
        subjects = (str(PRODUCTION), NEW)
        events = session.exec(
            select(AuditEvent.action).where(col(AuditEvent.subject).in_(subjects)).order_by(col(AuditEvent.seq))
        ).all()
        still_open = session.exec(select(Stray).where(col(Stray.closed_at).is_(None))).all()
    since = list(events[events.index("alias.moved_outside") :])
    ends = {
        Choice.RESTORE: ["alias.agrees_again"],
        Choice.ADOPT: ["bundle.registered", "deployment.started", "deployment.succeeded"],
    }
    story = ["alias.moved_outside", f"alias.{choice}_chosen", *ends[choice]]
    in_order = iter(since)
    missing = [action for action in story if action not in in_order]
    twice = [action for action in story if since.count(action) > 1 and not action.endswith("_chosen")]
    return (
        [f"{missing} not told in {since}"] * bool(missing)
        + [f"{twice} told twice"] * bool(twice)
        + [f"{stray.finding} stays open" for stray in still_open]
    )


@pytest.mark.parametrize(
    ("choice", "live", "transactions", "calls"),
    [(Choice.ADOPT, 3, 7, 5), (Choice.RESTORE, 2, 7, 3)],
    ids=["adopt", "restore"],
)
def test_a_choice_about_a_moved_alias_whose_process_dies_at_any_point_is_made_good(
    builder: Builder, choice: Choice, live: int, transactions: int, calls: int
) -> None:
    points = deaths(
        builder, builder.moved, partial(choose, choice), work, live=live, explained=partial(told, choice=choice)
    )
    assert points >= 2 * (transactions + calls), "every transaction and every call is a point before and a point after"


def sync_and_deploy(place: Place) -> None:
    sync.sync(place.store, place.tracking, place.settings, actor=MAKER, clock=story_clock())
    deploy.carry_out(place.store, place.tracking, slot("development"), clock=story_clock())


def one_new_bundle(place: Place) -> list[str]:
    """Another sync finds nothing new, and the new bundle is there once, in store, record and MLflow."""
    (again,) = sync.sync(place.store, place.tracking, place.settings, actor=MAKER, clock=story_clock())
    with place.store.reading() as session:
        numbers = session.exec(select(Bundle.number).order_by(col(Bundle.id))).all()
        registered = session.exec(
            select(AuditEvent.seq).where(AuditEvent.action == "bundle.registered", AuditEvent.subject == NEW)
        ).all()
    versions = place.tracking.versions("bundle.delays")
    as_it_should_be = (again.registered, again.trouble, list(numbers), len(registered), len(versions))
    return [] if as_it_should_be == ((), None, [1, 2, 3], 1, 3) else [str(as_it_should_be)]


def test_a_sync_that_dies_at_any_point_makes_one_bundle_in_the_end(builder: Builder) -> None:
    points = deaths(
        builder,
        builder.trained,
        sync_and_deploy,
        sync_and_deploy,
        live=3,
        stage="development",
        explained=one_new_bundle,
    )
    transactions, calls = 5, 5
    assert points >= 2 * (transactions + calls)
