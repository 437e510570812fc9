"""The schema gate: the data has the declared columns and no others, of the types that the model's signature names."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from enum import StrEnum

import numpy as np
import pandas as pd
import pandera.pandas as pandera

from services.errors import BadInput
from services.rules import digests
from services.rules.domain import GateOutcome, Verdict
from services.work.gates import columns, tables
from services.work.gates.columns import Family
from services.work.gates.task import GateTask, Progress, many, quoted


class Severity(StrEnum):
    """What is said of one column, in rising order."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"


Note = tuple[Severity, str]


@dataclass(frozen=True)
class Expected:
    """What the policy and the model's signature ask of a table. `max_nulls` is a share between 0 and 1."""

    features: tuple[str, ...]
    target: str
    types: dict[str, str] = field(default_factory=dict)
    extra_fails: bool = False
    max_nulls: float = 0.10

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.features, *([self.target] if self.target else [])]))

    @property
    def on_extra(self) -> Severity:
        return Severity.FAILED if self.extra_fails else Severity.WARNED


@dataclass(frozen=True)
class ColumnRow:
    """One line of the evidence. `nulls` is a share, none for a column that is not there."""

    data: str
    name: str
    declared: str
    found: str
    nulls: float | None
    verdict: Severity
    note: str


@dataclass
class Findings:
    """What was found: a row a column, and clauses for people."""

    columns: list[ColumnRow] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def say(self, severity: Severity, clause: str) -> None:
        if severity is not Severity.PASSED:
            (self.failures if severity is Severity.FAILED else self.warnings).append(clause)


def judge(task: GateTask, progress: Progress) -> GateOutcome:
    """Judge the training data, and the evaluation data where it can be read too.

    Raises ArtifactUnusable where a file is gone, changed, unreadable or without rows.
    """
    expected = _expected(task)
    training = tables.find(task, "training")
    if isinstance(training, str):
        return GateOutcome(
            Verdict.INCONCLUSIVE,
            f"No training data to look at: {training}. Log it with mlflow.log_input, or set data.training.path.",
        )
    findings = _of_the_model(task, expected)
    read = []
    for source in (training, tables.find(task, "evaluation")):
        if isinstance(source, tables.Source):
            progress(f"reading the {source.which} data")
            table = tables.read(source)
            progress(f"checking {many(len(table.frame.columns), 'column')} of the {source.which} data")
            check(table, expected, findings)
            read.append(table)
    return _outcome(findings, read)


def check(table: tables.Table, expected: Expected, findings: Findings | None = None) -> Findings:
    """Compare one table, which has rows, with what is expected of it; add to `findings` and return them."""
    findings = findings or Findings()
    missing, extra, doubled = structure(table.frame, expected.names)
    for name in missing:
        clause = _missing_clause(name, table.which, [str(column) for column in table.frame.columns])
        findings.say(Severity.FAILED, clause)
        declared = expected.types.get(name, "")
        findings.columns.append(ColumnRow(table.which, name, declared, "", None, Severity.FAILED, "missing"))
    if extra:
        findings.say(expected.on_extra, f"nobody declared {quoted(extra)}, which the {table.which} data has")
    for name in doubled:
        findings.say(Severity.FAILED, f"'{name}' stands more than once in the {table.which} data")
    findings.missing += [name for name in missing if name not in findings.missing]
    findings.extra += [name for name in extra if name not in findings.extra]
    for position, name in enumerate(map(str, table.frame.columns)):
        values = table.frame.iloc[:, position]
        notes = _notes(values, name, expected, table.from_csv)
        if name not in extra:
            for severity, note in notes:
                findings.say(severity, f"'{name}' in the {table.which} data {note}")
        if name in doubled:
            notes.append((Severity.FAILED, "stands more than once"))
        findings.columns.append(_row(table.which, name, values, expected, notes))
    return findings


