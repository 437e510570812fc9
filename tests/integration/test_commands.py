"""What people and automation may do with promotions, and what they are told where they may not. On both databases."""

from __future__ import annotations

from dataclasses import replace

import example
import pytest
from hands import OWNER, Team, deploy, judge
from sqlmodel import select

from services.clock import StoryClock
from services.commands import approvals, bundles, deployments, gates, holds, policies, promotions, rollbacks
from services.errors import (
    BadInput,
    ConditionsNotMet,
    Conflict,
    Fenced,
    NotAllowed,
    NotFound,
    PolicyInvalid,
    StaleEvidence,
)
from services.rules.domain import (
    BundleRef,
    DeploymentKind,
    DeploymentState,
    GateOutcome,
    Person,
    Phase,
    Role,
    RunState,
    SlotRef,
    Verdict,
)
from services.store import audit
from services.store.database import Store
from services.store.facts import load_one
from services.store.models import AuditEvent, Bundle, GateRun

PRODUCTION = SlotRef("delays", "production")
STAGING = SlotRef("delays", "staging")


@pytest.fixture
def team(either_store: Store, clock: StoryClock, maker: Person, lead: Person) -> Team:
    return Team(either_store, clock, maker, lead)


def seen(team: Team, promotion: int) -> str:
    """The digest of the evidence, as a page would show it now."""
    row = team.promotion(promotion)
    with team.store.reading() as session:
        return load_one(session, row.bundle_id, row.stage).evidence_digest


def actions(store: Store) -> list[str]:
    with store.reading() as session:
        return list(session.exec(select(AuditEvent.action).order_by(AuditEvent.seq)))  # type: ignore[arg-type]


# Policies


def test_a_quorum_that_nobody_can_reach_is_refused_with_what_to_write(team: Team) -> None:
    text = example.POLICY.replace("approvals = 1", "approvals = 3")
    with pytest.raises(PolicyInvalid) as caught:
        policies.apply(team.store, text, actor=team.maker, clock=team.clock)
    assert caught.value.mistakes == (
        "stages.2.approvals: 3 different people with the role lead are asked for, and only lou has it; "
        "write approvals = 1, or let the others log in first",
    )


def test_somebody_who_is_alone_is_told_to_allow_self_approval(either_store: Store, clock: StoryClock) -> None:
    me = Person("me", frozenset(Role))
    with pytest.raises(PolicyInvalid, match="me is the only person here") as caught:
        policies.apply(either_store, example.POLICY, actor=me, clock=clock)
    assert "write self_approval = true" in caught.value.mistakes[0]
    alone = example.POLICY.replace("approvals = 1", "approvals = 1\nself_approval = true")
    assert policies.apply(either_store, alone, actor=me, clock=clock).revision == 1


def test_a_dry_run_and_a_refused_policy_store_nothing(team: Team) -> None:
    before = actions(team.store)
    text = example.POLICY.replace("min = 0.70", "min = 0.75")
    found = policies.apply(team.store, text, actor=team.maker, clock=team.clock, dry_run=True)
    assert (found.revision, found.changes) == (0, ("gates.accuracy.min: 0.7 -> 0.75",))
    with pytest.raises(PolicyInvalid):
        policies.apply(team.store, text.replace("0.75", "7.5"), actor=team.maker, clock=team.clock)
    assert actions(team.store) == before


def test_the_same_rules_again_make_no_new_revision(team: Team) -> None:
    again = policies.apply(team.store, "# said again\n" + example.POLICY, actor=team.maker, clock=team.clock)
    assert (again.revision, again.changes) == (1, ())


def test_who_only_views_may_do_nothing(team: Team, viewer: Person) -> None:
    ref, promotion = team.waiting()
    slot, store, clock = PRODUCTION, team.store, team.clock
    for attempt in (
        lambda: policies.apply(store, example.POLICY, actor=viewer, clock=clock),
        lambda: bundles.register(store, example.draft(9), actor=viewer, clock=clock),
        lambda: promotions.request(store, ref, "production", actor=viewer, clock=clock),
        lambda: promotions.withdraw(store, promotion, actor=viewer, clock=clock),
        lambda: approvals.approve(store, promotion, actor=viewer, clock=clock),
        lambda: approvals.reject(store, promotion, actor=viewer, clock=clock, comment="No."),
        lambda: gates.request(store, ref, "production", actor=viewer, clock=clock),
        lambda: bundles.quarantine(store, ref, actor=viewer, clock=clock, reason="No."),
        lambda: holds.lift(store, slot, actor=viewer, clock=clock),
        lambda: rollbacks.roll_back(store, slot, actor=viewer, clock=clock, reason="No."),
    ):
        with pytest.raises(NotAllowed) as caught:
            attempt()
        assert caught.value.message.startswith("vic may not ")


