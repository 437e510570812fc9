"""A week in March and short words for what happened in it: events for the tests of the delivery metrics."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from services.rules.domain import Cause, DeploymentKind, DeploymentState
from services.rules.metrics import DeploymentEvent, Events, IncidentEvent, Value, Window, compute, window

MON, TUE, WED, THU, SUN = (datetime(2026, 3, day, tzinfo=UTC) for day in (2, 3, 4, 5, 8))
WEEK = window(date(2026, 3, 2), date(2026, 3, 9))
AS_OF = datetime(2026, 3, 9, tzinfo=UTC)


def at(day: datetime, hour: float) -> datetime:
    return day + timedelta(hours=hour)


def deployed(
    identity: int,
    bundle: str,
    finished: datetime,
    *,
    requested: datetime | None = None,
    started: datetime | None = None,
    declared: DeploymentKind | None = None,
    state: DeploymentState = DeploymentState.SUCCEEDED,
    stage: str = "production",
    planned: bool | None = None,
    fixes: str = "",
    blames: int | None = None,
    application: str = "delay",
) -> DeploymentEvent:
    return DeploymentEvent(
        id=identity,
        application=application,
        stage=stage,
        bundle=bundle,
        state=state,
        finished_at=finished,
        requested_at=requested,
        started_at=started,
        declared_kind=declared,
        planned=planned,
        fixes=fixes,
        blames=blames,
    )


def incident(
    identity: int,
    began: datetime,
    resolved: datetime | None = None,
    caused_by: int | None = None,
    cause: Cause | None = None,
) -> IncidentEvent:
    """Whoever names a deployment has said it, and whoever does not, has not."""
    said = cause or (Cause.UNKNOWN if caused_by is None else Cause.DEPLOYMENT)
    return IncidentEvent(identity, "delay", began, began, resolved, caused_by, said)


def measured(events: Events, within: Window = WEEK, as_of: datetime = AS_OF) -> dict[str, Value]:
    return compute(events, within, as_of)


def rounded(*numbers: float | None) -> list[float]:
    return [round(number, 4) for number in numbers if number is not None]
