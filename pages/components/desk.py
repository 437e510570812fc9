"""Who sits at this screen, and the store they look at: what every read and every action needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from services import identity
from services.rules.domain import Person, Role

KEY = "desk"
CHOICE = "person"


@dataclass(frozen=True)
class Desk:
    """`people` are those between whom the demo switches; empty outside it."""

    store: Any
    person: Person
    people: tuple[Person, ...]

    def name_of(self, name: str) -> str:
        """What to call somebody; an account that nobody introduced is called by its name."""
        if name == self.person.name:
            return self.person.shown
        return next((person.shown for person in self.people if person.name == name), name)


def sit(store: Any, people: tuple[Person, ...], visitor: Person | None = None) -> None:
    """Remember for this run and the fragments that follow it: who logged in, the chosen sample person, or whoever sits
    here. Who logged in is nobody else."""
    if visitor is not None:
        st.session_state[KEY] = Desk(store, visitor, ())
        return
    chosen = st.session_state.get(CHOICE)
    person = next((person for person in people if person.name == chosen), people[0] if people else None)
    st.session_state[KEY] = Desk(store, person or identity.local_person(), people)


def here() -> Desk:
    desk: Desk = st.session_state[KEY]
    return desk


def switch() -> None:
    """The visible switch between the sample's people."""
    people = here().people
    if len(people) < 2:
        return
    roles = {person.name: _roles(person) for person in people}
    shown = {person.name: person.shown for person in people}
    with st.sidebar:
        st.selectbox(
            "You are",
            list(shown),
            format_func=lambda name: f"{shown[name]}, {roles[name]}",
            key=CHOICE,
            help="The sample's people. Switch to see what each of them may do.",
        )


def _roles(person: Person) -> str:
    names = {Role.VIEWER: "stakeholder", Role.MAKER: "maker", Role.LEAD: "lead", Role.ADMIN: "admin"}
    return " and ".join(names[role] for role in Role if role in person.roles)
