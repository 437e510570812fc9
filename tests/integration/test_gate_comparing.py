"""Gates that compare with what is live: real models in a real MLflow, and readiness when what is live changes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import example
import mlflow
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sqlmodel import col, select

from services.clock import StoryClock
from services.commands import gates, promotions
from services.rules import readiness
from services.rules.domain import Action, BundleRef, Component, ComponentKind, Person, Phase, RunState, Verdict
from services.settings import Settings
from services.store import lookups
from services.store.database import Store
from services.store.facts import load_one
from services.store.lookups import components_of
from services.store.models import GateRun
from services.work import carry, deploy, runs, sync
from services.work.gates import runner
from services.work.gates.task import GateTask
from services.work.tracking import Tracking
from services.work.tracking.client import use_globally

POLICY = """
[application]
name = "delays"

[components]
model = "delays"
prompts = ["notice"]

[data]
target = "late"
features = ["hour", "wind"]

[[stages]]
name = "development"
auto = true

[[stages]]
name = "production"
gates = ["no-worse", "drift"]

[gates.no-worse]
kind = "baseline"
metric = "roc_auc"
margin = 0.02

[gates.drift]
kind = "drift"
mode = "shadow"
"""


@pytest.fixture
def tracking(settings: Settings) -> Tracking:
    return Tracking(settings)


@pytest.fixture
def workshop(settings: Settings, tracking: Tracking, tmp_path: Path) -> example.Workshop:
    return example.Workshop(settings, tracking, tmp_path / "data")


class Team:
    def __init__(self, store: Store, settings: Settings, tracking: Tracking, clock: StoryClock, maker: Person) -> None:
        self.store, self.settings, self.tracking, self.clock, self.maker = store, settings, tracking, clock, maker
        example.apply(store, maker, clock, text=POLICY)

    def sync(self) -> BundleRef:
        (found,) = sync.sync(self.store, self.tracking, self.settings, actor=self.maker, clock=self.clock)
        (made,) = found.registered
        assert self.carry(made.promotion_id) is Phase.SUCCEEDED
        return made.ref

    def carry(self, promotion_id: int | None) -> Phase:
        assert promotion_id is not None
        self.clock.elapse(60)
        return carry.carry_out(self.store, self.tracking, self.settings, promotion_id, clock=self.clock)

    def promote(self, ref: BundleRef) -> Phase:
        return self.carry(promotions.request(self.store, ref, "production", actor=self.maker, clock=self.clock))

    def run_gates(self, ref: BundleRef) -> None:
        for run_id in gates.request(self.store, ref, "production", actor=self.maker, clock=self.clock):
            runs.carry_out(self.store, self.settings, run_id, owner=deploy.new_owner(), clock=self.clock)

    def result(self, ref: BundleRef, gate: str) -> GateRun:
        with self.store.reading() as session:
            bundle = lookups.bundle(session, ref)
            asked = select(GateRun).where(
                GateRun.bundle_id == bundle.id, GateRun.stage == "production", GateRun.gate == gate
            )
            found = session.exec(asked.order_by(col(GateRun.id).desc())).first()
            assert found is not None
            assert found.state is RunState.FINISHED
            session.expunge(found)
            return found

    def gates_condition(self, ref: BundleRef) -> tuple[bool, str]:
        facts = self.facts(ref)
        (found,) = [c for c in readiness.conditions(facts, Action.PROMOTE, self.clock.now()) if c.name == "gates"]
        return found.met, found.reason

    def facts(self, ref: BundleRef) -> readiness.Facts:
        with self.store.reading() as session:
            bundle_id = lookups.bundle(session, ref).id
            assert bundle_id is not None
            return load_one(session, bundle_id, "production")

    def id_of(self, ref: BundleRef) -> int:
        return self.facts(ref).bundle_id

    def components(self, ref: BundleRef) -> tuple[Component, ...]:
        with self.store.reading() as session:
            return components_of(session, self.id_of(ref))

    def task(self, ref: BundleRef, live: BundleRef | None = None, **definition: Any) -> GateTask:
        """What a run of the baseline gate would be given."""
        return GateTask(
            "no-worse",
            {"kind": "baseline", "metric": "roc_auc", "margin": 0.02, "confidence": 0.95, **definition},
            "delays",
            self.components(ref),
            data={
                "training": {"input": "training"},
                "evaluation": {"input": "evaluation"},
                "target": "late",
                "features": example.FEATURES,
            },
            tracking_uri=self.settings.tracking_uri,
            live=self.components(live) if live else None,
            live_ref=str(live) if live else "",
        )


@pytest.fixture
def team(store: Store, settings: Settings, tracking: Tracking, clock: StoryClock, maker: Person) -> Team:
    return Team(store, settings, tracking, clock, maker)


def test_a_result_counts_only_against_what_is_live_now(team: Team, workshop: example.Workshop) -> None:
    workshop.write_notice()
    # given a first bundle, which nothing is live to be compared with
    workshop.train(seed=7)
    first = team.sync()
    assert team.promote(first) is Phase.SUCCEEDED
    for gate in ("no-worse", "drift"):
        assert team.result(first, gate).warnings == ["Nothing to compare with."]
        assert team.result(first, gate).live_bundle_id is None
    # then, live itself, it keeps the result it arrived with
    assert team.gates_condition(first) == (True, "1 gate passed.")

    # given a second and a third, both compared with the first
    workshop.train(seed=21)
    second = team.sync()
    workshop.train(seed=33)
    third = team.sync()
    for ref in (second, third):
        team.run_gates(ref)
        result = team.result(ref, "no-worse")
        assert (result.verdict, result.live_bundle_id) == (Verdict.PASSED, team.id_of(first))
        assert result.evidence["live"] == str(first)
        assert result.evidence["n"] == 1_500
        assert team.gates_condition(ref)[0]

    # when the second goes live
    assert team.promote(second) is Phase.SUCCEEDED

    # then the third was compared with what is no longer live, and has to be compared again
    assert team.gates_condition(third) == (False, "no-worse was compared with what is no longer live.")
    facts = team.facts(third)
    (gate,) = [gate for gate in facts.gates if gate.gate == "no-worse"]
    assert facts.rules is not None
    assert readiness.needs_run(gate, facts.rules, team.clock.now())
    # and asking for its promotion does that
    assert team.promote(third) is Phase.SUCCEEDED
    assert team.result(third, "no-worse").live_bundle_id == team.id_of(second)


def test_a_run_is_judged_against_what_is_live_when_it_starts_and_not_when_it_was_asked_for(
    team: Team, workshop: example.Workshop
) -> None:
    workshop.write_notice()
    workshop.train(seed=7)
    first = team.sync()
    workshop.train(seed=21)
    second = team.sync()
    (asked, _) = gates.request(team.store, second, "production", actor=team.maker, clock=team.clock)
    assert team.promote(first) is Phase.SUCCEEDED
    claim = gates.claim(team.store, asked, owner="me", clock=team.clock)
    assert claim is not None
    assert claim.live is not None
    assert claim.live.ref == first
    assert claim.live.components == team.components(first)


def test_drift_in_shadow_is_shown_and_blocks_nothing(team: Team, workshop: example.Workshop) -> None:
    workshop.write_notice()
    workshop.train(seed=7)
    team.promote(team.sync())
    # given training data whose wind is another
    workshop.train(seed=21, extra={"wind": 40.0})
    windy = team.sync()
    team.run_gates(windy)
    result = team.result(windy, "drift")
    assert result.verdict is Verdict.FAILED
    assert result.evidence["columns"][0]["column"] == "wind"
    assert "drift" not in team.gates_condition(windy)[1]


def test_a_prompt_alone_is_the_same_model_and_the_same_data(team: Team, workshop: example.Workshop) -> None:
    workshop.write_notice()
    workshop.train(seed=7)
    first = team.sync()
    team.promote(first)
    workshop.write_notice("We are sorry: {{airline}} is {{minutes}} minutes late.")
    second = team.sync()
    assert team.promote(second) is Phase.SUCCEEDED
    assert team.result(second, "no-worse").summary == f"The same model is live, in {first}."
    assert team.result(second, "drift").summary == f"It was trained on the same data as {first}, which is live."


# What cannot be asked


def judged(task: GateTask) -> Any:
    return runner.run(task, seconds=120, memory_mib=4096, progress=lambda _text: None)


def folder_of(team: Team, ref: BundleRef) -> Path:
    (model,) = [c for c in team.components(ref) if c.kind is ComponentKind.MODEL]
    where = team.tracking.client.get_logged_model(model.details["model_id"]).artifact_location
    return Path(where.removeprefix("file://"))


def test_a_live_model_that_is_gone_or_changed_is_errored_in_words(team: Team, workshop: example.Workshop) -> None:
    workshop.write_notice()
    workshop.train(seed=7)
    live = team.sync()
    workshop.train(seed=21)
    candidate = team.sync()
    assert judged(team.task(candidate, live)).verdict is Verdict.PASSED
    # when a server left bytecode beside it, nothing has changed
    (folder_of(team, live) / "code" / "__pycache__").mkdir(parents=True)
    (folder_of(team, live) / "code" / "__pycache__" / "own.cpython-311.pyc").write_bytes(b"bytecode")
    assert judged(team.task(candidate, live)).verdict is Verdict.PASSED
    # when somebody touches its files
    with (folder_of(team, live) / "requirements.txt").open("a") as requirements:
        requirements.write("\nleft-pad==1.0\n")
    outcome = judged(team.task(candidate, live))
    assert outcome.verdict is Verdict.ERRORED
    assert f"The live model of {live} cannot be asked." in outcome.summary
    assert "changed since the bundle was made" in outcome.summary
    # and the same of the candidate, whatever the gate
    outcome = judged(team.task(live, kind="evaluation", min=0.6))
    assert outcome.verdict is Verdict.ERRORED
    assert "changed since the bundle was made" in outcome.summary
    # when they are gone
    shutil.rmtree(folder_of(team, live))
    outcome = judged(team.task(candidate, live))
    assert outcome.verdict is Verdict.ERRORED
    assert f"The live model of {live} cannot be asked." in outcome.summary


def test_a_live_model_that_takes_other_inputs_is_errored_in_words(team: Team, workshop: example.Workshop) -> None:
    workshop.write_notice()
    workshop.train(seed=7)
    live = team.sync()
    workshop.train(seed=21)
    task = team.task(team.sync(), live)
    assert task.live is not None
    inputs = [{"name": name, "type": "double"} for name in (*example.FEATURES, "visib")]
    others = tuple(
        replace(c, details={**c.details, "signature": {"inputs": inputs}}) if c.kind is ComponentKind.MODEL else c
        for c in task.live
    )
    outcome = judged(replace(task, live=others))
    assert outcome.verdict is Verdict.ERRORED
    assert f"The live model of {live} takes 'visib', which the held-out data lacks" in outcome.summary


def logged(team: Team, estimator: Any, **how: Any) -> Component:
    """A model logged as its maker likes, and not as Headgate would."""
    rows = example.frame()
    features, target = rows[example.FEATURES], rows["late"]
    use_globally(team.settings.tracking_uri)
    experiment = team.tracking.experiment("others")
    with mlflow.start_run(experiment_id=experiment):
        info = mlflow.sklearn.log_model(
            estimator.fit(features, target),
            name="model",
            signature=infer_signature(features, target),
            pip_requirements=["scikit-learn"],
            **how,
        )
    signature = {"inputs": [{"name": name, "type": "double"} for name in example.FEATURES]}
    return Component(ComponentKind.MODEL, "other", "1", info.model_uri, details={"signature": signature})


def with_model(task: GateTask, model: Component) -> GateTask:
    data = tuple(c for c in task.components if c.kind is not ComponentKind.MODEL)
    return replace(task, components=(model, *data))


class HomeMade(FunctionTransformer):
    """A step of the maker's own."""


