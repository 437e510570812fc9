"""The sample, built for real: once in one go, once by a process that is killed twice and continued. Expensive."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from services import clock as clocks
from services import settings as settings_module
from services.clock import StoryClock, WallClock
from services.commands import approvals, policies
from services.errors import BadInput
from services.rules.domain import HEADGATE, DeploymentState, Person, Phase, Role, Verdict
from services.sample import build, data, story, told
from services.sample.people import LEAD, MAKER, PEOPLE
from services.sample.story import APPLICATION, DELIVERIES, MODEL, PROMPT, Calendar, Delivery, Promote, Retrain
from services.settings import Settings
from services.start import open_store
from services.store import audit
from services.store.database import Store
from services.store.models import (
    Application,
    Approval,
    AuditEvent,
    Bundle,
    CommitRow,
    ComponentRow,
    Deployment,
    GateRun,
    Known,
    Promotion,
)
from services.work import carry, sync
from services.work.tracking import Tracking, bundle_name, load_pyfunc, probability_of_positive, register_prompt

PROJECT = Path(__file__).parents[2]
UNTIL = date(2028, 2, 29)
SECONDS_ALLOWED = 120


@dataclass(frozen=True)
class Sample:
    settings: Settings
    store: Store
    tracking: Tracking
    seconds: float = 0.0


def silent(_part: float, _text: str) -> None:
    pass


def opened(home: Path) -> Sample:
    settings = settings_module.load({"HEADGATE_HOME": str(home)})
    return Sample(settings, open_store(settings), Tracking(settings))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """Built in one go. Tests that use it only read."""
    made = opened(tmp_path_factory.mktemp("sample"))
    begun = clocks.monotonic()
    build.build(made.settings, made.store, made.tracking, until=UNTIL, progress=silent)
    yield replace(made, seconds=clocks.monotonic() - begun)
    made.store.close()


@pytest.fixture
def copied(sample: Sample, tmp_path: Path) -> Iterator[Sample]:
    """A copy to change. Its models' files are those of the original."""
    shutil.copytree(sample.settings.home, tmp_path / "copy")
    made = opened(tmp_path / "copy")
    yield made
    made.store.close()


def phases(store: Store) -> dict[tuple[str, str], Phase]:
    """Where each promotion ended, by the delivery and the stage that it was asked for."""
    asked = [(delivery, step) for delivery in DELIVERIES for step in delivery.steps if isinstance(step, Promote)]
    found = {(d.name, s.stage): told.standing(store, told.key(d, s)) for d, s in asked}
    return {key: standing.phase for key, standing in found.items() if standing}


def rows(store: Store, table: Any) -> list[Any]:
    with store.reading() as session:
        found = session.exec(select(table)).all()
        session.expunge_all()
        return list(found)


def verdicts(store: Store, delivery: Delivery) -> dict[str, Verdict]:
    """What the gates of staging said about a delivery."""
    asked = next(step for step in delivery.steps if isinstance(step, Promote))
    standing = told.standing(store, told.key(delivery, asked))
    assert standing is not None
    return {run.gate: run.verdict for run in rows(store, GateRun) if run.promotion_id == standing.id}


def leaky(delivery: Delivery) -> bool:
    return isinstance(delivery.makes, Retrain) and bool(delivery.makes.recipe.extra_columns)


def short_of_a_variable(delivery: Delivery) -> bool:
    return not isinstance(delivery.makes, Retrain) and "{{minutes}}" not in delivery.makes.template


def test_it_is_built_within_two_minutes(sample: Sample) -> None:
    assert sample.seconds < SECONDS_ALLOWED
    assert build.is_built(sample.store)


def test_the_leak_is_stopped_by_the_schema_gate_and_the_broken_notice_by_the_prompt_gate(sample: Sample) -> None:
    (leak,) = filter(leaky, DELIVERIES)
    (broken,) = filter(short_of_a_variable, DELIVERIES)
    assert verdicts(sample.store, leak)["schema"] is Verdict.FAILED
    assert verdicts(sample.store, broken) == {
        "schema": Verdict.PASSED,
        "accuracy": Verdict.PASSED,
        "notice": Verdict.FAILED,
    }
    stopped = {name for (name, stage), phase in phases(sample.store).items() if phase is Phase.BLOCKED}
    assert stopped == {leak.name, broken.name}
    assert all((name, story.PRODUCTION) not in phases(sample.store) for name in stopped)


def test_everything_honest_passes_its_gates(sample: Sample) -> None:
    for delivery in DELIVERIES:
        if not leaky(delivery) and not short_of_a_variable(delivery):
            assert set(verdicts(sample.store, delivery).values()) == {Verdict.PASSED}
            assert phases(sample.store)[delivery.name, story.STAGING] is Phase.SUCCEEDED


def test_the_model_with_the_leak_looks_far_better_than_all_others(sample: Sample) -> None:
    scores = sorted(bundle.metrics["roc_auc"] for bundle in rows(sample.store, Bundle))
    assert scores[-1] > 0.9
    assert scores[-2] < 0.8


