"""Rolling back, and what it does to everything that is on its way, as commands. On both databases."""

from __future__ import annotations

import pytest
from hands import OWNER, Team, judge
from sqlmodel import select

from services.clock import StoryClock
from services.commands import bundles, deployments, gates, promotions, rollbacks
from services.errors import BadInput, ConditionsNotMet, Conflict, Fenced, NotFound
from services.rules.domain import BundleRef, DeploymentKind, DeploymentState, Person, Phase, SlotRef, Verdict
from services.store.database import Store
from services.store.models import Bundle

PRODUCTION = SlotRef("delays", "production")


@pytest.fixture
def team(either_store: Store, clock: StoryClock, maker: Person, lead: Person) -> Team:
    return Team(either_store, clock, maker, lead)


def test_rolling_back_sets_a_hold_blames_what_it_replaces_and_is_unplanned(team: Team) -> None:
    team.live(1)
    team.live(2)
    bad = team.slot().live_deployment_id
    promotion = team.roll_back()
    assert (team.slot().hold_by, team.slot().hold_reason) == ("lou", "Rolled back: Complaints")
    team.deploy()
    assert team.live_number() == 1
    back = team.deployments()[-1]
    assert (back.kind, back.planned, back.blames) == (DeploymentKind.ROLLBACK, False, bad)
    assert (team.phase(promotion), team.promotion(promotion).rollback) == (Phase.SUCCEEDED, True)
    superseded = next(row for row in team.deployments() if row.id == bad)
    assert superseded.superseded_at == back.finished_at


def test_the_default_target_passes_over_the_quarantined_the_blamed_and_the_unverified(team: Team) -> None:
    for version in (1, 2, 3, 4, 5):
        team.live(version)
    # 5 is blamed by a rollback to 4; 3 is quarantined; a gate has since failed for 2
    team.roll_back()
    team.deploy()
    bundles.quarantine(team.store, BundleRef("delays", 3), actor=team.lead, clock=team.clock, reason="It leaks.")
    gates.request(team.store, BundleRef("delays", 2), "production", actor=team.maker, clock=team.clock)
    judge(team.store, team.clock, accuracy=Verdict.FAILED)
    assert team.promotion(team.roll_back()).bundle_id == 1


def test_a_rollback_of_a_rollback_goes_further_back_and_does_not_flip(team: Team) -> None:
    for version in (1, 2, 3):
        team.live(version)
    for wanted in (2, 1):
        assert team.promotion(team.roll_back()).bundle_id == wanted
        team.deploy()
    with pytest.raises(
        Conflict, match="No bundle that was live in delays@production before is verified and free of ob"
    ):
        team.roll_back()


def test_where_nothing_was_live_before_there_is_nothing_to_go_back_to(team: Team) -> None:
    for _ in range(2):
        with pytest.raises(Conflict, match="Nothing else was live in delays@production before"):
            team.roll_back()
        if team.live_number() is None:
            team.live(1)
    assert team.slot().hold_since is None


def test_a_bundle_that_was_never_live_here_is_no_way_back(team: Team) -> None:
    team.live(1)
    staged = team.stage(2)
    with pytest.raises(ConditionsNotMet, match="It was never live in production"):
        team.roll_back(to=staged)
    with pytest.raises(Conflict, match="delays/1 is live in production already"):
        team.roll_back(to=BundleRef("delays", 1))
    with pytest.raises(NotFound, match="is not a bundle of delays"):
        team.roll_back(to=BundleRef("others", 1))


def test_a_rollback_needs_a_reason(team: Team) -> None:
    with pytest.raises(BadInput, match="Rolling back needs a reason"):
        rollbacks.roll_back(team.store, PRODUCTION, actor=team.lead, clock=team.clock, reason=" ")


def test_going_back_to_a_quarantined_bundle_takes_a_reason_of_its_own(team: Team) -> None:
    first = team.live(1)
    team.live(2)
    bundles.quarantine(team.store, first, actor=team.lead, clock=team.clock, reason="It leaks.")
    with pytest.raises(ConditionsNotMet, match="It leaks"):
        team.roll_back(to=first)
    promotion = team.roll_back(to=first, override="Better than nothing")
    assert team.promotion(promotion).override == "Better than nothing"


def test_what_a_rollback_removes_can_be_quarantined_in_the_same_breath(team: Team) -> None:
    team.live(1)
    team.live(2)
    team.roll_back(quarantine=True)
    with team.store.reading() as session:
        marked = session.exec(select(Bundle.number).where(Bundle.quarantined_at.is_not(None))).all()  # type: ignore[union-attr]
        assert marked == [2]


def test_the_same_click_rolls_back_once_and_an_older_page_not_at_all(team: Team) -> None:
    team.live(1)
    team.live(2)
    before = team.slot().generation
    assert team.roll_back(key="click", generation=before) == team.roll_back(key="click", generation=before + 1)
    team.deploy()
    with pytest.raises(Conflict, match="has moved on since this page was loaded"):
        team.roll_back(generation=before)


