"""Deciding on promotions, and the gates that decide with people, as commands. On both databases."""

from __future__ import annotations

import example
import pytest
from hands import Team, judge
from sqlmodel import select

from services.clock import StoryClock
from services.commands import approvals, bundles, gates, policies, promotions
from services.errors import BadInput, ConditionsNotMet, Conflict, Fenced, NotAllowed, StaleEvidence
from services.rules.domain import DeploymentState, GateOutcome, Person, Phase, Role, RunState, Verdict
from services.store.database import Store
from services.store.facts import load_one
from services.store.models import AuditEvent, GateRun


@pytest.fixture
def team(either_store: Store, clock: StoryClock, maker: Person, lead: Person) -> Team:
    return Team(either_store, clock, maker, lead)


def seen(team: Team, promotion: int) -> str:
    """The digest of the evidence, as a page would show it now."""
    row = team.promotion(promotion)
    with team.store.reading() as session:
        return load_one(session, row.bundle_id, row.stage).evidence_digest


# Deciding


def test_the_last_approval_needed_starts_the_deployment(team: Team) -> None:
    _, promotion = team.waiting()
    assert team.approve(promotion) is Phase.DEPLOYING
    (deployment,) = team.deployments()
    assert (deployment.state, deployment.promotion_id) == (DeploymentState.STARTED, promotion)
    team.deploy()
    assert team.phase(promotion) is Phase.SUCCEEDED
    assert team.live_number() == 1


def test_two_approvals_are_two_people(either_store: Store, clock: StoryClock, maker: Person, lead: Person) -> None:
    other = Person("lena", frozenset({Role.LEAD}))
    example.apply(either_store, maker, clock, lead, other)
    team = Team(either_store, clock, maker, lead, example.POLICY.replace("approvals = 1", "approvals = 2"))
    _, promotion = team.waiting()
    assert team.approve(promotion) is Phase.AWAITING_APPROVAL
    with pytest.raises(Conflict, match=r"lou has approved promotion \d+ already") as caught:
        team.approve(promotion)
    assert caught.value.remedy == "It waits for 1 more from other people."
    assert team.approve(promotion, by=other) is Phase.DEPLOYING


def test_who_approved_may_still_change_their_mind_and_reject(
    either_store: Store, clock: StoryClock, maker: Person, lead: Person
) -> None:
    example.apply(either_store, maker, clock, lead, Person("lena", frozenset({Role.LEAD})))
    team = Team(either_store, clock, maker, lead, example.POLICY.replace("approvals = 1", "approvals = 2"))
    _, promotion = team.waiting()
    team.approve(promotion)
    approvals.reject(team.store, promotion, actor=lead, clock=clock, comment="I looked again.")
    assert team.phase(promotion) is Phase.REJECTED


def test_nobody_approves_what_they_requested_or_made(team: Team) -> None:
    both = Person("mia", frozenset({Role.MAKER, Role.LEAD}))
    _, promotion = team.waiting()
    with pytest.raises(NotAllowed, match="mia asked for this promotion, and nobody approves their own"):
        team.approve(promotion, by=both)
    made_by_lou = bundles.register(team.store, example.draft(2, maker="lou"), actor=team.maker, clock=team.clock)
    approvals.reject(team.store, promotion, actor=team.lead, clock=team.clock, comment="Not now.")
    team.deploy("development")
    team.ask(made_by_lou.ref, "staging")
    team.deploy("staging")
    with pytest.raises(NotAllowed, match="lou made delays/2, and nobody approves their own"):
        team.approve(team.ask(made_by_lou.ref))


def test_one_person_alone_gets_to_production_and_it_reads_self_approved(either_store: Store, clock: StoryClock) -> None:
    me = Person("me", frozenset(Role))
    alone = example.POLICY.replace("approvals = 1", "approvals = 1\nself_approval = true")
    team = Team(either_store, clock, me, me, alone)
    _, promotion = team.waiting()
    assert team.approve(promotion) is Phase.DEPLOYING
    with either_store.reading() as session:
        event = session.exec(select(AuditEvent).where(AuditEvent.action == "promotion.approved")).one()
        assert '"self_approved":true' in event.body


