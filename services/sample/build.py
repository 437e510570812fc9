"""Builds the sample: the policies, the people, and the story from its beginning to the promotion that waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from services import clock as clocks
from services.clock import StoryClock
from services.commands import people, policies
from services.errors import BadInput
from services.rules.policy import Policy, parse
from services.sample import data, told
from services.sample.ahead import Ahead
from services.sample.people import OTHERS, PEOPLE
from services.sample.steps import Delivery, Retrain
from services.sample.story import APPLICATIONS, DELIVERIES, Calendar, Scene, scenes
from services.sample.teller import Teller
from services.settings import Settings
from services.store.database import Store
from services.work.tracking import Tracking, register_prompt


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

    Raises BadInput where the data is not installed or an application is somebody else's, RegistryUnreachable and
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
    story = scenes(deliveries)

    def say(scene: Scene, text: str) -> None:
        progress(story.index(scene) / len(story), f"{scene.delivery.name}: {text}")

    made = [scene.delivery.makes for scene in story if scene.step is None]
    with Ahead([makes.recipe for makes in made if isinstance(makes, Retrain)]) as ahead:
        teller = Teller(settings, store, tracking, rules, deliveries, calendar, clock, ahead, say)
        for scene in story:
            teller.tell(scene)
    told.mark(store, told.COMPLETE, clock)
    progress(1.0, "The sample is complete")


def _opened(store: Store, tracking: Tracking, until: date | None) -> Calendar:
    """The calendar of the story that was begun here, or of a new one."""
    if begun := told.begun_at(store):
        return Calendar.opened_at(begun)
    for application in APPLICATIONS:
        if told.application_exists(store, application.name):
            raise BadInput(
                f"There is an application {application.name!r} already, and it is not the sample's.",
                "Build the sample in another HEADGATE_HOME, or leave out HEADGATE_DATABASE_URL.",
            )
        _refuse_a_used_mlflow(tracking, application.name, application.prompt)
    calendar = Calendar(until or clocks.wall().date())
    told.mark(store, told.BEGUN, StoryClock(calendar.opening))
    return calendar


def _refuse_a_used_mlflow(tracking: Tracking, model: str, prompt: str) -> None:
    used = [f"model {model!r}"] if tracking.model_exists(model) else []
    used += [f"prompt {prompt!r}"] if prompt and tracking.prompt_exists(prompt) else []
    if used:
        raise BadInput(
            f"MLflow has a {' and a '.join(used)} already, and the sample would add versions to it.",
            "Leave out MLFLOW_TRACKING_URI, so that the sample gets an MLflow of its own.",
        )


def _prepared(store: Store, tracking: Tracking, clock: StoryClock) -> dict[str, Policy]:
    """The people are known, the policies are in force, and there is a first notice. Returns the policies by name."""
    for person in (*PEOPLE, *OTHERS):
        people.meet(store, person, clock=clock, sample=person in PEOPLE)
    for application in APPLICATIONS:
        policies.apply(store, application.policy_text, actor=application.lead, clock=clock)
        if application.prompt and tracking.prompt(application.prompt) is None:
            register_prompt(tracking, application.prompt, application.first_wording, registered_at=clock.now())
    return {application.name: parse(application.policy_text) for application in APPLICATIONS}
