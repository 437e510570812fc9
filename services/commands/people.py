"""Meeting people: who is known decides whether a quorum can ever be reached."""

from __future__ import annotations

from services import clock as clocks
from services.clock import Clock
from services.rules.domain import Person
from services.store import audit
from services.store.database import Store
from services.store.models import Known


def meet(store: Store, person: Person, *, clock: Clock, sample: bool = False) -> None:
    """Remember a person and the roles identity gives them now. Writes nothing where nothing changed."""
    roles = sorted(role.value for role in person.roles)
    with store.reading() as session:
        known = session.get(Known, person.name)
        if known and (known.roles, known.display, known.sample) == (roles, person.display, sample):
            return
    with store.writing() as session:
        session.merge(
            Known(name=person.name, display=person.display, roles=roles, sample=sample, recorded_at=clocks.wall())
        )
        audit.record(session, actor=person.name, action="person.met", clock=clock, subject=person.name, roles=roles)
