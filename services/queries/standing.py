"""How a bundle stands before a stage, in one sentence. What it says is readiness; this only chooses the words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.rules import readiness
from services.rules.domain import Action, Condition, Phase, Verdict
from services.rules.readiness import ANSWERED_ON_THE_WAY, Facts


class Stands(StrEnum):
    LIVE = "live"
    READY = "ready"  # nothing is missing
    OPEN = "open"  # what is missing, promoting itself will answer
    UNDER_WAY = "under way"
    WAITS = "waits"  # for a person
    NOT_READY = "not ready"


@dataclass(frozen=True)
class Standing:
    """`sentence` is the whole answer; `brief` is what the bundle does or is, as the second half of a sentence."""

    stage: str
    stands: Stands
    sentence: str
    brief: str
    conditions: tuple[Condition, ...]
    met: int


def next_stage(of: dict[str, Facts]) -> str | None:
    """The stage a bundle would go to next: the one after the last it came through. None after the last one.

    `of` holds the facts of one bundle by stage, in the policy's order.
    """
    stages = list(of)
    reached = [index for index, stage in enumerate(stages) if of[stage].was_live_here]
    following = max(reached) + 1 if reached else 0
    return stages[following] if following < len(stages) else None


def standing(facts: Facts, now: datetime) -> Standing:
    """One bundle before one stage."""
    found = tuple(readiness.conditions(facts, Action.PROMOTE, now))
    met = sum(condition.met for condition in found)
    stands, sentence, brief = _words(facts, found, met)
    return Standing(facts.stage, stands, sentence, brief, found, met)


def _words(facts: Facts, found: tuple[Condition, ...], met: int) -> tuple[Stands, str, str]:
    stage, how_many = facts.stage, f"{met} of {len(found)} conditions met"
    missing = readiness.unmet(found)
    if facts.is_live:
        return Stands.LIVE, f"Live in {stage}.", f"is live in {stage}"
    if own := facts.own_promotion:
        return _under_way(own.phase, stage, missing, how_many)
    hard = [c for c in missing if c.name not in ANSWERED_ON_THE_WAY]
    said_no = [g for g in facts.gates if g.enforcing and g.current and g.verdict is Verdict.FAILED and not g.satisfied]
    if hard or said_no:
        first = hard[0].reason if hard else f"{_listed([g.gate for g in said_no])} failed."
        sentence = f"Not ready for {stage}: {how_many}; {lowered(first)}"
        return Stands.NOT_READY, sentence, f"is not ready for {stage}: {lowered(first).rstrip('.')}"
    if not missing:
        return Stands.READY, f"Ready for {stage}: all {len(found)} conditions met.", f"is ready for {stage}"
    wanted = "; ".join(lowered(c.reason).rstrip(".") for c in missing)
    return (
        Stands.OPEN,
        f"Can be promoted to {stage}: {how_many}; {wanted}.",
        f"can be promoted to {stage}",
    )


def _under_way(phase: Phase, stage: str, missing: list[Condition], how_many: str) -> tuple[Stands, str, str]:
    approvals = next((c for c in missing if c.name == "approvals"), None)
    others = [c for c in missing if c.name != "approvals"]
    match phase:
        case Phase.AWAITING_APPROVAL if others:
            reason = others[0].reason
            return Stands.WAITS, f"On its way to {stage}, and held up: {lowered(reason)}", f"is held up before {stage}"
        case Phase.AWAITING_APPROVAL:
            waits = lowered(approvals.reason) if approvals else "waits for approval."
            return Stands.WAITS, f"Ready for {stage}: {how_many}; {waits}", f"waits for approval for {stage}"
        case Phase.DEPLOYING:
            return Stands.UNDER_WAY, f"On its way to {stage}: it is being deployed.", f"is being deployed to {stage}"
        case _:
            return (
                Stands.UNDER_WAY,
                f"On its way to {stage}: its gates are running.",
                f"is on its way to {stage}",
            )


def lowered(sentence: str) -> str:
    """A sentence as the second half of another one. A name that it begins with stays as it is."""
    first = sentence.split(" ", 1)[0]
    ordinary = first.isalpha() and first[1:] == first[1:].lower()
    return sentence[:1].lower() + sentence[1:] if ordinary else sentence


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
