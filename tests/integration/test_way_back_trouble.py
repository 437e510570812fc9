"""The way back when something is wrong in MLflow: strays of every kind, changed artifacts, backups, drills, outages."""

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
from hands import Team, judge
from sqlalchemy import make_url
from sqlmodel import col, select

from services import settings as settings_module
from services.clock import StoryClock
from services.commands import bundles as bundles_
from services.commands import deployments, drills, freezes, holds, preflights, promotions, rollbacks, strays
from services.commands.strays import Choice
from services.errors import BadInput, ConditionsNotMet, Conflict, NotAllowed, NotFound, Refused, RegistryUnreachable
from services.queries import application, wayback
from services.rules.domain import BundleRef, DeploymentState, Person, Phase, Role, SlotRef
from services.rules.preflight import Answer
from services.settings import Settings
from services.start import open_store
from services.store import audit
from services.store.database import Store
from services.store.models import AuditEvent, Bundle, Deployment, Promotion
from services.store.trouble import Stray
from services.work import carry, deploy, drill, preflight, reconcile, sync
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


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def builder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    return Builder(tmp_path_factory.mktemp(f"wayback-{request.param}"), server)


@pytest.fixture
def shop(builder: Builder) -> Iterator[Shop]:
    made = builder.shop()
    yield made
    made.store.close()


# Strays


def test_an_alias_moved_by_hand_is_told_once_and_nothing_is_touched(shop: Shop) -> None:
    shop.point_at("1")

    for _ in range(2):
        assert "Moved outside Headgate" in shop.reconciled().moved[0]

    assert shop.alias() == "1"
    (stray,) = shop.open_strays()
    assert (stray.says, stray.should_say) == ("1", "2")
    assert len(shop.events("alias.moved_outside")) == 1


def test_restoring_puts_back_what_is_live(shop: Shop) -> None:
    shop.point_at("1")
    shop.reconciled()

    shop.choose(Choice.RESTORE)

    assert (shop.alias(), shop.alias("delays"), shop.live()) == ("2", "2", 2)
    assert not shop.open_strays()
    assert "restored by lou" in shop.events("aliases.repaired")[-1].body
    assert shop.agrees()


def test_adopting_a_known_bundle_is_a_deployment_by_an_unknown_hand(shop: Shop) -> None:
    shop.point_at("1")
    shop.reconciled()

    shop.choose(Choice.ADOPT)

    assert (shop.alias(), shop.alias("delays"), shop.live()) == ("1", "1", 1)
    with shop.store.reading() as session:
        row = session.exec(select(Deployment).order_by(col(Deployment.id).desc())).first()
        assert row is not None
        assert (row.adopted, row.planned) == (True, False)
    assert not shop.open_strays()
    assert shop.agrees()


def test_adopting_a_version_headgate_has_never_seen_makes_the_bundle_with_its_gaps(shop: Shop, tmp_path: Path) -> None:
    # given a model that somebody trained and pointed at by hand, past sync and every gate
    workshop = example.Workshop(shop.settings, shop.tracking, tmp_path / "data", made=9)
    version = workshop.train(seed=33)
    source = shop.tracking.version("delays", str(version.version))
    made = shop.tracking.client.create_model_version(
        POINTER, source=source.source, run_id=source.run_id, model_id=source.model_id
    )
    shop.point_at(str(made.version))
    for path in (tmp_path / "data").glob("train-*"):
        path.unlink()  # and its data is gone, which is a gap
    assert shop.reconciled().moved

    shop.choose(Choice.ADOPT, "A hotfix by night")

    assert shop.live() == 3
    with shop.store.reading() as session:
        bundle = session.exec(select(Bundle).where(Bundle.number == 3)).one()
        assert bundle.source == "adopted"
        assert bundle.gaps
    assert shop.alias("delays") == str(version.version)
    assert shop.agrees()


def test_adopting_takes_an_admin_and_a_reason_and_something_to_adopt(shop: Shop) -> None:
    with pytest.raises(Conflict, match="No alias"):
        shop.choose(Choice.ADOPT)
    shop.point_at("1")
    shop.reconciled()
    with pytest.raises(NotAllowed):
        shop.choose(Choice.ADOPT, by=ONLY_LEAD)
    with pytest.raises(BadInput, match="reason"):
        shop.choose(Choice.ADOPT, reason=" ")
    shop.choose(Choice.RESTORE, by=ONLY_LEAD)
    assert shop.alias() == "2"