def test_a_role_that_may_not_approve_is_told_which_may(team: Team) -> None:
    _, promotion = team.waiting()
    with pytest.raises(
        NotAllowed, match="max may not approve for production: that takes the role lead, and max has ma"
    ):
        team.approve(promotion, by=Person("max", frozenset({Role.MAKER})))


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (lambda team, p: promotions.withdraw(team.store, p, actor=team.maker, clock=team.clock), "withdrawn"),
        (lambda team, p: approvals.reject(team.store, p, actor=team.lead, clock=team.clock, comment="No."), "rejected"),
        (lambda team, p: team.approve(p), "deploying"),
    ],
    ids=["withdrawn", "rejected", "approved"],
)
def test_what_is_decided_cannot_be_decided_again(team: Team, end: object, told: str) -> None:
    _, promotion = team.waiting()
    end(team, promotion)  # type: ignore[operator]
    with pytest.raises(Conflict, match=f"does not wait for an approval: it is {told}"):
        team.approve(promotion)
    with pytest.raises(Conflict, match=f"cannot be rejected any more: it is {told}"):
        approvals.reject(team.store, promotion, actor=team.lead, clock=team.clock, comment="No.")
    with pytest.raises(Conflict, match=f"cannot be withdrawn any more: it is {told}"):
        promotions.withdraw(team.store, promotion, actor=team.maker, clock=team.clock)


def test_rejecting_needs_a_reason_and_frees_the_slot(team: Team) -> None:
    _, promotion = team.waiting(1)
    with pytest.raises(BadInput, match="Rejecting needs a reason"):
        approvals.reject(team.store, promotion, actor=team.lead, clock=team.clock, comment="  ")
    approvals.reject(team.store, promotion, actor=team.lead, clock=team.clock, comment="The threshold is too low.")
    rejected = team.promotion(promotion)
    assert (rejected.phase, rejected.note) == (Phase.REJECTED, "The threshold is too low.")
    assert rejected.finished_at == team.clock.now()
    assert team.phase(team.waiting(2)[1]) is Phase.AWAITING_APPROVAL


def test_only_the_requester_and_leads_may_withdraw(team: Team) -> None:
    _, promotion = team.waiting()
    with pytest.raises(NotAllowed, match="max may not withdraw promotion"):
        promotions.withdraw(team.store, promotion, actor=Person("max", frozenset({Role.MAKER})), clock=team.clock)
    promotions.withdraw(team.store, promotion, actor=team.lead, clock=team.clock, reason="Wrong month")
    assert team.promotion(promotion).note == "Wrong month"


def test_a_decision_on_an_older_page_is_refused(team: Team) -> None:
    ref, promotion = team.waiting()
    version = team.promotion(promotion).version
    gates.request(team.store, ref, "production", actor=team.maker, clock=team.clock)
    judge(team.store, team.clock, accuracy=Verdict.FAILED)
    gates.request(team.store, ref, "production", actor=team.maker, clock=team.clock)
    judge(team.store, team.clock)
    for decide in (approvals.approve, approvals.reject):
        with pytest.raises(Conflict, match="has changed since this page was loaded"):
            decide(  # type: ignore[operator]
                team.store, promotion, actor=team.lead, clock=team.clock, comment="x", version=version
            )


def test_an_approval_of_evidence_that_changed_is_refused_with_what_changed(team: Team) -> None:
    ref, promotion = team.waiting()
    looked_at = seen(team, promotion)
    gates.request(team.store, ref, "production", actor=team.maker, clock=team.clock)
    judge(team.store, team.clock, data="sha256:other rows")
    with pytest.raises(StaleEvidence, match="has changed since you looked at it") as caught:
        team.approve(promotion, seen=looked_at)
    assert caught.value.reasons == ("the gate accuracy judged other data",)
    assert team.approve(promotion, seen=seen(team, promotion)) is Phase.DEPLOYING


def test_the_same_answer_on_the_same_data_makes_nothing_stale(team: Team) -> None:
    ref, promotion = team.waiting()
    looked_at = seen(team, promotion)
    gates.request(team.store, ref, "production", actor=team.maker, clock=team.clock)
    judge(team.store, team.clock)
    assert team.approve(promotion, seen=looked_at) is Phase.DEPLOYING


