"""Badges: a tone, its icon and a word, never a colour alone."""

from __future__ import annotations

import streamlit as st

from pages.components import text, theme
from pages.components.theme import Tone
from services.rules.domain import DeploymentState, GateMode, Phase, RunState, Verdict
from services.rules.preflight import Answer


def badge(tone: Tone, word: str) -> str:
    """Markdown for a badge. `word` may come from a person: it is escaped."""
    return f":{theme.palette(tone)}-badge[{theme.tone_icon(tone)} {text.plain(word, 60)}]"


def coloured(tone: Tone, word: str) -> str:
    """Markdown for an icon and words in the tone's colour, for what is too long for a badge."""
    return f":{theme.palette(tone)}[{theme.tone_icon(tone)} {text.plain(word)}]"


def phase(phase: Phase) -> str:
    return badge(*theme.PHASES[phase])


def deployment(state: DeploymentState) -> str:
    return badge(*theme.DEPLOYMENTS[state])


def answer(answer: Answer) -> str:
    """A preflight's answer."""
    return badge(*theme.ANSWERS[answer])


def verdict(verdict: Verdict) -> str:
    return badge(*theme.VERDICTS[verdict])


def gate(
    state: RunState | None,
    found: Verdict | None,
    *,
    outdated: str = "",
    waived_by: str = "",
    mode: GateMode | None = None,
) -> str:
    """One gate in one badge, or two where it was waived or only watches. `outdated`: why it no longer counts."""
    said = _gate(state, found, outdated)
    if waived_by:
        said += " " + badge(Tone.ATTENTION, f"waived by {waived_by}")
    if mode is GateMode.SHADOW:
        said += " " + badge(Tone.NEUTRAL, "shadow: blocks nothing")
    return said


def _gate(state: RunState | None, found: Verdict | None, outdated: str) -> str:
    if state is None:
        return badge(Tone.NEUTRAL, "not run")
    if state is not RunState.FINISHED:
        return badge(Tone.PROGRESS, "running" if state is RunState.RUNNING else "queued")
    if outdated:
        return badge(Tone.NEUTRAL, outdated)
    return verdict(found) if found else badge(Tone.NEUTRAL, "no verdict")


def checked(verified: bool, has_gates: bool) -> str:
    """How a bundle stands in a stage where it is live. Without gates nothing is green."""
    if verified:
        return badge(Tone.POSITIVE, "verified")
    if has_gates:
        return badge(Tone.ATTENTION, "not verified")
    return badge(Tone.NEUTRAL, "not checked")


def sentence(words: str) -> None:
    """The one sentence that matters, as the page's heading. `words` is plain text."""
    st.title(text.plain(words), anchor=False)


def section(words: str, noun: str = "") -> None:
    """A quiet heading of the second level."""
    st.header((theme.icon(noun) + " " if noun else "") + text.plain(words), anchor=False)
