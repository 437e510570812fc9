"""The way back when something is wrong: changed artifacts, outages, things left half done, drills, holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hands import judge
from shops import LEAD, MAKER, PRODUCTION, Builder, Shop, building
from sqlmodel import col, select

from services.commands import bundles as bundles_
from services.commands import drills, freezes, holds, preflights, promotions, rollbacks
from services.errors import BadInput, ConditionsNotMet, Conflict, NotAllowed, NotFound, Refused, RegistryUnreachable
from services.queries import application
from services.rules.domain import BundleRef, DeploymentState, Phase, SlotRef
from services.rules.preflight import Answer
from services.store import audit
from services.store.models import Deployment, Promotion
from services.work import deploy, drill
from services.work.deploy import Ended
from services.work.tracking import Tracking


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def builder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return building(request, tmp_path_factory)


@pytest.fixture
def shop(builder: Builder) -> Iterator[Shop]:
    made = builder.shop()
    yield made
    made.store.close()


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
