"""The tables. Rows never leave a transaction: queries and commands return frozen dataclasses.

`at` is the story's time, `recorded_at` the wall's; `replayed` marks what a story told. Nothing is ever deleted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, Text, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel

from services.rules.domain import (
    ACTIVE_PHASES,
    ComponentKind,
    Decision,
    DeploymentKind,
    DeploymentState,
    GateMode,
    Phase,
    RunState,
    Verdict,
)
from services.store.column_types import Json, UtcDateTime, enum_type


def _time(nullable: bool = False, index: bool = False) -> Any:
    default = None if nullable else ...
    return Field(default=default, sa_column=Column(UtcDateTime(), nullable=nullable, index=index))


def _json() -> Any:
    return Field(default_factory=dict, sa_column=Column(Json, nullable=False))


def _enum(kind: Any, nullable: bool = False) -> Any:
    return Field(default=None if nullable else ..., sa_column=Column(enum_type(kind), nullable=nullable, index=True))


def _text(default: str = "") -> Any:
    return Field(default=default, sa_column=Column(Text, nullable=False, server_default=default))


class Known(SQLModel, table=True):
    """A person Headgate has met, with the roles identity last gave them: for quorums, never for authorisation."""

    __tablename__ = "person"
    name: str = Field(primary_key=True)
    display: str = _text()
    roles: list[str] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    sample: bool = False
    recorded_at: datetime = _time()


class Application(SQLModel, table=True):
    __tablename__ = "application"
    name: str = Field(primary_key=True)
    description: str = _text()
    owner: str = _text()
    policy_revision: int | None = None  # the number in force; none for an application that was only imported
    next_bundle: int = 1
    at: datetime = _time()
    recorded_at: datetime = _time()


class PolicyRevision(SQLModel, table=True):
    __tablename__ = "policy_revision"
    __table_args__ = (UniqueConstraint("application", "number"),)
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    number: int
    digest: str
    toml: str = _text()
    directory: str = _text()  # relative paths in the policy start here
    actor: str
    at: datetime = _time()
    recorded_at: datetime = _time()


class Bundle(SQLModel, table=True):
    __tablename__ = "bundle"
    __table_args__ = (
        UniqueConstraint("application", "digest"),
        UniqueConstraint("application", "number"),
    )
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name", index=True)
    number: int | None = None  # none for an imported one, which has only its label
    label: str = _text()
    digest: str
    maker: str = _text()  # empty where MLflow does not say who
    source: str = _text()  # sync, added, imported
    summary: str = _text()
    gaps: list[dict[str, str]] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    metrics: dict[str, float] = _json()
    parameters: dict[str, str] = _json()
    training_started_at: datetime | None = _time(nullable=True)
    training_ended_at: datetime | None = _time(nullable=True)
    registered_at: datetime | None = _time(nullable=True)
    registry_version: str | None = None  # of bundle.<application>, from the first deployment on
    quarantined_at: datetime | None = _time(nullable=True)
    quarantined_by: str = _text()
    quarantine_reason: str = _text()
    replayed: bool = False
    at: datetime = _time(index=True)
    recorded_at: datetime = _time()


class ComponentRow(SQLModel, table=True):
    __tablename__ = "component"
    __table_args__ = (UniqueConstraint("bundle_id", "kind", "name"),)
    id: int | None = Field(default=None, primary_key=True)
    bundle_id: int = Field(foreign_key="bundle.id", index=True)
    kind: ComponentKind = _enum(ComponentKind)
    name: str
    version: str = _text()
    uri: str = _text()
    digest: str = _text()
    details: dict[str, Any] = _json()


class CommitRow(SQLModel, table=True):
    """A commit that first travelled in this bundle: what lead time counts from."""

    __tablename__ = "bundle_commit"
    id: int | None = Field(default=None, primary_key=True)
    bundle_id: int = Field(foreign_key="bundle.id", index=True)
    sha: str
    at: datetime = _time()


class Promotion(SQLModel, table=True):
    __tablename__ = "promotion"
    __table_args__ = (
        Index(
            "uq_active_promotion",
            "application",
            "stage",
            unique=True,
            sqlite_where=text("phase IN ('" + "','".join(ACTIVE_PHASES) + "')"),
            postgresql_where=text("phase IN ('" + "','".join(ACTIVE_PHASES) + "')"),
        ),
        Index("ix_promotion_slot", "application", "stage", "id"),
    )
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    stage: str
    bundle_id: int = Field(foreign_key="bundle.id", index=True)
    rollback: bool = False
    automatic: bool = False
    phase: Phase = _enum(Phase)
    version: int = 1  # goes up with every change: what a page saw travels back with the click
    requested_by: str
    requested_at: datetime = _time()
    policy_revision: int
    idempotency_key: str | None = Field(default=None, unique=True)
    reason: str = _text()
    note: str = _text()  # why it stands where it stands
    planned: bool = True
    declared_kind: DeploymentKind | None = _enum(DeploymentKind, nullable=True)
    fixes: str = _text()
    blames: int | None = None  # the deployment a rollback blames
    adopted: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # moved outside, taken over
    override: str = _text()  # why a quarantine or an unsafe preflight was overridden
    drill: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    approval_opened_at: datetime | None = _time(nullable=True)
    finished_at: datetime | None = _time(nullable=True)
    replayed: bool = False
    recorded_at: datetime = _time()


class Approval(SQLModel, table=True):
    __tablename__ = "approval"
    __table_args__ = (UniqueConstraint("promotion_id", "person", "evidence_digest", "decision"),)
    id: int | None = Field(default=None, primary_key=True)
    promotion_id: int = Field(foreign_key="promotion.id", index=True)
    person: str
    role: str
    decision: Decision = _enum(Decision)
    comment: str = _text()
    self_approved: bool = False
    evidence_digest: str
    evidence: dict[str, Any] = _json()
    replayed: bool = False
    at: datetime = _time()
    recorded_at: datetime = _time()


class GateRun(SQLModel, table=True):
    __tablename__ = "gate_run"
    __table_args__ = (Index("ix_gate_run_latest", "bundle_id", "stage", "gate", "id"),)
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    stage: str
    bundle_id: int = Field(foreign_key="bundle.id")
    promotion_id: int | None = Field(default=None, foreign_key="promotion.id", index=True)
    gate: str
    kind: str
    mode: GateMode = _enum(GateMode)
    definition_digest: str
    policy_revision: int
    live_bundle_id: int | None = None  # what was live when it was asked for
    state: RunState = _enum(RunState)
    progress: str = _text()
    attempt: int = 0
    lease_owner: str = _text()
    lease_until: datetime | None = _time(nullable=True)
    requested_by: str
    requested_at: datetime = _time()
    started_at: datetime | None = _time(nullable=True)
    finished_at: datetime | None = _time(nullable=True)
    verdict: Verdict | None = _enum(Verdict, nullable=True)
    summary: str = _text()
    evidence: dict[str, Any] = _json()
    warnings: list[str] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    data_digest: str = _text()
    waived_by: str = _text()
    waived_at: datetime | None = _time(nullable=True)
    waive_reason: str = _text()
    decision: str = _text()  # defect or false, said of a block by a person
    decided_by: str = _text()
    replayed: bool = False
    recorded_at: datetime = _time()


class Deployment(SQLModel, table=True):
    __tablename__ = "deployment"
    __table_args__ = (
        Index("ix_deployment_slot", "application", "stage", "id"),
        Index("ix_deployment_finished", "stage", "finished_at"),
        Index("uq_deployment_external", "application", "external_id", unique=True),
        Index(
            "uq_started_deployment",
            "application",
            "stage",
            unique=True,
            sqlite_where=text("state = 'started'"),
            postgresql_where=text("state = 'started'"),
        ),
        Index(
            "uq_live_deployment",
            "application",
            "stage",
            unique=True,
            sqlite_where=text("state = 'succeeded' AND superseded_at IS NULL AND external_id IS NULL"),
            postgresql_where=text("state = 'succeeded' AND superseded_at IS NULL AND external_id IS NULL"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    stage: str
    bundle_id: int = Field(foreign_key="bundle.id", index=True)
    promotion_id: int | None = Field(default=None, foreign_key="promotion.id", index=True)
    state: DeploymentState = _enum(DeploymentState)
    kind: DeploymentKind = _enum(DeploymentKind)
    declared_kind: DeploymentKind | None = _enum(DeploymentKind, nullable=True)  # empty: it follows from the order
    planned: bool = True
    fixes: str = _text()
    blames: int | None = None
    generation: int = 0
    requested_at: datetime | None = _time(nullable=True)  # none where an import did not say
    started_at: datetime | None = _time(nullable=True)
    finished_at: datetime | None = _time(nullable=True)
    superseded_at: datetime | None = _time(nullable=True)
    drill: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # counts in no metric of delivery
    adopted: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # by an unknown hand
    writing_since: datetime | None = _time(nullable=True)  # the first alias write may have gone out: it may have served
    note: str = _text()
    external_id: str | None = None  # of an imported one, which never touches a slot
    policy_revision: int
    replayed: bool = False
    recorded_at: datetime = _time()


class Slot(SQLModel, table=True):
    """One application's one stage. Changed only by compare-and-set on `generation`, or by who holds the lease."""

    __tablename__ = "slot"
    application: str = Field(sa_column=Column(ForeignKey("application.name"), primary_key=True))
    stage: str = Field(primary_key=True)
    generation: int = 0
    live_deployment_id: int | None = None
    pending_deployment_id: int | None = None
    lease_owner: str = _text()
    lease_until: datetime | None = _time(nullable=True)
    hold_reason: str = _text()
    hold_by: str = _text()
    hold_since: datetime | None = _time(nullable=True)
    freeze_reason: str = _text()
    freeze_by: str = _text()
    freeze_from: datetime | None = _time(nullable=True)
    freeze_until: datetime | None = _time(nullable=True)