# Asking


def test_the_same_click_is_the_same_promotion(team: Team) -> None:
    ref = team.stage(1)
    asked = [
        promotions.request(team.store, ref, "production", actor=team.maker, clock=team.clock, key="click")
        for _ in range(2)
    ]
    assert asked[0] == asked[1]
    assert actions(team.store).count("promotion.requested") == 3  # development, staging, production


def test_a_second_promotion_into_a_slot_is_a_conflict_that_names_the_first(team: Team) -> None:
    _, first = team.waiting(1)
    other = team.stage(2)
    with pytest.raises(Conflict, match="delays/1 is on its way to production") as caught:
        team.ask(other)
    assert caught.value.remedy == f"Decide or withdraw it first: `headgate withdraw {first}`."
    with pytest.raises(Conflict, match=f"on its way to production already: promotion {first}"):
        team.ask(BundleRef("delays", 1))


def test_what_is_live_is_not_promoted_again(team: Team) -> None:
    ref = team.live(1)
    with pytest.raises(Conflict, match="is live in production already"):
        team.ask(ref)


def test_out_of_order_is_refused_with_the_stage_to_promote_to_first(team: Team) -> None:
    ref = team.make(1)
    with pytest.raises(ConditionsNotMet) as caught:
        team.ask(ref)
    (said,) = caught.value.conditions
    assert said.name == "previous stage"
    assert "headgate promote delays/1 --to staging" in said.remedy
    assert "promotion.requested" in actions(team.store)
    assert len([a for a in actions(team.store) if a == "promotion.requested"]) == 1


def test_what_does_not_exist_is_not_found(team: Team) -> None:
    ref = team.make(1)
    with pytest.raises(NotFound, match="has no stage 'moon'") as caught:
        team.ask(ref, "moon")
    assert "development, staging, production" in caught.value.remedy
    with pytest.raises(NotFound, match="There is no bundle delays/9"):
        team.ask(BundleRef("delays", 9))
    with pytest.raises(NotFound, match="There is no application 'nobody'"):
        team.ask(BundleRef("nobody", 1))
    with pytest.raises(NotFound, match="There is no promotion 99"):
        team.approve(99)


def test_a_quarantined_bundle_goes_nowhere_and_can_be_let_go_again(team: Team) -> None:
    ref = team.stage(1)
    bundles.quarantine(team.store, ref, actor=team.lead, clock=team.clock, reason="It leaks.")
    with pytest.raises(ConditionsNotMet, match="Quarantined by lou: It leaks"):
        team.ask(ref)
    with pytest.raises(Conflict, match="quarantined already"):
        bundles.quarantine(team.store, ref, actor=team.lead, clock=team.clock, reason="Again.")
    bundles.unquarantine(team.store, ref, actor=team.lead, clock=team.clock, reason="It does not.")
    assert team.phase(team.ask(ref)) is Phase.AWAITING_APPROVAL


def test_a_bundle_quarantined_while_it_waits_cannot_be_approved(team: Team) -> None:
    ref, promotion = team.waiting()
    bundles.quarantine(team.store, ref, actor=team.lead, clock=team.clock, reason="It leaks.")
    with pytest.raises(ConditionsNotMet, match="It leaks"):
        team.approve(promotion)
    assert team.phase(promotion) is Phase.AWAITING_APPROVAL


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


# Automation


def test_a_new_bundle_enters_a_stage_with_auto_by_itself(team: Team) -> None:
    made = example.register(team.store, team.maker, team.clock, 1)
    assert made.promotion_id is not None
    entered = team.promotion(made.promotion_id)
    assert (entered.automatic, entered.requested_by, entered.phase) == (True, "headgate", Phase.DEPLOYING)


def test_the_same_components_are_the_same_bundle(team: Team) -> None:
    first = example.register(team.store, team.maker, team.clock, 1)
    again = example.register(team.store, team.maker, team.clock, 1)
    assert (again.created, again.ref) == (False, first.ref)


