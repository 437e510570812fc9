"""Who may do what. Decided here, on every action: hiding a button is only courtesy."""

from __future__ import annotations

from services import clock as clocks
from services.errors import BadInput, NotAllowed
from services.rules.domain import Person, Role

MAKERS = (Role.MAKER, Role.LEAD, Role.ADMIN)
LEADS = (Role.LEAD, Role.ADMIN)


def require(actor: Person, roles: tuple[Role, ...], what: str) -> None:
    """Raises NotAllowed unless the actor has one of the roles, and is still logged in."""
    still_logged_in(actor)
    if not actor.has(*roles):
        names = " or ".join(role.value for role in roles)
        has = ", ".join(sorted(role.value for role in actor.roles)) or "no role"
        raise NotAllowed(
            f"{actor.shown} may not {what}: that takes the role {names}, and {actor.shown} has {has}.",
            "Ask someone who has it.",
        )


def still_logged_in(actor: Person) -> None:
    """Raises NotAllowed where the login has ended since the page was drawn."""
    if actor.until is not None and actor.until <= clocks.wall():
        raise NotAllowed("Your login has ended.", "Log in again; nothing was done.")


def reason_given(text: str, what: str) -> str:
    """The reason, without blanks around it. Raises BadInput where there is none."""
    if not text.strip():
        raise BadInput(f"{what} needs a reason.", "Say in a sentence why; it is what others will read.")
    return text.strip()
