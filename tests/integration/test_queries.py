"""What other programs and the pages read: exact shapes, on both databases."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import example
import pytest

from services.clock import StoryClock
from services.commands import approvals, bundles, deployments, gates, imports, promotions, rollbacks
from services.errors import NotFound
from services.queries import application, bundle, catalogue, differences, inbox, measures, overview, resolve, status
from services.queries import bundles as shown
from services.queries.catalogue import Only, Wanted
from services.queries.differences import Change
from services.queries.measures import Measured
from services.queries.standing import Stands
from services.rules.domain import BundleRef, Component, ComponentKind, GateOutcome, Person, Role, SlotRef, Verdict
from services.store.database import Store

PRODUCTION = SlotRef("delays", "production")


class Team:
    """Delivers without MLflow: what a worker would find is said here."""

    def __init__(self, store: Store, clock: StoryClock, maker: Person, lead: Person) -> None:
        self.store, self.clock, self.maker, self.lead = store, clock, maker, lead
        example.apply(store, maker, clock, lead)

    def make(self, version: int) -> BundleRef:
        self.clock.elapse(60)
        ref = example.register(self.store, self.maker, self.clock, version).ref
        self.carry("development")
        return ref

    def carry(self, stage: str) -> None:
        target = deployments.take_lease(self.store, SlotRef("delays", stage), owner="machine")
        assert target is not None
        deployments.mark_writing(self.store, target, owner="machine", clock=self.clock)
        self.clock.elapse(1)
        deployments.complete(self.store, target, owner="machine", clock=self.clock)

    def judge(self, verdict: Verdict = Verdict.PASSED) -> None:
        for run_id in gates.waiting(self.store):
            assert gates.claim(self.store, run_id, owner="machine", clock=self.clock)
            self.clock.elapse(1)
            found = GateOutcome(verdict, "measured", {"rows": 600})
            gates.finish(self.store, run_id, found, owner="machine", clock=self.clock)

    def ask(self, ref: BundleRef, stage: str) -> int:
        self.clock.elapse(60)
        return promotions.request(self.store, ref, stage, actor=self.maker, clock=self.clock)

    def waiting(self, ref: BundleRef) -> int:
        self.ask(ref, "staging")
        self.judge()
        self.carry("staging")
        promotion = self.ask(ref, "production")
        self.judge()
        return promotion

    def bring_live(self, ref: BundleRef) -> None:
        approvals.approve(self.store, self.waiting(ref), actor=self.lead, clock=self.clock)
        self.carry("production")


@pytest.fixture
def team(either_store: Store, clock: StoryClock, maker: Person, lead: Person) -> Team:
    return Team(either_store, clock, maker, lead)


def test_status_tells_what_serves_where_and_what_is_under_way(team: Team) -> None:
    team.bring_live(team.make(1))
    promotion = team.waiting(team.make(2))

    found = status.status(team.store)

    (told,) = found["applications"]
    assert told["name"] == "delays"
    assert [stage["stage"] for stage in told["stages"]] == ["development", "staging", "production"]
    live = told["stages"][2]
    assert live["bundle"] == "delays/1"
    assert live["since"].endswith("Z")
    assert live["promotion"] == {"id": promotion, "phase": "awaiting_approval", "bundle": "delays/2"}
    assert told["stages"][0]["promotion"] is None
    assert json.loads(json.dumps(found)) == found


def test_status_of_an_empty_store_is_empty(either_store: Store) -> None:
    assert status.status(either_store) == {"applications": []}


def test_resolve_gives_the_pinned_addresses_of_what_is_live(team: Team) -> None:
    team.bring_live(team.make(1))

    found = resolve.resolve(team.store, "delays", "production")

    assert list(found) == ["application", "stage", "bundle", "digest", "model_uri", "components"]
    assert found["bundle"] == "delays/1"
    assert found["model_uri"] == "models:/delays/1"
    assert found["components"][0] == {
        "kind": "model",
        "name": "delays",
        "version": "1",
        "uri": "models:/delays/1",
        "digest": "sha256:m1",
    }


@pytest.mark.parametrize(
    ("application_name", "stage", "said"),
    [
        ("delays", "production", "Nothing is live"),
        ("delays", "moon", "no stage"),
        ("nobody", "production", "no application"),
    ],
)
def test_resolve_says_what_is_missing(team: Team, application_name: str, stage: str, said: str) -> None:
    with pytest.raises(NotFound, match=said):
        resolve.resolve(team.store, application_name, stage)


def test_show_gives_a_bundle_with_its_conditions_for_each_stage(team: Team, clock: StoryClock) -> None:
    team.waiting(team.make(1))

    found = shown.show(team.store, BundleRef("delays", 1), clock.now())

    assert list(found) == [
        "application",
        "bundle",
        "digest",
        "components",
        "provenance_gaps",
        "metrics",
        "quarantine",
        "stages",
    ]
    assert found["quarantine"] is None
    assert found["metrics"] == {"roc_auc": 0.8}
    production = found["stages"][2]
    assert production["stage"] == "production"
    approval = next(c for c in production["conditions"] if c["name"] == "approvals")
    assert list(approval) == ["name", "met", "reason", "remedy", "since"]
    assert approval["met"] is False
    assert json.loads(json.dumps(found)) == found


def test_the_listing_is_paged_by_key(team: Team) -> None:
    for version in range(1, 6):
        team.make(version)

    first = shown.listing(team.store, "delays", limit=2)
    second = shown.listing(team.store, "delays", limit=2, before=first["next"])
    last = shown.listing(team.store, "delays", limit=2, before=second["next"])

    assert [b["bundle"] for page in (first, second, last) for b in page["bundles"]] == [
        "delays/5",
        "delays/4",
        "delays/3",
        "delays/2",
        "delays/1",
    ]
    assert last["next"] is None
    assert first["bundles"][0]["live"] == ["development"]


def test_a_difference_puts_what_changed_first_and_shows_a_prompt_as_text() -> None:
    old = (
        Component(ComponentKind.MODEL, "delays", "1", "models:/delays/1", "sha256:a"),
        Component(ComponentKind.DATASET, "train", "", "", "sha256:d", {"rows": 600, "columns": {"a": "int"}}),
        Component(ComponentKind.PROMPT, "notice", "1", "", "sha256:p", {"template": "Hello {{name}}\nBye"}),
    )
    new = (
        old[0],
        Component(ComponentKind.DATASET, "train", "", "", "sha256:e", {"rows": 700, "columns": {"b": "int"}}),
        Component(ComponentKind.PROMPT, "notice", "2", "", "sha256:q", {"template": "Dear {{name}}\nBye"}),
    )

    found = differences.difference(old, new, {"auc": 0.7}, {"auc": 0.8, "f1": 0.5})

    assert [part.kind for part in found.components] == [
        ComponentKind.DATASET,
        ComponentKind.PROMPT,
        ComponentKind.MODEL,
    ]
    dataset, prompt = found.changed
    assert ("rows", "600", "700") in [(d.name, d.old, d.new) for d in dataset.details]
    assert ("column a", "int", "(none)") in [(d.name, d.old, d.new) for d in dataset.details]
    assert "-Hello {{name}}" in prompt.text
    assert "+Dear {{name}}" in prompt.text
    assert found.unchanged[0].change is Change.UNCHANGED
    assert [(m.name, m.old, m.new) for m in found.metrics] == [("auc", 0.7, 0.8), ("f1", None, 0.5)]
    assert differences.changed_words(found) == ["dataset", "prompt 1 → 2"]


def test_the_overview_tells_this_person_what_waits_for_them(team: Team, clock: StoryClock) -> None:
    team.waiting(team.make(1))

    for person, mine in ((team.lead, 1), (team.maker, 0)):
        found = overview.overview(team.store, person, clock.now())
        assert len(found.mine) == mine
        assert len(found.mine) + len(found.others) == 1


def on_the_overview(team: Team, now: datetime) -> Measured:
    """As its page does: the events are read in a run of their own, and shown in the next."""
    measures.measured(team.store, now=now)
    found = overview.overview(team.store, team.lead, now).measured
    assert found is not None
    return found


def test_the_tiles_count_forward_deployments_and_each_model_version_once(team: Team, clock: StoryClock) -> None:
    team.bring_live(team.make(1))
    team.bring_live(team.make(2))
    rollbacks.roll_back(team.store, PRODUCTION, actor=team.lead, clock=clock, reason="Worse than before.")
    team.carry("production")
    # The same bundle again: a repromotion, which brings no new model version.
    again = team.ask(BundleRef("delays", 2), "production")
    approvals.approve(team.store, again, actor=team.lead, clock=clock)
    team.carry("production")

    found = on_the_overview(team, clock.now() + timedelta(minutes=1))

    assert found.values["deployments"].n == 3
    assert found.values["lead_time_training"].n == 2


def test_a_deployment_before_the_window_does_not_count(team: Team, clock: StoryClock) -> None:
    team.bring_live(team.make(1))

    found = on_the_overview(team, clock.now() + timedelta(days=100))

    assert found.values["deployments"].n == 0
    assert found.values["lead_time_training"].value is None


def test_the_overview_counts_applications_without_a_policy_as_the_delivery_page_does(
    team: Team, clock: StoryClock, tmp_path: Path
) -> None:
    team.bring_live(team.make(1))
    path = tmp_path / "deployments.csv"
    path.write_text(
        f"id,application,stage,bundle,finished_at\nd1,checkout,production,v1,{clock.now().isoformat()}\n",
        encoding="utf-8",
    )
    imports.deployments(team.store, path, actor=team.lead, clock=clock)
    now = clock.now() + timedelta(minutes=1)

    assert on_the_overview(team, now).values["deployments"].n == 2
    assert measures.measured(team.store, now=now).values["deployments"].n == 2


def test_the_inbox_holds_what_an_approval_signs(team: Team, clock: StoryClock) -> None:
    team.bring_live(team.make(1))
    promotion = team.waiting(team.make(2))

    (question,) = inbox.inbox(team.store, team.lead, clock.now()).mine

    assert question.promotion.id == promotion
    assert question.live is not None
    assert question.live.ref == BundleRef("delays", 1)
    assert [gate.verdict for gate in question.gates] == [Verdict.PASSED]
    assert differences.changed_words(question.difference)[0] == "model 1 → 2"
    approvals.approve(
        team.store,
        promotion,
        actor=team.lead,
        clock=clock,
        seen=question.evidence_digest,
        version=question.promotion.version,
    )


def test_whoever_may_not_approve_is_told_why(team: Team, clock: StoryClock) -> None:
    team.waiting(team.make(1))

    (question,) = inbox.inbox(team.store, team.maker, clock.now()).questions
    assert question.barred == "Approving takes the role lead."

    also_lead = Person(team.maker.name, frozenset({Role.LEAD}))
    (question,) = inbox.inbox(team.store, also_lead, clock.now()).questions
    assert question.barred == "You asked for it, and nobody approves their own."


def test_the_catalogue_is_searched_filtered_and_paged(team: Team, clock: StoryClock, lead: Person) -> None:
    for version in (1, 2, 3):
        team.make(version)
    team.ask(BundleRef("delays", 2), "staging")
    team.judge(Verdict.FAILED)
    bundles.quarantine(team.store, BundleRef("delays", 1), actor=lead, clock=clock, reason="It leaks.")

    def refs(wanted: Wanted, **more: int) -> list[int]:
        return [row.ref.number for row in catalogue.page(team.store, wanted, clock.now(), **more).rows]

    assert refs(Wanted()) == [3, 2, 1]
    assert refs(Wanted(only=Only.LIVE)) == [3]
    assert refs(Wanted(only=Only.BLOCKED)) == [2]
    assert refs(Wanted(only=Only.QUARANTINED)) == [1]
    assert refs(Wanted(stage="development")) == [3]
    assert refs(Wanted(text="delays/2")) == [2]
    assert refs(Wanted(text="train-3")) == [3]
    assert refs(Wanted(text="%")) == []
    assert refs(Wanted(application="nobody")) == []
    first = catalogue.page(team.store, Wanted(), clock.now(), size=2)
    assert first.before is not None
    assert refs(Wanted(), before=first.before, size=2) == [1]


def test_a_row_of_the_catalogue_says_what_changed_and_what_is_next(team: Team, clock: StoryClock) -> None:
    team.make(1)
    team.make(2)

    newest, oldest = catalogue.page(team.store, Wanted(), clock.now()).rows

    assert newest.changed[0] == "model 1 → 2"
    assert newest.live_in == ("development",)
    assert newest.next is not None
    assert newest.next.stage == "staging"
    assert newest.next.stands is Stands.OPEN
    assert oldest.first


def test_the_bundle_view_offers_the_same_thing_under_the_same_key(team: Team, clock: StoryClock) -> None:
    ref = team.make(1)
    offered = bundle.detail(team.store, ref, team.maker, clock.now()).stage("staging")
    assert offered is not None

    once = promotions.request(team.store, ref, "staging", actor=team.maker, clock=clock, key=offered.offer_key)
    twice = promotions.request(team.store, ref, "staging", actor=team.maker, clock=clock, key=offered.offer_key)

    assert once == twice
    later = bundle.detail(team.store, ref, team.maker, clock.now()).stage("staging")
    assert later is not None
    assert later.offer_key != offered.offer_key


def test_the_bundle_view_compares_with_what_is_live_where_it_goes_next(team: Team, clock: StoryClock) -> None:
    team.bring_live(team.make(1))
    ref = team.make(2)

    view = bundle.detail(team.store, ref, team.maker, clock.now())

    assert (view.next_stage, str(view.compared_with), view.compared_in) == ("staging", "delays/1", "staging")
    assert view.live_in == ("development",)
    assert [line.promotion.stage for line in view.history] == ["development"]


def test_the_way_back_preselects_the_last_good_bundle(team: Team, clock: StoryClock) -> None:
    for version in (1, 2, 3):
        team.bring_live(team.make(version))
    bundles.quarantine(team.store, BundleRef("delays", 2), actor=team.lead, clock=clock, reason="It leaks.")

    offer = application.rollback_offer(team.store, PRODUCTION)

    assert [way.candidate.ref.number for way in offer.ways] == [2, 1]
    assert offer.best == BundleRef("delays", 1)
    assert "model 3 → 1" in offer.ways[1].changes
    assert offer.live is not None
    assert offer.live.ref.number == 3


def test_where_nothing_was_live_before_there_is_no_way_back(team: Team) -> None:
    assert application.rollback_offer(team.store, PRODUCTION).ways == ()


def test_the_timeline_says_what_was_live_from_when_to_when(team: Team, clock: StoryClock) -> None:
    team.bring_live(team.make(1))
    team.bring_live(team.make(2))
    rollbacks.roll_back(team.store, PRODUCTION, actor=team.lead, clock=clock, reason="Worse than before.")
    team.carry("production")

    view = application.detail(team.store, "delays", clock.now())

    back, second, first = [row for row in view.timeline if row.stage == "production"]
    assert (back.ref.number, back.live_until, back.kind.value) == (1, None, "rollback")
    assert (second.ref.number, second.rolled_back, second.live_until) == (2, True, back.live_from)
    assert first.live_until == second.live_from
    production = view.stage("production")
    assert production is not None
    assert production.hold is not None
    assert production.hold.reason == "Rolled back: Worse than before."
