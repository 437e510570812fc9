"""The tables of what goes wrong, and of the way back: incidents, strays, preflights, drills.

As in `models`: `at` is the story's time, `recorded_at` the wall's, and nothing is ever deleted.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from services.rules.domain import Cause
from services.store.column_types import Json, enum_type
from services.store.fields import text_field, time_field


class Incident(SQLModel, table=True):
    __tablename__ = "incident"
    __table_args__ = (Index("uq_incident_external", "application", "external_id", unique=True),)
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name", index=True)
    title: str
    severity: str = text_field()
    impact_started_at: datetime = time_field()
    detected_at: datetime = time_field()
    resolved_at: datetime | None = time_field(nullable=True)
    cause: Cause = Field(
        default=Cause.UNKNOWN, sa_column=Column(enum_type(Cause), nullable=False, server_default=Cause.UNKNOWN)
    )
    caused_by: int | None = Field(default=None, foreign_key="deployment.id")  # of an unknown cause: what was inferred
    done: str = text_field()  # what was done about it
    caught_by: str = text_field()  # the gate that would have caught it, or "none needed"; asked for when it is closed
    external_id: str | None = None  # of an imported one
    reported_by: str
    replayed: bool = False
    at: datetime = time_field()
    recorded_at: datetime = time_field()

    @property
    def inferred(self) -> bool:
        """The rule linked it, and no person."""
        return self.cause is Cause.UNKNOWN and self.caused_by is not None


class Stray(SQLModel, table=True):
    """An alias that somebody moved outside Headgate: found by reconcile, and open until it is restored or adopted."""

    __tablename__ = "stray"
    __table_args__ = (Index("ix_stray_slot", "application", "stage", "closed_at"),)
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    stage: str
    alias: str  # models:/bundle.flight-delay@production
    says: str = text_field()  # the version it points at; empty where it is gone
    should_say: str = text_field()
    finding: str = text_field()
    found_at: datetime = time_field()
    choice: str = text_field()  # restore or adopt, once somebody has chosen; the worker carries it out
    chosen_by: str = text_field()
    chosen_at: datetime | None = time_field(nullable=True)
    reason: str = text_field()
    trouble: str = text_field()  # why carrying it out did not work
    closed_at: datetime | None = time_field(nullable=True)
    recorded_at: datetime = time_field()


class Preflight(SQLModel, table=True):
    """What stands in the way of going (back) to a bundle, as last looked at. Kept fresh by the worker."""

    __tablename__ = "preflight"
    __table_args__ = (UniqueConstraint("application", "stage", "bundle_id"),)
    id: int | None = Field(default=None, primary_key=True)
    application: str = Field(foreign_key="application.name")
    stage: str
    bundle_id: int = Field(foreign_key="bundle.id", index=True)
    against_bundle_id: int | None = None  # what was live when it was looked at
    answer: str = text_field()  # safe, unknown or unsafe
    findings: list[dict[str, str]] = Field(default_factory=list, sa_column=Column(Json, nullable=False))
    looked_at: datetime = time_field()


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
    outcome: str = text_field()  # empty while it runs; passed, or why it did not
    requested_by: str
    at: datetime = time_field()
    finished_at: datetime | None = time_field(nullable=True)
    replayed: bool = False
    recorded_at: datetime = time_field()
