"""A deployment whose process dies, stalls, races or cannot reach MLflow: in the end store, MLflow and record agree."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import example
import pytest
from hands import Team, judge
from sqlalchemy import make_url
from sqlmodel import col, select

from services import clock as clocks
from services import settings as settings_module
from services.clock import Clock, StoryClock
from services.commands import approvals, deployments, promotions, rollbacks
from services.errors import HeadgateError, Refused
from services.rules.domain import BundleRef, ComponentKind, DeploymentState, Person, Phase, Role, SlotRef
from services.settings import Settings
from services.start import open_store
from services.store import audit
from services.store.database import Store
from services.store.models import AuditEvent, Bundle, ComponentRow, Deployment, Promotion, Slot
from services.work import deploy, reconcile, sync
from services.work.deploy import Ended
from services.work.reconcile import Reconciled
from services.work.tracking import DIGEST_TAG, Tracking

PRODUCTION = SlotRef("delays", "production")
MAKER = Person("mia", frozenset({Role.MAKER}))
LEAD = Person("lou", frozenset({Role.LEAD, Role.ADMIN}))
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DIED = 42
processes = multiprocessing.get_context("fork")


def story_clock() -> StoryClock:
    return StoryClock(START + timedelta(hours=2), replayed=False)


@dataclass(frozen=True)
class Place:
    """A home with its own MLflow and its own store, copied from one that was built once."""

    settings: Settings

    @property
    def store(self) -> Store:
        return Store(self.settings.database_url)

    @property
    def tracking(self) -> Tracking:
        return Tracking(self.settings)


class Builder:
    """Builds the two situations of this file once for each database, and copies them as often as they are wanted."""

    def __init__(self, folder: Path, server: Any) -> None:
        self.folder, self.server, self.made = folder, server, 0
        self.waiting = self._place("waiting")
        store, tracking, clock = open_store(self.waiting.settings), self.waiting.tracking, StoryClock(START, False)
        team = Team(store, clock, MAKER, LEAD)
        workshop = example.Workshop(self.waiting.settings, tracking, folder / "data")
        self._bundle(team, workshop, seed=7)
        self._approve(team, tracking, 1)
        workshop.write_notice("Sorry: {{airline}} is {{minutes}} minutes late.")
        self._bundle(team, workshop, seed=21)
        store.close()
        self.both_live = self.copy(self.waiting)
        store = self.both_live.store
        self._approve(replace(team, store=store), self.both_live.tracking, 2)
        store.close()
        forget_the_version(self.waiting)

    def _bundle(self, team: Team, workshop: example.Workshop, seed: int) -> None:
        """Trained, registered, live in development and staging, and waiting for an approval for production."""
        if workshop.made == 0:
            workshop.write_notice()
        workshop.train(seed=seed)
        where = self.waiting.settings
        (found,) = sync.sync(team.store, workshop.tracking, where, actor=MAKER, clock=team.clock)
        (made,) = found.registered
        for stage in ("development", "staging"):
            if stage == "staging":
                team.ask(made.ref, stage)
            assert deploy.carry_out(team.store, workshop.tracking, slot(stage), clock=team.clock) is Ended.LIVE
        team.ask(made.ref)

    def _approve(self, team: Team, tracking: Tracking, bundle: int) -> None:
        team.approve(promotion_of(team.store, bundle))
        assert deploy.carry_out(team.store, tracking, PRODUCTION, clock=team.clock) is Ended.LIVE

    def copy(self, original: Place) -> Place:
        self.made += 1
        copied = self._place(f"copy-{self.made}", like=original)
        shutil.copytree(original.settings.home, copied.settings.home, ignore=shutil.ignore_patterns("mlartifacts"))
        return copied

    def _place(self, name: str, like: Place | None = None) -> Place:
        environ = {"HEADGATE_HOME": str(self.folder / name)}
        if self.server is not None:
            database = f"{self.folder.name.replace('-', '_').lower()}_{name.replace('-', '_')}"
            template = f" TEMPLATE {make_url(like.settings.database_url).database}" if like else ""
            self.server.psql(f"CREATE DATABASE {database}{template};")
            environ["HEADGATE_DATABASE_URL"] = self.server.get_uri(database)
        return Place(settings_module.load(environ))


def slot(stage: str) -> SlotRef:
    return SlotRef("delays", stage)


def forget_the_version(place: Place) -> None:
    """MLflow and the store no longer know which version of the pointer bundle 2 is: its next deployment makes one."""
    place.tracking.client.delete_model_version("bundle.delays", "2")
    store = place.store
    with store.writing() as session:
        row = session.exec(select(Bundle).where(Bundle.number == 2)).one()
        row.registry_version = None
        session.add(row)
    store.close()


def promotion_of(store: Store, bundle: int) -> int:
    with store.reading() as session:
        found = session.exec(
            select(Promotion.id)
            .where(Promotion.stage == "production", Promotion.bundle_id == bundle)
            .order_by(col(Promotion.id).desc())
        ).first()
        assert found is not None
        return found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def builder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    return Builder(tmp_path_factory.mktemp(f"protocol-{request.param}"), server)


def in_child(work: Callable[[], Any]) -> tuple[int | None, Any]:
    """Do the work in a process of its own; how that ended, and what it answered."""
    ours, theirs = processes.Pipe(duplex=False)

    def run() -> None:
        try:
            answer = work()
        except BaseException as error:
            answer = error
        theirs.send(
            answer if isinstance(answer, HeadgateError) or not isinstance(answer, BaseException) else repr(answer)
        )
        os._exit(0)

    child = processes.Process(target=run)
    child.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        answer = None
    child.join(timeout=60)
    return child.exitcode, answer


# The points at which a process can die: before and after every transaction, and every call that writes into MLflow.


class Deaths:
    """Counts the points, and dies at the one it is told."""

    WRITES = ("ensure_registered_model", "_create_bundle_version", "set_model_alias", "set_prompt_alias")

    def __init__(self, at: int, calls: bool) -> None:
        self.at, self.calls, self.passed = at, calls, 0

    def point(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            os._exit(DIED)

    def arm(self) -> None:
        """Only ever called in a child process, which takes the changes to its grave."""
        writing = Store.writing

        @contextmanager
        def watched(store: Store) -> Iterator[Any]:
            with writing(store) as session:
                yield session
                session.flush()
                self.point()  # all is written, nothing is committed
            self.point()

        Store.writing = watched  # type: ignore[method-assign]
        for name in self.WRITES if self.calls else ():
            setattr(Tracking, name, self._around(getattr(Tracking, name)))

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self.point()
            answer = call(*arguments, **named)
            self.point()
            return answer

        return watched


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


def phase(store: Store, promotion: int) -> Phase:
    with store.reading() as session:
        found = session.get(Promotion, promotion)
        assert found is not None
        return found.phase


def time_passes(store: Store) -> None:
    """Leases run out."""
    with store.writing() as session:
        row = session.get(Slot, ("delays", "production"))
        assert row is not None
        row.lease_until = clocks.wall() - timedelta(seconds=1) if row.lease_until else None
        session.add(row)


def disagreements(place: Place, live: int | None = None) -> list[str]:
    """Everything that does not fit: store against itself, against MLflow, and the record's chain. `live`: a bundle."""
    found = []
    with place.store.reading() as session:
        row = session.get(Slot, ("delays", "production"))
        assert row is not None
        if row.pending_deployment_id is not None:
            found.append(f"deployment {row.pending_deployment_id} is pending")
        rows = session.exec(
            select(Deployment).where(Deployment.stage == "production").order_by(col(Deployment.generation))
        ).all()
        standing = [d for d in rows if d.state is DeploymentState.SUCCEEDED and d.superseded_at is None]
        if [d.id for d in standing] != [row.live_deployment_id]:
            found.append(f"live are {[d.id for d in standing]}, and the slot says {row.live_deployment_id}")
        served = [d for d in rows if d.state is DeploymentState.SUCCEEDED]
        found += [
            f"{a.id} ends when {b.id} does not begin" for a, b in pairwise(served) if a.superseded_at != b.finished_at
        ]
        if len({d.generation for d in rows}) != len(rows):
            found.append("two deployments have one generation")
        if [d.id for d in rows if d.state is DeploymentState.STARTED]:
            found.append("a deployment is started for ever")
        if (chain := audit.verify(session)).broken_at:
            found.append(chain.reason)
        bundle = session.get(Bundle, standing[0].bundle_id) if standing else None
        assert bundle is not None
        if live is not None and bundle.number != live:
            found.append(f"delays/{bundle.number} is live and should not be")
        components = session.exec(select(ComponentRow).where(ComponentRow.bundle_id == bundle.id)).all()
        members = {(c.kind, c.name): c.version for c in components}
        digest = bundle.digest
    tracking = place.tracking
    pointer = tracking.model_aliases("bundle.delays")["production"]
    if tracking.version("bundle.delays", pointer).tags[DIGEST_TAG] != digest:
        found.append(f"the pointer says version {pointer}, which is another bundle")
    for (kind, name), version in members.items():
        aliases = {ComponentKind.MODEL: tracking.model_aliases, ComponentKind.PROMPT: tracking.prompt_aliases}
        if kind in aliases and aliases[kind](name).get("production") != version:
            found.append(f"the copy of {kind.value} {name} strays")
    return found


