"""Readiness, condition by condition and action by action."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import example
import pytest

from services.rules import readiness
from services.rules.domain import Action, BundleRef, ComponentKind, Condition, Gap, Phase, Role, RunState, Verdict
from services.rules.policy import Policy, parse
from services.rules.readiness import ActivePromotion, ApprovalFact, Facts, GateFact, Live, Marked, Passage

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
YESTERDAY = NOW - timedelta(days=1)
POLICY = parse(example.POLICY)
PASSED = GateFact(
    "accuracy",
    enforcing=True,
    tolerates_inconclusive=False,
    wanted_definition="sha256:rules",
    run_id=1,
    state=RunState.FINISHED,
    verdict=Verdict.PASSED,
    definition="sha256:rules",
    finished_at=YESTERDAY,
)
MARK = Marked("lou", "it smells", YESTERDAY)


def policy(**changes: str) -> Policy:
    """The example's policy with lines of the stage `production` changed or added."""
    added = "".join(f"{key} = {value}\n" for key, value in changes.items())
    text = example.POLICY
    for key in changes:
        text = "\n".join(line for line in text.splitlines() if not line.startswith(f"{key} "))
    return parse(text.replace('name = "production"\n', f'name = "production"\n{added}'))


def facts(**changes: Any) -> Facts:
    """A bundle that needs nothing but an approval to go to production."""
    ready = Facts(
        policy=POLICY,
        application="delays",
        stage="production",
        bundle_id=2,
        ref=BundleRef("delays", 2),
        digest="sha256:two",
        maker="mia",
        components=frozenset({ComponentKind.MODEL, ComponentKind.PROMPT}),
        gaps=(),
        before=Passage("staging", YESTERDAY, verified=True),
        gates=(PASSED,),
        evidence_digest="sha256:evidence",
    )
    return replace(ready, **changes)


def active(ref: str = "delays/3", **changes: Any) -> ActivePromotion:
    found = BundleRef.parse(ref)
    standing = ActivePromotion(9, found.number, found, Phase.AWAITING_APPROVAL, False, False, "max", writing=False)
    return replace(standing, **changes)


def condition(name: str, of: Facts, action: Action = Action.PROMOTE, now: datetime = NOW) -> Condition:
    return next(c for c in readiness.conditions(of, action, now) if c.name == name)


def unmet(of: Facts, action: Action = Action.PROMOTE, now: datetime = NOW) -> list[str]:
    return [c.name for c in readiness.unmet(readiness.conditions(of, action, now))]


SIGNED = ApprovalFact("lou", Role.LEAD, "sha256:evidence", YESTERDAY)
ASKED = active("delays/2", requested_by="mia")


def test_a_bundle_with_everything_but_an_approval_waits_for_just_that() -> None:
    assert unmet(facts()) == ["approvals"]
    assert unmet(facts(active=ASKED, approvals=(SIGNED,))) == []


@pytest.mark.parametrize("action", [Action.PROMOTE, Action.AUTO, Action.ROLL_BACK])
def test_an_application_without_a_policy_or_without_the_stage_can_do_nothing(action: Action) -> None:
    (said,) = readiness.conditions(facts(policy=None), action, NOW)
    assert (said.name, said.met) == ("stage", False)
    assert "headgate apply" in said.remedy
    (said,) = readiness.conditions(facts(stage="moon"), action, NOW)
    assert (said.name, said.met) == ("stage", False)
    assert said.remedy == "Its stages are development, staging, production."


@pytest.mark.parametrize(
    ("name", "state", "refuses"),
    [
        ("quarantine", {"quarantine": MARK}, {Action.PROMOTE, Action.AUTO, Action.ROLL_BACK}),
        ("components", {"components": frozenset({ComponentKind.PROMPT})}, {Action.PROMOTE, Action.AUTO}),
        ("previous stage", {"before": Passage("staging", None, False)}, {Action.PROMOTE, Action.AUTO}),
        ("hold", {"hold": MARK}, {Action.AUTO}),
        ("freeze", {"freeze": MARK}, {Action.PROMOTE, Action.AUTO}),
        ("slot", {"active": active()}, {Action.PROMOTE, Action.AUTO}),
        ("slot", {"active": active(automatic=True)}, {Action.PROMOTE}),
        ("slot", {"active": active(automatic=True, phase=Phase.DEPLOYING)}, {Action.PROMOTE, Action.AUTO}),
        ("slot", {"active": ASKED}, set()),
    ],
)
def test_who_is_stopped_by_what(name: str, state: dict[str, Any], refuses: set[Action]) -> None:
    for action in (Action.PROMOTE, Action.AUTO, Action.ROLL_BACK):
        assert condition(name, facts(was_live_here=True, **state), action).met is (action not in refuses), action


