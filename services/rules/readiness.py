"""Readiness: may this bundle go to this stage, and if not, what is missing?

One pure function answers every list, button, job and command, and is asked again inside the transaction that acts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.rules.domain import Action, BundleRef, ComponentKind, Condition, Gap, Phase, Role, RunState, Verdict
from services.rules.policy import Policy, Stage

# What a request may leave open, because carrying it out is what answers it.
ANSWERED_ON_THE_WAY = frozenset({"gates", "approvals"})


COMPARED_BEFORE, OTHER_RULES = "compared with what is no longer live", "judged under other rules"


@dataclass(frozen=True)
class GateFact:
    """The latest run of one gate the stage demands; `state` is None where it never ran."""

    gate: str
    enforcing: bool
    tolerates_inconclusive: bool
    wanted_definition: str
    run_id: int | None = None
    state: RunState | None = None
    verdict: Verdict | None = None
    summary: str = ""
    definition: str = ""
    data_digest: str = ""
    finished_at: datetime | None = None
    waived_by: str = ""
    compares_with_live: bool = False
    judged_against: int | None = None  # the bundle that was live when it was judged; none where nothing was
    to_judge_against: int | None = None  # the bundle that is live now

    @property
    def against_what_is_live(self) -> bool:
        """Whether a comparison was made with what is live now. A gate that compares nothing does not depend on it."""
        return not self.compares_with_live or self.judged_against == self.to_judge_against

    @property
    def current(self) -> bool:
        judged = self.state is RunState.FINISHED and self.definition == self.wanted_definition
        return judged and self.against_what_is_live

    @property
    def satisfied(self) -> bool:
        """Passed (or waived) under the definition in force. `skipped` and `errored` satisfy nothing."""
        if not self.current:
            return False
        if self.waived_by or self.verdict is Verdict.PASSED:
            return True
        return self.verdict is Verdict.INCONCLUSIVE and self.tolerates_inconclusive

    @property
    def passed_once(self) -> bool:
        """The result it had, under whatever rules: what counts for a way back."""
        return bool(self.waived_by) or self.verdict is Verdict.PASSED

    def fresh(self, stage: Stage, now: datetime) -> bool:
        return self.finished_at is not None and now - self.finished_at <= stage.max_evidence_age


@dataclass(frozen=True)
class ApprovalFact:
    person: str
    role: Role
    evidence_digest: str
    at: datetime
    self_approved: bool = False


@dataclass(frozen=True)
class Passage:
    """How a bundle did in the stage before: when it first came through, and whether it is verified there."""

    stage: str
    came_through_at: datetime | None
    verified: bool


@dataclass(frozen=True)
class Marked:
    """A hold, a freeze or a quarantine: by whom, why, since when, and until when where it ends by itself."""

    by: str
    reason: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True)
class ActivePromotion:
    id: int
    bundle_id: int
    ref: BundleRef
    phase: Phase
    automatic: bool
    rollback: bool
    requested_by: str
    writing: bool  # somebody holds the slot's lease and may be moving aliases this moment


@dataclass(frozen=True)
class Live:
    bundle_id: int
    ref: BundleRef
    digest: str
    deployment_id: int
    since: datetime


@dataclass(frozen=True)
class Facts:
    """All that readiness needs to know of one bundle and one stage."""

    policy: Policy | None
    application: str
    stage: str
    bundle_id: int
    ref: BundleRef
    digest: str
    maker: str
    components: frozenset[ComponentKind]
    gaps: tuple[Gap, ...]
    quarantine: Marked | None = None
    before: Passage | None = None
    gates: tuple[GateFact, ...] = ()
    approvals: tuple[ApprovalFact, ...] = ()
    evidence_digest: str = ""
    hold: Marked | None = None
    freeze: Marked | None = None
    active: ActivePromotion | None = None
    live: Live | None = None
    was_live_here: bool = False

    @property
    def rules(self) -> Stage | None:
        return self.policy.stage(self.stage) if self.policy else None

    @property
    def own_promotion(self) -> ActivePromotion | None:
        return self.active if self.active and self.active.ref == self.ref else None

    @property
    def is_live(self) -> bool:
        return self.live is not None and self.live.bundle_id == self.bundle_id


def conditions(facts: Facts, action: Action, now: datetime, *, overridden: str = "") -> list[Condition]:
    """Every condition of this action, met or not, in the order in which a person would check them.

    `overridden` is the reason that somebody gave for going back to a quarantined bundle all the same.
    """
    rules = facts.rules
    if facts.policy is None or rules is None:
        return [_no_stage(facts)]
    found = [
        Condition("stage", True, f"{facts.application} has the stage {facts.stage}."),
        _quarantine(facts, action, overridden),
        _components(facts, facts.policy, action),
        _before(facts, rules, action),
    ]
    if action in (Action.PROMOTE, Action.AUTO):
        found += [_soak(facts, rules, now), _gates(facts, rules, now)]
    if action is Action.PROMOTE:
        found.append(_approvals(facts, rules))
    return [*found, _hold(facts, action), _freeze(facts, action, now), _slot(facts, action)]


def unmet(found: Iterable[Condition], *, ignoring: frozenset[str] = frozenset()) -> list[Condition]:
    return [condition for condition in found if not condition.met and condition.name not in ignoring]


def _no_stage(facts: Facts) -> Condition:
    if facts.policy is None:
        return Condition(
            "stage", False, f"{facts.application} has no policy.", "Apply one: `headgate apply policy.toml`."
        )
    names = ", ".join(stage.name for stage in facts.policy.stages)
    return Condition("stage", False, f"{facts.application} has no stage {facts.stage!r}.", f"Its stages are {names}.")


def _quarantine(facts: Facts, action: Action, overridden: str) -> Condition:
    if not facts.quarantine:
        return Condition("quarantine", True, "Not quarantined.")
    mark = facts.quarantine
    if action is Action.ADOPT or (action is Action.ROLL_BACK and overridden):
        why = f"overridden: {overridden}" if overridden else "recorded"
        return Condition("quarantine", True, f"Quarantined by {mark.by}: {mark.reason} ({why})", since=mark.since)
    remedy = (
        "Choose another bundle, or override the quarantine with a reason."
        if action is Action.ROLL_BACK
        else "Take another bundle, or have the quarantine lifted."
    )
    return Condition("quarantine", False, f"Quarantined by {mark.by}: {mark.reason}", remedy, mark.since)


def _components(facts: Facts, policy: Policy, action: Action) -> Condition:
    missing = [kind.value for kind in policy.required if kind not in facts.components]
    blocking = [gap for gap in facts.gaps if gap.name in policy.components.block_on_gaps]
    if not missing and not blocking:
        said = (
            "complete"
            if not facts.gaps
            else f"complete, with {_count(len(facts.gaps), 'provenance gap')} that the policy allows"
        )
        return Condition("components", True, f"The record is {said}.")
    reasons = [f"no {kind}" for kind in missing] + [gap.reason for gap in blocking]
    reason = f"The policy requires more: {'; '.join(reasons)}."
    if action in (Action.ROLL_BACK, Action.ADOPT):
        return Condition("components", True, f"{reason} Recorded, and no obstacle here.")
    return Condition(
        "components", False, reason, "Log what is missing with the run, then make a new bundle: `headgate sync`."
    )


def _before(facts: Facts, rules: Stage, action: Action) -> Condition:
    if action is Action.ROLL_BACK:
        if facts.was_live_here:
            return Condition("previous stage", True, f"It was live in {facts.stage} before.")
        return Condition("previous stage", False, f"It was never live in {facts.stage}.", "Promote it instead.")
    before = facts.before
    if action is Action.ADOPT:
        return Condition("previous stage", True, "Moved outside Headgate: where it came through is not known.")
    if before is None:
        return Condition("previous stage", True, f"{facts.stage} is the first stage.")
    if before.came_through_at is None:
        remedy = f"Promote it to {before.stage} first: `headgate promote {facts.ref} --to {before.stage}`."
        return Condition("previous stage", False, f"It has not come through {before.stage}.", remedy)
    if rules.verified and not before.verified:
        remedy = f"Run the gates of {before.stage} again, or have the open ones waived."
        return Condition("previous stage", False, f"It came through {before.stage}, but is not verified there.", remedy)
    how = "verified" if before.verified else "came through, not checked"
    return Condition("previous stage", True, f"{before.stage.capitalize()}: {how}.", since=before.came_through_at)


def _soak(facts: Facts, rules: Stage, now: datetime) -> Condition:
    if not rules.soak or facts.before is None:
        return Condition("soak", True, "No soak time is asked for.")
    began = facts.before.came_through_at
    if began is None:
        return Condition("soak", False, f"It has not been in {facts.before.stage} yet.", "Promote it there first.")
    done = began + rules.soak
    if now >= done:
        return Condition("soak", True, f"In {facts.before.stage} for {_span(now - began)}.", since=done)
    return Condition(
        "soak",
        False,
        f"Needs {_span(rules.soak)} in {facts.before.stage}.",
        f"Wait another {_span(done - now)}.",
        began,
    )


def _gates(facts: Facts, rules: Stage, now: datetime) -> Condition:
    enforcing = [gate for gate in facts.gates if gate.enforcing]
    if not enforcing:
        return Condition("gates", True, f"{facts.stage.capitalize()} asks for no gate: nothing is checked here.")
    open_gates = [f"{gate.gate} {said}" for gate in enforcing if (said := _why_open(gate, rules, now))]
    if not open_gates:
        waived = [f"{gate.gate} waived by {gate.waived_by}" for gate in enforcing if gate.waived_by]
        said = f"{_count(len(enforcing), 'gate')} passed" + (f" ({', '.join(waived)})" if waived else "")
        latest = max(gate.finished_at for gate in enforcing if gate.finished_at)
        return Condition("gates", True, f"{said}.", since=latest)
    running = any(gate.state in (RunState.QUEUED, RunState.RUNNING) for gate in enforcing)
    remedy = "They are running." if running else _gate_remedy(facts, enforcing)
    return Condition("gates", False, f"{'; '.join(open_gates)}.", remedy)


def _gate_remedy(facts: Facts, gates: list[GateFact]) -> str:
    if any(gate.current and gate.verdict is Verdict.FAILED and not gate.satisfied for gate in gates):
        return "Read the evidence and make a new bundle; run the gate again if the cause is gone."
    return f"Run the gates: `headgate gate run {facts.ref} --stage {facts.stage}`."


def _why_open(gate: GateFact, rules: Stage, now: datetime) -> str:
    """Empty where the gate is satisfied and fresh."""
    match gate.state:
        case None:
            return "has not run"
        case RunState.QUEUED | RunState.RUNNING:
            return "is running" if gate.state is RunState.RUNNING else "is queued"
        case _:
            pass
    if not gate.against_what_is_live:
        return f"was {COMPARED_BEFORE}"
    if not gate.current:
        return f"was {OTHER_RULES}"
    if not gate.satisfied:
        return str(gate.verdict or "has no verdict")
    if not gate.fresh(rules, now):
        return f"is older than {_span(rules.max_evidence_age)}"
    return ""


def needs_run(gate: GateFact, rules: Stage, now: datetime) -> bool:
    """Whether asking this gate (again) could change the answer: it is not satisfied, or no longer fresh."""
    if gate.state in (RunState.QUEUED, RunState.RUNNING):
        return False
    return bool(_why_open(gate, rules, now))


def counted_approvals(facts: Facts, rules: Stage) -> list[ApprovalFact]:
    """One for each person who holds the role, signed the evidence as it is now, and may sign at all."""
    barred = (
        set() if rules.self_approval else {facts.maker, facts.own_promotion.requested_by if facts.own_promotion else ""}
    )
    found: dict[str, ApprovalFact] = {}
    for approval in facts.approvals:
        if approval.evidence_digest == facts.evidence_digest and approval.person not in barred:
            found.setdefault(approval.person, approval)
    return list(found.values())


def _approvals(facts: Facts, rules: Stage) -> Condition:
    if not rules.approvals:
        return Condition("approvals", True, "No approval is asked for.")
    counted = counted_approvals(facts, rules)
    stale = len({a.person for a in facts.approvals} - {a.person for a in counted})
    if len(counted) >= rules.approvals:
        names = ", ".join(a.person + (" (self-approved)" if a.self_approved else "") for a in counted)
        return Condition("approvals", True, f"Approved by {names}.", since=max(a.at for a in counted))
    missing = rules.approvals - len(counted)
    reason = f"Waits for {_count(missing, 'approval')} by {_article(rules.approver_role)}."
    if stale:
        reason += f" {_count(stale, 'earlier approval')} no longer counts: what was signed has changed."
    if facts.own_promotion:
        return Condition(
            "approvals", False, reason, f"`headgate approve {facts.own_promotion.id}`, or on the Approvals page."
        )
    return Condition("approvals", False, reason, "Ask for the promotion; the approvers see it then.")


def _hold(facts: Facts, action: Action) -> Condition:
    if not facts.hold:
        said = (
            "Rolling back sets a hold: automation stays out until somebody lifts it."
            if action is Action.ROLL_BACK
            else "No hold."
        )
        return Condition("hold", True, said)
    mark = facts.hold
    reason = f"Held by {mark.by}: {mark.reason}"
    if action is Action.AUTO:
        return Condition("hold", False, reason, "Lift the hold, or promote by hand.", mark.since)
    also = "It stays." if action is Action.ROLL_BACK else "A promotion by hand lifts it when it succeeds."
    return Condition("hold", True, f"{reason} {also}", since=mark.since)


def _freeze(facts: Facts, action: Action, now: datetime) -> Condition:
    mark = facts.freeze
    if not mark or now < mark.since or (mark.until and now >= mark.until):
        return Condition("freeze", True, "No freeze.")
    reason = f"Frozen by {mark.by}: {mark.reason}"
    if action in (Action.ROLL_BACK, Action.ADOPT):
        return Condition("freeze", True, f"{reason} Recorded, and no obstacle here.", since=mark.since)
    return Condition("freeze", False, reason, "Wait until it ends, or have it lifted.", mark.since)


def _slot(facts: Facts, action: Action) -> Condition:
    active = facts.active
    if not active or active.ref == facts.ref:
        return Condition("slot", True, f"Nothing else is on its way to {facts.stage}.")
    reason = f"{active.ref} is on its way to {facts.stage} ({active.phase.value.replace('_', ' ')})."
    if action is Action.ROLL_BACK:
        return Condition("slot", True, f"{reason} Rolling back takes its place.")
    if action is Action.AUTO and active.automatic and active.phase is not Phase.DEPLOYING:
        return Condition("slot", True, f"{reason} The newer bundle takes its place.")
    remedy = (
        "Wait until it is live."
        if active.phase is Phase.DEPLOYING
        else f"Decide or withdraw it first: `headgate withdraw {active.id}`."
    )
    return Condition("slot", False, reason, remedy)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _article(role: Role) -> str:
    return f"{'an' if role.value[0] in 'aeiou' else 'a'} {role.value}"


def _span(span: timedelta) -> str:
    """A duration in the unit a person would say."""
    seconds = span.total_seconds()
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return _count(round(seconds / size), unit)
    return _count(round(seconds), "second")
