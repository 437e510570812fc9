"""Readiness, line by line: what is missing first, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st

from pages.components import status, text, theme, times
from services.rules.domain import Condition, Verdict

TITLES = {
    "stage": "Stage",
    "quarantine": "Quarantine",
    "components": "Components",
    "previous stage": "Previous stage",
    "soak": "Soak",
    "gates": "Gates",
    "approvals": "Approvals",
    "hold": "Hold",
    "freeze": "Freeze",
    "slot": "Slot",
}


def show(found: Sequence[Condition], verdicts: Iterable[Verdict | None] = ()) -> None:
    """Those that are not met in full, the others in a line each."""
    judged = tuple(verdicts)
    for condition in found:
        if not condition.met:
            st.markdown(_missing(condition, judged))
            if condition.remedy:
                st.caption(command(condition.remedy))
    st.markdown("  \n".join(_met(condition) for condition in found if condition.met))


def _missing(condition: Condition, verdicts: tuple[Verdict | None, ...]) -> str:
    tone = theme.condition_tone(condition, verdicts)
    said = f"{status.coloured(tone, _title(condition))}  \n{text.lines(condition.reason)}"
    since = f" Since {times.at_and_ago(condition.since)}." if condition.since else ""
    return f"{said} {text.plain(since)}".rstrip()


def _met(condition: Condition) -> str:
    tone = theme.condition_tone(condition)
    icon = f":{theme.palette(tone)}[{theme.tone_icon(tone)}]"
    return f"{icon} **{text.plain(_title(condition))}** {text.plain(condition.reason)}"


def _title(condition: Condition) -> str:
    return TITLES.get(condition.name, condition.name.capitalize())


def command(words: str) -> str:
    """A remedy with its commands in monospace, as the command line would show them, and all else as text."""
    parts = words.split("`")
    return "".join(text.mono(part) if index % 2 else _kept(part) for index, part in enumerate(parts))


def _kept(part: str) -> str:
    """Escape, and keep the blanks beside a command."""
    return (" " if part[:1] == " " else "") + text.plain(part) + (" " if part[-1:] == " " and part.strip() else "")
