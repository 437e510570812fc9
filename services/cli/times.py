"""Times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime

from services.errors import BadInput


def moment(text: str | None) -> datetime | None:
    """ISO 8601 with its zone, in UTC. Raises BadInput for anything that could be read in two ways."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is not a time.", "Write ISO 8601, for example 2026-12-24T12:00:00Z.") from error
    if found.tzinfo is None:
        raise BadInput(f"{text!r} has no zone.", "Add Z for UTC, or an offset such as +01:00.")
    return found.astimezone(UTC)
