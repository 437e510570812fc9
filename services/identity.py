"""Who acts. In the embedded default that is the person at this machine, who has every role; the dashboard then
listens on loopback only. Where the sample's people are in the store, the dashboard lets one be chosen. Where a login is
set up, it is whoever logged in, with the roles that their groups have by the settings."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlmodel import col, select

from services import clock as clocks
from services.errors import NotAllowed, NotFound
from services.rules.domain import HEADGATE, Person, Role
from services.settings import Settings
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


def from_claims(claims: Mapping[str, Any], settings: Settings) -> Person:
    """The person of an OpenID Connect login: a name, the roles of their groups, and when the login ends.

    Raises NotAllowed where the login has ended, names nobody, or brings no role.
    """
    until = _end(claims)
    name = _name(claims)
    roles = _roles(_groups(claims), settings)
    if not roles:
        raise NotAllowed(
            f"{name} has no role here.",
            "Ask for a group that has one; HEADGATE_ROLES says which groups have which role.",
        )
    return Person(name, roles, str(claims.get("name") or "").strip(), until)


def _end(claims: Mapping[str, Any]) -> datetime:
    try:
        until = datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise NotAllowed("The login does not say when it ends.", "Log in again, or ask who runs the login.") from error
    if until <= clocks.wall():
        raise NotAllowed("Your login has ended.", "Log in again.")
    return until


def _name(claims: Mapping[str, Any]) -> str:
    """An address that the provider says is not verified is not taken for a name, and no user name poses as one."""
    email = str(claims.get("email") or "").strip().lower()
    if email and str(claims.get("email_verified", True)).lower() != "false":
        return email
    name = str(claims.get("preferred_username") or "").strip().lower()
    if not name or "@" in name or name == HEADGATE.name:
        raise NotAllowed(
            "The login names nobody: it has neither a verified e-mail address nor a user name of its own.",
            "Ask who runs the login for the scopes `email` and `profile`.",
        )
    return name


def _groups(claims: Mapping[str, Any]) -> frozenset[str]:
    """Some providers send one group as a text of its own."""
    groups = claims.get("groups") or ()
    return frozenset((groups,) if isinstance(groups, str) else (str(group) for group in groups))


def _roles(groups: frozenset[str], settings: Settings) -> frozenset[Role]:
    return frozenset(Role(role) for role, named in settings.roles.items() if "*" in named or groups & set(named))
