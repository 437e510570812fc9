"""Delivery metrics: pure functions from events to values that can explain themselves.

    events = Events(deployments=[...], incidents=[...], commits=[...], ...)   # one query for each kind
    within = window(date(2026, 3, 2), date(2026, 3, 9), "Europe/Berlin")      # or last_days(30, as_of, zone)
    values = compute(events, within, as_of)                                   # {name: Value}
    values["change_fail_rate"].value, .n, .low, .high, .ids, .samples, .method, .notes, .quality

Several questions about the same events share one `History`, which orders and links them once:

    history = History(events, as_of)
    measure(history, within)                       # what compute does
    compare(history, within)                       # beside the window before
    trend(history, "change_lead_time", within)     # week by week, with the raw samples
    history.ledgers(within), combined(ledgers)     # where the time went, per release and in total
    history.links, history.failures                # which incident is whose, and what became of it
    history.infer_cause(application, began)         # what the rule says of an incident that is being opened
    history.waits_of(id), history.delivered        # per deployment: parts of the wait, derived kind
    band(values["change_lead_time"])               # the Quick Check's bin

Durations are hours, shares are 0 to 1. A number that does not exist is None, and a note says why.

What a query must hand over: all stages of the applications (the ledger needs the earlier ones) from the beginning on,
since kinds follow from the first arrivals; `declared_kind` only where somebody declared one, not the kind that the
table derived; `requested_at` and `started_at` as None where an import did not have them, since a zero would count.
"""

from services.rules.metrics import intervals
from services.rules.metrics.bands import Band, Industry, band
from services.rules.metrics.catalogue import BY_NAME, DEFINITIONS, NAMES, Definition, Group
from services.rules.metrics.computing import METRICS, Comparison, TrendPoint, compare, compute, measure, trend
from services.rules.metrics.events import (
    ApplicationRules,
    ApprovalWait,
    BlockDecision,
    CommitEvent,
    DatasetFacts,
    DeploymentEvent,
    Events,
    GateRunEvent,
    Id,
    IncidentEvent,
    ReproductionEvent,
    ReproductionOutcome,
    TrainingFacts,
)
from services.rules.metrics.history import History
from services.rules.metrics.kinds import Delivered
from services.rules.metrics.ledgers import Ledger, LedgerPart, PartName, combined
from services.rules.metrics.links import Failure, Link, LinkKind
from services.rules.metrics.samples import Sample, Samples
from services.rules.metrics.values import QualityKind, QualityRow, Value
from services.rules.metrics.waits import Waits, split
from services.rules.metrics.windows import Window, last_days, window

__all__ = [
    "BY_NAME",
    "DEFINITIONS",
    "METRICS",
    "NAMES",
    "ApplicationRules",
    "ApprovalWait",
    "Band",
    "BlockDecision",
    "CommitEvent",
    "Comparison",
    "DatasetFacts",
    "Definition",
    "Delivered",
    "DeploymentEvent",
    "Events",
    "Failure",
    "GateRunEvent",
    "Group",
    "History",
    "Id",
    "IncidentEvent",
    "Industry",
    "Ledger",
    "LedgerPart",
    "Link",
    "LinkKind",
    "PartName",
    "QualityKind",
    "QualityRow",
    "ReproductionEvent",
    "ReproductionOutcome",
    "Sample",
    "Samples",
    "TrainingFacts",
    "TrendPoint",
    "Value",
    "Waits",
    "Window",
    "band",
    "combined",
    "compare",
    "compute",
    "intervals",
    "last_days",
    "measure",
    "split",
    "trend",
    "window",
]