def recover(place: Place, again: Callable[[Place], None], live: int) -> list[str]:
    """The same click again, then reconcile, twice: the second finds nothing to do."""
    time_passes(place.store)
    again(place)
    time_passes(place.store)
    reconcile.reconcile(place.store, place.tracking, clock=story_clock())
    second = reconcile.reconcile(place.store, place.tracking, clock=story_clock())
    found = disagreements(place, live)
    return found + [str(r) for r in second if not r.agrees or r.finished or r.repaired]


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
    for point in count(1):
        place = builder.copy(getattr(builder, situation))

        def die_on_the_way(at: int = point, where: Place = place) -> None:
            Deaths(at, calls=where.store.sqlite).arm()  # the calls to MLflow are the same on both databases
            act(where)

        exitcode, answer = in_child(die_on_the_way)
        assert answer is None, answer
        # the same click again, or, after the first transaction, nobody at all: both end in the same place
        again = act if point % 2 or point < 3 else reconcile_alone
        _, found = in_child(partial(recover, place, again, live))
        assert found == [], f"after a death at point {point}"
        if exitcode != DIED:
            break
    transactions, calls = (6, 5) if act is approve_and_deploy else (5, 3)
    counted = 2 * (transactions + calls) if place.store.sqlite else 2 * transactions
    assert point > counted, "every transaction and every call is a point before and a point after"


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