def test_a_rollback_takes_the_place_of_a_promotion_that_waits(team: Team) -> None:
    team.live(1)
    team.live(2)
    _, waiting = team.waiting(3)
    team.roll_back()
    assert (team.phase(waiting), team.promotion(waiting).note) == (Phase.SUPERSEDED, "Rolled back by lou: Complaints")


@pytest.mark.parametrize(("wrote", "said"), [(True, "It may have served for a while."), (False, "It never served.")])
def test_a_rollback_aborts_a_deployment_that_only_waits_to_be_tried_again(team: Team, wrote: bool, said: str) -> None:
    team.live(1)
    team.live(2)
    _, promotion = team.waiting(3)
    team.approve(promotion)
    if wrote:
        target = deployments.take_lease(team.store, PRODUCTION, owner=OWNER)
        assert target is not None
        deployments.mark_writing(team.store, target, owner=OWNER, clock=team.clock)
        deployments.note_trouble(team.store, target, owner=OWNER, note="MLflow does not answer.")
    team.roll_back(to=BundleRef("delays", 1))
    aborted = next(row for row in team.deployments() if row.promotion_id == promotion)
    assert (aborted.state, aborted.note.endswith(said)) == (DeploymentState.ABORTED, True)
    assert team.phase(promotion) is Phase.SUPERSEDED
    team.deploy()
    assert team.live_number() == 1


def test_while_something_deploys_the_way_back_is_to_what_is_live_and_blames_what_was_on_its_way(team: Team) -> None:
    team.live(1)
    team.live(2)
    _, promotion = team.waiting(3)
    team.approve(promotion)
    on_its_way = team.slot().pending_deployment_id
    back = team.roll_back(quarantine=True)
    assert (team.promotion(back).bundle_id, team.promotion(back).blames) == (2, on_its_way)
    team.deploy()
    assert team.live_number() == 2
    assert team.deployments()[-1].kind is DeploymentKind.REDEPLOY
    with team.store.reading() as session:
        assert session.exec(select(Bundle.number).where(Bundle.quarantined_at.is_not(None))).all() == [3]  # type: ignore[union-attr]


def test_a_rollback_gives_a_deployment_that_is_writing_the_time_of_one_call(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.live(1)
    team.live(2)
    _, promotion = team.waiting(3)
    team.approve(promotion)
    target = deployments.take_lease(team.store, PRODUCTION, owner=OWNER)
    assert target is not None
    monkeypatch.setattr(rollbacks, "CALL_SECONDS", 0.3)
    slept: list[float] = []
    sleep = rollbacks.clocks.sleep
    monkeypatch.setattr(rollbacks.clocks, "sleep", lambda seconds: (slept.append(seconds), sleep(seconds)))
    team.roll_back()
    assert slept
    # and the mover that was overtaken commits nothing
    with pytest.raises(Fenced):
        deployments.check_lease(team.store, target, owner=OWNER)
    with pytest.raises(Fenced):
        deployments.complete(team.store, target, owner=OWNER, clock=team.clock)


def test_a_promotion_by_hand_lifts_the_hold_when_it_succeeds_and_not_before(team: Team) -> None:
    team.live(1)
    team.live(2)
    team.roll_back()
    team.deploy()
    _, promotion = team.waiting(3)
    team.approve(promotion)
    assert team.slot().hold_since is not None
    team.deploy()
    assert team.slot().hold_since is None


def test_kinds_follow_from_the_order_in_which_bundles_first_arrived(team: Team) -> None:
    first, second = team.live(1), team.live(2)
    team.roll_back(to=first)
    team.deploy()
    team.approve(team.ask(second))
    team.deploy()
    hot = team.stage(3)
    asked = promotions.request(
        team.store, hot, "production", actor=team.maker, clock=team.clock, kind=DeploymentKind.HOTFIX, fixes="3"
    )
    judge(team.store, team.clock)
    team.approve(asked)
    team.deploy()
    kinds = [(row.kind.value, row.planned) for row in team.deployments()]
    assert kinds == [
        ("release", None),  # nobody said: it follows from the kind
        ("release", None),
        ("rollback", False),
        ("repromotion", None),
        ("hotfix", False),
    ]
    with pytest.raises(BadInput, match="follows from the order of arrival"):
        promotions.request(
            team.store, hot, "production", actor=team.maker, clock=team.clock, kind=DeploymentKind.ROLLBACK
        )


def test_a_definite_no_fails_the_deployment_and_what_was_live_stays_live(team: Team) -> None:
    team.live(1)
    _, promotion = team.waiting(2)
    team.approve(promotion)
    target = deployments.take_lease(team.store, PRODUCTION, owner=OWNER)
    assert target is not None
    deployments.fail(team.store, target, owner=OWNER, clock=team.clock, reason="MLflow refused it.")
    assert (team.phase(promotion), team.promotion(promotion).note) == (Phase.FAILED, "MLflow refused it.")
    assert team.live_number() == 1
    assert team.slot().pending_deployment_id is None