def test_a_choice_that_mlflow_refuses_is_told_on_the_stray_and_may_be_made_again(shop: Shop) -> None:
    # given an alias that was moved, and the version it points at deleted after somebody chose to adopt it
    made = shop.tracking.client.create_model_version(POINTER, source=shop.tracking.version("delays", "1").source)
    shop.point_at(str(made.version))
    shop.reconciled()
    strays.choose(shop.store, PRODUCTION, Choice.ADOPT, actor=LEAD, clock=shop.clock, reason="It may stay")
    (chosen,) = strays.chosen(shop.store)
    shop.tracking.client.delete_model_version(POINTER, str(made.version))

    with pytest.raises(NotFound):
        carrying.carry_out(shop.store, shop.tracking, shop.settings, chosen, clock=shop.clock)

    (told,) = shop.open_strays()
    assert str(made.version) in told.trouble
    assert not strays.chosen(shop.store)
    shop.choose(Choice.RESTORE)
    assert shop.alias() == "2"


def test_what_our_own_late_writer_wrote_is_put_right_and_nobody_accused(shop: Shop) -> None:
    # given a mover of ours that stalled before its alias call while delays/1 came back and delays/2 again
    assert shop.roll_back(to=BundleRef("delays", 1)) is Phase.SUCCEEDED
    stalled = deployments.take_lease(shop.store, PRODUCTION, owner="stalled")
    assert stalled is not None
    deployments.begin_repair(shop.store, stalled, owner="stalled")
    deployments.release_lease(shop.store, PRODUCTION, owner="stalled")
    assert shop.roll_back(to=BundleRef("delays", 2)) is Phase.SUCCEEDED

    # when it goes on
    shop.point_at("1")

    found = shop.reconciled()
    assert found.why == "a mover of Headgate's own wrote late"
    assert shop.alias() == "2"
    assert not shop.open_strays()
    assert not shop.events("alias.moved_outside")


@pytest.mark.parametrize("name", [POINTER, "delays"])
def test_a_deleted_alias_is_written_again(shop: Shop, name: str) -> None:
    shop.tracking.client.delete_registered_model_alias(name, "production")

    assert shop.reconciled().repaired

    assert (shop.alias(), shop.alias("delays")) == ("2", "2")
    assert not shop.open_strays()


def test_a_members_alias_that_strays_is_a_copy_and_put_right(shop: Shop) -> None:
    shop.point_at("1", name="delays")

    found = shop.reconciled()

    assert found.why == "a member's alias is a copy of what is live, and strayed"
    assert shop.alias("delays") == "2"


def test_a_deleted_version_of_the_pointer_is_made_again(shop: Shop) -> None:
    shop.tracking.client.delete_model_version(POINTER, "2")

    assert shop.reconciled().repaired

    assert shop.alias() not in (None, "2")  # a number is not given again
    assert shop.agrees()
    tags = shop.tracking.version(POINTER, shop.alias() or "").tags
    assert tags["headgate.bundle"] == "delays/2"


def test_a_deleted_pointer_is_made_again_for_every_stage(shop: Shop) -> None:
    shop.tracking.client.delete_registered_model(POINTER)

    for stage in ("development", "staging", "production"):
        shop.reconciled(stage)

    assert shop.agrees()
    aliases = shop.tracking.model_aliases(POINTER)
    assert set(aliases) == {"development", "staging", "production"}


def test_a_deleted_version_of_the_model_itself_is_trouble_that_is_told(shop: Shop) -> None:
    shop.tracking.client.delete_model_version("delays", "2")

    found = shop.reconciled()

    assert not found.agrees
    assert "2" in found.trouble
    looked = shop.looked()
    assert looked[2].answer is Answer.UNSAFE
    # and the way back is open
    assert shop.roll_back() is Phase.SUCCEEDED
    assert shop.agrees() or shop.reconciled().agrees


def test_mlflow_restored_from_an_older_backup_is_brought_up_to_date_without_accusing_anybody(shop: Shop) -> None:
    # given a backup from before delays/2 had a version of the pointer
    client = shop.tracking.client
    client.set_registered_model_alias(POINTER, "production", "1")
    client.set_registered_model_alias("delays", "production", "1")
    for stage in ("development", "staging"):
        client.set_registered_model_alias(POINTER, stage, "1")
    client.delete_model_version(POINTER, "2")
    backup = shop.settings.home / "backup.db"
    shutil.copy(shop.settings.home / "mlflow.db", backup)
    # when MLflow goes on, and is then restored from it
    shop.reconciled()
    assert shop.agrees()
    shutil.copy(backup, shop.settings.home / "mlflow.db")
    shop.tracking = Tracking(shop.settings)

    found = shop.reconciled()

    assert found.why == "MLflow lost the bundle's version, as it does when it is restored from an older backup"
    assert not shop.open_strays()
    assert shop.agrees()
    tags = shop.tracking.version(POINTER, shop.alias() or "").tags
    assert tags["headgate.bundle"] == "delays/2"


# Preflights