# Several at once.


@dataclass(frozen=True)
class RunningClock:
    """The story's clock, running as the wall's does: the same in every process."""

    since: datetime
    replayed: bool = False

    def now(self) -> datetime:
        return START + timedelta(hours=3) + (clocks.wall() - self.since)

    def elapse(self, seconds: float) -> None:
        return None


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    queue = processes.Queue()

    def run(work: Callable[[], Any]) -> None:
        try:
            queue.put(work())
        except BaseException as error:
            queue.put(repr(error))

    children = [processes.Process(target=run, args=(work,)) for work in works]
    for child in children:
        child.start()
    answers = [queue.get(timeout=90) for _ in children]
    for child in children:
        child.join(timeout=30)
    return answers


def test_one_click_that_arrives_four_times_at_once_is_one_promotion(builder: Builder) -> None:
    place = builder.copy(builder.both_live)

    def click() -> int:
        return promotions.request(
            place.store, BundleRef("delays", 1), "production", actor=MAKER, clock=story_clock(), key="click"
        )

    answers = at_once([click] * 4)
    assert len(set(answers)) == 1, answers
    assert isinstance(answers[0], int)


def hurry(place: Place, seed: int, clock: Clock, seconds: float) -> dict[str, int]:
    """Promote, approve and roll back whatever comes, for so many seconds. How often what succeeded."""
    store, tracking, chance = place.store, place.tracking, random.Random(seed)
    done = {"requested": 0, "approved": 0, "rolled back": 0, "refused": 0}
    until = clocks.monotonic() + seconds
    while clocks.monotonic() < until:
        ref = BundleRef("delays", chance.choice((1, 2)))
        what = chance.choice(tuple(done)[:3])
        try:
            if what == "requested":
                promotions.request(store, ref, "production", actor=MAKER, clock=clock)
                judge(store, clock)
            elif what == "approved":
                approvals.approve(store, promotion_of(store, ref.number), actor=LEAD, clock=clock)
                deploy.carry_out(store, tracking, PRODUCTION, clock=clock)
            elif chance.random() < 0.3:
                rollbacks.roll_back(store, PRODUCTION, actor=LEAD, clock=clock, reason="Hurry", to=ref)
                deploy.carry_out(store, tracking, PRODUCTION, clock=clock)
            done[what] += 1
        except (Refused, AssertionError):
            done["refused"] += 1
    return done


def test_of_four_who_promote_approve_and_roll_back_at_once_each_time_one_wins(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = builder.copy(builder.both_live)
    clock = RunningClock(clocks.wall())
    monkeypatch.setattr(rollbacks, "CALL_SECONDS", 0.5)
    answers = at_once([partial(hurry, place, seed, clock, 4.0) for seed in range(4)])
    assert all(isinstance(answer, dict) for answer in answers), answers
    totals = {what: sum(answer[what] for answer in answers) for what in answers[0]}
    assert totals["rolled back"] + totals["approved"] >= 2, totals

    def look() -> list[str]:
        time_passes(place.store)
        reconcile.reconcile(place.store, place.tracking, clock=clock)
        with place.store.reading() as session:
            winners = session.exec(
                select(Deployment.promotion_id).where(col(Deployment.promotion_id).is_not(None))
            ).all()
        return disagreements(place) + ([] if len(set(winners)) == len(winners) else ["one promotion deployed twice"])

    _, found = in_child(look)
    assert found == [], totals
    assert deployments.busy(place.store, PRODUCTION) is False