def test_one_was_rejected_with_a_reason_one_rolled_back_and_the_last_waits_for_the_lead(sample: Sample) -> None:
    ended = {name: phase for (name, stage), phase in phases(sample.store).items() if stage == story.PRODUCTION}
    assert list(ended.values()).count(Phase.REJECTED) == 1
    assert [name for name, phase in ended.items() if phase is Phase.AWAITING_APPROVAL] == [DELIVERIES[-1].name]
    (rejected,) = [p for p in rows(sample.store, Promotion) if p.phase is Phase.REJECTED]
    assert rejected.note
    (back,) = [p for p in rows(sample.store, Promotion) if p.rollback]
    assert (back.phase, back.requested_by, bool(back.reason)) == (Phase.SUCCEEDED, LEAD.name, True)
    (deployed,) = [d for d in rows(sample.store, Deployment) if d.promotion_id == back.id]
    assert deployed.blames is not None


def test_a_prompt_alone_made_a_bundle_with_the_same_model(sample: Sample) -> None:
    by_bundle: dict[int, dict[str, str]] = {}
    for part in rows(sample.store, ComponentRow):
        by_bundle.setdefault(part.bundle_id, {})[f"{part.kind.value} {part.name}"] = part.digest
    models = [parts[f"model {MODEL}"] for _, parts in sorted(by_bundle.items())]
    prompts = [parts[f"prompt {PROMPT}"] for _, parts in sorted(by_bundle.items())]
    assert len(models) - len(set(models)) == 2
    assert len(set(prompts)) == 3


def test_every_bundle_has_its_parts_and_no_gap(sample: Sample) -> None:
    for bundle in rows(sample.store, Bundle):
        kinds = {part.kind.value for part in rows(sample.store, ComponentRow) if part.bundle_id == bundle.id}
        assert kinds == {"model", "dataset", "prompt", "code", "environment"}
        assert (bundle.gaps, bundle.maker) == ([], MAKER.name)
    assert rows(sample.store, CommitRow)


def test_all_of_it_is_marked_as_replayed_and_lies_before_the_day_it_is_told_until(sample: Sample) -> None:
    calendar, end = Calendar(UNTIL), datetime.combine(UNTIL, time(), UTC)
    for table in (Bundle, Promotion, Approval, GateRun, Deployment, AuditEvent):
        assert all(row.replayed for row in rows(sample.store, table))
    events = rows(sample.store, AuditEvent)
    assert all(calendar.opening <= event.at < end for event in events)
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert max(event.at for event in events) > end - timedelta(days=1)


def test_the_audit_chain_holds(sample: Sample) -> None:
    with sample.store.reading() as session:
        assert audit.verify(session).broken_at is None


def test_the_runs_in_mlflow_carry_the_times_of_the_story_and_what_their_maker_declared(sample: Sample) -> None:
    calendar = Calendar(UNTIL)
    trained = [(d, d.makes) for d in DELIVERIES if isinstance(d.makes, Retrain)]
    versions = sample.tracking.versions(MODEL)
    assert len(versions) == len(trained)
    for version, (delivery, retrain) in zip(versions, trained, strict=True):
        assert version.run_id is not None
        run = sample.tracking.run(version.run_id)
        begun = calendar.at(delivery.month, retrain.at)
        assert (run.user, run.started_at) == (MAKER.name, begun)
        assert run.ended_at == begun + timedelta(minutes=retrain.minutes)
        assert version.registered_at > run.ended_at
        cutoff = datetime.fromisoformat(run.tags["headgate.data_cutoff"])
        assert cutoff == calendar.start_of(retrain.recipe.held_out) < run.started_at
        commits = [datetime.fromisoformat(at) for _sha, at in json.loads(run.tags["headgate.commits"])]
        assert commits
        assert max(commits) < begun


def test_the_slots_and_mlflows_aliases_agree_and_the_pointer_loads(sample: Sample) -> None:
    live = {
        d.stage: d
        for d in rows(sample.store, Deployment)
        if d.state is DeploymentState.SUCCEEDED and not d.superseded_at
    }
    bundles = {bundle.id: bundle for bundle in rows(sample.store, Bundle)}
    assert sample.tracking.model_aliases(bundle_name(APPLICATION)) == {
        stage: bundles[deployment.bundle_id].registry_version for stage, deployment in live.items()
    }
    table = data.split(data.Recipe(12)).evaluation
    model = load_pyfunc(sample.settings.tracking_uri, f"models:/{bundle_name(APPLICATION)}@production")
    chances = probability_of_positive(model, table[list(data.FEATURES)])
    assert 0.0 < chances.min() < chances.max() < 1.0


def test_the_three_people_are_known_as_the_samples(sample: Sample) -> None:
    known = {person.name: person for person in rows(sample.store, Known)}
    assert {name for name, person in known.items() if person.sample} == {person.name for person in PEOPLE}