def test_an_approval_given_under_other_rules_no_longer_counts(
    either_store: Store, clock: StoryClock, maker: Person, lead: Person
) -> None:
    lena = Person("lena", frozenset({Role.LEAD}))
    example.apply(either_store, maker, clock, lead, lena)
    two = example.POLICY.replace("approvals = 1", "approvals = 2")
    team = Team(either_store, clock, maker, lead, two)
    _, promotion = team.waiting()
    team.approve(promotion)
    policies.apply(either_store, two.replace('"7d"', '"6d"'), actor=maker, clock=clock)
    assert team.approve(promotion, by=lena) is Phase.AWAITING_APPROVAL
    assert team.approve(promotion) is Phase.DEPLOYING


# Gates


def test_a_gate_that_says_no_blocks_and_frees_the_slot(team: Team) -> None:
    ref = team.make(1)
    promotion = team.ask(ref, "staging", schema=Verdict.FAILED)
    blocked = team.promotion(promotion)
    assert (blocked.phase, blocked.note) == (Phase.BLOCKED, "schema failed.")
    assert team.phase(team.ask(team.make(2), "staging")) is Phase.DEPLOYING


def test_a_blocked_promotion_goes_on_when_its_gates_pass(team: Team) -> None:
    ref = team.make(1)
    promotion = team.ask(ref, "staging", schema=Verdict.ERRORED)
    assert team.phase(promotion) is Phase.BLOCKED
    runs = gates.request(team.store, ref, "staging", actor=team.maker, clock=team.clock, gates=["schema"])
    assert len(runs) == 1
    assert team.phase(promotion) is Phase.GATING
    judge(team.store, team.clock)
    assert team.phase(promotion) is Phase.DEPLOYING


def test_running_gates_does_not_bring_an_old_bundle_back_that_the_stage_has_moved_on_from(team: Team) -> None:
    old = team.make(1)
    blocked = team.ask(old, "staging", schema=Verdict.FAILED)
    team.stage(2)
    gates.request(team.store, old, "staging", actor=team.maker, clock=team.clock)
    judge(team.store, team.clock)
    assert team.phase(blocked) is Phase.BLOCKED
    assert team.live_number("staging") == 2


def test_asking_again_takes_the_place_of_the_blocked_try(team: Team) -> None:
    ref = team.make(1)
    first = team.ask(ref, "staging", schema=Verdict.FAILED)
    second = team.ask(ref, "staging")
    assert (team.phase(first), team.phase(second)) == (Phase.SUPERSEDED, Phase.DEPLOYING)


def test_gates_that_were_running_already_decide_the_promotion_too(team: Team) -> None:
    # given gates that somebody runs before asking for the promotion
    ref = team.make(1)
    gates.request(team.store, ref, "staging", actor=team.maker, clock=team.clock)
    promotion = promotions.request(team.store, ref, "staging", actor=team.maker, clock=team.clock)
    assert team.phase(promotion) is Phase.GATING
    # then no gate runs twice, and their answers move it on
    judge(team.store, team.clock)
    assert team.phase(promotion) is Phase.DEPLOYING
    with team.store.reading() as session:
        assert len(session.exec(select(GateRun)).all()) == 3


def test_a_later_failure_takes_a_waiting_promotion_back(team: Team) -> None:
    ref, promotion = team.waiting()
    gates.request(team.store, ref, "production", actor=team.maker, clock=team.clock)
    assert team.phase(promotion) is Phase.AWAITING_APPROVAL
    judge(team.store, team.clock, accuracy=Verdict.FAILED)
    assert (team.phase(promotion), team.promotion(promotion).note) == (Phase.BLOCKED, "accuracy failed.")


def test_evidence_that_aged_is_refused_until_the_gates_run_again(team: Team) -> None:
    ref, promotion = team.waiting()
    team.wait(days=8)
    with pytest.raises(ConditionsNotMet, match="accuracy is older than 7 days"):
        team.approve(promotion)
    assert team.phase(promotion) is Phase.AWAITING_APPROVAL
    gates.request(team.store, ref, "production", actor=team.maker, clock=team.clock)
    judge(team.store, team.clock)
    assert team.approve(promotion) is Phase.DEPLOYING


