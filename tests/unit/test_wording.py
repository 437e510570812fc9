"""Times, durations, counts, and what people wrote shown as they wrote it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pages.components import text, times

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_a_time_is_written_as_people_write_it() -> None:
    assert times.at(datetime(2026, 11, 22, 17, 31, tzinfo=UTC)) == "22 Nov 2026, 17:31 UTC"
    assert times.at(None) == "unknown"


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=3, minutes=50), "3 hours ago"),
        (timedelta(days=45), "1 month ago"),
        (timedelta(days=-2), "in 2 days"),
    ],
)
def test_how_long_ago_is_said_in_one_unit(passed: timedelta, said: str) -> None:
    assert times.ago(NOON - passed, NOON) == said


@pytest.mark.parametrize(
    ("duration", "said"),
    [
        (timedelta(milliseconds=340), "340 ms"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(minutes=12, seconds=40), "12 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=5, minutes=30), "5.5 hours"),
        (timedelta(days=9.4), "9.4 days"),
        (timedelta(days=40.2), "40 days"),
    ],
)
def test_a_measured_duration_is_said_in_the_unit_a_person_would_choose(duration: timedelta, said: str) -> None:
    assert times.span(duration) == said


@pytest.mark.parametrize("words", ["<b>bold</b>", "*x*", "`x`", "[a](b)", "$x$", "# x", "~x~", "a_b_", "| a |", "1. x"])
def test_markup_is_escaped(words: str) -> None:
    escaped = text.plain(words)

    assert escaped.replace("\\", "").replace(text.JOINER, "") == words
    for mark in "*`[]$#~_|<>":
        assert escaped.count(mark) == escaped.count("\\" + mark)


@pytest.mark.parametrize("words", [":material/home:", ":+1:", ":red[x]", "https://x.example", "a -> b", "me@x.example"])
def test_what_is_replaced_after_the_markup_was_read_is_kept_apart(words: str) -> None:
    escaped = text.plain(words)

    assert words not in escaped
    assert escaped.replace("\\", "").replace(text.JOINER, "") == words


def test_lines_become_one_and_a_long_text_ends_in_an_ellipsis() -> None:
    assert text.plain("a\n\n b") == "a b"
    assert text.plain("x" * 300, 40) == "x" * 39 + "…"


def test_monospace_survives_backticks() -> None:
    assert text.mono("a`b") == "``a`b``"
    assert text.mono("") == ""


def test_lists_and_counts_read_as_sentences() -> None:
    assert text.listed(["model", "dataset", "prompt"]) == "model, dataset and prompt"
    assert text.count(1, "bundle") == "1 bundle"
    assert text.count(1200, "bundle") == "1,200 bundles"
