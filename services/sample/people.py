"""The three people of the sample. The demo's visible switch is between these."""

from __future__ import annotations

from services.rules.domain import Person, Role

MAKER = Person("maya", frozenset({Role.MAKER}), "Maya Chen")
LEAD = Person("leo", frozenset({Role.LEAD, Role.ADMIN}), "Leo Martins")
STAKEHOLDER = Person("vera", frozenset({Role.VIEWER}), "Vera Okafor")

# The demo starts as the lead, for whom something waits.
PEOPLE = (LEAD, MAKER, STAKEHOLDER)
