"""Builds the sample: the policy, the people, and the story from its beginning to the promotion that waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from services import clock as clocks
from services.clock import StoryClock
from services.commands import people, policies
from services.errors import BadInput
from services.rules.policy import Policy, parse
from services.sample import data, told
from services.sample.people import LEAD, PEOPLE
from services.sample.story import APPLICATION, DELIVERIES, FIRST_WORDING, MODEL, PROMPT, Calendar, Delivery
from services.sample.teller import Teller
from services.settings import Settings
from services.store.database import Store
from services.work.tracking import Tracking, register_prompt

POLICY = Path(__file__).parent / "policy.toml"


def is_built(store: Store) -> bool:
    """Whether the whole story has been told into this store, whatever people did with it since."""
    return told.is_complete(store)


def build(
    settings: Settings,
    store: Store,
    tracking: Tracking,
    *,
    until: date | None = None,
    progress: Callable[[float, str], None],
    deliveries: Sequence[Delivery] = DELIVERIES,
) -> None:
    """Tell the story, so that it ends on the day before `until` (None: today).

    Does nothing where it was told; goes on where a build was cut off, then with the days it was begun with. `progress`
    is told the part that is done, from 0 to 1, and in words what is being done.

    Raises BadInput where the data is not installed or the application is somebody else's, RegistryUnreachable and
    RegistryRefused.
    """
    if is_built(store):
        return
    progress(0.0, "Reading the flights of 2013")
    data.flights()
    tracking.ping()
    calendar = _opened(store, tracking, until)
    clock = StoryClock(calendar.opening)
    rules = _prepared(store, tracking, clock)

    def say(delivery: Delivery, text: str) -> None:
        progress(deliveries.index(delivery) / len(deliveries), f"{delivery.name}: {text}")

    teller = Teller(settings, store, tracking, rules, calendar, clock, say)
    for delivery in deliveries:
        teller.tell(delivery)
    told.mark(store, told.COMPLETE, clock)
    progress(1.0, "The sample is complete")


def _opened(store: Store, tracking: Tracking, until: date | None) -> Calendar:
    """The calendar of the story that was begun here, or of a new one."""
    if begun := told.begun_at(store):
        return Calendar.opened_at(begun)
    if told.application_exists(store):
        raise BadInput(
            f"There is an application {APPLICATION!r} already, and it is not the sample's.",
            "Build the sample in another HEADGATE_HOME, or leave out HEADGATE_DATABASE_URL.",
        )
    if tracking.model_exists(MODEL) or tracking.prompt_exists(PROMPT):
        raise BadInput(
            f"MLflow has a model {MODEL!r} or a prompt {PROMPT!r} already, and the sample would add versions to it.",
            "Leave out MLFLOW_TRACKING_URI, so that the sample gets an MLflow of its own.",
        )
    calendar = Calendar(until or clocks.wall().date())
    told.mark(store, told.BEGUN, StoryClock(calendar.opening))
    return calendar


def _prepared(store: Store, tracking: Tracking, clock: StoryClock) -> Policy:
    """The people are known, the policy is in force, and there is a first notice."""
    text = POLICY.read_text(encoding="utf-8")
    for person in PEOPLE:
        people.meet(store, person, clock=clock, sample=True)
    policies.apply(store, text, actor=LEAD, clock=clock)
    if tracking.prompt(PROMPT) is None:
        register_prompt(tracking, PROMPT, FIRST_WORDING, registered_at=clock.now())
    return parse(text)