class Mover(SQLModel, table=True):
    """One holding of a slot's lease. One that never ended may still write late: then it was Headgate itself."""

    __tablename__ = "mover"
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    stage: str
    owner: str = Field(index=True)
    deployment_id: int = Field(foreign_key="deployment.id", index=True)
    began_at: datetime = _time()
    ended_at: datetime | None = _time(nullable=True)


class Stray(SQLModel, table=True):
    """An alias that somebody moved outside Headgate: found by reconcile, and open until it is restored or adopted."""

    __tablename__ = "stray"
    __table_args__ = (Index("ix_stray_slot", "application", "stage", "closed_at"),)
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    stage: str
    alias: str  # models:/bundle.flight-delay@production
    says: str = _text()  # the version it points at; empty where it is gone
    should_say: str = _text()
    finding: str = _text()
    found_at: datetime = _time()
    choice: str = _text()  # restore or adopt, once somebody has chosen; the worker carries it out
    chosen_by: str = _text()
    chosen_at: datetime | None = _time(nullable=True)
    reason: str = _text()
    trouble: str = _text()  # why carrying it out did not work
    closed_at: datetime | None = _time(nullable=True)
    recorded_at: datetime = _time()


class Preflight(SQLModel, table=True):
    """What stands in the way of going (back) to a bundle, as last looked at. Kept fresh by the worker."""

    __tablename__ = "preflight"
    __table_args__ = (UniqueConstraint("application", "stage", "bundle_id"),)
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    stage: str
    bundle_id: int = Field(foreign_key="bundle.id", index=True)
    against_bundle_id: int | None = None  # what was live when it was looked at
    answer: str = _text()  # safe, unknown or unsafe
    findings: list[dict[str, str]] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    looked_at: datetime = _time()


