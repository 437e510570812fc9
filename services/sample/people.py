"""The people of the sample. The demo's visible switch is between the first three."""

from __future__ import annotations

from services.rules.domain import Person, Role

MAKER = Person("maya", frozenset({Role.MAKER}), "Maya Chen")
LEAD = Person("leo", frozenset({Role.LEAD, Role.ADMIN}), "Leo Martins")
STAKEHOLDER = Person("vera", frozenset({Role.VIEWER}), "Vera Okafor")

# The demo starts as the lead, for whom something waits.
PEOPLE = (LEAD, MAKER, STAKEHOLDER)

# The team of the second application. They are in its record, and nobody looks at the demo as one of them.
PLANNER = Person("nils", frozenset({Role.MAKER}), "Nils Berg")
PLANNING_LEAD = Person("ines", frozenset({Role.LEAD}), "Ines Duarte")
OTHERS = (PLANNING_LEAD, PLANNER)