@pytest.mark.parametrize("action", [Action.AUTO, Action.ROLL_BACK])
def test_only_a_promotion_by_hand_asks_for_approvals(action: Action) -> None:
    assert "approvals" not in [c.name for c in readiness.conditions(facts(), action, NOW)]


def test_a_rollback_asks_only_that_it_was_live_here_and_is_not_quarantined() -> None:
    bare = facts(gates=(), before=Passage("staging", None, False), freeze=MARK, components=frozenset())
    assert unmet(bare, Action.ROLL_BACK) == ["previous stage"]
    assert unmet(replace(bare, was_live_here=True), Action.ROLL_BACK) == []


def test_a_quarantine_is_overridden_on_the_way_back_with_a_reason_and_never_on_the_way_forward() -> None:
    marked = facts(quarantine=MARK, was_live_here=True)
    back = readiness.conditions(marked, Action.ROLL_BACK, NOW, overridden="the only one that works")
    assert readiness.unmet(back) == []
    assert any("the only one that works" in c.reason for c in back)
    forward = readiness.conditions(marked, Action.PROMOTE, NOW, overridden="please")
    assert "quarantine" in [c.name for c in readiness.unmet(forward)]


def test_an_adoption_records_what_it_finds_and_asks_for_nothing_but_a_free_slot() -> None:
    bare = facts(gates=(), before=Passage("staging", None, False), freeze=MARK, quarantine=MARK, components=frozenset())
    assert unmet(bare, Action.ADOPT) == []
    assert unmet(replace(bare, active=active()), Action.ADOPT) == ["slot"]


def test_a_gap_blocks_where_the_policy_says_so_and_is_counted_where_it_does_not() -> None:
    gap = Gap("dataset digest", "The data's source could not be read.")
    assert condition("components", facts(gaps=(gap,))).reason == (
        "The record is complete, with 1 provenance gap that the policy allows."
    )
    strict = parse(example.POLICY.replace('model = "delays"', 'model = "delays"\nblock_on_gaps = ["dataset digest"]'))
    said = condition("components", facts(policy=strict, gaps=(gap,)))
    assert (said.met, "could not be read" in said.reason) == (False, True)


def test_coming_through_unchecked_is_enough_unless_the_policy_wants_it_verified() -> None:
    unchecked = Passage("staging", YESTERDAY, verified=False)
    assert condition("previous stage", facts(before=unchecked)).reason == "Staging: came through, not checked."
    strict = policy(verified="true")
    assert not condition("previous stage", facts(policy=strict, before=unchecked)).met
    assert condition("previous stage", facts(policy=strict)).met


def test_the_first_stage_has_none_before_it() -> None:
    assert condition("previous stage", facts(stage="development", before=None, gates=())).met


@pytest.mark.parametrize(("hours", "met"), [(23, False), (24, True), (25, True)])
def test_soak_time_is_over_exactly_when_it_is(hours: int, met: bool) -> None:
    soaking = facts(policy=policy(soak='"24h"'), before=Passage("staging", NOW - timedelta(hours=hours), True))
    said = condition("soak", soaking)
    assert said.met is met
    if not met:
        assert said.remedy == "Wait another 1 hour."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state": None, "verdict": None, "finished_at": None}, "accuracy has not run"),
        ({"state": RunState.QUEUED, "verdict": None}, "accuracy is queued"),
        ({"state": RunState.RUNNING, "verdict": None}, "accuracy is running"),
        ({"verdict": Verdict.FAILED}, "accuracy failed"),
        ({"verdict": Verdict.ERRORED}, "accuracy errored"),
        ({"verdict": Verdict.SKIPPED}, "accuracy skipped"),
        ({"verdict": Verdict.INCONCLUSIVE}, "accuracy inconclusive"),
        ({"definition": "sha256:older"}, "accuracy was judged under other rules"),
        ({"finished_at": NOW - timedelta(days=8)}, "accuracy is older than 7 days"),
    ],
)
def test_a_gate_that_does_not_carry_says_why(change: dict[str, Any], said: str) -> None:
    found = condition("gates", facts(gates=(replace(PASSED, **change),)))
    assert (found.met, found.reason) == (False, f"{said}.")
    assert found.remedy


def test_evidence_is_fresh_until_its_last_moment() -> None:
    old = replace(PASSED, finished_at=NOW - timedelta(days=7))
    assert condition("gates", facts(gates=(old,))).met
    assert not condition("gates", facts(gates=(old,)), now=NOW + timedelta(seconds=1)).met


def test_an_inconclusive_gate_carries_where_the_policy_only_warns() -> None:
    unsure = replace(PASSED, verdict=Verdict.INCONCLUSIVE, tolerates_inconclusive=True)
    assert condition("gates", facts(gates=(unsure,))).met


def test_a_waived_gate_carries_and_shows_by_whom() -> None:
    waived = replace(PASSED, verdict=Verdict.FAILED, waived_by="lou")
    said = condition("gates", facts(gates=(waived,)))
    assert (said.met, said.reason) == (True, "1 gate passed (accuracy waived by lou).")


