"""What the metrics are made of: plain facts, each kind of them one query away from the tables, and nothing derived.

Times are aware. Ids are those of the tables, so a bundle's is its own across applications; `external_id` is what an
import called a thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter

from services.rules.domain import Cause, DeploymentKind, DeploymentState, Verdict

Id = int | str


class BlockDecision(StrEnum):
    """What a person said of a gate's block."""

    DEFECT = "defect"
    FALSE = "false"


class ReproductionOutcome(StrEnum):
    EXACT = "exact"
    TOLERANT = "tolerant"  # within the tolerance
    DIFFERENT = "different"
    ERRORED = "errored"  # the infrastructure's fault, not the model's


@dataclass(frozen=True, slots=True)
class DeploymentEvent:
    """One deployment to any stage.

    `declared_kind` is none where nobody declared one: it then follows from the order of arrival. `planned` is none
    where it is to follow from the kind. `fixes` is the id of a deployment or an incident, either kind of id; write
    `incident/ID` or `deployment/ID` where both could be meant. `blames` is the deployment a rollback takes back.
    """

    id: Id
    application: str
    stage: str
    bundle: Id
    state: DeploymentState
    finished_at: datetime | None
    requested_at: datetime | None = None
    started_at: datetime | None = None
    declared_kind: DeploymentKind | None = None
    planned: bool | None = None
    fixes: str = ""
    blames: Id | None = None
    drill: bool = False
    writing_since: datetime | None = None
    external_id: str = ""


@dataclass(frozen=True, slots=True)
class GateRunEvent:
    """One run of a gate. `enforcing` is false for a shadow gate, which blocks nothing."""

    id: Id
    application: str
    stage: str
    bundle: Id
    gate: str
    started_at: datetime | None
    finished_at: datetime | None
    verdict: Verdict | None
    enforcing: bool = True
    waived_at: datetime | None = None
    decision: BlockDecision | None = None


@dataclass(frozen=True, slots=True)
class ApprovalWait:
    """From when a bundle waited for approval in a stage until it was decided, or none while it waits."""

    application: str
    stage: str
    bundle: Id
    opened_at: datetime
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """`caused_by` is the stored link: a person's where `cause` is a deployment, else the rule's."""

    id: Id
    application: str
    impact_started_at: datetime
    detected_at: datetime | None = None
    resolved_at: datetime | None = None
    caused_by: Id | None = None
    cause: Cause = Cause.UNKNOWN
    external_id: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class CommitEvent:
    """A commit that travels in a bundle. An imported one has no `sha`: it then counts as a commit of its own."""

    bundle: Id
    at: datetime
    sha: str = ""


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """`version` names the dataset and its version or digest. `cutoff` is up to when the data reaches."""

    version: str
    cutoff: datetime


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What a bundle knows of its model and data. `model_version` is empty where it has no model of its own."""

    bundle: Id
    model_version: str = ""
    ended_at: datetime | None = None
    registered_at: datetime | None = None
    datasets: tuple[DatasetFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class ReproductionEvent:
    """One finished attempt to make a bundle's model again."""

    id: Id
    application: str
    bundle: Id
    finished_at: datetime
    outcome: ReproductionOutcome


@dataclass(frozen=True)
class ApplicationRules:
    """The [metrics] part of a policy: whose deployments count, and H, how long after one an incident may be its."""

    stage: str = "production"
    attribution: timedelta = timedelta(days=7)


@dataclass(frozen=True)
class Events:
    """Everything that is to count: of one application, or of several. In any order; doubled ids count once.

    `rules` by application; one that is not in it has the defaults. `incident_source` says whether incidents are
    reported anywhere at all: none means that there is a source when there is at least one incident.
    """

    deployments: Sequence[DeploymentEvent] = ()
    incidents: Sequence[IncidentEvent] = ()
    gate_runs: Sequence[GateRunEvent] = ()
    approvals: Sequence[ApprovalWait] = ()
    commits: Sequence[CommitEvent] = ()
    trainings: Sequence[TrainingFacts] = ()
    reproductions: Sequence[ReproductionEvent] = ()
    rules: Mapping[str, ApplicationRules] = field(default_factory=dict)
    incident_source: bool | None = None

    def rules_of(self, application: str) -> ApplicationRules:
        return self.rules.get(application, DEFAULT_RULES)

    @property
    def incidents_are_reported(self) -> bool:
        return bool(self.incidents) if self.incident_source is None else self.incident_source


DEFAULT_RULES = ApplicationRules()


def by_id(deployments: list[DeploymentEvent]) -> None:
    """Put them in the order of their ids."""
    if all(type(d.id) is int for d in deployments):
        deployments.sort(key=attrgetter("id"))
    else:
        deployments.sort(key=lambda d: id_order(d.id))


def id_order(identity: Id) -> tuple[bool, int, str]:
    """Numbers by size, then texts: the tie-break where two events share an instant."""
    return (False, identity, "") if isinstance(identity, int) else (True, 0, identity)
