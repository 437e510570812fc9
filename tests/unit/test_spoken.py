"""Durations and shares as a person would say them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.rules.spoken import of_hours, share, span, whole


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (7151.1, "298 days"),
        (50.4, "2.1 days"),
        (24.0, "1 day"),
        (5.25, "5.2 hours"),
        (0.2, "12 minutes"),
        (0.00002, "72 ms"),
        (0.0, "0 minutes"),
        (-30.0, "-1.2 days"),
    ],
)
def test_hours_are_said_in_the_unit_that_suits_their_size(hours: float, said: str) -> None:
    assert of_hours(hours) == said


def test_what_was_measured_has_a_decimal_and_how_long_ago_is_in_whole_units() -> None:
    almost_four_days = timedelta(days=3, hours=20)

    assert span(almost_four_days) == "3.8 days"
    assert whole(almost_four_days) == "3 days"


@pytest.mark.parametrize(
    ("part", "said"),
    [(1 / 3, "33 %"), (0.025, "2.5 %"), (0.05, "5 %"), (0.00002, "under 0.1 %"), (0.0, "0 %"), (1.0, "100 %")],
)
def test_a_part_of_one_is_said_in_percent_with_a_decimal_where_it_is_small(part: float, said: str) -> None:
    assert share(part) == said
