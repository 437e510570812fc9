"""Who acts. In the embedded default that is the person at this machine, who has every role; the dashboard then
listens on loopback only. Where the sample's people are in the store, the dashboard lets one be chosen."""

from __future__ import annotations

import getpass

from sqlmodel import col, select

from services.errors import NotFound
from services.rules.domain import Person, Role
from services.store.database import Store
from services.store.models import Known


def local_person() -> Person:
    """The person at this machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = "me"
    return Person(name, frozenset(Role))


def sample_people(store: Store) -> list[Person]:
    """The sample's people, the one who approves first. Empty outside the demo."""
    with store.reading() as session:
        rows = session.exec(select(Known).where(col(Known.sample).is_(True)).order_by(col(Known.name))).all()
        people = [Person(row.name, frozenset(Role(role) for role in row.roles), row.display) for row in rows]
    return sorted(people, key=lambda person: -len(person.roles & {Role.LEAD, Role.ADMIN}))


def current(store: Store, choice: str | None = None) -> Person:
    """The person for this screen: the chosen sample person, the sample's lead, or whoever sits here."""
    people = sample_people(store)
    if not people:
        return local_person()
    return next((person for person in people if person.name == choice), people[0])


def acting(store: Store, choice: str | None) -> Person:
    """The person for a command: whoever sits here, unless a sample person is named. Raises NotFound."""
    if not choice:
        return local_person()
    people = sample_people(store)
    for person in people:
        if person.name == choice:
            return person
    names = ", ".join(person.name for person in people) or "none: this is not the demo"
    raise NotFound(f"There is no sample person {choice!r}.", f"The sample's people are {names}.")
