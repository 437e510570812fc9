"""What of the deployments a person should look at, because a number depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.rules.domain import DeploymentKind, DeploymentState
from services.rules.metrics.kinds import Delivered
from services.rules.metrics.values import QualityKind, QualityRow

if TYPE_CHECKING:
    from services.rules.metrics.history import History


def of_deployments(history: History) -> Iterator[QualityRow]:
    """Times out of order, kinds that contradict the order of arrival, and releases without commits."""
    for d in history.delivered:
        if d.forward and (text := _out_of_order(d)):
            yield _row(d, QualityKind.NEGATIVE, text)
        if d.contradicts:
            text = f"It was declared a {d.kind.value}; by the order of arrival it is a {d.derived.value}."
            yield _row(d, QualityKind.CONTRADICTION, text)
    for d in history.first_arrivals:
        if d.kind is not DeploymentKind.RETRAIN and d.event.bundle not in history.bundles_with_commits:
            yield _row(d, QualityKind.MISSING_COMMITS, "No commits are known of its bundle, so it is in no lead time.")


def aborted(history: History) -> Iterator[QualityRow]:
    """Aborted deployments to the counting stages that may have served."""
    for event in history.unique_deployments:
        since = event.writing_since
        if event.state is not DeploymentState.ABORTED or since is None or since > history.as_of:
            continue
        if event.stage == history.events.rules_of(event.application).stage:
            text = "It was aborted while it was being made live: it may have served for a moment."
            yield QualityRow(since, QualityKind.MAY_HAVE_SERVED, "deployment", event.id, text)


def _out_of_order(d: Delivered) -> str:
    requested, started = d.event.requested_at, d.event.started_at
    if requested is None or started is None or requested <= started <= d.at:
        return ""
    if d.at < requested:
        return "It finished before it was requested."
    return "It started before it was requested, or after it had finished."


def _row(d: Delivered, kind: QualityKind, text: str) -> QualityRow:
    return QualityRow(d.at, kind, "deployment", d.id, text)
