"""What gates measured, as a difference is weighed by it: metrics with their intervals, and columns that moved.

Evidence is plain JSON that some version of a gate wrote: what is missing or of another type is left out, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.queries.gateruns import GateLine
from services.rules.domain import BundleRef, Verdict

BASELINE, EVALUATION, DRIFT = "baseline", "evaluation", "drift"


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval, where they are known."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Measured:
    """One metric of one gate. `difference` is this bundle minus `against`, both on the same rows."""

    gate: str
    metric: str
    verdict: Verdict | None
    this: Interval | None
    against: str = ""
    other: float | None = None
    difference: Interval | None = None
    limit: str = ""
    confidence: float | None = None
    rows: int | None = None
    positives: int | None = None
    discordant: int | None = None
    rows_to_decide: int | None = None
    method: str = ""


@dataclass(frozen=True)
class Moved:
    """One column, or the nulls of one, and how far it moved. `judged` is what the gate says of it."""

    column: str
    judged: str
    measure: str
    statistic: float | None
    limit: float | None
    median_shift: float | None
    rows: int | None
    rows_before: int | None
    note: str
    q: float | None


@dataclass(frozen=True)
class Drift:
    """What a drift gate compared with `against`, the column that moved most first."""

    gate: str
    against: str
    columns: tuple[Moved, ...]

    @property
    def telling(self) -> tuple[Moved, ...]:
        """What moved beyond its limits, or could not be judged."""
        return tuple(column for column in self.columns if column.judged not in ("passed", "not judged"))


def measured(gates: Iterable[GateLine], against: BundleRef | None) -> tuple[Measured, ...]:
    """Comparisons with this bundle first, then what was measured of the candidate alone. Each gate once."""
    lines = [line for line in _latest(gates) if line.verdict is not None]
    compared = [found for line in lines if line.kind == BASELINE and (found := of_baseline(line)) is not None]
    alone = [found for line in lines if line.kind == EVALUATION and (found := of_evaluation(line)) is not None]
    return (*(c for c in compared if against is not None and c.against == str(against)), *alone)


def drifted(gates: Iterable[GateLine], against: BundleRef | None) -> Drift | None:
    """How far the training data is from that of this bundle, where a gate has looked."""
    for line in _latest(gates):
        found = of_drift(line) if line.kind == DRIFT else None
        if found is not None and against is not None and found.against == str(against):
            return found
    return None


def of_baseline(line: GateLine) -> Measured | None:
    evidence = dict(line.evidence)
    difference = _interval(evidence, "difference")
    if difference is None:
        return None
    margin, this = _number(evidence, "margin"), _number(evidence, "value")
    higher = evidence.get("direction") == "higher is better"
    limit = "" if margin is None else f"at least -{margin:g}" if higher else f"at most +{margin:g}"
    return Measured(
        gate=line.gate,
        metric=_text(evidence, "metric"),
        verdict=line.verdict,
        this=Interval(this) if this is not None else None,
        against=_text(evidence, "live"),
        other=_number(evidence, "live_value"),
        difference=difference,
        limit=limit,
        confidence=_number(evidence, "confidence"),
        rows=_whole(evidence, "n"),
        positives=_whole(evidence, "positives"),
        discordant=_whole(evidence, "discordant"),
        rows_to_decide=_whole(evidence, "rows_to_decide"),
        method=_text(evidence, "method"),
    )


def of_evaluation(line: GateLine) -> Measured | None:
    evidence = dict(line.evidence)
    value, limit = _interval(evidence, "value"), _number(evidence, "limit")
    if value is None:
        return None
    return Measured(
        gate=line.gate,
        metric=_text(evidence, "metric"),
        verdict=line.verdict,
        this=value,
        limit=f"{_text(evidence, 'direction')} {limit:g}".strip() if limit is not None else "",
        confidence=_number(evidence, "confidence"),
        rows=_whole(evidence, "n"),
        positives=_whole(evidence, "positives"),
        method=_text(evidence, "method"),
    )


def of_drift(line: GateLine) -> Drift | None:
    evidence = dict(line.evidence)
    rows = evidence.get("columns")
    if not isinstance(rows, list) or not rows:
        return None
    columns = tuple(_moved(row) for row in rows if isinstance(row, Mapping))
    return Drift(line.gate, _text(evidence, "live"), columns)


def _moved(row: Mapping[str, Any]) -> Moved:
    return Moved(
        column=_text(row, "column"),
        judged=_text(row, "verdict"),
        measure=_text(row, "measure"),
        statistic=_number(row, "statistic"),
        limit=_number(row, "limit"),
        median_shift=_number(row, "median_shift"),
        rows=_whole(row, "n"),
        rows_before=_whole(row, "n_live"),
        note=_text(row, "note"),
        q=_number(row, "q"),
    )


def _latest(gates: Iterable[GateLine]) -> list[GateLine]:
    """Of a gate that several stages demand, the run that is the newest."""
    found: dict[str, GateLine] = {}
    for line in gates:
        if line.gate not in found or (line.run_id or 0) > (found[line.gate].run_id or 0):
            found[line.gate] = line
    return list(found.values())


def _interval(evidence: Mapping[str, Any], name: str) -> Interval | None:
    value = _number(evidence, name)
    return None if value is None else Interval(value, _number(evidence, "low"), _number(evidence, "high"))


def _number(evidence: Mapping[str, Any], name: str) -> float | None:
    value = evidence.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(evidence: Mapping[str, Any], name: str) -> int | None:
    value = _number(evidence, name)
    return None if value is None else int(value)


def _text(evidence: Mapping[str, Any], name: str) -> str:
    value = evidence.get(name)
    return "" if value is None else str(value)