class Drill(SQLModel, table=True):
    """A stage rolled back and brought forward again, to know that it works and how long it takes."""

    __tablename__ = "drill"
    __table_args__ = (Index("ix_drill_slot", "application", "stage", "id"),)
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    stage: str
    from_bundle_id: int = Field(foreign_key="bundle.id")
    to_bundle_id: int = Field(foreign_key="bundle.id")
    back_promotion_id: int | None = Field(default=None, foreign_key="promotion.id")
    forward_promotion_id: int | None = Field(default=None, foreign_key="promotion.id")
    back_seconds: float | None = None
    forward_seconds: float | None = None
    outcome: str = _text()  # empty while it runs; passed, or why it did not
    requested_by: str
    at: datetime = _time()
    finished_at: datetime | None = _time(nullable=True)
    replayed: bool = False
    recorded_at: datetime = _time()


class Incident(SQLModel, table=True):
    __tablename__ = "incident"
    __table_args__ = (Index("uq_incident_external", "application", "external_id", unique=True),)
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name", index=True)
    title: str
    severity: str = _text()
    impact_started_at: datetime = _time()
    detected_at: datetime = _time()
    resolved_at: datetime | None = _time(nullable=True)
    caused_by: int | None = Field(default=None, foreign_key="deployment.id")
    inferred: bool = False
    done: str = _text()  # what was done about it
    caught_by: str = _text()  # the gate that would have caught it, or "none needed"; asked for when it is closed
    external_id: str | None = None  # of an imported one
    reported_by: str
    replayed: bool = False
    at: datetime = _time()
    recorded_at: datetime = _time()


class Worker(SQLModel, table=True):
    """A worker's heartbeat, so that the command line knows whether somebody will carry out what it leaves."""

    __tablename__ = "worker"
    id: str = Field(primary_key=True)
    started_at: datetime = _time()
    beat_at: datetime = _time()
    note: str = _text()


class AuditEvent(SQLModel, table=True):
    """One line of the record. `body` is the text that was hashed; the other columns repeat it for searching."""

    __tablename__ = "audit_event"
    seq: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = _time(index=True)
    recorded_at: datetime = _time()
    actor: str = Field(index=True)
    action: str = Field(index=True)
    application: str = Field(default="", index=True)
    subject: str = _text()
    body: str = _text()
    previous_hash: str
    hash: str
    replayed: bool = False


class AuditHead(SQLModel, table=True):
    """The one row that every writer locks, so that the chain has one order."""

    __tablename__ = "audit_head"
    id: int = Field(primary_key=True)
    seq: int
    hash: str
