"""Policies, asking for promotions, automation, and the record of it all, as commands. On both databases."""

from __future__ import annotations

from dataclasses import replace

import example
import pytest
from hands import Team, deploy, judge
from sqlmodel import select

from services.clock import StoryClock
from services.commands import approvals, bundles, gates, holds, policies, promotions, rollbacks
from services.errors import ConditionsNotMet, Conflict, NotAllowed, NotFound, PolicyInvalid
from services.rules.domain import BundleRef, Person, Phase, Role, SlotRef, Verdict
from services.store import audit
from services.store.database import Store
from services.store.models import AuditEvent, GateRun

PRODUCTION = SlotRef("delays", "production")


@pytest.fixture
def team(either_store: Store, clock: StoryClock, maker: Person, lead: Person) -> Team:
    return Team(either_store, clock, maker, lead)


def actions(store: Store) -> list[str]:
    with store.reading() as session:
        return list(session.exec(select(AuditEvent.action).order_by(AuditEvent.seq)))  # type: ignore[arg-type]


# Policies


def test_a_quorum_that_nobody_can_reach_is_refused_with_what_to_write(team: Team) -> None:
    text = example.POLICY.replace("approvals = 1", "approvals = 3")
    with pytest.raises(PolicyInvalid) as caught:
        policies.apply(team.store, text, actor=team.maker, clock=team.clock)
    assert caught.value.mistakes == (
        "stages.2.approvals: 3 different people with the role lead are asked for, and only lou has it; "
        "write approvals = 1, or let the others log in first",
    )


def test_somebody_who_is_alone_is_told_to_allow_self_approval(either_store: Store, clock: StoryClock) -> None:
    me = Person("me", frozenset(Role))
    with pytest.raises(PolicyInvalid, match="me is the only person here") as caught:
        policies.apply(either_store, example.POLICY, actor=me, clock=clock)
    assert "write self_approval = true" in caught.value.mistakes[0]
    alone = example.POLICY.replace("approvals = 1", "approvals = 1\nself_approval = true")
    assert policies.apply(either_store, alone, actor=me, clock=clock).revision == 1


def test_a_dry_run_and_a_refused_policy_store_nothing(team: Team) -> None:
    before = actions(team.store)
    text = example.POLICY.replace("min = 0.70", "min = 0.75")
    found = policies.apply(team.store, text, actor=team.maker, clock=team.clock, dry_run=True)
    assert (found.revision, found.changes) == (0, ("gates.accuracy.min: 0.7 -> 0.75",))
    with pytest.raises(PolicyInvalid):
        policies.apply(team.store, text.replace("0.75", "7.5"), actor=team.maker, clock=team.clock)
    assert actions(team.store) == before


def test_the_same_rules_again_make_no_new_revision(team: Team) -> None:
    again = policies.apply(team.store, "# said again\n" + example.POLICY, actor=team.maker, clock=team.clock)
    assert (again.revision, again.changes) == (1, ())


def test_who_only_views_may_do_nothing(team: Team, viewer: Person) -> None:
    ref, promotion = team.waiting()
    slot, store, clock = PRODUCTION, team.store, team.clock
    for attempt in (
        lambda: policies.apply(store, example.POLICY, actor=viewer, clock=clock),
        lambda: bundles.register(store, example.draft(9), actor=viewer, clock=clock),
        lambda: promotions.request(store, ref, "production", actor=viewer, clock=clock),
        lambda: promotions.withdraw(store, promotion, actor=viewer, clock=clock),
        lambda: approvals.approve(store, promotion, actor=viewer, clock=clock),
        lambda: approvals.reject(store, promotion, actor=viewer, clock=clock, comment="No."),
        lambda: gates.request(store, ref, "production", actor=viewer, clock=clock),
        lambda: bundles.quarantine(store, ref, actor=viewer, clock=clock, reason="No."),
        lambda: holds.lift(store, slot, actor=viewer, clock=clock),
        lambda: rollbacks.roll_back(store, slot, actor=viewer, clock=clock, reason="No."),
    ):
        with pytest.raises(NotAllowed) as caught:
            attempt()
        assert caught.value.message.startswith("vic may not ")


# Asking


