"""What a story is told with: applications, what is made for them, and what people do with it. All of it is data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.rules.domain import Person
from services.sample.data import Recipe
from services.sample.people import LEAD, MAKER

STAGING, PRODUCTION = "staging", "production"


@dataclass(frozen=True)
class SampleApplication:
    """One application of the sample; its registered model bears its name. `prompt` is empty where none travels."""

    name: str
    policy_file: str
    lead: Person
    prompt: str = ""
    first_wording: str = ""

    @property
    def policy_text(self) -> str:
        return (Path(__file__).parent / self.policy_file).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Moment:
    """A time of the story: days after the end of the month that the delivery's data reaches to, and the time of day.

    Day 0 is the first day of the next month. Times are UTC.
    """

    day: int
    hour: int
    minute: int = 0

    @property
    def offset(self) -> timedelta:
        return timedelta(days=self.day, hours=self.hour, minutes=self.minute)


@dataclass(frozen=True)
class Retrain:
    """A model trained by `by` on what was known by then, from `at` on, for so many minutes."""

    recipe: Recipe
    at: Moment
    minutes: int
    commits: tuple[Moment, ...]
    by: Person = MAKER


@dataclass(frozen=True)
class Reword:
    """A new version of the notice to passengers. The model stays what it is."""

    template: str
    at: Moment
    commits: tuple[Moment, ...]
    by: Person = MAKER


@dataclass(frozen=True)
class Promote:
    """`mends` names the incident that this is a hotfix for."""

    stage: str
    at: Moment
    reason: str = ""
    mends: str = ""
    by: Person = MAKER


@dataclass(frozen=True)
class Approve:
    stage: str
    at: Moment
    comment: str = ""
    by: Person = LEAD


@dataclass(frozen=True)
class Reject:
    stage: str
    at: Moment
    comment: str
    by: Person = LEAD


@dataclass(frozen=True)
class RollBack:
    stage: str
    at: Moment
    reason: str
    quarantine: bool = False
    by: Person = LEAD


@dataclass(frozen=True)
class Decide:
    """Somebody says of a block by this gate whether it was right (`defect`) or a false one."""

    gate: str
    at: Moment
    defect: bool
    by: Person = LEAD


@dataclass(frozen=True)
class Practise:
    """A drill: the stage goes back and comes forward again."""

    stage: str
    at: Moment
    by: Person = LEAD


@dataclass(frozen=True)
class Report:
    """An incident is opened when it is detected, at `at`. `blames`: its delivery is said to have caused it."""

    incident: str
    title: str
    severity: str
    since: Moment
    at: Moment
    blames: bool = False
    by: Person = MAKER


@dataclass(frozen=True)
class Blame:
    """An incident is linked to this delivery, whatever was inferred."""

    incident: str
    at: Moment
    by: Person = LEAD


@dataclass(frozen=True)
class Resolve:
    incident: str
    at: Moment
    done: str
    caught_by: str
    by: Person = LEAD


Step = Promote | Approve | Reject | RollBack | Decide | Practise | Report | Blame | Resolve


@dataclass(frozen=True)
class Delivery:
    """Something made, which becomes a bundle, and what is then done with it. `month` is the last one known by then."""

    application: SampleApplication
    name: str
    month: int
    makes: Retrain | Reword
    steps: tuple[Step, ...]