def test_a_type_nobody_trusts_is_not_loaded_unless_the_worker_is_told_to(
    team: Team, workshop: example.Workshop
) -> None:
    workshop.write_notice()
    workshop.train()
    task = team.task(team.sync(), kind="evaluation", min=0.6)
    name = f"{HomeMade.__module__}.HomeMade"
    # given a model whose own file says that its type is to be trusted
    model = logged(
        team,
        make_pipeline(HomeMade(), LogisticRegression()),
        serialization_format="skops",
        skops_trusted_types=[name],
    )
    # then that file is not believed
    outcome = judged(with_model(task, model))
    assert outcome.verdict is Verdict.ERRORED
    assert f"holds a type that Headgate does not know, so it was not loaded: {name}." in outcome.summary
    assert "HEADGATE_TRUSTED_TYPES" in outcome.summary
    # and whoever runs the worker is
    assert judged(replace(with_model(task, model), trusted_types=(name,))).verdict is Verdict.PASSED


@pytest.mark.parametrize("how", ["pickle", "cloudpickle"])
def test_a_pickle_is_asked_in_the_child_alone_and_the_result_says_so(
    team: Team, workshop: example.Workshop, how: str
) -> None:
    workshop.write_notice()
    workshop.train()
    task = team.task(team.sync(), kind="evaluation", min=0.6)
    outcome = judged(with_model(task, logged(team, LogisticRegression(), serialization_format=how)))
    assert outcome.verdict is Verdict.PASSED, outcome.summary
    assert "The model is a pickle: its code ran in the gate's child process." in outcome.warnings


def test_lines_of_progress_that_come_too_fast_are_not_lost(team: Team, workshop: example.Workshop) -> None:
    workshop.write_notice()
    workshop.train()
    ref = team.sync()
    (run_id, _) = gates.request(team.store, ref, "production", actor=team.maker, clock=team.clock)
    assert gates.claim(team.store, run_id, owner="me", clock=team.clock)
    voice = runs._Voice(team.store, run_id, "me")
    for text in ("reading", "loading", "scoring"):
        voice.say(text)
    assert progress_of(team, run_id) == "reading"
    assert voice.still_mine()
    assert progress_of(team, run_id) == "scoring"


def progress_of(team: Team, run_id: int) -> str:
    with team.store.reading() as session:
        run = session.get(GateRun, run_id)
        assert run is not None
        return run.progress