def test_a_gate_in_shadow_blocks_nothing() -> None:
    shadow = replace(PASSED, enforcing=False, verdict=Verdict.FAILED)
    assert condition("gates", facts(gates=(PASSED, shadow))).met


def test_a_stage_without_gates_says_that_nothing_is_checked() -> None:
    assert condition("gates", facts(gates=())).reason == "Production asks for no gate: nothing is checked here."


def test_a_comparison_counts_only_against_what_is_live_now() -> None:
    compared = replace(PASSED, compares_with_live=True, judged_against=1, to_judge_against=1)
    assert condition("gates", facts(gates=(compared,))).met
    moved_on = replace(compared, to_judge_against=4)
    assert condition("gates", facts(gates=(moved_on,))).reason == "accuracy was compared with what is no longer live."


@pytest.mark.parametrize(
    ("gate", "needs"),
    [
        (PASSED, False),
        (replace(PASSED, state=RunState.RUNNING), False),
        (replace(PASSED, state=None, finished_at=None), True),
        (replace(PASSED, verdict=Verdict.FAILED), True),
        (replace(PASSED, definition="sha256:older"), True),
        (replace(PASSED, finished_at=NOW - timedelta(days=8)), True),
    ],
)
def test_a_gate_is_asked_again_only_where_that_could_change_the_answer(gate: GateFact, needs: bool) -> None:
    rules = POLICY.stage("production")
    assert rules is not None
    assert readiness.needs_run(gate, rules, NOW) is needs


@pytest.mark.parametrize(
    ("signed", "counts"),
    [
        (SIGNED, True),
        (replace(SIGNED, evidence_digest="sha256:other"), False),
        (replace(SIGNED, person="mia"), False),
    ],
)
def test_an_approval_counts_when_it_signed_this_evidence_and_is_not_the_makers(
    signed: ApprovalFact, counts: bool
) -> None:
    assert condition("approvals", facts(active=ASKED, approvals=(signed,))).met is counts


def test_the_requesters_own_approval_does_not_count() -> None:
    asked = active("delays/2", requested_by="lou")
    assert not condition("approvals", facts(active=asked, approvals=(SIGNED,))).met


def test_where_the_maker_is_unknown_only_the_requester_is_excluded() -> None:
    assert condition("approvals", facts(maker="", active=ASKED, approvals=(SIGNED,))).met


def test_one_person_who_signs_twice_is_one_person() -> None:
    two = policy(approvals="2")
    twice = (SIGNED, replace(SIGNED, at=NOW))
    said = condition("approvals", facts(policy=two, active=ASKED, approvals=twice))
    assert (said.met, said.reason) == (False, "Waits for 1 approval by a lead.")
    both = (SIGNED, replace(SIGNED, person="ann"))
    assert condition("approvals", facts(policy=two, active=ASKED, approvals=both)).reason == "Approved by lou, ann."


def test_a_stale_approval_is_counted_as_such() -> None:
    said = condition("approvals", facts(active=ASKED, approvals=(replace(SIGNED, evidence_digest="sha256:x"),)))
    assert said.reason.endswith("1 earlier approval no longer counts: what was signed has changed.")


def test_a_self_approval_reads_as_one() -> None:
    own = replace(SIGNED, person="mia", self_approved=True)
    said = condition("approvals", facts(policy=policy(self_approval="true"), active=ASKED, approvals=(own,)))
    assert said.reason == "Approved by mia (self-approved)."


@pytest.mark.parametrize(
    ("since", "until", "met"),
    [
        (YESTERDAY, None, False),
        (YESTERDAY, NOW + timedelta(hours=1), False),
        (YESTERDAY, NOW, True),
        (NOW + timedelta(hours=1), None, True),
    ],
)
def test_a_freeze_holds_from_its_beginning_until_its_end(since: datetime, until: datetime | None, met: bool) -> None:
    assert condition("freeze", facts(freeze=Marked("lou", "holidays", since, until))).met is met


def test_what_is_not_met_says_what_to_do() -> None:
    worst = facts(
        quarantine=MARK,
        components=frozenset(),
        before=Passage("staging", None, False),
        policy=policy(soak='"1d"'),
        gates=(replace(PASSED, verdict=Verdict.FAILED),),
        freeze=MARK,
        active=active(),
        live=Live(1, BundleRef("delays", 1), "sha256:one", 5, YESTERDAY),
    )
    found = readiness.unmet(readiness.conditions(worst, Action.PROMOTE, NOW))
    assert [c.name for c in found] == [
        "quarantine",
        "components",
        "previous stage",
        "soak",
        "gates",
        "approvals",
        "freeze",
        "slot",
    ]
    assert all(c.reason and c.remedy for c in found)
