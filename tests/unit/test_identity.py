"""From the claims of a login to a person with roles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from example import apply, register

from services import clock as clocks
from services import settings as settings_module
from services.clock import StoryClock
from services.commands import authority, promotions
from services.errors import BadInput, NotAllowed
from services.identity import from_claims
from services.rules.domain import Person, Role
from services.settings import ROLES, Settings
from services.store.database import Store

IN_AN_HOUR = datetime(2099, 1, 1, tzinfo=UTC)


def settings(roles: str = "lead=ml-leads, maker=ml-team|data, viewer=*") -> Settings:
    return settings_module.load({"HEADGATE_ROLES": roles})


def claims(**more: Any) -> dict[str, Any]:
    return {
        "email": "Ada@Example.org",
        "name": "Ada L.",
        "exp": int(IN_AN_HOUR.timestamp()),
        "groups": ["ml-leads"],
        **more,
    }


def test_a_login_gives_the_address_as_name_and_the_roles_of_its_groups() -> None:
    person = from_claims(claims(), settings())
    assert (person.name, person.shown, person.until) == ("ada@example.org", "Ada L.", IN_AN_HOUR)
    assert person.roles == {Role.LEAD, Role.VIEWER}


@pytest.mark.parametrize(
    ("groups", "roles"),
    [
        (["data", "ml-leads"], {Role.MAKER, Role.LEAD, Role.VIEWER}),
        ("ml-team", {Role.MAKER, Role.VIEWER}),
        (["ML-Leads"], {Role.VIEWER}),
        (["lead", "admin", "*"], {Role.VIEWER}),
        ([], {Role.VIEWER}),
        (None, {Role.VIEWER}),
    ],
)
def test_groups_become_roles_by_the_settings_alone(groups: object, roles: set[Role]) -> None:
    assert from_claims(claims(groups=groups), settings()).roles == roles


def test_without_a_setting_whoever_logs_in_may_look_and_nothing_else() -> None:
    assert from_claims(claims(), settings_module.load({})).roles == {Role.VIEWER}


def test_who_has_no_role_does_not_get_in() -> None:
    with pytest.raises(NotAllowed, match="no role here"):
        from_claims(claims(groups=["finance"]), settings("lead=ml-leads"))


@pytest.mark.parametrize("end", [{"exp": 1_700_000_000}, {"exp": None}, {"exp": "soon"}, {"exp": float("inf")}])
def test_a_login_that_has_ended_or_does_not_say_when_it_ends_is_refused(end: dict[str, Any]) -> None:
    with pytest.raises(NotAllowed, match="Log in again"):
        from_claims(claims(**end), settings())


def test_without_a_verified_address_the_user_name_counts() -> None:
    named = claims(email_verified=False, preferred_username="ada")
    assert from_claims(named, settings()).name == "ada"
    assert from_claims(claims(email="", preferred_username="ada"), settings()).name == "ada"


@pytest.mark.parametrize("name", ["lou@example.org", "headgate", "Headgate", " ", ""])
def test_a_user_name_cannot_pose_as_somebodys_address_or_as_headgate(name: str) -> None:
    with pytest.raises(NotAllowed, match="names nobody"):
        from_claims(claims(email_verified=False, preferred_username=name), settings())


@pytest.mark.parametrize("text", ["boss=ml", "lead", "lead=", "lead=a,lead=b", "lead=a,,", "=a"])
def test_roles_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="HEADGATE_ROLES"):
        settings(text)


def test_the_settings_know_every_role() -> None:
    assert set(ROLES) == {role.value for role in Role}


def test_a_login_that_ended_after_the_page_was_drawn_decides_nothing_more(store: Store, clock: StoryClock) -> None:
    maker = Person("mia", frozenset({Role.MAKER}))
    late = Person("mia", maker.roles, until=clocks.wall() - timedelta(seconds=1))
    apply(store, maker, clock, Person("lou", frozenset({Role.LEAD})))
    registered = register(store, maker, clock)
    assert registered.promotion_id is not None
    with pytest.raises(NotAllowed, match="login has ended"):
        promotions.request(store, registered.ref, "staging", actor=late, clock=clock)
    with pytest.raises(NotAllowed, match="login has ended"):
        promotions.withdraw(store, registered.promotion_id, actor=late, clock=clock)
    authority.require(Person("mia", maker.roles, until=clocks.wall() + timedelta(hours=1)), (Role.MAKER,), "promote")
