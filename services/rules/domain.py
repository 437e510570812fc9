"""The words: enums and frozen dataclasses, the same in tables, code, command line and screen."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from services.errors import BadInput


class ComponentKind(StrEnum):
    MODEL = "model"
    DATASET = "dataset"
    PROMPT = "prompt"
    CODE = "code"
    ENVIRONMENT = "environment"


class Verdict(StrEnum):
    """What a gate answered. "No" (failed) and "don't know" (inconclusive, errored) are different answers."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERRORED = "errored"
    SKIPPED = "skipped"


class GateMode(StrEnum):
    ENFORCE = "enforce"
    SHADOW = "shadow"  # runs and shows, blocks nothing


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"


class Phase(StrEnum):
    """Where a promotion stands."""

    REQUESTED = "requested"
    GATING = "gating"
    AWAITING_APPROVAL = "awaiting_approval"
    DEPLOYING = "deploying"
    SUCCEEDED = "succeeded"
    BLOCKED = "blocked"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"

    @property
    def active(self) -> bool:
        """Holds the slot: no second promotion may start."""
        return self in ACTIVE_PHASES


ACTIVE_PHASES = (Phase.REQUESTED, Phase.GATING, Phase.AWAITING_APPROVAL, Phase.DEPLOYING)
# What may still be taken back by a person, or replaced by a newer promotion.
OPEN_PHASES = (Phase.REQUESTED, Phase.GATING, Phase.AWAITING_APPROVAL, Phase.BLOCKED)


class DeploymentState(StrEnum):
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"


class DeploymentKind(StrEnum):
    """Follows from the order in which bundles first arrived at the stage (METRICS, The events)."""

    RELEASE = "release"
    REDEPLOY = "redeploy"
    ROLLBACK = "rollback"
    REPROMOTION = "repromotion"
    HOTFIX = "hotfix"
    RETRAIN = "retrain"


class Decision(StrEnum):
    APPROVED = "approved"
    REJECTED = "rejected"


class Cause(StrEnum):
    """What is said of an incident's cause."""

    UNKNOWN = "unknown"  # nobody has said: the rule infers it
    NONE = "none"  # a person said that no deployment caused it
    DEPLOYMENT = "deployment"  # a person named it


Blame = int | Literal[Cause.UNKNOWN, Cause.NONE]  # a deployment's id, or why there is none


class Role(StrEnum):
    VIEWER = "viewer"
    MAKER = "maker"
    LEAD = "lead"
    ADMIN = "admin"


class Action(StrEnum):
    """What readiness is asked about."""

    PROMOTE = "promote"
    AUTO = "auto"
    ROLL_BACK = "roll back"
    ADOPT = "adopt"


@dataclass(frozen=True)
class Person:
    """Who acts. `roles` are what identity says now; the service decides by them on every action.

    `until` is when a login ends; None where nobody needs to log in.
    """

    name: str
    roles: frozenset[Role]
    display: str = ""
    until: datetime | None = None

    def has(self, *roles: Role) -> bool:
        return bool(self.roles.intersection(roles))

    @property
    def shown(self) -> str:
        return self.display or self.name


# Automation: what Headgate does by itself because a policy said so.
HEADGATE = Person("headgate", frozenset({Role.MAKER}), "Headgate")


@dataclass(frozen=True)
class Component:
    """One pinned part of a bundle.

    `version` and `digest` are empty where they are not known, which is then a provenance gap. `details` is plain
    JSON for people (a prompt's text, a dataset's rows); it does not enter the bundle's digest.
    """

    kind: ComponentKind
    name: str
    version: str = ""
    uri: str = ""
    digest: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gap:
    """Something a complete record would have, and this bundle has not. `name` is what a policy may block on."""

    name: str
    reason: str


@dataclass(frozen=True)
class Commit:
    sha: str
    at: datetime


@dataclass(frozen=True)
class GateOutcome:
    """What one gate run found. `evidence` is plain JSON; `data_digest` is empty where it judged no data."""

    verdict: Verdict
    summary: str
    evidence: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    data_digest: str = ""


@dataclass(frozen=True)
class Condition:
    """One line of readiness. `reason` says how it stands, `remedy` what to do where it is not met."""

    name: str
    met: bool
    reason: str
    remedy: str = ""
    since: datetime | None = None


@dataclass(frozen=True, order=True)
class BundleRef:
    """`flight-delay/12`"""

    application: str
    number: int

    def __str__(self) -> str:
        return f"{self.application}/{self.number}"

    @classmethod
    def parse(cls, text: str) -> BundleRef:
        match = re.fullmatch(r"(.+)/([1-9][0-9]{0,8})", text.strip())
        if not match:
            raise BadInput(f"{text!r} is not a bundle.", "Write application/number, for example flight-delay/12.")
        return cls(match[1], int(match[2]))


@dataclass(frozen=True)
class SlotRef:
    """`flight-delay@production`"""

    application: str
    stage: str

    def __str__(self) -> str:
        return f"{self.application}@{self.stage}"

    @classmethod
    def parse(cls, text: str) -> SlotRef:
        application, at, stage = text.strip().rpartition("@")
        if not (at and application and stage):
            raise BadInput(f"{text!r} is not a stage.", "Write application@stage, for example flight-delay@production.")
        return cls(application, stage)
