"""The difference that one approves on: what changed, what moved, and what gates made of it."""

from __future__ import annotations

import example
import pytest
from delivering import MIA, Delivery, Open, newest, words

from services.commands import promotions
from services.store.database import Store

COMPARING = (
    example.POLICY.replace('gates = ["accuracy"]', 'gates = ["accuracy", "against-live", "drift"]')
    + """
[gates.against-live]
kind = "baseline"
metric = "roc_auc"
margin = 0.01

[gates.drift]
kind = "drift"
mode = "shadow"
"""
)
FOUND = {
    "accuracy": {
        "metric": "roc_auc",
        "limit": 0.7,
        "direction": "at least",
        "confidence": 0.95,
        "value": 0.751,
        "low": 0.74,
        "high": 0.762,
        "n": 1500,
        "method": "DeLong",
    },
    "against-live": {
        "live": "delays/1",
        "metric": "roc_auc",
        "value": 0.751,
        "live_value": 0.748,
        "difference": 0.003,
        "low": -0.004,
        "high": 0.01,
        "margin": 0.01,
        "direction": "higher is better",
        "confidence": 0.95,
        "n": 1500,
        "positives": 600,
        "discordant": 1400,
        "method": "paired DeLong",
    },
    "drift": {
        "live": "delays/1",
        "columns": [
            {"column": "wind", "verdict": "failed", "measure": "KS distance", "statistic": 0.31, "limit": 0.2,
             "median_shift": 0.8, "q": 0.0001, "n": 600, "n_live": 590, "note": ""},
            {"column": "hour", "verdict": "passed", "measure": "KS distance", "statistic": 0.01, "limit": 0.2,
             "median_shift": 0.0, "q": 0.9, "n": 600, "n_live": 590, "note": ""},
        ],
    },
}  # fmt: skip


@pytest.fixture
def compared(store: Store) -> Delivery:
    """delays/1 is live; delays/2, with another model and another wording, was compared with it and waits."""
    team = Delivery(store, policy=COMPARING)
    team.found = FOUND
    team.bring_live(team.make())
    team.waiting(team.make(template="Sorry: {{airline}} is {{minutes}} minutes late."))
    return team


@pytest.mark.parametrize(("page", "address"), [("bundle", {"ref": "delays/2"}), ("approvals", {})])
def test_the_difference_says_what_matters_in_its_order(
    open_page: Open, compared: Delivery, page: str, address: dict[str, str]
) -> None:
    at = open_page(page, **address)

    said = words(at)
    assert "Model and prompt notice changed together: the effect cannot be attributed to one of them." in said
    assert ":red-background[~~Your flight with~~] {{airline}} :red-background[~~leaves~~]" in said
    assert ":green-background[**Sorry:**] {{airline}} :green-background[**is**]" in said
    tables = [str(table.value.to_dict("records")).replace("\\", "") for table in at.table]
    (moved,) = [table for table in tables if "moved too far" in table and "as before" not in table]
    assert "0.310 KS distance, median +0.80 IQR" in moved
    (weighed,) = [table for table in tables if "'Difference'" in table]
    assert "+0.003 (-0.004 to +0.010)" in weighed
    assert "at least -0.01" in weighed
    assert "0.751 (0.740 to 0.762)" in weighed
    assert "1,500" in weighed


def test_the_evidence_of_comparing_gates_reads_effect_limit_rows_and_the_farthest_column_first(
    open_page: Open, compared: Delivery
) -> None:
    at = open_page("approvals")

    tables = [table.value for table in at.table]
    (effect,) = [table for table in tables if "**Effect**" in str(table.values)]
    assert [name for name, _ in effect.values][:2] == ["**Effect**", "Limit"]
    (columns,) = [table for table in tables if "as before" in str(table.values)]
    assert [row[0] for row in columns.values] == ["**wind**", "**hour**"]


def test_one_change_alone_warns_of_nothing(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    team.waiting(team.make())

    assert "changed together" not in words(open_page("approvals"))


def test_a_comparison_with_what_is_no_longer_live_says_so(open_page: Open, compared: Delivery) -> None:
    promotions.withdraw(compared.store, newest(compared).id or 0, actor=MIA, clock=compared.clock)
    compared.bring_live(compared.make())

    said = words(open_page("bundle", ref="delays/2", stage="production"))

    assert "compared with what is no longer live" in said
    assert "judged under other rules" not in said