def test_the_same_click_is_the_same_promotion(team: Team) -> None:
    ref = team.stage(1)
    asked = [
        promotions.request(team.store, ref, "production", actor=team.maker, clock=team.clock, key="click")
        for _ in range(2)
    ]
    assert asked[0] == asked[1]
    assert actions(team.store).count("promotion.requested") == 3  # development, staging, production


def test_a_second_promotion_into_a_slot_is_a_conflict_that_names_the_first(team: Team) -> None:
    _, first = team.waiting(1)
    other = team.stage(2)
    with pytest.raises(Conflict, match="delays/1 is on its way to production") as caught:
        team.ask(other)
    assert caught.value.remedy == f"Decide or withdraw it first: `headgate withdraw {first}`."
    with pytest.raises(Conflict, match=f"on its way to production already: promotion {first}"):
        team.ask(BundleRef("delays", 1))


def test_what_is_live_is_not_promoted_again(team: Team) -> None:
    ref = team.live(1)
    with pytest.raises(Conflict, match="is live in production already"):
        team.ask(ref)


def test_out_of_order_is_refused_with_the_stage_to_promote_to_first(team: Team) -> None:
    ref = team.make(1)
    with pytest.raises(ConditionsNotMet) as caught:
        team.ask(ref)
    (said,) = caught.value.conditions
    assert said.name == "previous stage"
    assert "headgate promote delays/1 --to staging" in said.remedy
    assert "promotion.requested" in actions(team.store)
    assert len([a for a in actions(team.store) if a == "promotion.requested"]) == 1


def test_what_does_not_exist_is_not_found(team: Team) -> None:
    ref = team.make(1)
    with pytest.raises(NotFound, match="has no stage 'moon'") as caught:
        team.ask(ref, "moon")
    assert "development, staging, production" in caught.value.remedy
    with pytest.raises(NotFound, match="There is no bundle delays/9"):
        team.ask(BundleRef("delays", 9))
    with pytest.raises(NotFound, match="There is no application 'nobody'"):
        team.ask(BundleRef("nobody", 1))
    with pytest.raises(NotFound, match="There is no promotion 99"):
        team.approve(99)


def test_a_quarantined_bundle_goes_nowhere_and_can_be_let_go_again(team: Team) -> None:
    ref = team.stage(1)
    bundles.quarantine(team.store, ref, actor=team.lead, clock=team.clock, reason="It leaks.")
    with pytest.raises(ConditionsNotMet, match="Quarantined by lou: It leaks"):
        team.ask(ref)
    with pytest.raises(Conflict, match="quarantined already"):
        bundles.quarantine(team.store, ref, actor=team.lead, clock=team.clock, reason="Again.")
    bundles.unquarantine(team.store, ref, actor=team.lead, clock=team.clock, reason="It does not.")
    assert team.phase(team.ask(ref)) is Phase.AWAITING_APPROVAL


def test_a_bundle_quarantined_while_it_waits_cannot_be_approved(team: Team) -> None:
    ref, promotion = team.waiting()
    bundles.quarantine(team.store, ref, actor=team.lead, clock=team.clock, reason="It leaks.")
    with pytest.raises(ConditionsNotMet, match="It leaks"):
        team.approve(promotion)
    assert team.phase(promotion) is Phase.AWAITING_APPROVAL


# Automation


def test_a_new_bundle_enters_a_stage_with_auto_by_itself(team: Team) -> None:
    made = example.register(team.store, team.maker, team.clock, 1)
    assert made.promotion_id is not None
    entered = team.promotion(made.promotion_id)
    assert (entered.automatic, entered.requested_by, entered.phase) == (True, "headgate", Phase.DEPLOYING)


def test_the_same_components_are_the_same_bundle(team: Team) -> None:
    first = example.register(team.store, team.maker, team.clock, 1)
    again = example.register(team.store, team.maker, team.clock, 1)
    assert (again.created, again.ref) == (False, first.ref)