def test_looking_for_new_bundles_afterwards_finds_none(copied: Sample) -> None:
    (found,) = sync.sync(copied.store, copied.tracking, copied.settings, actor=HEADGATE, clock=WallClock())
    assert (found.registered, found.trouble) == ((), None)


def test_the_lead_can_approve_what_waits_and_it_goes_live(copied: Sample) -> None:
    asked = DELIVERIES[-1].steps[-1]
    assert isinstance(asked, Promote)
    waiting = told.standing(copied.store, told.key(DELIVERIES[-1], asked))
    assert waiting is not None
    clock = StoryClock(datetime.combine(UNTIL, time(9), UTC), replayed=False)
    approvals.approve(copied.store, waiting.id, actor=LEAD, clock=clock)
    assert carry.carry_out(copied.store, copied.tracking, copied.settings, waiting.id, clock=clock) is Phase.SUCCEEDED
    assert build.is_built(copied.store)


def test_building_it_again_does_nothing(copied: Sample) -> None:
    before = len(rows(copied.store, AuditEvent))
    said: list[str] = []
    build.build(copied.settings, copied.store, copied.tracking, progress=lambda _part, text: said.append(text))
    assert (said, len(rows(copied.store, AuditEvent))) == ([], before)


KILLED_BUILD = """
    import sys
    from datetime import date
    from services import settings as settings_module
    from services.sample import build
    from services.start import open_store
    from services.work.tracking import Tracking

    if __name__ == "__main__":
        settings = settings_module.load({"HEADGATE_HOME": sys.argv[1]})
        store, tracking, until = open_store(settings), Tracking(settings), date.fromisoformat(sys.argv[2])
        build.build(settings, store, tracking, until=until, progress=lambda part, text: print(text, flush=True))
"""


def build_until(script: Path, home: Path, until: date, killed_at: str | None) -> None:
    """In a process of its own, which is killed when it says that it is there (None: never)."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HEADGATE_", "MLFLOW_"))}
    environ["PYTHONPATH"] = str(PROJECT)
    command = [sys.executable, str(script), str(home), until.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=home.parent, env=environ) as process:
        assert process.stdout is not None
        heard = []
        for line in process.stdout:
            heard.append(line.strip())
            if killed_at == heard[-1]:
                clocks.sleep(0.3)
                process.kill()
                break
    assert killed_at is None or killed_at in heard
    assert process.returncode == (0 if killed_at is None else -9)


def what_was_told(store: Store) -> dict[str, list[Any]]:
    """All that two builds of the same story must agree on: not identifiers, addresses, or how long things took."""
    bundles = {bundle.id: bundle for bundle in rows(store, Bundle)}
    # The digest of a model's files is left out: they differ from one logging of the same model to the next.
    parts = [
        (bundles[p.bundle_id].number, p.kind.value, p.name, p.version, p.digest if p.kind.value != "model" else "")
        for p in rows(store, ComponentRow)
    ]
    return {
        "bundles": [(b.number, b.metrics, b.parameters, b.training_ended_at, b.at) for b in bundles.values()],
        "components": sorted(parts),
        "promotions": [
            (bundles[p.bundle_id].number, p.stage, p.phase, p.requested_by, p.requested_at, p.reason, p.rollback)
            for p in rows(store, Promotion)
        ],
        "verdicts": [
            (bundles[run.bundle_id].number, run.gate, run.verdict, run.summary, run.data_digest)
            for run in rows(store, GateRun)
        ],
        "commits": [(commit.sha, commit.at) for commit in rows(store, CommitRow)],
    }


def test_a_build_that_was_killed_is_continued_and_ends_with_the_same(sample: Sample, tmp_path: Path) -> None:
    script, home = tmp_path / "tell.py", tmp_path / "home"
    script.write_text(textwrap.dedent(KILLED_BUILD), encoding="utf-8")
    build_until(script, home, UNTIL, killed_at="2013-06: asks for staging, and its gates run")
    build_until(script, home, UNTIL + timedelta(days=1), killed_at="2013-09: trains a model")
    build_until(script, home, UNTIL + timedelta(days=1), killed_at=None)
    continued = opened(home)
    assert build.is_built(continued.store)
    assert what_was_told(continued.store) == what_was_told(sample.store)
    with continued.store.reading() as session:
        assert audit.verify(session).broken_at is None
    continued.store.close()


def test_the_month_with_the_leak_passes_without_it(tmp_path: Path) -> None:
    (leak,) = filter(leaky, DELIVERIES)
    assert isinstance(leak.makes, Retrain)
    mended = replace(leak, makes=replace(leak.makes, recipe=replace(leak.makes.recipe, extra_columns=())))
    made = opened(tmp_path / "home")
    build.build(made.settings, made.store, made.tracking, until=UNTIL, progress=silent, deliveries=[mended])
    assert set(verdicts(made.store, mended).values()) == {Verdict.PASSED}
    assert phases(made.store) == {(leak.name, stage): Phase.SUCCEEDED for stage in (story.STAGING, story.PRODUCTION)}
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
