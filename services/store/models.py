"""The tables of what is delivered; those of what goes wrong are in `trouble`.

Rows never leave a transaction: queries and commands return frozen dataclasses.
`at` is the story's time, `recorded_at` the wall's; `replayed` marks what a story told. Nothing is ever deleted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, UniqueConstraint, false, text
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
from services.store.column_types import Json
from services.store.fields import enum_field, json_field, text_field, time_field


class Known(SQLModel, table=True):
    """A person Headgate has met, with the roles identity last gave them: for quorums, never for authorisation."""

    __tablename__ = "person"
    name: str = Field(primary_key=True)
    display: str = text_field()
    roles: list[str] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    sample: bool = False
    recorded_at: datetime = time_field()


class Application(SQLModel, table=True):
    __tablename__ = "application"
    name: str = Field(primary_key=True)
    description: str = text_field()
    owner: str = text_field()
    policy_revision: int | None = None  # the number in force; none for an application that was only imported
    next_bundle: int = 1
    at: datetime = time_field()
    recorded_at: datetime = time_field()


class PolicyRevision(SQLModel, table=True):
    __tablename__ = "policy_revision"
    __table_args__ = (UniqueConstraint("application", "number"),)
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    number: int
    digest: str
    toml: str = text_field()
    directory: str = text_field()  # relative paths in the policy start here
    actor: str
    at: datetime = time_field()
    recorded_at: datetime = time_field()


class Bundle(SQLModel, table=True):
    __tablename__ = "bundle"
    __table_args__ = (
        UniqueConstraint("application", "digest"),
        UniqueConstraint("application", "number"),
    )
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name", index=True)
    number: int | None = None  # none for an imported one, which has only its label
    label: str = text_field()
    digest: str
    maker: str = text_field()  # empty where MLflow does not say who
    source: str = text_field()  # sync, added, imported
    summary: str = text_field()
    gaps: list[dict[str, str]] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    metrics: dict[str, float] = json_field()
    parameters: dict[str, str] = json_field()
    training_started_at: datetime | None = time_field(nullable=True)
    training_ended_at: datetime | None = time_field(nullable=True)
    registered_at: datetime | None = time_field(nullable=True)
    registry_version: str | None = None  # of bundle.<application>, from the first deployment on
    quarantined_at: datetime | None = time_field(nullable=True)
    quarantined_by: str = text_field()
    quarantine_reason: str = text_field()
    replayed: bool = False
    at: datetime = time_field(index=True)
    recorded_at: datetime = time_field()


class ComponentRow(SQLModel, table=True):
    __tablename__ = "component"
    __table_args__ = (UniqueConstraint("bundle_id", "kind", "name"),)
    id: int | None = Field(default=None, primary_key=True)
    bundle_id: int = Field(foreign_key="bundle.id", index=True)
    kind: ComponentKind = enum_field(ComponentKind)
    name: str
    version: str = text_field()
    uri: str = text_field()
    digest: str = text_field()
    details: dict[str, Any] = json_field()


class CommitRow(SQLModel, table=True):
    """A commit that first travelled in this bundle: what lead time counts from."""

    __tablename__ = "bundle_commit"
    id: int | None = Field(default=None, primary_key=True)
    bundle_id: int = Field(foreign_key="bundle.id", index=True)
    sha: str
    at: datetime = time_field()


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
    phase: Phase = enum_field(Phase)
    version: int = 1  # goes up with every change: what a page saw travels back with the click
    requested_by: str
    requested_at: datetime = time_field()
    policy_revision: int
    idempotency_key: str | None = Field(default=None, unique=True)
    reason: str = text_field()
    note: str = text_field()  # why it stands where it stands
    planned: bool = True
    declared_kind: DeploymentKind | None = enum_field(DeploymentKind, nullable=True)
    fixes: str = text_field()
    blames: int | None = None  # the deployment a rollback blames
    adopted: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # moved outside, taken over
    override: str = text_field()  # why a quarantine or an unsafe preflight was overridden
    drill: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    approval_opened_at: datetime | None = time_field(nullable=True)
    finished_at: datetime | None = time_field(nullable=True)
    replayed: bool = False
    recorded_at: datetime = time_field()


class Approval(SQLModel, table=True):
    __tablename__ = "approval"
    __table_args__ = (UniqueConstraint("promotion_id", "person", "evidence_digest", "decision"),)
    id: int | None = Field(default=None, primary_key=True)
    promotion_id: int = Field(foreign_key="promotion.id", index=True)
    person: str
    role: str
    decision: Decision = enum_field(Decision)
    comment: str = text_field()
    self_approved: bool = False
    evidence_digest: str
    evidence: dict[str, Any] = json_field()
    replayed: bool = False
    at: datetime = time_field()
    recorded_at: datetime = time_field()


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
    mode: GateMode = enum_field(GateMode)
    definition_digest: str
    policy_revision: int
    live_bundle_id: int | None = None  # what was live when it was asked for
    state: RunState = enum_field(RunState)
    progress: str = text_field()
    attempt: int = 0
    lease_owner: str = text_field()
    lease_until: datetime | None = time_field(nullable=True)
    requested_by: str
    requested_at: datetime = time_field()
    started_at: datetime | None = time_field(nullable=True)
    finished_at: datetime | None = time_field(nullable=True)
    verdict: Verdict | None = enum_field(Verdict, nullable=True)
    summary: str = text_field()
    evidence: dict[str, Any] = json_field()
    warnings: list[str] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    data_digest: str = text_field()
    waived_by: str = text_field()
    waived_at: datetime | None = time_field(nullable=True)
    waive_reason: str = text_field()
    decision: str = text_field()  # defect or false, said of a block by a person
    decided_by: str = text_field()
    replayed: bool = False
    recorded_at: datetime = time_field()


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
    state: DeploymentState = enum_field(DeploymentState)
    kind: DeploymentKind = enum_field(DeploymentKind)
    declared_kind: DeploymentKind | None = enum_field(DeploymentKind, nullable=True)  # empty: it follows from the order
    planned: bool | None = None  # empty: nobody said, and it follows from the kind
    fixes: str = text_field()
    blames: int | None = None
    generation: int = 0
    requested_at: datetime | None = time_field(nullable=True)  # none where an import did not say
    started_at: datetime | None = time_field(nullable=True)
    finished_at: datetime | None = time_field(nullable=True)
    superseded_at: datetime | None = time_field(nullable=True)
    drill: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # counts in no metric of delivery
    adopted: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # by an unknown hand
    writing_since: datetime | None = time_field(nullable=True)  # the first alias write may have gone out: it may serve
    note: str = text_field()
    external_id: str | None = None  # of an imported one, which never touches a slot
    policy_revision: int
    replayed: bool = False
    recorded_at: datetime = time_field()


class Slot(SQLModel, table=True):
    """One application's one stage. Changed only by compare-and-set on `generation`, or by who holds the lease."""

    __tablename__ = "slot"
    application: str = Field(sa_column=Column(ForeignKey("application.name"), primary_key=True))
    stage: str = Field(primary_key=True)
    generation: int = 0
    live_deployment_id: int | None = None
    pending_deployment_id: int | None = None
    lease_owner: str = text_field()
    lease_until: datetime | None = time_field(nullable=True)
    hold_reason: str = text_field()
    hold_by: str = text_field()
    hold_since: datetime | None = time_field(nullable=True)
    freeze_reason: str = text_field()
    freeze_by: str = text_field()
    freeze_from: datetime | None = time_field(nullable=True)
    freeze_until: datetime | None = time_field(nullable=True)