def test_a_gate_that_the_policy_dropped_is_skipped_and_holds_nobody_up(team: Team) -> None:
    ref = team.make(1)
    promotion = promotions.request(team.store, ref, "staging", actor=team.maker, clock=team.clock)
    without = example.POLICY.replace('"schema", ', "").replace('[gates.schema]\nkind = "schema"\nextra = "fail"', "")
    policies.apply(team.store, without, actor=team.maker, clock=team.clock)
    judge(team.store, team.clock)
    assert team.phase(promotion) is Phase.DEPLOYING


def test_a_stage_that_the_policy_dropped_blocks_what_was_on_its_way_there(team: Team) -> None:
    ref = team.make(1)
    promotion = promotions.request(team.store, ref, "staging", actor=team.maker, clock=team.clock)
    start = example.POLICY.index('[[stages]]\nname = "staging"')
    without = example.POLICY[:start] + example.POLICY[example.POLICY.index('[[stages]]\nname = "production"') :]
    policies.apply(team.store, without, actor=team.maker, clock=team.clock)
    judge(team.store, team.clock)
    assert (team.phase(promotion), "no stage 'staging'" in team.promotion(promotion).note) == (Phase.BLOCKED, True)


def test_withdrawing_skips_the_gates_that_nobody_waits_for_and_takes_back_no_earlier_pass(team: Team) -> None:
    ref = team.live(1)
    team.live(2)
    team.wait(days=8)
    again = promotions.request(team.store, ref, "production", actor=team.maker, clock=team.clock)
    promotions.withdraw(team.store, again, actor=team.maker, clock=team.clock)
    with team.store.reading() as session:
        runs = session.exec(select(GateRun).where(GateRun.promotion_id == again)).all()
        assert {(run.state, run.verdict) for run in runs} == {(RunState.FINISHED, Verdict.SKIPPED)}
    rolled_back = team.roll_back()
    assert team.promotion(rolled_back).bundle_id == 1


def test_a_gate_run_is_one_workers_at_a_time_and_its_result_the_last_claimers(team: Team) -> None:
    ref = team.make(1)
    (first, *_) = gates.request(team.store, ref, "staging", actor=team.maker, clock=team.clock)
    assert gates.claim(team.store, first, owner="a", clock=team.clock) is not None
    assert gates.claim(team.store, first, owner="b", clock=team.clock) is None
    assert gates.keep(team.store, first, owner="a", progress_text="half way")
    assert not gates.keep(team.store, first, owner="b")
    with pytest.raises(Fenced):
        gates.finish(team.store, first, GateOutcome(Verdict.PASSED, "ok"), owner="b", clock=team.clock)


def test_a_run_that_loses_its_worker_three_times_is_errored_and_not_tried_again(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = team.make(1)
    promotion = promotions.request(team.store, ref, "staging", actor=team.maker, clock=team.clock)
    with team.store.reading() as session:
        run_id, *others = session.exec(select(GateRun.id).order_by(GateRun.id)).all()  # type: ignore[arg-type]
    monkeypatch.setattr(gates, "LEASE", gates.LEASE * -1)  # every lease is over as soon as it is given
    for worker in ("a", "b", "c"):
        assert gates.waiting(team.store)[0] == run_id
        assert gates.claim(team.store, run_id or 0, owner=worker, clock=team.clock) is not None
    assert gates.claim(team.store, run_id or 0, owner="d", clock=team.clock) is None
    monkeypatch.undo()
    assert gates.waiting(team.store) == others
    judge(team.store, team.clock)
    assert team.promotion(promotion).note == "schema errored."


def test_gates_of_a_stage_without_any_and_gates_it_does_not_demand_are_bad_input(team: Team) -> None:
    ref = team.make(1)
    with pytest.raises(BadInput, match="demands no gates"):
        gates.request(team.store, ref, "development", actor=team.maker, clock=team.clock)
    with pytest.raises(BadInput, match="does not demand vibes"):
        gates.request(team.store, ref, "staging", actor=team.maker, clock=team.clock, gates=["vibes"])