def test_whole_artifacts_are_safe_and_live_is_looked_at_too(shop: Shop) -> None:
    looked = shop.looked()

    assert looked[1].answer is Answer.SAFE, looked[1]
    assert looked[2].answer is Answer.SAFE
    assert {finding.name for finding in looked[1].findings} == {
        "model delays 1",
        "prompt notice 1",
        "inputs",
        "prompt variables",
        "verified",
    }


def test_an_artifact_that_changed_is_found_by_its_digest(shop: Shop) -> None:
    path = next(path for path in shop.artifact("2").rglob("*") if path.suffix in (".skops", ".pkl"))
    whole = path.read_bytes()
    path.write_bytes(whole + b" ")
    try:
        looked = shop.looked()[2]
    finally:
        path.write_bytes(whole)

    assert looked.answer is Answer.UNSAFE
    assert "digest has changed" in looked.reasons[0]


def test_going_back_to_what_is_gone_is_unsafe_says_why_and_overridden_fails_cleanly(shop: Shop) -> None:
    with shop.without_artifact("1"):
        looked = shop.looked()[1]
        assert looked.answer is Answer.UNSAFE
        with pytest.raises(Refused, match="not safe") as refused:
            shop.roll_back(to=BundleRef("delays", 1))
        assert looked.reasons[0] in refused.value.message
        phase = shop.roll_back(to=BundleRef("delays", 1), override="The files are said to be back")

    assert phase is Phase.FAILED
    assert (shop.live(), shop.alias(), shop.alias("delays")) == (2, "2", "2")
    with shop.store.reading() as session:
        row = session.exec(select(Promotion).order_by(col(Promotion.id).desc())).first()
        assert row is not None
        assert row.override == "The files are said to be back"
        assert row.note
    assert shop.agrees()
    assert shop.roll_back(to=BundleRef("delays", 1), override="They are back") is Phase.SUCCEEDED


def test_where_mlflow_does_not_answer_nothing_is_known_and_the_way_back_stays_open(shop: Shop) -> None:
    path = shop.settings.home / "mlflow.db"
    away = path.with_suffix(".away")
    path.rename(away)
    path.write_bytes(b"this is no database" * 300)
    shop.tracking = Tracking(shop.settings)
    try:
        looked = shop.looked()[1]
    finally:
        away.replace(path)

    assert looked.answer is Answer.UNKNOWN
    shop.tracking = Tracking(shop.settings)
    assert shop.roll_back() is Phase.SUCCEEDED


# Things left half done


class AwayAfter:
    """MLflow that answers so many alias writes, and then is gone until it is back."""

    def __init__(self, tracking: Tracking, writes: int) -> None:
        self._tracking, self.left = tracking, writes

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._tracking, name)
        return self._counted(value) if name in ("set_model_alias", "set_prompt_alias") else value

    def _counted(self, write: Any) -> Any:
        def counted(*args: Any) -> None:
            if not self.left:
                raise RegistryUnreachable("MLflow did not answer.", "It is tried again.")
            self.left -= 1
            write(*args)

        return counted


def test_mlflow_away_between_two_alias_moves_and_back_an_hour_later(shop: Shop) -> None:
    promotion = rollbacks.roll_back(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock, reason="Complaints")
    away: Any = AwayAfter(shop.tracking, writes=1)
    assert deploy.carry_out(shop.store, away, PRODUCTION, clock=shop.clock) is Ended.WAITING
    assert (shop.alias(), shop.alias("delays")) == ("1", "2")  # torn: it may have served
    assert shop.live() == 2

    shop.clock.elapse(3600)
    shop.reconciled()

    assert (shop.alias(), shop.alias("delays"), shop.live()) == ("1", "1", 1)
    with shop.store.reading() as session:
        row = session.get(Promotion, promotion)
        assert row is not None
        assert row.phase is Phase.SUCCEEDED
        assert audit.verify(session).broken_at is None


def test_a_deployment_left_started_is_finished_by_reconcile(shop: Shop) -> None:
    rollbacks.roll_back(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock, reason="Complaints")

    assert shop.reconciled().finished == Ended.LIVE

    assert (shop.alias(), shop.live()) == ("1", 1)


def test_a_promotion_left_active_goes_on(shop: Shop) -> None:
    # given one whose gates have all answered, and whose process died before it moved on
    assert shop.roll_back() is Phase.SUCCEEDED
    promotion = promotions.request(shop.store, BundleRef("delays", 2), "production", actor=MAKER, clock=shop.clock)
    judge(shop.store, shop.clock)
    with shop.store.writing() as session:
        row = session.get(Promotion, promotion)
        assert row is not None
        row.phase = Phase.GATING
        session.add(row)

    shop.reconciled()

    with shop.store.reading() as session:
        row = session.get(Promotion, promotion)
        assert row is not None
        assert row.phase is Phase.AWAITING_APPROVAL


# Drills


