"""Numbers of the delivery metrics as a person would say them: 2.1 days, 4.3 a week, 7 of 55."""

from __future__ import annotations

from pages.components import text
from services.rules.metrics import Comparison, Value
from services.rules.spoken import of_hours, share

WEEK, MONTH = 7.0, 365.25 / 12
LESS_IS_BETTER = ("hours", "share")
MORE_IS_BETTER = ("promotion_success", "gate_catch_rate", "flow_efficiency", "reproducibility")


def value(found: Value) -> str:
    """The number alone, in a unit that suits its size; `none yet` where there is none."""
    return "none yet" if found.value is None else said(found, found.value)


def said(found: Value, number: float) -> str:
    """Any number of this metric, in the unit that its value is shown in."""
    if found.unit == "hours":
        return of_hours(number)
    if found.unit == "share":
        return share(number)
    if found.unit == "a day":
        per, unit = _rate(found.value or 0.0)
        return f"{_short(number * per)} a {unit}"
    return _short(number)


def interval(found: Value) -> str:
    """`3.2 to 5.6 a week`, or nothing where no interval exists or too few were counted."""
    if found.low is None or found.high is None or found.too_few:
        return ""
    low, high = said(found, found.low), said(found, found.high)
    first, _, unit = low.partition(" ")
    return f"{first} to {high}" if high.partition(" ")[2] == unit else f"{low} to {high}"


def counted(found: Value) -> str:
    """`n = 55 deployments`: what its samples are."""
    return f"n = {text.count(found.n, noun(found))}"


def noun(found: Value) -> str:
    """What was counted, in the singular."""
    return NOUNS.get(found.name, "deployment")


NOUNS = {
    "deployment_days_per_week": "week",
    "change_lead_time": "commit",
    "change_lead_time_p90": "commit",
    "failed_deployment_recovery_time": "failure",
    "failed_deployment_recovery_time_p90": "failure",
    "recovery_open": "failure",
    "rollback_time": "rollback",
    "lead_time_training": "model version",
    "lead_time_training_p90": "model version",
    "lead_time_data": "dataset version",
    "lead_time_data_p90": "dataset version",
    "model_age": "live bundle",
    "model_age_mean": "turn",
    "data_age": "live bundle",
    "gate_catch_rate": "bundle",
    "false_block_rate": "block",
    "unattributed_incidents": "incident",
    "incidents": "incident",
    "data_quality": "row",
    "reproducibility": "attempt",
}


def change(compared: Comparison) -> str:
    """Against the window before, with its sign; empty where nothing moved, or too few were counted."""
    found = compared.change
    if not found or compared.now.too_few or compared.before.too_few:
        return ""
    if compared.now.unit == "share":
        points = found * 100
        return f"{'-' if points < 0 else '+'}{abs(points):.1f} points"
    number = said(compared.now, found)
    return number if number.startswith("-") else f"+{number}"


def better_when_smaller(found: Value) -> bool:
    return found.unit in LESS_IS_BETTER and found.name not in MORE_IS_BETTER


def formula(found: Value) -> str:
    """How the number comes from its samples, with the figures put in."""
    n, days = found.n, found.window.days
    if found.value is None:
        return "There is nothing to compute it from."
    if found.name == "flow_efficiency":
        return f"time in gates and deploying / time from request to finish, over {n:,} deployments = {value(found)}"
    if found.unit == "share":
        return f"{len(found.samples.hits):,} / {n:,} = {value(found)}, with a 95 % Wilson interval"
    if found.unit == "a day":
        return f"{n:,} / {text.count(days, 'day')} = {found.value:.4f} a day = {value(found)}, exact Poisson interval"
    if found.name.startswith("wait_"):
        return f"sum of {n:,} times / {n:,} = {value(found)}"
    if found.name.endswith("_p90"):
        return f"90th percentile of {n:,} samples, linearly interpolated = {value(found)}"
    if found.name.endswith("_mean"):
        return f"mean of {n:,} samples, weighted by how long each served = {value(found)}"
    if found.unit in ("hours", "days"):
        return f"median of {n:,} {'sample' if n == 1 else 'samples'}, linearly interpolated = {value(found)}"
    return f"counted: {value(found)}"


def _rate(per_day: float) -> tuple[float, str]:
    """The unit in which a frequency is at least one, if there is one."""
    if per_day >= 1:
        return 1.0, "day"
    return (WEEK, "week") if per_day * WEEK >= 1 else (MONTH, "month")


def _short(number: float) -> str:
    return f"{number:,.0f}" if number == round(number) or abs(number) >= 100 else f"{number:,.2g}"
