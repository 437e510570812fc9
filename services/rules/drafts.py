"""What becomes a bundle: collected from MLflow, or named by hand. Plain data, before it has a number."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from services.rules.domain import Commit, Component, Gap


@dataclass(frozen=True)
class BundleDraft:
    """`maker` is empty where MLflow does not say who; times are aware; `source` is "sync" or "added"."""

    application: str
    components: tuple[Component, ...]
    gaps: tuple[Gap, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    training_started_at: datetime | None = None
    training_ended_at: datetime | None = None
    registered_at: datetime | None = None
    maker: str = ""
    commits: tuple[Commit, ...] = ()
    source: str = "sync"
