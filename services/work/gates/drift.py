"""The drift gate: have the columns of the training data moved away from what the live bundle was trained on?

Drift is not quality: a model may do well on data that moved. So this gate names what moved and how far, and policies
often let it watch (`mode = "shadow"`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

import pandas as pd
from scipy import stats

from services.rules import digests
from services.rules.domain import GateOutcome, Verdict
from services.work.gates import shifts, tables
from services.work.gates.shifts import Kind, Shift
from services.work.gates.task import GateTask, Progress, many, nothing_live, quoted

LEAST_TO_JUDGE = 30  # rows a side
LEAST_TO_PASS = 400
NAMED = 3  # columns that the summary names


class Found(StrEnum):
    """What is said of one column."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Rule:
    """Limits are shares: of the distance between two distributions, and of the rows without a value."""

    warn: float = 0.10
    fail: float = 0.20
    nulls_warn: float = 0.02
    nulls_fail: float = 0.10
    alpha: float = 0.01

    def limits(self, kind: Kind) -> tuple[float, float]:
        return (self.nulls_warn, self.nulls_fail) if kind is Kind.NULLS else (self.warn, self.fail)


@dataclass(frozen=True)
class Line:
    """One column's shift and what is said of it. `q` is its p-value after Benjamini and Hochberg."""

    shift: Shift
    found: Found
    q: float | None = None

    def moved(self, rule: Rule) -> float:
        """In units of the limit, so that nulls and values stand in one order."""
        return -1.0 if self.shift.statistic is None else self.shift.statistic / rule.limits(self.shift.kind)[1]


def judge(task: GateTask, progress: Progress) -> GateOutcome:
    """Compare the training data with that of the live bundle.

    Raises ArtifactUnusable where one of the files is gone, changed or unreadable.
    """
    if task.live is None:
        return nothing_live("Nothing is live here yet, so there is no data to have moved away from.")
    training, live = tables.find(task, "training"), tables.find_live(task, "training")
    if isinstance(training, str) or isinstance(live, str):
        why = (
            f"of this bundle: {training}" if isinstance(training, str) else f"of {task.live_ref}, which is live: {live}"
        )
        return GateOutcome(Verdict.INCONCLUSIVE, f"No training data to compare {why}.", {"live": task.live_ref})
    if training.digest and training.digest == live.digest:
        said = f"It was trained on the same data as {task.live_ref}, which is live."
        return GateOutcome(Verdict.PASSED, said, {"live": task.live_ref}, (), training.digest)
    progress("reading the training data")
    ours = tables.read(training)
    progress("reading the live bundle's training data")
    theirs = tables.read_live(task, live)
    named = tuple(task.definition.get("columns") or ()) or (*task.features, *([task.target] if task.target else []))
    rule = Rule(**{f.name: float(task.definition[f.name]) for f in fields(Rule) if f.name in task.definition})
    wanted = named or tuple(name for name in dict.fromkeys(ours.frame.columns) if name in theirs.frame.columns)
    progress(f"comparing {many(len(wanted), 'column')}")
    lines = compare(ours.frame, theirs.frame, wanted, rule)
    digest = digests.digest({"training": ours.digest, "live": theirs.digest})
    return outcome(rule, lines, (len(ours.frame), len(theirs.frame)), task.live_ref, digest)


def compare(frame: pd.DataFrame, live: pd.DataFrame, wanted: tuple[str, ...], rule: Rule) -> list[Line]:
    """A line or two a column, those that moved most first."""
    lines: list[Line] = []
    found: list[Shift] = []
    for name in wanted:
        odd = _not_comparable(name, frame, live)
        if odd:
            lines.append(odd)
        else:
            found += shifts.compare(name, frame[name], live[name])
    tested = [shift for shift in found if shift.p is not None]
    adjusted = stats.false_discovery_control([shift.p for shift in tested]) if tested else []
    qs = {(shift.column, shift.kind): float(q) for shift, q in zip(tested, adjusted, strict=True)}
    for shift in found:
        q = qs.get((shift.column, shift.kind))
        lines.append(Line(shift, _found(shift, q, rule), q))
    return sorted(lines, key=lambda line: line.moved(rule), reverse=True)


def outcome(rule: Rule, lines: list[Line], rows: tuple[int, int], live_ref: str, digest: str = "") -> GateOutcome:
    """The verdict on all columns, with its evidence."""
    by = {found: [line for line in lines if line.found is found] for found in Found}
    judged = len({line.shift.column for line in lines if line.found is not Found.NOT_JUDGED})
    of_rows = f"{rows[0]:,} training rows against {rows[1]:,} of {live_ref}, which is live"
    if failed := by[Found.FAILED]:
        moved = len({line.shift.column for line in failed})
        verdict = Verdict.FAILED
        said = f"{moved} of {many(judged, 'column')} moved too far: {_named(failed)}; {of_rows}"
    elif unsure := by[Found.INCONCLUSIVE]:
        verdict, said = Verdict.INCONCLUSIVE, f"Nobody can say that nothing moved: {_unsure(unsure)}; {of_rows}"
    elif not judged:
        verdict, said = Verdict.INCONCLUSIVE, f"No column could be judged; {of_rows}"
    else:
        verdict, most = Verdict.PASSED, [line for line in lines if line.shift.statistic is not None][:1]
        which = f"; farthest moved: {_named(most)}" if most and most[0].moved(rule) > 0 else ""
        said = f"None of {many(judged, 'column')} moved too far{which}; {of_rows}"
    evidence = {
        "live": live_ref,
        "rows": {"training": rows[0], "live": rows[1]},
        "limits": asdict(rule),
        "columns": [_row(line, rule) for line in lines],
    }
    return GateOutcome(verdict, f"{said}.", evidence, tuple(_warnings(lines, rule)), digest)