class Mover(SQLModel, table=True):
    """One holding of a slot's lease. One that never ended may still write late: then it was Headgate itself."""

    __tablename__ = "mover"
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    stage: str
    owner: str = Field(index=True)
    deployment_id: int = Field(foreign_key="deployment.id", index=True)
    began_at: datetime = time_field()
    ended_at: datetime | None = time_field(nullable=True)


class Worker(SQLModel, table=True):
    """A worker's heartbeat, so that the command line knows whether somebody will carry out what it leaves."""

    __tablename__ = "worker"
    id: str = Field(primary_key=True)
    started_at: datetime = time_field()
    beat_at: datetime = time_field()
    note: str = text_field()


class AuditEvent(SQLModel, table=True):
    """One line of the record. `body` is the text that was hashed; the other columns repeat it for searching."""

    __tablename__ = "audit_event"
    seq: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = time_field(index=True)
    recorded_at: datetime = time_field()
    actor: str = Field(index=True)
    action: str = Field(index=True)
    application: str = Field(default="", index=True)
    subject: str = text_field()
    body: str = text_field()
    previous_hash: str
    hash: str
    replayed: bool = False


class AuditHead(SQLModel, table=True):
    """The one row that every writer locks, so that the chain has one order."""

    __tablename__ = "audit_head"
    id: int = Field(primary_key=True)
    seq: int
    hash: str
