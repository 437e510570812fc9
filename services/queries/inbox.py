"""What waits for a decision, with everything a person needs to decide. Twelve statements, however many wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from services.queries import gateruns
from services.queries.common import PromotionLine, promotion_line
from services.queries.differences import Difference, difference
from services.queries.gateruns import GateLine
from services.queries.standing import Standing, standing
from services.rules import readiness
from services.rules.domain import BundleRef, Decision, Gap, Person, Phase, Role
from services.rules.readiness import ApprovalFact, Facts, Live
from services.store import lookups
from services.store.database import Store
from services.store.facts import load
from services.store.models import Approval, Bundle, Deployment, Promotion, Slot

MOST = 20


@dataclass(frozen=True)
class Question:
    """One promotion that waits. `barred` says why this person may not decide, and is empty where they may.

    `evidence_digest` is what a click signs: what the person sees.
    """

    promotion: PromotionLine
    standing: Standing
    maker: str
    gaps: tuple[Gap, ...]
    live: Live | None
    difference: Difference
    gates: tuple[GateLine, ...]
    judged: tuple[GateLine, ...]  # those of all stages: what was measured on the way here
    approvals: tuple[ApprovalFact, ...]
    approvals_needed: int
    approver_role: Role
    evidence_digest: str
    barred: str

    @property
    def evidence_has_aged(self) -> bool:
        return any(c.name == "gates" and not c.met for c in self.standing.conditions)


@dataclass(frozen=True)
class Decided:
    promotion_id: int
    ref: BundleRef
    stage: str
    person: str
    decision: Decision
    comment: str
    at: datetime
    self_approved: bool


@dataclass(frozen=True)
class Inbox:
    """`more` where so many wait that only the oldest are here."""

    questions: tuple[Question, ...]
    decided: tuple[Decided, ...]
    more: bool

    @property
    def mine(self) -> tuple[Question, ...]:
        return tuple(question for question in self.questions if not question.barred)


def inbox(store: Store, person: Person, now: datetime) -> Inbox:
    """Everything that waits for an approval, the oldest first, and the latest decisions."""
    with store.reading() as session:
        rows = _waiting(session)
        more, rows = len(rows) > MOST, rows[:MOST]
        facts = load(session, {bundle.id for _, bundle, _ in rows if bundle.id is not None}) if rows else {}
        runs = gateruns.by_id(session, facts.values())
        shown = {b.id for _, bundle, live in rows for b in (bundle, live) if b is not None and b.id is not None}
        components = lookups.components_of_many(session, shown) if shown else {}
        questions = tuple(
            _question(promotion, bundle, live, facts, runs, components, person, now)
            for promotion, bundle, live in rows
            if (promotion.bundle_id, promotion.stage) in facts
        )
        return Inbox(questions, _decided(session), more)


def barred(facts: Facts, requested_by: str, person: Person) -> str:
    """Why this person may not approve, in words, or nothing. The command decides; this only spares a useless click."""
    rules = facts.rules
    if rules is None:
        return f"{facts.application} no longer has the stage {facts.stage}."
    if not person.has(rules.approver_role):
        return f"Approving takes the role {rules.approver_role.value}."
    if not rules.self_approval and person.name == requested_by:
        return "You asked for it, and nobody approves their own."
    if not rules.self_approval and person.name == facts.maker:
        return "You made this bundle, and nobody approves their own."
    if person.name in {approval.person for approval in readiness.counted_approvals(facts, rules)}:
        return "You have approved it; it waits for somebody else."
    return ""


def may_reject(person: Person, question: Question) -> bool:
    """Whoever could approve by role, and a lead, even where they may not approve this one."""
    return person.has(question.approver_role, Role.LEAD, Role.ADMIN)


def _waiting(session: Session) -> list[tuple[Promotion, Bundle, Bundle | None]]:
    live = aliased(Bundle)
    rows = session.exec(
        select(Promotion, Bundle, live)
        .join(Bundle, col(Bundle.id) == col(Promotion.bundle_id))
        .outerjoin(
            Slot, (col(Slot.application) == col(Promotion.application)) & (col(Slot.stage) == col(Promotion.stage))
        )
        .outerjoin(Deployment, col(Deployment.id) == col(Slot.live_deployment_id))
        .outerjoin(live, col(live.id) == col(Deployment.bundle_id))
        .where(Promotion.phase == Phase.AWAITING_APPROVAL)
        .order_by(col(Promotion.id))
        .limit(MOST + 1)
    )
    return [(promotion, bundle, before) for promotion, bundle, before in rows]


def _question(
    promotion: Promotion,
    bundle: Bundle,
    live: Bundle | None,
    known: dict[tuple[int, str], Facts],
    runs: dict[int, GateLine],
    components: dict[int, tuple],  # type: ignore[type-arg]
    person: Person,
    now: datetime,
) -> Question:
    facts = known[promotion.bundle_id, promotion.stage]
    rules = facts.rules
    everywhere = [fact for (bundle_id, _), fact in known.items() if bundle_id == promotion.bundle_id]
    return Question(
        promotion=promotion_line(promotion, bundle.number),
        standing=standing(facts, now),
        maker=bundle.maker,
        gaps=facts.gaps,
        live=facts.live,
        difference=difference(
            components.get(live.id or 0, ()) if live else (),
            components.get(promotion.bundle_id, ()),
            live.metrics if live else {},
            bundle.metrics,
        ),
        gates=gateruns.of_facts(facts, runs),
        judged=tuple(line for fact in everywhere for line in gateruns.of_facts(fact, runs)),
        approvals=facts.approvals,
        approvals_needed=rules.approvals if rules else 0,
        approver_role=rules.approver_role if rules else Role.LEAD,
        evidence_digest=facts.evidence_digest,
        barred=barred(facts, promotion.requested_by, person),
    )


def _decided(session: Session, limit: int = 10) -> tuple[Decided, ...]:
    rows = session.exec(
        select(Approval, Promotion, Bundle.number)
        .join(Promotion, col(Promotion.id) == col(Approval.promotion_id))
        .join(Bundle, col(Bundle.id) == col(Promotion.bundle_id))
        .order_by(col(Approval.id).desc())
        .limit(limit)
    )
    return tuple(
        Decided(
            promotion_id=promotion.id or 0,
            ref=BundleRef(promotion.application, number or 0),
            stage=promotion.stage,
            person=approval.person,
            decision=approval.decision,
            comment=approval.comment,
            at=approval.at,
            self_approved=approval.self_approved,
        )
        for approval, promotion, number in rows
    )
