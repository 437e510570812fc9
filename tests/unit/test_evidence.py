"""What an approval signs: what makes it stale, and what does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import example
import pytest

from services.rules import evidence
from services.rules.domain import BundleRef, ComponentKind, RunState, Verdict
from services.rules.policy import parse
from services.rules.readiness import Facts, GateFact, Live, Marked

AT = datetime(2026, 3, 10, tzinfo=UTC)
LIVE = Live(1, BundleRef("delays", 1), "sha256:11111111111100", 4, AT)
GATE = GateFact(
    "accuracy",
    enforcing=True,
    tolerates_inconclusive=False,
    wanted_definition="sha256:rules",
    run_id=7,
    state=RunState.FINISHED,
    verdict=Verdict.PASSED,
    summary="roc_auc 0.81 (0.78 to 0.84)",
    definition="sha256:rules",
    data_digest="sha256:rows",
    finished_at=AT,
)
SIGNED = Facts(
    policy=parse(example.POLICY),
    application="delays",
    stage="production",
    bundle_id=2,
    ref=BundleRef("delays", 2),
    digest="sha256:two",
    maker="mia",
    components=frozenset({ComponentKind.MODEL}),
    gaps=(),
    gates=(GATE,),
    live=LIVE,
)


def changed(now: Facts) -> list[str]:
    return evidence.changes(evidence.of(SIGNED), evidence.of(now))


def with_gate(**changes: Any) -> Facts:
    return replace(SIGNED, gates=(replace(GATE, **changes),))


def with_policy(old: str, new: str) -> Facts:
    assert old in example.POLICY
    return replace(SIGNED, policy=parse(example.POLICY.replace(old, new)))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (replace(SIGNED, digest="sha256:other"), "the bundle is another one"),
        (with_policy("approvals = 1", "approvals = 2"), "the stage's rules changed (approvals)"),
        (with_policy('"7d"', '"8d"'), "the stage's rules changed (max_evidence_age)"),
        (with_gate(verdict=Verdict.FAILED), "the gate accuracy was passed and is now failed"),
        (with_gate(verdict=None, state=RunState.RUNNING), "the gate accuracy was passed and is now without a verdict"),
        (with_gate(data_digest="sha256:other"), "the gate accuracy judged other data"),
        (with_gate(wanted_definition="sha256:new"), "the gate accuracy is defined differently"),
        (with_gate(definition="sha256:new"), "the gate accuracy was judged again under other rules"),
        (with_gate(enforcing=False), "the gate accuracy is enforced differently"),
        (with_gate(waived_by="lou"), "the gate accuracy was waived, or its waiver was taken back"),
        (replace(SIGNED, gates=()), "the gate accuracy is no longer demanded"),
        (replace(SIGNED, gates=(GATE, replace(GATE, gate="schema"))), "the gate schema is new"),
        (replace(SIGNED, live=None), "what is live is now nothing"),
        (replace(SIGNED, live=replace(LIVE, digest="sha256:2222222222223")), "what is live is now 222222222222"),
    ],
)
def test_an_approval_is_stale_when_what_was_signed_changes_and_says_what(now: Facts, said: str) -> None:
    assert changed(now) == [said]
    assert evidence.digest_of(evidence.of(now)) != evidence.digest_of(evidence.of(SIGNED))


@pytest.mark.parametrize(
    "now",
    [
        with_gate(summary="roc_auc 0.82 (0.79 to 0.85)"),
        with_gate(run_id=8, finished_at=AT + timedelta(hours=1)),
        with_policy('kind = "evaluation"', 'kind = "evaluation"\ndescription = "Good enough."'),
        with_policy('owner = "operations"', 'owner = "somebody else"'),
        replace(SIGNED, maker="somebody else"),
        replace(SIGNED, hold=Marked("lou", "wait", AT), freeze=Marked("lou", "holidays", AT)),
        replace(SIGNED, live=replace(LIVE, deployment_id=9, since=AT + timedelta(days=1))),
    ],
    ids=["a decimal", "run again", "a description", "the owner", "the maker", "hold and freeze", "deployed again"],
)
def test_what_was_not_signed_changes_nothing(now: Facts) -> None:
    assert changed(now) == []
    assert evidence.digest_of(evidence.of(now)) == evidence.digest_of(evidence.of(SIGNED))


def test_several_changes_are_all_told() -> None:
    now = replace(with_gate(verdict=Verdict.ERRORED), live=None)
    assert changed(now) == ["the gate accuracy was passed and is now errored", "what is live is now nothing"]
