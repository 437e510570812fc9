"""Tells the story: carries out its scenes through the same commands as everybody.

Every step looks first whether it has been told already. What a gate stopped goes no further: the steps that would
follow find that nothing is there to act on, and say nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services import clock as clocks
from services.clock import StoryClock
from services.commands import approvals, bundles, drills, gates, incidents, promotions, rollbacks
from services.errors import HeadgateError, RegistryRefused, RegistryUnreachable
from services.rules.domain import BundleRef, Cause, Commit, DeploymentKind, Phase, SlotRef
from services.rules.policy import Policy
from services.sample import making, told
from services.sample.ahead import Ahead
from services.sample.people import MAKER
from services.sample.steps import (
    PRODUCTION,
    Approve,
    Blame,
    Decide,
    Delivery,
    Practise,
    Promote,
    Reject,
    Report,
    Resolve,
    Retrain,
    RollBack,
)
from services.sample.story import Calendar, Scene
from services.sample.told import Standing
from services.settings import Settings
from services.store.database import Store
from services.work import carry, collect, drill
from services.work.tracking import Tracking

WAITS_FOR_GATES = (Phase.REQUESTED, Phase.GATING)
UNDER_WAY = (*WAITS_FOR_GATES, Phase.DEPLOYING)
# A teller that was killed leaves its leases behind; this is longer than the longest of them.
PATIENCE_SECONDS = 30.0
LONGEST_PICKUP_SECONDS = 45


@dataclass(frozen=True)
class Teller:
    """`say` is told which scene is at hand, and in words what is being done. `deliveries` are all that are told."""

    settings: Settings
    store: Store
    tracking: Tracking
    policies: dict[str, Policy]
    deliveries: Sequence[Delivery]
    calendar: Calendar
    clock: StoryClock
    ahead: Ahead
    say: Callable[[Scene, str], None]

    def tell(self, scene: Scene) -> None:
        """One scene, where it can take place.

        Raises RegistryUnreachable and RegistryRefused, and HeadgateError where a gate could not judge.
        """
        self.clock.at = self.calendar.of(scene)
        delivery = scene.delivery
        match scene.step:
            case None:
                self._make(scene, delivery)
            case Promote() as step:
                self._promote(scene, delivery, step)
            case Approve() | Reject() as step:
                self._answer(scene, delivery, step)
            case RollBack() as step:
                self._roll_back(scene, delivery, step)
            case Practise() as step:
                self._practise(scene, delivery, step)
            case Decide() as step:
                self._decide(delivery, step)
            case Report() as step:
                self._report(delivery, step)
            case Blame() as step:
                self._blame(delivery, step)
            case Resolve() as step:
                self._resolve(delivery, step)

    # -- what is made -----------------------------------------------------------------------------------------------

    def _make(self, scene: Scene, delivery: Delivery) -> None:
        bundle = self._bundle(delivery)
        if bundle is None:
            self.say(scene, "trains a model" if isinstance(delivery.makes, Retrain) else "writes a notice")
            commits = self._commits(delivery)
            making.make(self.settings, self.tracking, self.calendar, self.ahead, delivery, commits)
            draft = collect.candidate(self.tracking, self.policies[delivery.application.name], self.settings, "")
            assert draft is not None, "something was made just now"
            draft = replace(draft, commits=commits)
            bundle = bundles.register(self.store, draft, actor=delivery.makes.by, clock=self.clock).ref
        if entered := told.entering(self.store, bundle):
            self._settled(entered)

    def _bundle(self, delivery: Delivery) -> BundleRef | None:
        return told.bundle(self.store, delivery.application.name, self.calendar.made_at(delivery))

    def _commits(self, delivery: Delivery) -> tuple[Commit, ...]:
        """All that is in it and has not been in production: what was stopped travels in the next one."""
        found = list(making.commits_of(self.calendar, delivery))
        earlier = [d for d in self.deliveries if d.application == delivery.application]
        for older in reversed(earlier[: earlier.index(delivery)]):
            asked = self._asked(older, PRODUCTION)
            if asked and asked.phase is Phase.SUCCEEDED:
                break
            found = [*making.commits_of(self.calendar, older), *found]
        return tuple(found)

    # -- promotions -------------------------------------------------------------------------------------------------

    def _asked(self, delivery: Delivery, stage: str) -> Standing | None:
        steps = [step for step in delivery.steps if isinstance(step, Promote) and step.stage == stage]
        return told.standing(self.store, told.key(delivery, steps[0])) if steps else None

    def _promote(self, scene: Scene, delivery: Delivery, step: Promote) -> None:
        bundle = self._bundle(delivery)
        if bundle is None or not self._came_so_far(delivery, step, bundle):
            return
        self.say(scene, f"asks for {step.stage}, and its gates run")
        mended = told.incident(self.store, delivery.application.name, step.mends) if step.mends else None
        asked = promotions.request(
            self.store,
            bundle,
            step.stage,
            actor=step.by,
            clock=self.clock,
            key=told.key(delivery, step),
            reason=step.reason,
            kind=DeploymentKind.HOTFIX if mended else None,
            fixes=f"incident/{mended.id}" if mended else "",
        )
        self._settled(asked)

    def _came_so_far(self, delivery: Delivery, step: Promote, bundle: BundleRef) -> bool:
        """Whether it came through the stage before, by a step or by itself."""
        earlier = delivery.steps[: delivery.steps.index(step)]
        before = [one for one in earlier if isinstance(one, Promote)]
        if before:
            standing = told.standing(self.store, told.key(delivery, before[-1]))
        else:
            entered = told.entering(self.store, bundle)
            standing = told.promotion(self.store, entered) if entered else None
        return standing is not None and standing.phase is Phase.SUCCEEDED

    def _answer(self, scene: Scene, delivery: Delivery, step: Approve | Reject) -> None:
        asked = self._asked(delivery, step.stage)
        if asked is None or asked.phase is Phase.BLOCKED:
            return
        if asked.phase is Phase.AWAITING_APPROVAL:
            self.say(scene, f"waits for {step.by.shown}")
            answer = approvals.approve if isinstance(step, Approve) else approvals.reject
            answer(self.store, asked.id, actor=step.by, clock=self.clock, comment=step.comment)
        self._settled(asked.id)

    def _roll_back(self, scene: Scene, delivery: Delivery, step: RollBack) -> None:
        asked = self._asked(delivery, step.stage)
        if asked is None or asked.phase is not Phase.SUCCEEDED:
            return
        self.say(scene, f"is rolled back by {step.by.shown}")
        promotion = rollbacks.roll_back(
            self.store,
            SlotRef(delivery.application.name, step.stage),
            actor=step.by,
            clock=self.clock,
            reason=step.reason,
            quarantine=step.quarantine,
            key=told.key(delivery, step),
        )
        self._settled(promotion)

    def _practise(self, scene: Scene, delivery: Delivery, step: Practise) -> None:
        slot = SlotRef(delivery.application.name, step.stage)
        known = told.drill(self.store, slot, self.clock.now())
        if known and known[1]:
            return
        self.say(scene, f"{step.by.shown} practises the way back")
        drill_id = known[0] if known else drills.begin(self.store, slot, actor=step.by, clock=self.clock)
        drill.run(self.store, drill_id, self._settled, actor=step.by, clock=self.clock)

    # -- what people say of it --------------------------------------------------------------------------------------

    def _decide(self, delivery: Delivery, step: Decide) -> None:
        bundle = self._bundle(delivery)
        run = told.block(self.store, bundle, step.gate) if bundle else None
        if run is not None:
            gates.decide(self.store, run, defect=step.defect, actor=step.by, clock=self.clock)

    def _report(self, delivery: Delivery, step: Report) -> None:
        asked = self._asked(delivery, PRODUCTION)
        cause = told.deployment(self.store, asked.id) if asked else None
        if cause is None:
            return
        report = incidents.Report(
            delivery.application.name,
            step.title,
            impact_started_at=self.calendar.at(delivery.month, step.since),
            detected_at=self.clock.now(),
            severity=step.severity,
            caused_by=cause if step.blames else Cause.UNKNOWN,
        )
        incidents.open_(self.store, report, actor=step.by, clock=self.clock, key=told.incident_key(step.incident))

    def _blame(self, delivery: Delivery, step: Blame) -> None:
        incident = told.incident(self.store, delivery.application.name, step.incident)
        asked = self._asked(delivery, PRODUCTION)
        if incident and asked and not incident.blames:
            cause = told.deployment(self.store, asked.id)
            if cause is not None:
                incidents.link(self.store, incident.id, cause, actor=step.by, clock=self.clock)

    def _resolve(self, delivery: Delivery, step: Resolve) -> None:
        incident = told.incident(self.store, delivery.application.name, step.incident)
        if incident and not incident.resolved:
            incidents.resolve(
                self.store, incident.id, actor=step.by, clock=self.clock, done=step.done, caught_by=step.caught_by
            )

    # -- carrying it out --------------------------------------------------------------------------------------------

    def _settled(self, promotion_id: int) -> Phase:
        """Carry out what is left of a promotion. Where nothing but trouble blocks it, those gates run once more."""
        phase = self._carried_out(promotion_id)
        if phase is not Phase.BLOCKED or not (errored := told.only_errored(self.store, promotion_id)):
            return phase
        asked, names = told.promotion(self.store, promotion_id), [run.gate for run in errored]
        gates.request(self.store, asked.bundle, asked.stage, actor=MAKER, clock=self.clock, gates=names)
        phase = self._carried_out(promotion_id)
        if phase is Phase.BLOCKED and (errored := told.only_errored(self.store, promotion_id)):
            raise HeadgateError(
                f"The gate {errored[0].gate!r} of the sample could not judge: {errored[0].summary}",
                "Put right what it names and build the sample again: it goes on where it stopped.",
            )
        return phase

    def _carried_out(self, promotion_id: int) -> Phase:
        if told.promotion(self.store, promotion_id).phase in WAITS_FOR_GATES:
            self.clock.elapse(pickup_seconds(promotion_id))
        patience = clocks.monotonic() + PATIENCE_SECONDS
        while (phase := self._carry_on(promotion_id)) in UNDER_WAY and clocks.monotonic() < patience:
            clocks.sleep(0.5)
        if phase in UNDER_WAY:
            raise RegistryUnreachable(
                f"The sample's promotion {promotion_id} is still {phase.value}: MLflow does not answer, or another "
                "process holds it.",
                "Build the sample again when it does: it goes on where it stopped.",
            )
        if phase is Phase.FAILED:
            note = told.promotion(self.store, promotion_id).note
            raise RegistryRefused(
                f"MLflow refused the sample's promotion {promotion_id}: {note}",
                "Put right what it names, or build the sample in a new HEADGATE_HOME.",
            )
        return phase

    def _carry_on(self, promotion_id: int) -> Phase:
        return carry.carry_out(self.store, self.tracking, self.settings, promotion_id, clock=self.clock)


def pickup_seconds(promotion_id: int) -> float:
    """How long the gates of a promotion are told to have waited for a worker: the same for the same promotion."""
    drawn = hashlib.sha256(str(promotion_id).encode()).digest()
    return 1.0 + int.from_bytes(drawn[:4]) % (LONGEST_PICKUP_SECONDS * 10) / 10