def structure(frame: pd.DataFrame, names: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """Missing, undeclared and doubled column names, in the policy's or the table's order."""
    schema = pandera.DataFrameSchema(
        {name: pandera.Column(nullable=True) for name in names}, strict=True, unique_column_names=True
    )
    present = pd.Index([str(name) for name in frame.columns], dtype=object)
    doubled = [str(name) for name in present[present.duplicated()].unique()]
    try:
        schema.validate(pd.DataFrame(columns=present), lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        missing = set(cases.loc[cases["check"] == "column_in_dataframe", "failure_case"])
        extra = set(cases.loc[cases["check"] == "column_in_schema", "failure_case"])
        return [n for n in names if n in missing], [n for n in present.unique() if n in extra], doubled
    return [], [], doubled


def _notes(values: pd.Series, name: str, expected: Expected, from_csv: bool) -> list[Note]:
    """Everything there is to say of one column."""
    if name not in expected.names:
        return [(expected.on_extra, "not declared")]
    kind = columns.family(values)
    nulls = float(values.isna().mean())
    if kind is Family.EMPTY:
        return [(Severity.FAILED, "has no value in any row")]
    notes = []
    if nulls > expected.max_nulls:
        notes.append((Severity.FAILED, f"has {_percent(nulls)} nulls, more than {_percent(expected.max_nulls)}"))
    if name in expected.types:
        notes += _type_notes(values, kind, expected.types[name], from_csv)
    if kind is Family.FLOAT and (infinite := int(np.isinf(values.to_numpy(dtype=float, na_value=np.nan)).sum())):
        notes.append((Severity.WARNED, f"has {many(infinite, 'infinite value')}"))
    return notes


def _type_notes(values: pd.Series, found: Family, signature_type: str, from_csv: bool) -> list[Note]:
    declared = columns.declared(signature_type)
    if declared is None or declared is found or (declared is Family.FLOAT and found is Family.INTEGER):
        return []
    if declared is Family.INTEGER and found is Family.FLOAT:
        integers = columns.whole_numbers(values) and values.isna().any()
        said = "holds integers with nulls among them, which are read as floats" if integers else "holds floats"
        return [(Severity.WARNED, f"{said}, where the model was given integers")]
    if declared is Family.DATETIME and found is Family.TEXT and from_csv:
        return [(Severity.WARNED, "holds dates as text, since CSV has no other way")]
    given = f"the model was given {columns.PLURAL.get(declared, declared)}"
    return [(Severity.FAILED, f"holds {columns.PLURAL.get(found, found)}, where {given}")]


def _row(which: str, name: str, values: pd.Series, expected: Expected, notes: list[Note]) -> ColumnRow:
    severities = [severity for severity, _ in notes]
    worst = next((s for s in (Severity.FAILED, Severity.WARNED) if s in severities), Severity.PASSED)
    return ColumnRow(
        data=which,
        name=name,
        declared=expected.types.get(name, ""),
        found=str(columns.family(values)),
        nulls=round(float(values.isna().mean()), 6),
        verdict=worst,
        note="; ".join(note for _, note in notes),
    )


def _missing_clause(name: str, which: str, present: list[str]) -> str:
    """Names what may have been meant: a renamed column is the usual reason."""
    plain = name.strip().casefold()
    near = [other for other in present if other.strip().casefold() == plain] or get_close_matches(
        name, present, 1, 0.75
    )
    if not near:
        return f"'{name}' is missing from the {which} data"
    blank = " (mind the blank)" if near[0] != near[0].strip() else ""
    return f"'{name}' is missing from the {which} data, which has '{near[0]}'{blank}"


def _of_the_model(task: GateTask, expected: Expected) -> Findings:
    """What shows without any data: a model that takes a column nobody declared, or has no signature."""
    findings = Findings()
    inputs = task.signature_inputs
    if not inputs:
        findings.say(Severity.WARNED, "the model has no signature that names columns, so no types were compared")
        return findings
    undeclared = [str(column["name"]) for column in inputs if column["name"] not in expected.features]
    if undeclared:
        findings.say(expected.on_extra, f"the model takes {quoted(undeclared)}, which nobody declared")
    unused = [name for name in expected.features if name not in expected.types]
    if unused:
        findings.say(Severity.WARNED, f"the model does not take {quoted(unused)}, which the policy declares")
    return findings


def _expected(task: GateTask) -> Expected:
    if not task.features or not task.target:
        raise BadInput("The policy does not say which columns there are.", "Set data.features and data.target.")
    return Expected(
        features=task.features,
        target=task.target,
        types={str(column["name"]): str(column.get("type", "")) for column in task.signature_inputs},
        extra_fails=task.definition.get("extra") == "fail",
        max_nulls=float(task.definition.get("max_nulls", Expected.max_nulls)),
    )


def _outcome(findings: Findings, read: list[tables.Table]) -> GateOutcome:
    rows = " and ".join(f"{len(table.frame):,} {table.which} rows" for table in read)
    columns_seen = many(len({row.name for row in findings.columns if row.found}), "column")
    if findings.failures:
        more = f"; and {many(len(findings.failures) - 3, 'more problem')}" if len(findings.failures) > 3 else ""
        summary = _sentence("; ".join(findings.failures[:3]) + more)
    else:
        summary = f"All {columns_seen} of {rows} are as declared"
        summary += f", with {many(len(findings.warnings), 'warning')}." if findings.warnings else "."
    evidence = {
        "columns": [asdict(row) for row in findings.columns],
        "extra": findings.extra,
        "missing": findings.missing,
        "problems": findings.failures,
        "rows": {table.which: len(table.frame) for table in read},
    }
    digest = read[0].digest if len(read) == 1 else digests.digest({table.which: table.digest for table in read})
    verdict = Verdict.FAILED if findings.failures else Verdict.PASSED
    return GateOutcome(verdict, summary, evidence, tuple(_sentence(w) for w in findings.warnings), digest)


def _sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}."


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
