"""What a gate is given to judge. Plain and picklable: it crosses into the child process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from services.errors import BadInput, HeadgateError
from services.rules.domain import Component, ComponentKind, GateOutcome, Verdict

Progress = Callable[[str], None]


@dataclass(frozen=True)
class GateTask:
    """One gate run.

    `definition` and `data` are the policy's own, dumped as JSON; `metrics` is what the run logged, which is shown and
    decides nothing unless the policy accepts it; relative paths start at `directory`. `live` are the components of
    the bundle `live_ref`, which a comparison is made with; None where nothing is live. `trusted_types` are those that
    a skops file may hold beside what skops and Headgate know.
    """

    gate: str
    definition: dict[str, Any]
    application: str
    components: tuple[Component, ...]
    metrics: dict[str, float] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    directory: str = ""
    tracking_uri: str = ""
    live: tuple[Component, ...] | None = None
    live_ref: str = ""
    trusted_types: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return str(self.definition.get("kind", ""))

    @property
    def target(self) -> str:
        return str(self.data.get("target") or "")

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(self.data.get("features") or ())

    def of_kind(self, kind: ComponentKind) -> tuple[Component, ...]:
        return tuple(component for component in self.components if component.kind is kind)

    @property
    def model(self) -> Component:
        """The model to judge. Raises BadInput where the bundle has none."""
        models = self.of_kind(ComponentKind.MODEL)
        if not models:
            raise BadInput("The bundle has no model to judge.", "Set components.model in the policy and sync again.")
        return models[0]

    @property
    def signature_inputs(self) -> tuple[dict[str, Any], ...]:
        """The inputs the model's signature names, or none where it has no signature."""
        models = self.of_kind(ComponentKind.MODEL)
        signature = models[0].details.get("signature") if models else None
        inputs = signature.get("inputs") if isinstance(signature, dict) else None
        return tuple(column for column in inputs or () if isinstance(column, dict) and column.get("name"))

    def of_live(self) -> GateTask:
        """The same task about the live bundle. Ask first whether there is one."""
        return replace(self, components=self.live or (), live=None)


def nothing_live(summary: str = "Nothing is live here yet, so nothing can be worse than it.") -> GateOutcome:
    """A comparison without anything on the other side: passed, and the warning says that nothing was compared."""
    return GateOutcome(Verdict.PASSED, summary, {"live": None}, ("Nothing to compare with.",))


def errored(error: HeadgateError, evidence: dict[str, Any] | None = None) -> GateOutcome:
    """The gate could not judge: never shown as failed, and worth another try."""
    return GateOutcome(Verdict.ERRORED, str(error), evidence or {})


def quoted(names: list[str] | tuple[str, ...], most: int = 8) -> str:
    """Names for a sentence, in quotes so that a trailing blank shows, and cut where a wide table has many."""
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def many(count: int, noun: str, plural: str = "") -> str:
    """`1 row`, `12,345 rows`"""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