def test_a_drill_goes_back_and_forward_measures_both_and_leaves_no_hold(shop: Shop) -> None:
    begun = drills.begin(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock)

    outcome = drill.run(shop.store, begun, shop.carry, actor=LEAD, clock=shop.clock)

    assert outcome == drills.PASSED
    assert (shop.live(), shop.alias()) == (2, "2")
    stage = application.detail(shop.store, "delays", shop.clock.now()).stage("production")
    assert stage is not None
    assert stage.hold is None
    assert stage.drill is not None
    assert stage.drill.passed
    assert stage.drill.back_seconds is not None
    assert 0 < stage.drill.back_seconds < 60
    with shop.store.reading() as session:
        rows = list(session.exec(select(Deployment).where(col(Deployment.drill).is_(True))))
        assert len(rows) == 2
        assert all(row.blames is None for row in rows)


def test_a_drill_that_cannot_go_back_says_so_and_moves_nothing(shop: Shop) -> None:
    begun = drills.begin(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock)

    with shop.without_artifact("1"):
        outcome = drill.run(shop.store, begun, shop.carry, actor=LEAD, clock=shop.clock)

    assert outcome.startswith("The way back was failed")
    assert (shop.live(), shop.alias()) == (2, "2")


def test_a_drill_needs_something_to_go_back_to_and_a_quiet_slot(shop: Shop) -> None:
    with pytest.raises(NotAllowed):
        drills.begin(shop.store, PRODUCTION, actor=MAKER, clock=shop.clock)
    rollbacks.roll_back(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock, reason="Complaints")
    with pytest.raises(Conflict, match="on its way"):
        drills.begin(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock)
    shop.reconciled()
    with pytest.raises(Conflict, match="no verified bundle"):  # what was rolled back is not where to go
        drills.begin(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock)


# Holds, freezes, quarantines, blame


def test_a_hold_lifted_twice_and_set_twice_is_a_clear_conflict(shop: Shop) -> None:
    holds.set_(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock, reason="Peak week")
    with pytest.raises(Conflict, match="held already, by lou: Peak week"):
        holds.set_(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock, reason="Again")
    holds.lift(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock, reason="It is over")
    with pytest.raises(Conflict, match="no hold"):
        holds.lift(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock)
    assert len(shop.events("hold.lifted")) == 1


def test_a_freeze_that_ends_before_it_begins_or_is_over_is_refused(shop: Shop) -> None:
    now = shop.clock.now()
    for begins, ends in ((now + timedelta(days=2), now + timedelta(days=1)), (now - timedelta(days=2), now)):
        with pytest.raises(BadInput, match="The freeze would"):
            freezes.set_(
                shop.store, PRODUCTION, actor=LEAD, clock=shop.clock, reason="Holidays", begins=begins, ends=ends
            )
    assert not shop.events("freeze.set")


def test_a_freeze_stops_promotions_and_never_the_way_back(shop: Shop) -> None:
    freezes.set_(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock, reason="Holidays")

    assert shop.roll_back() is Phase.SUCCEEDED
    with pytest.raises(ConditionsNotMet, match="Frozen by lou: Holidays"):
        promotions.request(shop.store, BundleRef("delays", 2), "production", actor=MAKER, clock=shop.clock)
    freezes.lift(shop.store, PRODUCTION, actor=LEAD, clock=shop.clock)
    promotions.request(shop.store, BundleRef("delays", 2), "production", actor=MAKER, clock=shop.clock)


def test_what_is_live_may_be_quarantined_and_stays_live_until_somebody_rolls_back(shop: Shop) -> None:
    bundles_.quarantine(shop.store, BundleRef("delays", 2), actor=LEAD, clock=shop.clock, reason="It leaks")

    assert shop.live() == 2
    assert shop.agrees()
    assert shop.roll_back() is Phase.SUCCEEDED
    (way,) = application.rollback_offer(shop.store, PRODUCTION).ways
    assert way.needs_override


def test_a_deployment_of_another_stage_cannot_be_blamed(shop: Shop) -> None:
    with shop.store.reading() as session:
        other = session.exec(select(Deployment.id).where(Deployment.stage == "staging")).first()
    with pytest.raises(NotFound, match="to blame"):
        shop.roll_back(blames=other)
    assert shop.live() == 2


def test_preflights_of_a_slot_where_nothing_is_live_look_at_nothing(shop: Shop) -> None:
    assert preflights.wanted(shop.store, SlotRef("delays", "nowhere")) == []


def test_nothing_half_done_is_left_by_any_of_it(shop: Shop) -> None:
    assert shop.roll_back() is Phase.SUCCEEDED
    with shop.store.reading() as session:
        assert not list(session.exec(select(Deployment).where(Deployment.state == DeploymentState.STARTED)))
        assert audit.verify(session).broken_at is None
