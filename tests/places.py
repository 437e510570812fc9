"""Places in which the deployment protocol is put to the test: built once for each database, copied for every death.

What is done in a place is done in a process of its own, which may be told to die at any of the points on its way.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import example
import pytest
from hands import Team
from sqlalchemy import make_url
from sqlmodel import Session, col, select

from services import clock as clocks
from services import settings as settings_module
from services.clock import StoryClock
from services.errors import HeadgateError
from services.rules.domain import ComponentKind, DeploymentState, Person, Phase, Role, SlotRef
from services.settings import Settings
from services.start import open_store
from services.store import audit
from services.store.database import Store
from services.store.models import AuditEvent, Bundle, ComponentRow, Deployment, Promotion, Slot
from services.work import deploy, reconcile, sync
from services.work.deploy import Ended
from services.work.tracking import DIGEST_TAG, Tracking, bundle_name

PRODUCTION = SlotRef("delays", "production")
MAKER = Person("mia", frozenset({Role.MAKER}))
LEAD = Person("lou", frozenset({Role.LEAD, Role.ADMIN}))
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DIED = 42
processes = multiprocessing.get_context("fork")


# By process: a forked child keeps its parent's, and leaves it alone.
_open_stores: dict[int, Store] = {}


def close_store() -> None:
    if mine := _open_stores.pop(os.getpid(), None):
        mine.close()


def story_clock() -> StoryClock:
    return StoryClock(START + timedelta(hours=2), replayed=False)


@dataclass(frozen=True)
class Place:
    """A home with its own MLflow and its own store, copied from one that was built once."""

    settings: Settings

    @property
    def store(self) -> Store:
        """The one store that this process has open: a new one each time would soon hold all of PostgreSQL's hundred
        connections."""
        mine = _open_stores.get(os.getpid())
        if mine is None or mine.url != self.settings.database_url:
            close_store()
            mine = _open_stores[os.getpid()] = Store(self.settings.database_url)
        return mine

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

    @cached_property
    def trained(self) -> Place:
        """Both were live, and MLflow has a third version of the model that Headgate has not seen."""
        return self._changed(self.both_live, self._train)

    @cached_property
    def moved(self) -> Place:
        """Somebody made a version of the pointer from the third model, and moved its alias there; that is noted."""
        return self._changed(self.trained, move_by_hand)

    def _train(self, place: Place) -> None:
        example.Workshop(place.settings, place.tracking, self.folder / "data", made=2).train(seed=33)

    def _changed(self, original: Place, change: Callable[[Place], None]) -> Place:
        place = self.copy(original)
        _, answer = in_child(lambda: change(place))
        assert answer is None, answer
        return place

    def copy(self, original: Place) -> Place:
        self.made += 1
        copied = self._place(f"copy-{self.made}", like=original)
        shutil.copytree(original.settings.home, copied.settings.home, ignore=shutil.ignore_patterns("mlartifacts"))
        return copied

    def _place(self, name: str, like: Place | None = None) -> Place:
        environ = {"HEADGATE_HOME": str(self.folder / name)}
        if self.server is not None:
            close_store()  # nobody may be connected to what is copied
            database = f"{self.folder.name.replace('-', '_').lower()}_{name.replace('-', '_')}"
            template = f" TEMPLATE {make_url(like.settings.database_url).database}" if like else ""
            self.server.psql(f"CREATE DATABASE {database}{template};")
            environ["HEADGATE_DATABASE_URL"] = self.server.get_uri(database)
        return Place(settings_module.load(environ))


def building(request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Builder:
    """For a fixture with the parameters `sqlite` and `postgresql`."""
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    return Builder(folders.mktemp(f"{request.module.__name__}-{request.param}"), server)


def slot(stage: str) -> SlotRef:
    return SlotRef("delays", stage)


def move_by_hand(place: Place) -> None:
    tracking, pointer = place.tracking, bundle_name("delays")
    model = tracking.version("delays", "3")
    made = tracking.client.create_model_version(
        pointer, source=model.source, run_id=model.run_id, model_id=model.model_id
    )
    tracking.set_model_alias(pointer, "production", str(made.version))
    found = reconcile.reconcile(place.store, tracking, clock=story_clock())
    assert [reconciled.slot for reconciled in found if reconciled.moved] == [PRODUCTION]


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

    def __init__(self, at: int) -> None:
        self.at, self.passed = at, 0

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
        for name in self.WRITES:
            setattr(Tracking, name, self._around(getattr(Tracking, name)))

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self.point()
            answer = call(*arguments, **named)
            self.point()
            return answer

        return watched


def phase(store: Store, promotion: int) -> Phase:
    with store.reading() as session:
        found = session.get(Promotion, promotion)
        assert found is not None
        return found.phase


def time_passes(store: Store) -> None:
    """Leases run out."""
    with store.writing() as session:
        for row in session.exec(select(Slot).where(col(Slot.lease_until).is_not(None))):
            row.lease_until = clocks.wall() - timedelta(seconds=1)
            session.add(row)


def disagreements(place: Place, live: int | None = None, stage: str = "production") -> list[str]:
    """Everything that does not fit: store against itself, against MLflow, and against its record. `live`: a bundle."""
    with place.store.reading() as session:
        row = session.get(Slot, ("delays", stage))
        assert row is not None
        rows = session.exec(
            select(Deployment).where(Deployment.stage == stage).order_by(col(Deployment.generation))
        ).all()
        found = [*_in_the_store(row, list(rows)), *_in_the_record(session, list(rows))]
        deployment = session.get(Deployment, row.live_deployment_id or 0)
        bundle = session.get(Bundle, deployment.bundle_id) if deployment else None
        assert bundle is not None
        if live is not None and bundle.number != live:
            found.append(f"delays/{bundle.number} is live and should not be")
        components = session.exec(select(ComponentRow).where(ComponentRow.bundle_id == bundle.id)).all()
        members = {(c.kind, c.name): c.version for c in components}
        digest = bundle.digest
    return [*found, *_in_mlflow(place.tracking, stage, digest, members)]


def _in_the_store(row: Slot, rows: list[Deployment]) -> Iterator[str]:
    if row.pending_deployment_id is not None:
        yield f"deployment {row.pending_deployment_id} is pending"
    served = [d for d in rows if d.state is DeploymentState.SUCCEEDED]
    standing = [d.id for d in served if d.superseded_at is None]
    if standing != [row.live_deployment_id]:
        yield f"live are {standing}, and the slot says {row.live_deployment_id}"
    for a, b in pairwise(served):
        if a.superseded_at != b.finished_at:
            yield f"{a.id} ends when {b.id} does not begin"
    if len({d.generation for d in rows}) != len(rows):
        yield "two deployments have one generation"
    if any(d.state is DeploymentState.STARTED for d in rows):
        yield "a deployment is started for ever"


def _in_the_record(session: Session, rows: list[Deployment]) -> Iterator[str]:
    """The chain holds, and every deployment's beginning and end are told in it once."""
    if (chain := audit.verify(session)).broken_at:
        yield chain.reason
    told = Counter(
        (event.action, json.loads(event.body)["facts"].get("deployment"))
        for event in session.exec(select(AuditEvent).where(col(AuditEvent.action).startswith("deployment.")))
    )
    for d in rows:
        ended = {DeploymentState.SUCCEEDED: 1}.get(d.state, 0)
        if (told["deployment.started", d.id], told["deployment.succeeded", d.id]) != (1, ended):
            yield f"the record does not explain deployment {d.id}, which is {d.state}"