def test_a_newer_bundle_takes_the_place_of_an_older_one_that_automation_still_gates(
    either_store: Store, clock: StoryClock, maker: Person, lead: Person
) -> None:
    gated = example.POLICY.replace("auto = true", 'auto = true\ngates = ["notice"]')
    team = Team(either_store, clock, maker, lead, gated)
    first = example.register(either_store, maker, clock, 1)
    second = example.register(either_store, maker, clock, 2)
    assert first.promotion_id is not None
    assert second.promotion_id is not None
    assert team.phase(first.promotion_id) is Phase.SUPERSEDED
    judge(either_store, clock)
    assert team.phase(second.promotion_id) is Phase.DEPLOYING
    with either_store.reading() as session:
        older = session.exec(select(GateRun).where(GateRun.promotion_id == first.promotion_id)).one()
        assert (older.verdict, older.summary) == (Verdict.SKIPPED, "Not run: delays/2 took the place of delays/1.")


def test_while_one_deploys_a_newer_bundle_is_registered_and_does_not_enter(team: Team) -> None:
    example.register(team.store, team.maker, team.clock, 1)
    second = example.register(team.store, team.maker, team.clock, 2)
    assert (second.created, second.promotion_id) == (True, None)
    assert second.not_entered == ("delays/1 is on its way to development (deploying).",)


def test_a_hold_keeps_automation_out_and_not_people(team: Team) -> None:
    team.make(1)
    holds.set_(team.store, SlotRef("delays", "development"), actor=team.lead, clock=team.clock, reason="Wait.")
    held = example.register(team.store, team.maker, team.clock, 2)
    assert (held.promotion_id, held.not_entered) == (None, ("Held by lou: Wait.",))
    team.ask(held.ref, "development")
    team.deploy("development")
    assert team.live_number("development") == 2
    assert team.slot("development").hold_since is None  # a promotion by hand lifts it
    with pytest.raises(Conflict, match="There is no hold"):
        holds.lift(team.store, SlotRef("delays", "development"), actor=team.lead, clock=team.clock)


# The record


@pytest.mark.parametrize(
    "name",
    ["o'brien", 'the "best"', "<b>bold</b>", "🛫", "ü" * 300, "'; DROP TABLE promotion; --"],
)
def test_any_name_is_kept_as_it_is(team: Team, name: str) -> None:
    person = Person(name, frozenset({Role.MAKER, Role.LEAD}))
    draft = example.draft(1, maker=name)
    oddly = replace(draft, components=(replace(draft.components[0], name=name), *draft.components[1:]))
    made = bundles.register(team.store, oddly, actor=person, clock=team.clock)
    assert made.promotion_id is not None
    deploy(team.store, SlotRef("delays", "development"), team.clock)
    asked = promotions.request(team.store, made.ref, "staging", actor=person, clock=team.clock, reason=name)
    approvals.reject(team.store, asked, actor=person, clock=team.clock, comment=name)
    found = team.promotion(asked)
    assert (found.requested_by, found.reason, found.note) == (name, name, name)
    with team.store.reading() as session:
        assert audit.verify(session).broken_at is None


def test_every_step_of_a_way_to_production_and_back_has_its_event_in_the_chain(team: Team) -> None:
    team.live(1)
    team.live(2)
    team.roll_back()
    team.deploy()
    told = actions(team.store)
    once = ["person.met", "person.met", "policy.applied"]
    development = ["bundle.registered", "promotion.requested", "deployment.started", "deployment.succeeded"]
    staging = ["promotion.requested", *["gate.finished"] * 3, "deployment.started", "deployment.succeeded"]
    production = [
        "promotion.requested",
        "gate.finished",
        "promotion.awaiting_approval",
        "promotion.approved",
        "deployment.started",
        "deployment.succeeded",
    ]
    back = ["deployment.started", "rollback.requested", "deployment.succeeded"]
    assert told[:3] == once
    assert sorted(told[3:]) == sorted([*(development + staging + production) * 2, *back])
    with team.store.reading() as session:
        assert audit.verify(session).broken_at is None


def test_a_command_that_is_refused_leaves_no_event_and_no_row(team: Team) -> None:
    ref, promotion = team.waiting()
    before = actions(team.store)
    for attempt in (
        lambda: team.ask(ref),
        lambda: team.roll_back(),
        lambda: team.approve(promotion, by=team.maker),
        lambda: promotions.withdraw(
            team.store, promotion, actor=Person("max", frozenset({Role.MAKER})), clock=team.clock
        ),
    ):
        with pytest.raises((Conflict, NotAllowed)):
            attempt()
    assert actions(team.store) == before
