"""The one tree of errors. Every error says what happened and what to do next.

    HeadgateError                      exit code 1
    |-- BadInput                       2   what was asked for makes no sense as written
    |   |-- NotFound                       it names something that does not exist
    |   '-- PolicyInvalid                  a policy with mistakes, all of them listed
    |-- Refused                        3   understood, and the answer is no
    |   |-- ConditionsNotMet               readiness says no; carries the conditions
    |   |-- GateSaidNo                     a gate did not let the bundle through
    |   |-- Conflict                       somebody else was faster, or something is under way
    |   |-- StaleEvidence                  what was signed is not what is there now
    |   '-- NotAllowed                     this person may not do this
    |-- Unreachable                    4   something outside does not answer; try again
    |   |-- RegistryUnreachable            MLflow
    |   '-- StoreUnreachable               the lineage store is locked, or its server is down
    |-- StoreUnusable                  1   read-only, corrupt, or written by a newer Headgate
    |-- RegistryRefused                1   MLflow answered, with a definite no
    |-- ArtifactUnusable               1   an artifact is gone, or is not what was recorded
    '-- Fenced                         1   the right to act was lost to somebody else; nothing was committed

"No" (Refused) is never "don't know" (Unreachable): a CI job tells them apart by the exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.rules.domain import Condition


class HeadgateError(Exception):
    """Something a person should read. `remedy` says what to do next; it may be empty where nothing can be done."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        between = "\n" if "\n" in self.message else " "
        return f"{self.message}{between}{self.remedy}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross the pipe from a gate's child process; the default would call __init__ with one argument only.
        return (_rebuild, (type(self), self.__dict__))


def _rebuild(kind: type[HeadgateError], state: dict[str, object]) -> HeadgateError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (state["message"],)
    return error


class BadInput(HeadgateError):
    exit_code = 2


class NotFound(BadInput):
    """It names something that does not exist."""


class PolicyInvalid(BadInput):
    """A policy with mistakes. `mistakes` holds one sentence each, beginning with its key path."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        count = f"{len(self.mistakes)} mistake{'s' if len(self.mistakes) != 1 else ''}"
        super().__init__(
            f"The policy has {count}:\n" + "\n".join(f"  {m}" for m in self.mistakes),
            "Nothing was applied. Correct the file and apply it again.",
        )


class Refused(HeadgateError):
    exit_code = 3


class ConditionsNotMet(Refused):
    """Readiness says no. `conditions` are those that are not met."""

    def __init__(self, message: str, conditions: Sequence[Condition]) -> None:
        self.conditions = tuple(conditions)
        lines = [f"  {c.name}: {c.reason}{' ' + c.remedy if c.remedy else ''}" for c in self.conditions]
        super().__init__("\n".join([message, *lines]))


class GateSaidNo(Refused):
    """A gate did not let the bundle through."""


class Conflict(Refused):
    """Somebody else was faster, or something is under way."""


class StaleEvidence(Refused):
    """What was signed is not what is there now. `reasons` says what changed."""

    def __init__(self, message: str, reasons: Sequence[str], remedy: str = "") -> None:
        self.reasons = tuple(reasons)
        super().__init__(message, remedy)


class NotAllowed(Refused):
    """This person may not do this."""


class Unreachable(HeadgateError):
    exit_code = 4


class RegistryUnreachable(Unreachable):
    """MLflow does not answer."""


class StoreUnreachable(Unreachable):
    """The lineage store is locked, or its server does not answer."""


class StoreUnusable(HeadgateError):
    """The lineage store is read-only, corrupt, or was written by a newer Headgate."""


class RegistryRefused(HeadgateError):
    """MLflow answered, with a definite no: trying again will not help."""


class ArtifactUnusable(HeadgateError):
    """An artifact is gone, or is not what was recorded."""


class Fenced(HeadgateError):
    """The right to write a slot's aliases was lost to somebody else. Nothing was committed."""
