"""Who is who."""

from __future__ import annotations

from sqlmodel import select

from services.store.database import Store
from services.store.models import Known


def names(store: Store) -> dict[str, str]:
    """What to call each known person."""
    with store.reading() as session:
        return {row.name: row.display or row.name for row in session.exec(select(Known))}
