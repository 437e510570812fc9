"""What is built apart from the whole sample: a few of its months, and nothing where somebody else is already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from samples import APPLICATION, LEAKY, PROMPT, SILENT, UNTIL, opened, phases, rows, silent, verdicts

from services.clock import WallClock
from services.commands import policies
from services.errors import BadInput
from services.rules.domain import Person, Phase, Role, Verdict
from services.sample import build
from services.sample.data import Recipe
from services.sample.steps import PRODUCTION, STAGING, Delivery, Retrain
from services.store.models import Application, AuditEvent
from services.work.tracking import register_prompt


def mended(delivery: Delivery) -> Delivery:
    """The same without what is wrong with its data."""
    assert isinstance(delivery.makes, Retrain)
    clean = Recipe(delivery.makes.recipe.held_out, task=delivery.makes.recipe.task)
    return replace(delivery, makes=replace(delivery.makes, recipe=clean))


def test_the_months_that_were_stopped_for_their_data_pass_without_what_is_wrong_with_it(tmp_path: Path) -> None:
    clean, made = [mended(SILENT), mended(LEAKY)], opened(tmp_path / "home")
    build.build(made.settings, made.store, made.tracking, until=UNTIL, progress=silent, deliveries=clean)
    for delivery in clean:
        assert verdicts(made.store, delivery)["schema"] is Verdict.PASSED
    assert phases(made.store) == {(d.name, stage): Phase.SUCCEEDED for d in clean for stage in (STAGING, PRODUCTION)}
    made.store.close()


def test_an_application_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    made, somebody = opened(tmp_path / "home"), Person("ada", frozenset(Role))
    own = f'application.name = "{APPLICATION}"\ncomponents.model = "own"\nstages = [{{ name = "production" }}]\n'
    policies.apply(made.store, own, actor=somebody, clock=WallClock())
    with pytest.raises(BadInput, match="not the sample's"):
        build.build(made.settings, made.store, made.tracking, progress=silent)
    assert len(rows(made.store, AuditEvent)) == 1
    made.store.close()


def test_an_mlflow_with_a_prompt_of_that_name_is_left_alone(tmp_path: Path) -> None:
    made = opened(tmp_path / "home")
    register_prompt(made.tracking, PROMPT, "Somebody's own: {{flight}}")
    with pytest.raises(BadInput, match="already"):
        build.build(made.settings, made.store, made.tracking, progress=silent)
    assert rows(made.store, Application) == []
    made.store.close()