def _not_comparable(name: str, frame: pd.DataFrame, live: pd.DataFrame) -> Line | None:
    ours, theirs = (list(map(str, table.columns)).count(name) for table in (frame, live))
    if ours == theirs == 1:
        return None
    if max(ours, theirs) > 1:
        which = "the training data" if ours > 1 else "the live data"
        found, note = Found.INCONCLUSIVE, f"stands more than once in {which}"
    elif ours:
        found, note = Found.WARNED, "is new: the live data does not have it"
    else:
        found, note = (
            Found.INCONCLUSIVE,
            "is not in the training data" + (", and the live data has it" if theirs else ""),
        )
    return Line(Shift(name, Kind.OTHER, len(frame) if ours else 0, len(live) if theirs else 0, note=note), found)


def _found(shift: Shift, q: float | None, rule: Rule) -> Found:
    """The verdict on one column: moved far and surely, or too few rows to say that it did not."""
    if shift.kind is Kind.TYPE:
        return Found.FAILED
    if shift.statistic is None or q is None:
        return Found.NOT_JUDGED
    if shift.least_rows < LEAST_TO_JUDGE:
        return Found.INCONCLUSIVE
    warn, fail = rule.limits(shift.kind)
    sure = q < rule.alpha
    if shift.statistic >= fail and sure:
        return Found.FAILED
    if shift.least_rows < LEAST_TO_PASS:
        return Found.INCONCLUSIVE
    return Found.WARNED if shift.statistic >= warn and sure else Found.PASSED


def _row(line: Line, rule: Rule) -> dict[str, Any]:
    shift = line.shift
    return {
        "column": shift.column,
        "verdict": line.found.value,
        "kind": shift.kind.value,
        "measure": shifts.MEASURES.get(shift.kind, ""),
        "statistic": shift.statistic,
        "limit": rule.limits(shift.kind)[1] if shift.statistic is not None else None,
        "median_shift": shift.median_shift,
        "p": shift.p,
        "q": line.q,
        "n": shift.rows,
        "n_live": shift.live_rows,
        "note": "; ".join(filter(None, [shift.note, _new_categories(shift)])),
    }


def _warnings(lines: list[Line], rule: Rule) -> list[str]:
    said = []
    for line in lines:
        shift = line.shift
        if line.found is Found.WARNED and shift.statistic is None:
            said.append(f"'{shift.column}' {shift.note}.")
        elif line.found is Found.WARNED:
            said.append(f"'{shift.column}' moved: {_how_far(shift)}, warned from {rule.limits(shift.kind)[0]:g}.")
        if shift.new:
            said.append(f"'{shift.column}' has {_new_categories(shift)}.")
        if shift.kind is Kind.NUMERIC and shift.note:
            said.append(f"'{shift.column}' {shift.note}.")
    left_out = [f"'{line.shift.column}' ({line.shift.note})" for line in lines if line.found is Found.NOT_JUDGED]
    return said + ([f"Not judged: {', '.join(left_out)}."] if left_out else [])


def _new_categories(shift: Shift) -> str:
    if not shift.new:
        return ""
    rows = sum(count for _, count in shift.new)
    noun = "a category" if len(shift.new) == 1 else f"{len(shift.new)} categories"
    return f"{noun} that the live data does not have, in {many(rows, 'row')}: {quoted([name for name, _ in shift.new])}"


def _named(lines: list[Line]) -> str:
    shown = ", ".join(
        f"'{line.shift.column}' {_how_far(line.shift) if line.shift.statistic is not None else line.shift.note}"
        for line in lines[:NAMED]
    )
    return shown if len(lines) <= NAMED else f"{shown} and {len(lines) - NAMED} more"


def _unsure(lines: list[Line]) -> str:
    odd = [f"'{line.shift.column}' {line.shift.note}" for line in lines if line.shift.statistic is None]
    few = [line for line in lines if line.shift.statistic is not None]
    if few:
        least = min(few, key=lambda line: line.shift.least_rows).shift
        which = quoted([line.shift.column for line in few], NAMED)
        counts = f"{least.rows:,} and {least.live_rows:,} live"
        odd.append(f"too few rows for {which} ({counts}), and {LEAST_TO_PASS} a side are needed")
    return "; ".join(odd)


def _how_far(shift: Shift) -> str:
    said = f"{shifts.MEASURES[shift.kind]} {shift.statistic:.3f}"
    if shift.median_shift is not None and abs(shift.median_shift) >= 0.005:
        said += f" (median {shift.median_shift:+.2f} IQR)"
    return said