def _in_mlflow(
    tracking: Tracking, stage: str, digest: str, members: dict[tuple[ComponentKind, str], str]
) -> Iterator[str]:
    pointer = tracking.model_aliases("bundle.delays")[stage]
    if tracking.version("bundle.delays", pointer).tags.get(DIGEST_TAG) != digest:
        yield f"the pointer says version {pointer}, which is another bundle"
    aliases = {ComponentKind.MODEL: tracking.model_aliases, ComponentKind.PROMPT: tracking.prompt_aliases}
    for (kind, name), version in members.items():
        if kind in aliases and aliases[kind](name).get(stage) != version:
            yield f"the copy of {kind.value} {name} strays"


def deaths(
    builder: Builder, original: Place, act: Callable[[Place], None], alone: Callable[[Place], None], **ends: Any
) -> int:
    """Do it in one copy after the other, dying at the next point each time, until it comes to its end.

    After a death the same click comes again, or, once the first transaction stands, nobody's but `alone`. Both end in
    the same place. Returns how many points there were.
    """
    for point in count(1):
        place = builder.copy(original)

        def die_on_the_way(at: int = point, where: Place = place) -> None:
            Deaths(at).arm()
            act(where)

        exitcode, answer = in_child(die_on_the_way)
        assert answer is None, answer
        again = act if point % 2 or point < 3 else alone
        _, found = in_child(lambda where=place, then=again: recover(where, then, **ends))
        assert found == [], f"{found} after a death at point {point}"
        if exitcode != DIED:
            return point - 1
    raise AssertionError("not reached")


def recover(
    place: Place,
    again: Callable[[Place], None],
    live: int,
    stage: str = "production",
    explained: Callable[[Place], list[str]] = lambda _: [],
) -> list[str]:
    """The same click again, then reconcile, twice: the second finds nothing to do."""
    time_passes(place.store)
    again(place)
    time_passes(place.store)
    reconcile.reconcile(place.store, place.tracking, clock=story_clock())
    second = reconcile.reconcile(place.store, place.tracking, clock=story_clock())
    found = disagreements(place, live, stage) + explained(place)
    return found + [str(r) for r in second if not r.agrees or r.finished or r.repaired]


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
    """Each in a process of its own; what they answered, in the order in which they did."""
    queue = processes.Queue()

    def run(work: Callable[[], Any]) -> None:
        try:
            queue.put(work())
        except HeadgateError as error:
            queue.put(error)
        except BaseException as error:
            queue.put(repr(error))

    children = [processes.Process(target=run, args=(work,)) for work in works]
    for child in children:
        child.start()
    answers = [queue.get(timeout=90) for _ in children]
    for child in children:
        child.join(timeout=30)
    return answers
