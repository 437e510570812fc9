"""The rows that the five answers name: what the events do not say, a statement each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, col, select

from services.rules.confidence import Named, Practised
from services.rules.domain import BundleRef, ComponentKind
from services.rules.metrics import Id
from services.rules.policy import Policy
from services.store.facts import parsed
from services.store.models import Application, Bundle, ComponentRow, GateRun, PolicyRevision
from services.store.trouble import Drill, Preflight

DRILLS_READ = 1_000
Scope = Collection[str] | None


@dataclass(frozen=True)
class Looked:
    """One preflight, as it was when somebody looked."""

    id: int
    application: str
    stage: str
    bundle_id: int
    against_bundle_id: int | None
    answer: str
    looked_at: datetime


@dataclass(frozen=True)
class Judged:
    """What a gate run said. `columns`: those it found, and whether somebody had declared them."""

    summary: str
    columns: Mapping[str, bool]


@dataclass(frozen=True)
class Known:
    """What is on record of a bundle. `parts`: what it takes to make its model again, and whether it is known."""

    named: Named
    gaps: tuple[str, ...]
    parts: Mapping[str, bool] = field(default_factory=dict)


def policies(session: Session) -> dict[str, Policy | None]:
    """Every application, in the order of their names, with the policy in force."""
    in_force = (col(PolicyRevision.application) == col(Application.name)) & (
        col(PolicyRevision.number) == col(Application.policy_revision)
    )
    found = session.exec(
        select(Application.name, PolicyRevision.toml)
        .outerjoin(PolicyRevision, in_force)
        .order_by(col(Application.name))
    )
    return {name: parsed(toml) if toml else None for name, toml in found}


def drills(session: Session, scope: Scope) -> tuple[Practised, ...]:
    """The newest first; those that still run are left out."""
    statement = select(Drill).where(Drill.outcome != "").order_by(col(Drill.id).desc()).limit(DRILLS_READ)
    if scope is not None:
        statement = statement.where(col(Drill.application).in_(list(scope)))
    return tuple(
        Practised(
            row.application,
            row.stage,
            row.at,
            None if row.back_seconds is None else timedelta(seconds=row.back_seconds),
            row.outcome,
        )
        for row in session.exec(statement)
    )


def preflights(session: Session, scope: Scope) -> tuple[Looked, ...]:
    statement = select(Preflight)
    if scope is not None:
        statement = statement.where(col(Preflight.application).in_(list(scope)))
    return tuple(
        Looked(row.id or 0, row.application, row.stage, row.bundle_id, row.against_bundle_id, row.answer, row.looked_at)
        for row in session.exec(statement)
    )


def runs(session: Session, ids: Sequence[Id]) -> dict[Id, Judged]:
    found = session.exec(select(GateRun.id, GateRun.summary, GateRun.evidence).where(col(GateRun.id).in_(list(ids))))
    return {run: Judged(summary, _columns(evidence)) for run, summary, evidence in found if run is not None}


def _columns(evidence: Mapping[str, Any]) -> dict[str, bool]:
    listed = evidence.get("columns")
    if not isinstance(listed, list):
        return {}
    found = [row for row in listed if row.get("name") and row.get("found")]
    return {row["name"]: bool(row.get("declared")) or row.get("verdict") == "passed" for row in found}


def bundles(session: Session, ids: Collection[Id]) -> dict[Id, Known]:
    found: dict[Id, tuple[Bundle, list[ComponentRow]]] = {}
    statement = (
        select(Bundle, ComponentRow)
        .outerjoin(ComponentRow, col(ComponentRow.bundle_id) == col(Bundle.id))
        .where(col(Bundle.id).in_(list(ids)))
    )
    for bundle, component in session.exec(statement):
        assert bundle.id is not None
        components = found.setdefault(bundle.id, (bundle, []))[1]
        if component is not None:
            components.append(component)
    return {identity: _known(bundle, components) for identity, (bundle, components) in found.items()}


def _known(bundle: Bundle, components: Sequence[ComponentRow]) -> Known:
    ref = BundleRef(bundle.application, bundle.number) if bundle.number else None
    label = str(ref) if ref else f"{bundle.application} {bundle.label}"
    gaps = tuple(gap["reason"] for gap in bundle.gaps)
    return Known(Named(bundle.application, label, ref), gaps, _parts(bundle, components))


def _parts(bundle: Bundle, components: Sequence[ComponentRow]) -> dict[str, bool]:
    kinds = {kind: [one for one in components if one.kind is kind] for kind in ComponentKind}
    pinned = {kind: bool(ones) and all(one.digest for one in ones) for kind, ones in kinds.items()}
    data = kinds[ComponentKind.DATASET]
    return {
        "model": pinned[ComponentKind.MODEL],
        "data": pinned[ComponentKind.DATASET],
        "data cut-off": any(one.details.get("cutoff") for one in data),
        "code": pinned[ComponentKind.CODE],
        "environment": pinned[ComponentKind.ENVIRONMENT],
        "parameters": bool(bundle.parameters),
        "time of training": bundle.training_ended_at is not None,
    }
