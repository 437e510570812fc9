"""Is it safe to go (back) to a bundle? Answers compared from plain facts; unknown is not unsafe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from services.rules.domain import Component, ComponentKind

INPUTS, PROMPT_VARIABLES = "inputs", "prompt variables"
COMPARED = (INPUTS, PROMPT_VARIABLES)  # with what is live


class Answer(StrEnum):
    SAFE = "safe"
    UNKNOWN = "unknown"  # never prevents a rollback
    UNSAFE = "unsafe"


@dataclass(frozen=True)
class Finding:
    """One thing looked at, in words."""

    name: str
    answer: Answer
    finding: str


def overall(findings: Iterable[Finding]) -> Answer:
    """Unsafe where anything is; else unknown where anything is; else safe."""
    answers = {finding.answer for finding in findings}
    for worst in (Answer.UNSAFE, Answer.UNKNOWN):
        if worst in answers:
            return worst
    return Answer.SAFE


def as_of_now(findings: Iterable[Finding], same_live: bool) -> list[Finding]:
    """What they say now. A comparison with what is no longer live is worth nothing: unknown, until looked at again."""
    return [
        finding
        if same_live or finding.name not in COMPARED
        else replace(finding, answer=Answer.UNKNOWN, finding="Compared with what was live before; not looked at since.")
        for finding in findings
    ]


def inputs(candidate: Sequence[Component], live: Sequence[Component]) -> Finding:
    """Callers send what the live model takes: the candidate must need nothing else, and nothing of another type."""
    wanted, sent = _inputs(candidate), _inputs(live)
    if wanted is None or sent is None:
        return Finding(INPUTS, Answer.UNKNOWN, "A signature is missing, so the inputs cannot be compared.")
    missing = sorted(name for name, (_, required) in wanted.items() if required and name not in sent)
    other = sorted(name for name in wanted.keys() & sent.keys() if wanted[name][0] != sent[name][0])
    if missing:
        return Finding(INPUTS, Answer.UNSAFE, f"It needs {', '.join(missing)}, which callers do not send now.")
    if other:
        said = ", ".join(f"{name} ({sent[name][0]} now, {wanted[name][0]} then)" for name in other)
        return Finding(INPUTS, Answer.UNSAFE, f"It takes other types: {said}.")
    return Finding(INPUTS, Answer.SAFE, "It takes what callers send now.")


def prompts(candidate: Sequence[Component], live: Sequence[Component]) -> Finding:
    """The variables of each prompt are those that callers fill in now."""
    then, now = _variables(candidate), _variables(live)
    if then == now:
        return Finding(PROMPT_VARIABLES, Answer.SAFE, "The prompts take the same variables.")
    changed = sorted({name for names in then.values() for name in names} ^ {n for names in now.values() for n in names})
    if not changed:
        return Finding(PROMPT_VARIABLES, Answer.UNKNOWN, "The prompts are other ones, with the same variables.")
    return Finding(PROMPT_VARIABLES, Answer.UNSAFE, f"The prompts take other variables: {', '.join(changed)}.")


def _inputs(components: Sequence[Component]) -> dict[str, tuple[str, bool]] | None:
    models = [component for component in components if component.kind is ComponentKind.MODEL]
    if not models:
        return {}
    signature = models[0].details.get("signature")
    columns: list[dict[str, Any]] | None = signature.get("inputs") if isinstance(signature, dict) else None
    if columns is None:
        return None
    return {str(c.get("name", "")): (str(c.get("type", "")), bool(c.get("required", True))) for c in columns}


def _variables(components: Sequence[Component]) -> dict[str, frozenset[str]]:
    return {
        component.name: frozenset(component.details.get("variables") or ())
        for component in components
        if component.kind is ComponentKind.PROMPT
    }
