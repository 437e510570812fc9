"""The sample, built for real: once in one go, once by a process that is killed twice and continued. Expensive."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from samples import APPLICATION, LEAKY, PROMPT, SILENT, UNTIL, Sample, opened, phases, recipe, rows, silent, verdicts

from services import clock as clocks
from services.clock import StoryClock, WallClock
from services.commands import approvals
from services.queries import inbox, measures
from services.rules.domain import HEADGATE, DeploymentKind, Phase, Verdict
from services.rules.metrics import window
from services.sample import air_time, build, data, flight_delay, story, told
from services.sample.data import Recipe
from services.sample.people import LEAD, MAKER, PEOPLE, PLANNER
from services.sample.steps import PRODUCTION, STAGING, Delivery, Promote, Report, Retrain
from services.sample.story import DELIVERIES, Calendar
from services.store import audit
from services.store.database import Store
from services.store.models import (
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
from services.store.trouble import Drill, Incident
from services.work import carry, reconcile, sync
from services.work.tracking import bundle_name, load_pyfunc, probability_of_positive

PROJECT = Path(__file__).parents[2]
SECONDS_ALLOWED = 180


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


def named(name: str) -> Delivery:
    return next(delivery for delivery in DELIVERIES if delivery.name == name)


(IN_UTC,) = [d for d in DELIVERIES if (made := recipe(d)) and made.hours_in_utc]
(SHORT_OF_A_VARIABLE,) = [
    d for d in DELIVERIES if not isinstance(d.makes, Retrain) and "{{minutes}}" not in d.makes.template
]


def test_it_is_built_within_three_minutes_of_cores_that_are_its_own(sample: Sample) -> None:
    others = max(1.0, os.getloadavg()[1] / (os.cpu_count() or 1))  # how many share a core
    assert sample.seconds < SECONDS_ALLOWED * others
    assert build.is_built(sample.store)


def test_staging_stops_the_leak_the_silent_station_and_the_broken_notice_and_nothing_else(sample: Sample) -> None:
    assert verdicts(sample.store, LEAKY)["schema"] is Verdict.FAILED
    assert verdicts(sample.store, SILENT)["schema"] is Verdict.FAILED
    assert verdicts(sample.store, SHORT_OF_A_VARIABLE) == {
        "schema": Verdict.PASSED,
        "drift": Verdict.PASSED,
        "accuracy": Verdict.PASSED,
        "notice": Verdict.FAILED,
    }
    stopped = {
        name for (name, stage), phase in phases(sample.store).items() if (stage, phase) == (STAGING, Phase.BLOCKED)
    }
    assert stopped == {LEAKY.name, SILENT.name, SHORT_OF_A_VARIABLE.name}
    assert all((name, PRODUCTION) not in phases(sample.store) for name in stopped)


def test_production_stops_one_model_that_is_worse_than_live_and_one_of_which_nobody_can_say(sample: Sample) -> None:
    stopped = [
        run for run in rows(sample.store, GateRun) if run.stage == PRODUCTION and run.verdict is not Verdict.PASSED
    ]
    assert [(run.gate, run.verdict, run.decision) for run in stopped] == [
        ("accuracy-vs-live", Verdict.FAILED, "defect"),
        ("accuracy-vs-live", Verdict.INCONCLUSIVE, "false"),
    ]
    assert stopped[0].evidence["high"] < -stopped[0].evidence["margin"]
    assert stopped[1].evidence["rows_to_decide"] > stopped[1].evidence["n"]
    more = verdicts(sample.store, named("2013-10, judged on the whole month"), PRODUCTION)
    assert more["accuracy-vs-live"] is Verdict.PASSED


def test_everything_else_passes_its_gates(sample: Sample) -> None:
    enforcing = [run for run in rows(sample.store, GateRun) if run.gate != "drift"]
    no = [run for run in enforcing if run.verdict is not Verdict.PASSED]
    assert {run.bundle_id for run in no} == {run.bundle_id for run in no if run.decision}
    assert len({run.bundle_id for run in no}) == 5
    assert len({run.bundle_id for run in enforcing}) == len(DELIVERIES)


def test_drift_in_shadow_fails_where_something_moved_and_blocks_nothing(sample: Sample) -> None:
    assert {run.mode.value for run in rows(sample.store, GateRun) if run.gate == "drift"} == {"shadow"}
    failed = {d.name for d in flight_delay.DELIVERIES if verdicts(sample.store, d)["drift"] is Verdict.FAILED}
    assert {IN_UTC.name, SILENT.name} < failed
    assert phases(sample.store)[IN_UTC.name, STAGING] is Phase.SUCCEEDED
    assert any(run.warnings for run in rows(sample.store, GateRun) if run.gate == "drift" and run.verdict == "passed")


def test_the_model_with_the_leak_looks_far_better_than_all_others(sample: Sample) -> None:
    scores = sorted(bundle.metrics["roc_auc"] for bundle in rows(sample.store, Bundle) if "roc_auc" in bundle.metrics)
    assert scores[-1] > 0.9
    assert scores[-2] < 0.8


def test_one_was_rejected_with_a_reason_and_the_last_alone_waits_for_the_lead(sample: Sample) -> None:
    ended = {name: phase for (name, stage), phase in phases(sample.store).items() if stage == PRODUCTION}
    assert list(ended.values()).count(Phase.REJECTED) == 1
    assert [name for name, phase in ended.items() if phase is Phase.AWAITING_APPROVAL] == [
        flight_delay.DELIVERIES[-1].name
    ]
    (rejected,) = [p for p in rows(sample.store, Promotion) if p.phase is Phase.REJECTED]
    assert rejected.note
    (waits,) = inbox.inbox(sample.store, LEAD, datetime.combine(UNTIL, time(), UTC)).mine
    assert waits.promotion.ref.application == APPLICATION


def test_one_was_rolled_back_and_quarantined_and_the_rollback_took_as_long_as_it_took(sample: Sample) -> None:
    backs = [p for p in rows(sample.store, Promotion) if p.rollback and not p.drill]
    assert {(p.stage, p.phase, p.requested_by) for p in backs} == {
        (PRODUCTION, Phase.SUCCEEDED, LEAD.name),
        (STAGING, Phase.SUCCEEDED, LEAD.name),
    }
    assert all(p.reason for p in backs)
    deployed = [d for d in rows(sample.store, Deployment) if d.promotion_id in {p.id for p in backs}]
    assert all(d.blames is not None and d.finished_at - d.requested_at < timedelta(minutes=1) for d in deployed)
    blamed = next(d for d in rows(sample.store, Deployment) if d.id == deployed[0].blames)
    (quarantined,) = [bundle for bundle in rows(sample.store, Bundle) if bundle.quarantined_at]
    assert (quarantined.id, quarantined.quarantined_by) == (blamed.bundle_id, LEAD.name)


def test_three_incidents_one_of_them_inferred_one_mended_by_a_hotfix(sample: Sample) -> None:
    found = {incident.title: incident for incident in rows(sample.store, Incident)}
    reported = [step for d in DELIVERIES for step in d.steps if isinstance(step, Report)]
    assert set(found) == {step.title for step in reported}
    assert all(one.resolved_at and one.done and one.caught_by and one.caused_by for one in found.values())
    assert sorted(one.inferred for one in found.values()) == [False, False, True]
    (hotfix,) = [d for d in rows(sample.store, Deployment) if d.kind is DeploymentKind.HOTFIX]
    mended = next(one for one in found.values() if hotfix.fixes == f"incident/{one.id}")
    assert (hotfix.application, hotfix.planned, mended.application) == ("air-time", False, "air-time")
    assert mended.impact_started_at < hotfix.finished_at < mended.resolved_at


def test_a_drill_in_staging_passed_and_left_it_as_it_was(sample: Sample) -> None:
    (drill,) = rows(sample.store, Drill)
    assert (drill.stage, drill.outcome, drill.requested_by) == (STAGING, "passed", LEAD.name)
    assert 0 < drill.back_seconds < 60
    assert 0 < drill.forward_seconds < 60


def test_the_delivery_metrics_of_the_year_are_all_there_and_nothing_of_it_is_an_artefact(sample: Sample) -> None:
    whole = window(UNTIL - timedelta(days=360), UNTIL, "UTC")
    found = measures.measured(sample.store, within=whole, as_of=datetime.combine(UNTIL, time(), UTC))
    assert found.quality == ()
    shares = {name: found.values[name] for name in ("change_fail_rate", "gate_catch_rate", "false_block_rate")}
    assert all(value.value and value.value < 1 for value in shares.values())
    assert found.values["deployments"].value == 18
    leads = [sample.value for sample in found.values["change_lead_time"].samples]
    assert len(set(leads)) > len(leads) / 2
    assert min(leads) > 1
    assert found.values["wait_queue"].value
    assert found.values["unattributed_incidents"].value == 0


def test_a_prompt_alone_made_a_bundle_with_the_same_model(sample: Sample) -> None:
    mine = {bundle.id for bundle in rows(sample.store, Bundle) if bundle.application == APPLICATION}
    by_bundle: dict[int, dict[str, str]] = {}
    for part in rows(sample.store, ComponentRow):
        if part.bundle_id in mine:
            by_bundle.setdefault(part.bundle_id, {})[f"{part.kind.value} {part.name}"] = part.digest
    models = [parts[f"model {APPLICATION}"] for _, parts in sorted(by_bundle.items())]
    prompts = [parts[f"prompt {PROMPT}"] for _, parts in sorted(by_bundle.items())]
    assert len(models) - len(set(models)) == 2
    assert len(set(prompts)) == 3


def test_every_bundle_has_its_parts_its_commits_and_no_gap(sample: Sample) -> None:
    committed = {commit.bundle_id for commit in rows(sample.store, CommitRow)}
    for bundle in rows(sample.store, Bundle):
        kinds = {part.kind.value for part in rows(sample.store, ComponentRow) if part.bundle_id == bundle.id}
        prompts, maker = ({"prompt"}, MAKER) if bundle.application == APPLICATION else (set(), PLANNER)
        assert kinds == {"model", "dataset", "code", "environment"} | prompts
        assert (bundle.gaps, bundle.maker) == ([], maker.name)
        assert bundle.id in committed


def test_what_was_stopped_travels_with_its_commits_in_the_next_one(sample: Sample) -> None:
    numbers = {b.id: b.number for b in rows(sample.store, Bundle) if b.application == APPLICATION}
    by_number: dict[int, set[str]] = {}
    for commit in rows(sample.store, CommitRow):
        if commit.bundle_id in numbers:
            by_number.setdefault(numbers[commit.bundle_id], set()).add(commit.sha)
    leaky, after = (flight_delay.DELIVERIES.index(LEAKY) + place for place in (1, 2))
    assert by_number[leaky] < by_number[after]
    assert not by_number[after] & by_number[after + 1]


def test_all_of_it_is_marked_as_replayed_and_lies_before_the_day_it_is_told_until(sample: Sample) -> None:
    calendar, end = Calendar(UNTIL), datetime.combine(UNTIL, time(), UTC)
    for table in (Bundle, Promotion, Approval, GateRun, Deployment, Incident, Drill, AuditEvent):
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
    trained = [d for d in DELIVERIES if isinstance(d.makes, Retrain)]
    versions = [v for application in story.APPLICATIONS for v in sample.tracking.versions(application.name)]
    assert len(versions) == len(trained)
    for version, delivery in zip(versions, trained, strict=True):
        assert version.run_id is not None
        assert isinstance(delivery.makes, Retrain)
        run = sample.tracking.run(version.run_id)
        begun = calendar.at(delivery.month, delivery.makes.at)
        assert (run.user, run.started_at) == (delivery.makes.by.name, begun)
        assert run.ended_at == begun + timedelta(minutes=delivery.makes.minutes)
        assert version.registered_at > run.ended_at
        cutoff = datetime.fromisoformat(run.tags["headgate.data_cutoff"])
        assert cutoff == calendar.cutoff(delivery.makes.recipe) < run.started_at
        commits = [datetime.fromisoformat(at) for _sha, at in json.loads(run.tags["headgate.commits"])]
        assert commits
        assert max(commits) < begun


def test_the_slots_and_mlflows_aliases_agree_and_the_pointers_load(copied: Sample) -> None:
    found = reconcile.reconcile(copied.store, copied.tracking, clock=WallClock())
    assert {(f.slot.application, f.slot.stage) for f in found} == {
        *((APPLICATION, stage) for stage in ("development", STAGING, PRODUCTION)),
        *((air_time.APPLICATION.name, stage) for stage in (STAGING, PRODUCTION)),
    }
    assert all(f.agrees and not f.repaired for f in found)
    delays, air_times = (data.split(Recipe(12, task=task)).evaluation for task in (data.DELAYS, data.AIR_TIMES))
    model = load_pyfunc(copied.settings.tracking_uri, f"models:/{bundle_name(APPLICATION)}@production")
    chances = probability_of_positive(model, delays[list(data.DELAYS.features)])
    assert 0.0 < chances.min() < chances.max() < 1.0
    model = load_pyfunc(copied.settings.tracking_uri, f"models:/{bundle_name('air-time')}@production")
    minutes = model.predict(air_times[list(data.AIR_TIMES.features)])
    assert 15 < min(minutes) < max(minutes) < 720


def test_the_three_people_are_known_as_the_samples(sample: Sample) -> None:
    known = {person.name: person for person in rows(sample.store, Known)}
    assert {name for name, person in known.items() if person.sample} == {person.name for person in PEOPLE}


def test_looking_for_new_bundles_afterwards_finds_none(copied: Sample) -> None:
    for found in sync.sync(copied.store, copied.tracking, copied.settings, actor=HEADGATE, clock=WallClock()):
        assert (found.registered, found.trouble) == ((), None)


def test_the_lead_can_approve_what_waits_and_it_goes_live(copied: Sample) -> None:
    last = flight_delay.DELIVERIES[-1]
    asked = last.steps[-1]
    assert isinstance(asked, Promote)
    waiting = told.standing(copied.store, told.key(last, asked))
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


FIRST_MONTHS = [*flight_delay.DELIVERIES[:3], *air_time.DELIVERIES[:1]]
KILLED_BUILD = """
    import sys
    from datetime import date
    from services import settings as settings_module
    from services.sample import build
    from services.sample.story import DELIVERIES
    from services.start import open_store
    from services.work.tracking import Tracking

    if __name__ == "__main__":
        settings = settings_module.load({"HEADGATE_HOME": sys.argv[1]})
        store, tracking, until = open_store(settings), Tracking(settings), date.fromisoformat(sys.argv[2])
        deliveries = [delivery for delivery in DELIVERIES if delivery.name in sys.argv[3].split(";")]
        say = lambda part, text: print(text, flush=True)
        build.build(settings, store, tracking, until=until, progress=say, deliveries=deliveries)
"""


def build_until(script: Path, home: Path, until: date, killed_at: str | None) -> None:
    """In a process of its own, which is killed when it says that it is there (None: never)."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HEADGATE_", "MLFLOW_"))}
    environ["PYTHONPATH"] = str(PROJECT)
    command = [sys.executable, str(script), str(home), until.isoformat(), ";".join(d.name for d in FIRST_MONTHS)]
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
        "bundles": [
            (b.application, b.number, b.metrics, b.parameters, b.training_ended_at, b.at) for b in bundles.values()
        ],
        "components": parts,
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
    build_until(script, home, UNTIL, killed_at="2013-02: asks for staging, and its gates run")
    build_until(script, home, UNTIL + timedelta(days=1), killed_at="2013-03: trains a model")
    build_until(script, home, UNTIL + timedelta(days=1), killed_at=None)
    continued = opened(home)
    assert build.is_built(continued.store)
    whole = what_was_told(sample.store)
    for what, told_again in what_was_told(continued.store).items():
        assert told_again
        assert told_again == whole[what][: len(told_again)]
    with continued.store.reading() as session:
        assert audit.verify(session).broken_at is None
    continued.store.close()
