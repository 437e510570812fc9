"""The list of bundles: searched, filtered, paged by key. Ten statements, however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import exists, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from services.queries.differences import changed_words, difference
from services.queries.standing import Standing, next_stage, standing
from services.rules.domain import ACTIVE_PHASES, BundleRef, Phase
from services.rules.readiness import Facts, Marked
from services.store import lookups
from services.store.database import Store
from services.store.facts import load
from services.store.models import Application, Bundle, ComponentRow, Deployment, Promotion, Slot

PAGE = 15


class Only(StrEnum):
    """What a list can be narrowed to."""

    ANY = "all"
    LIVE = "live"
    UNDER_WAY = "on its way"
    BLOCKED = "blocked"
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Wanted:
    """`text` is looked for in names, versions, makers and numbers; `stage` is where it is live."""

    text: str = ""
    application: str = ""
    stage: str = ""
    only: Only = Only.ANY


@dataclass(frozen=True)
class BundleRow:
    """`changed` says what differs from the bundle before it; empty for the first."""

    id: int
    ref: BundleRef
    made_at: datetime
    maker: str
    changed: tuple[str, ...]
    first: bool
    live_in: tuple[str, ...]
    next: Standing | None
    quarantine: Marked | None
    gaps: int


@dataclass(frozen=True)
class Page:
    """`before` is the key of the following page, or None on the last."""

    rows: tuple[BundleRow, ...]
    before: int | None
    applications: tuple[str, ...]
    stages: tuple[str, ...]


def page(store: Store, wanted: Wanted, now: datetime, *, before: int | None = None, size: int = PAGE) -> Page:
    """One page of bundles, the newest first."""
    with store.reading() as session:
        found = _rows(session, wanted, before, size + 1)
        more, found = len(found) > size, found[:size]
        ids = [row.id for row, _ in found if row.id is not None]
        facts = _facts(session, ids)
        components = lookups.components_of_many(session, [*ids, *(p for _, p in found if p is not None)]) if ids else {}
        return Page(
            rows=tuple(_row(row, previous, facts.get(row.id or 0, {}), components, now) for row, previous in found),
            before=ids[-1] if more else None,
            applications=tuple(session.exec(select(Application.name).order_by(col(Application.name)))),
            stages=tuple(session.exec(select(Slot.stage).distinct().order_by(col(Slot.stage)))),
        )


def _rows(session: Session, wanted: Wanted, before: int | None, limit: int) -> list[tuple[Bundle, int | None]]:
    previous = aliased(Bundle)
    statement = (
        select(Bundle, col(previous.id))
        .outerjoin(
            previous,
            (col(previous.application) == col(Bundle.application)) & (col(previous.number) == col(Bundle.number) - 1),
        )
        .order_by(col(Bundle.id).desc())
        .limit(limit)
    )
    for condition in _conditions(wanted):
        statement = statement.where(condition)
    if before is not None:
        statement = statement.where(col(Bundle.id) < before)
    return [(row, other) for row, other in session.exec(statement)]


def _conditions(wanted: Wanted) -> list[Any]:
    found: list[Any] = []
    if wanted.application:
        found.append(col(Bundle.application) == wanted.application)
    if wanted.stage:
        found.append(_live_where(col(Slot.stage) == wanted.stage))
    if wanted.text.strip():
        found.append(_matches(wanted.text.strip()))
    match wanted.only:
        case Only.LIVE:
            found.append(_live_where())
        case Only.UNDER_WAY:
            found.append(_promoted(ACTIVE_PHASES))
        case Only.BLOCKED:
            found.append(_promoted((Phase.BLOCKED,)))
        case Only.QUARANTINED:
            found.append(col(Bundle.quarantined_at).is_not(None))
        case Only.ANY:
            pass
    return found


def _live_where(*more: Any) -> Any:
    joined = exists().where(
        col(Slot.live_deployment_id) == col(Deployment.id), col(Deployment.bundle_id) == col(Bundle.id), *more
    )
    return joined.correlate(Bundle)


def _promoted(phases: tuple[Phase, ...]) -> Any:
    return exists().where(col(Promotion.bundle_id) == col(Bundle.id), col(Promotion.phase).in_(phases))


def _matches(text: str) -> Any:
    """Every letter means itself: `%` and `_` are looked for, not wildcards."""
    application, _, number = text.rpartition("/")
    if application and number.isdigit():
        return (col(Bundle.application) == application) & (col(Bundle.number) == int(number[:9]))
    component = exists().where(
        col(ComponentRow.bundle_id) == col(Bundle.id),
        or_(
            col(ComponentRow.name).icontains(text, autoescape=True),
            col(ComponentRow.version).istartswith(text, autoescape=True),
            col(ComponentRow.digest).icontains(text, autoescape=True),
        ),
    )
    found = [
        col(Bundle.application).icontains(text, autoescape=True),
        col(Bundle.maker).icontains(text, autoescape=True),
        col(Bundle.digest).icontains(text, autoescape=True),
        component,
    ]
    if text.isdigit():
        found.append(col(Bundle.number) == int(text[:9]))
    return or_(*found)


def _facts(session: Session, ids: list[int]) -> dict[int, dict[str, Facts]]:
    found: dict[int, dict[str, Facts]] = {}
    for (bundle_id, stage), fact in (load(session, ids) if ids else {}).items():
        found.setdefault(bundle_id, {})[stage] = fact
    return found


def _row(
    row: Bundle,
    previous: int | None,
    facts: dict[str, Facts],
    components: dict[int, Any],
    now: datetime,
) -> BundleRow:
    assert row.id is not None
    changes = difference(components.get(previous, ()) if previous else (), components.get(row.id, ()))
    following = next_stage(facts)
    return BundleRow(
        id=row.id,
        ref=BundleRef(row.application, row.number or 0),
        made_at=row.at,
        maker=row.maker,
        changed=tuple(changed_words(changes)) if previous else (),
        first=previous is None,
        live_in=tuple(stage for stage, fact in facts.items() if fact.is_live),
        next=standing(facts[following], now) if following else None,
        quarantine=Marked(row.quarantined_by, row.quarantine_reason, row.quarantined_at)
        if row.quarantined_at
        else None,
        gaps=len(row.gaps),
    )