def test_a_newer_bundle_takes_the_place_of_an_older_one_that_automation_still_gates(
    either_store: Store, clock: StoryClock, maker: Person, lead: Person
) -> None:
    gated = example.POLICY.replace("auto = true", 'auto = true\ngates = ["notice"]')
    team = Team(either_store, clock, maker, lead, gated)
    first = example.register(either_store, maker, clock, 1)
    second = example.register(either_store, maker, clock, 2)
    assert first.promotion_id is not None
    assert second.promotion_id is not None
    assert team.phase(first.promotion_id) is Phase.SUPERSEDED
    judge(either_store, clock)
    assert team.phase(second.promotion_id) is Phase.DEPLOYING
    with either_store.reading() as session:
        older = session.exec(select(GateRun).where(GateRun.promotion_id == first.promotion_id)).one()
        assert (older.verdict, older.summary) == (Verdict.SKIPPED, "Not run: delays/2 took the place of delays/1.")


def test_while_one_deploys_a_newer_bundle_is_registered_and_does_not_enter(team: Team) -> None:
    example.register(team.store, team.maker, team.clock, 1)
    second = example.register(team.store, team.maker, team.clock, 2)
    assert (second.created, second.promotion_id) == (True, None)
    assert second.not_entered == ("delays/1 is on its way to development (deploying).",)


def test_a_hold_keeps_automation_out_and_not_people(team: Team) -> None:
    team.make(1)
    holds.set_(team.store, SlotRef("delays", "development"), actor=team.lead, clock=team.clock, reason="Wait.")
    held = example.register(team.store, team.maker, team.clock, 2)
    assert (held.promotion_id, held.not_entered) == (None, ("Held by lou: Wait.",))
    team.ask(held.ref, "development")
    team.deploy("development")
    assert team.live_number("development") == 2
    assert team.slot("development").hold_since is None  # a promotion by hand lifts it
    with pytest.raises(Conflict, match="There is no hold"):
        holds.lift(team.store, SlotRef("delays", "development"), actor=team.lead, clock=team.clock)


# The way back


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


# The record


@pytest.mark.parametrize(
    "name",
    ["o'brien", 'the "best"', "<b>bold</b>", "🛫", "ü" * 300, "'; DROP TABLE promotion; --"],
)
def test_any_name_is_kept_as_it_is(team: Team, name: str) -> None:
    person = Person(name, frozenset({Role.MAKER, Role.LEAD}))
    draft = example.draft(1, maker=name)
    oddly = replace(draft, components=(replace(draft.components[0], name=name), *draft.components[1:]))
    made = bundles.register(team.store, oddly, actor=person, clock=team.clock)
    assert made.promotion_id is not None
    deploy(team.store, SlotRef("delays", "development"), team.clock)
    asked = promotions.request(team.store, made.ref, "staging", actor=person, clock=team.clock, reason=name)
    approvals.reject(team.store, asked, actor=person, clock=team.clock, comment=name)
    found = team.promotion(asked)
    assert (found.requested_by, found.reason, found.note) == (name, name, name)
    with team.store.reading() as session:
        assert audit.verify(session).broken_at is None


def test_every_step_of_a_way_to_production_and_back_has_its_event_in_the_chain(team: Team) -> None:
    team.live(1)
    team.live(2)
    team.roll_back()
    team.deploy()
    told = actions(team.store)
    once = ["person.met", "person.met", "policy.applied"]
    development = ["bundle.registered", "promotion.requested", "deployment.started", "deployment.succeeded"]
    staging = ["promotion.requested", *["gate.finished"] * 3, "deployment.started", "deployment.succeeded"]
    production = [
        "promotion.requested",
        "gate.finished",
        "promotion.awaiting_approval",
        "promotion.approved",
        "deployment.started",
        "deployment.succeeded",
    ]
    back = ["deployment.started", "rollback.requested", "deployment.succeeded"]
    assert told[:3] == once
    assert sorted(told[3:]) == sorted([*(development + staging + production) * 2, *back])
    with team.store.reading() as session:
        assert audit.verify(session).broken_at is None


def test_a_command_that_is_refused_leaves_no_event_and_no_row(team: Team) -> None:
    ref, promotion = team.waiting()
    before = actions(team.store)
    for attempt in (
        lambda: team.ask(ref),
        lambda: team.roll_back(),
        lambda: team.approve(promotion, by=team.maker),
        lambda: promotions.withdraw(
            team.store, promotion, actor=Person("max", frozenset({Role.MAKER})), clock=team.clock
        ),
    ):
        with pytest.raises((Conflict, NotAllowed)):
            attempt()
    assert actions(team.store) == before
