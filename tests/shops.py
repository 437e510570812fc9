"""A small application with two live bundles, built once for each database and copied for every test that breaks it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import example
import pytest
from hands import Team
from sqlalchemy import make_url
from sqlmodel import col, select

from services import settings as settings_module
from services.clock import StoryClock
from services.commands import rollbacks, strays
from services.commands.strays import Choice
from services.queries import application, wayback
from services.rules.domain import Person, Phase, Role, SlotRef
from services.settings import Settings
from services.start import open_store
from services.store.database import Store
from services.store.models import AuditEvent
from services.store.trouble import Stray
from services.work import carry, deploy, preflight, reconcile, sync
from services.work import strays as carrying
from services.work.deploy import Ended
from services.work.reconcile import Reconciled
from services.work.tracking import Tracking

PRODUCTION = SlotRef("delays", "production")
POINTER = "bundle.delays"
MAKER = Person("mia", frozenset({Role.MAKER}))
LEAD = Person("lou", frozenset({Role.LEAD, Role.ADMIN}))
ONLY_LEAD = Person("leo", frozenset({Role.LEAD}))


@dataclass
class Shop:
    """delays/1 was live in production and delays/2 is, in a real MLflow of its own."""

    settings: Settings
    store: Store
    clock: StoryClock
    artifacts: Path  # shared by all copies, since MLflow knows them by where they lie
    tracking: Tracking = field(init=False)

    def __post_init__(self) -> None:
        self.tracking = Tracking(self.settings)

    def reconciled(self, stage: str = "production") -> Reconciled:
        found = reconcile.reconcile(self.store, self.tracking, clock=self.clock)
        return next(one for one in found if one.slot.stage == stage)

    def agrees(self) -> bool:
        return all(found.agrees for found in reconcile.reconcile(self.store, self.tracking, clock=self.clock))

    def alias(self, name: str = POINTER) -> str | None:
        return self.tracking.model_aliases(name).get("production")

    def point_at(self, version: str, name: str = POINTER) -> None:
        self.tracking.set_model_alias(name, "production", version)

    def choose(self, choice: Choice, reason: str = "It may stay", by: Person = LEAD) -> None:
        strays.choose(self.store, PRODUCTION, choice, actor=by, clock=self.clock, reason=reason)
        for chosen in strays.chosen(self.store):
            carrying.carry_out(self.store, self.tracking, self.settings, chosen, clock=self.clock)

    def roll_back(self, **more: Any) -> Phase:
        promotion = rollbacks.roll_back(
            self.store, PRODUCTION, actor=LEAD, clock=self.clock, reason="Complaints", **more
        )
        return self.carry(promotion)

    def carry(self, promotion: int) -> Phase:
        return carry.carry_out(self.store, self.tracking, self.settings, promotion, clock=self.clock)

    def looked(self) -> dict[int, wayback.Looked]:
        """What the worker finds when it looks, by the number of the bundle; what is live is among them."""
        preflight.refresh(self.store, self.tracking, PRODUCTION)
        offer = application.rollback_offer(self.store, PRODUCTION)
        found = {way.candidate.ref.number: way.looked for way in offer.ways if way.looked}
        live = application.detail(self.store, "delays", self.clock.now()).stage("production")
        assert live is not None
        assert live.live is not None
        return found | ({live.live.ref.number: live.looked} if live.looked else {})

    def live(self) -> int:
        stage = application.detail(self.store, "delays", self.clock.now()).stage("production")
        assert stage is not None
        assert stage.live is not None
        return stage.live.ref.number

    def events(self, action: str) -> list[AuditEvent]:
        with self.store.reading() as session:
            rows = session.exec(select(AuditEvent).where(AuditEvent.action == action).order_by(col(AuditEvent.seq)))
            found = list(rows)
            session.expunge_all()
            return found

    def open_strays(self) -> list[Stray]:
        with self.store.reading() as session:
            found = list(session.exec(select(Stray).where(col(Stray.closed_at).is_(None))))
            session.expunge_all()
            return found

    def artifact(self, version: str) -> Path:
        """The folder of the model itself."""
        (folder,) = self.artifacts.rglob(self.tracking.version("delays", version).model_id or "none")
        return folder

    @contextmanager
    def without_artifact(self, version: str) -> Iterator[None]:
        folder = self.artifact(version)
        hidden = folder.with_name("hidden")
        folder.rename(hidden)
        try:
            yield
        finally:
            hidden.rename(folder)


class Builder:
    """Builds the shop once for each database, and copies its store and MLflow's as often as it is wanted."""

    def __init__(self, folder: Path, server: Any) -> None:
        self.folder, self.server, self.made = folder, server, 0
        self.first = self._settings("first")
        store, tracking = open_store(self.first), Tracking(self.first)
        clock = StoryClock(example.LATE + timedelta(days=1), replayed=False)
        team = Team(store, clock, MAKER, LEAD)
        workshop = example.Workshop(self.first, tracking, folder / "data")
        workshop.write_notice()
        for seed in (7, 21):
            workshop.train(seed=seed)
            (found,) = sync.sync(store, tracking, self.first, actor=MAKER, clock=clock)
            (made,) = found.registered
            self._deploy(store, tracking, clock, "development")
            team.ask(made.ref, "staging")
            self._deploy(store, tracking, clock, "staging")
            team.approve(team.ask(made.ref))
            self._deploy(store, tracking, clock, "production")
        self.at = clock.at
        store.close()

    def _deploy(self, store: Store, tracking: Tracking, clock: StoryClock, stage: str) -> None:
        clock.elapse(60)
        assert deploy.carry_out(store, tracking, SlotRef("delays", stage), clock=clock) is Ended.LIVE

    def shop(self) -> Shop:
        self.made += 1
        home = self._settings(f"copy-{self.made}", like=self.first)
        shutil.copytree(self.first.home, home.home)
        return Shop(home, Store(home.database_url), StoryClock(self.at + timedelta(hours=1), False), self.first.home)

    def _settings(self, name: str, like: Settings | None = None) -> Settings:
        environ = {"HEADGATE_HOME": str(self.folder / name)}
        if self.server is not None:
            database = f"{self.folder.name.replace('-', '_').lower()}_{name.replace('-', '_')}"
            template = f" TEMPLATE {make_url(like.database_url).database}" if like else ""
            self.server.psql(f"CREATE DATABASE {database}{template};")
            environ["HEADGATE_DATABASE_URL"] = self.server.get_uri(database)
        return settings_module.load(environ)


def building(request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Builder:
    """For a fixture with the parameters `sqlite` and `postgresql`."""
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    return Builder(folders.mktemp(f"{request.module.__name__}-{request.param}"), server)
