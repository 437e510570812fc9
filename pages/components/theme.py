"""The look: five tones, each with its icon and word, and one icon a noun. Only this module knows colours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from services.rules.domain import ComponentKind, Condition, DeploymentState, Phase, Verdict
from services.rules.preflight import Answer


class Tone(StrEnum):
    POSITIVE = "positive"
    PROGRESS = "progress"
    ATTENTION = "attention"  # waits for a person
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


@dataclass(frozen=True)
class Pair:
    text: str
    background: str


@dataclass(frozen=True)
class Look:
    """`palette` is Streamlit's name for the colour that config.toml gives to it."""

    icon: str
    palette: str
    light: Pair
    dark: Pair


LOOKS = {
    Tone.POSITIVE: Look("check_circle", "green", Pair("#11703F", "#E3F4EA"), Pair("#6FD39B", "#12301F")),
    Tone.PROGRESS: Look("progress_activity", "blue", Pair("#1D55B4", "#E5EEFC"), Pair("#8DB8F8", "#152A4A")),
    Tone.ATTENTION: Look("pending", "orange", Pair("#8F4A00", "#FDEFD9"), Pair("#F2B765", "#3A2809")),
    Tone.NEGATIVE: Look("error", "red", Pair("#B3261E", "#FCE8E6"), Pair("#F59A92", "#411A17")),
    Tone.NEUTRAL: Look("circle", "gray", Pair("#55616D", "#EDF0F3"), Pair("#A7B3BF", "#222C36")),
}

ACCENTS = {
    "light": ("#0F5F7A", "#5FA8C2", "#8F4A00", "#55616D", "#11703F"),
    "dark": ("#7CC7E2", "#3E8FAD", "#F2B765", "#A7B3BF", "#6FD39B"),
}
GRID = {"light": "#DCE2E8", "dark": "#2C3843"}
TEXT = {"light": "#0E1720", "dark": "#E4E9EE"}
SOFT = {"light": "#CFE3EB", "dark": "#24485A"}  # bars of what is over
ON_STRONG = {"light": "#FFFFFF", "dark": "#10161D"}  # text on the accent
PAPER = {"light": "#FFFFFF", "dark": "#10161D"}
FONT = "Inter, system-ui, sans-serif"

PHASES = {
    Phase.REQUESTED: (Tone.PROGRESS, "requested"),
    Phase.GATING: (Tone.PROGRESS, "gates are running"),
    Phase.AWAITING_APPROVAL: (Tone.ATTENTION, "waits for approval"),
    Phase.DEPLOYING: (Tone.PROGRESS, "deploying"),
    Phase.SUCCEEDED: (Tone.POSITIVE, "succeeded"),
    Phase.BLOCKED: (Tone.NEGATIVE, "blocked by a gate"),
    Phase.FAILED: (Tone.NEGATIVE, "failed"),
    Phase.REJECTED: (Tone.NEGATIVE, "rejected"),
    Phase.EXPIRED: (Tone.NEUTRAL, "expired"),
    Phase.WITHDRAWN: (Tone.NEUTRAL, "withdrawn"),
    Phase.SUPERSEDED: (Tone.NEUTRAL, "superseded"),
}

# "No" is negative; "don't know" waits for a person, and is never shown as a failure.
VERDICTS = {
    Verdict.PASSED: (Tone.POSITIVE, "passed"),
    Verdict.FAILED: (Tone.NEGATIVE, "failed"),
    Verdict.INCONCLUSIVE: (Tone.ATTENTION, "inconclusive"),
    Verdict.ERRORED: (Tone.ATTENTION, "could not judge"),
    Verdict.SKIPPED: (Tone.NEUTRAL, "skipped"),
}

DEPLOYMENTS = {
    DeploymentState.STARTED: (Tone.PROGRESS, "deploying"),
    DeploymentState.SUCCEEDED: (Tone.POSITIVE, "succeeded"),
    DeploymentState.FAILED: (Tone.NEGATIVE, "failed"),
    DeploymentState.ABORTED: (Tone.NEUTRAL, "aborted"),
}

KIND_ICONS = {
    ComponentKind.MODEL: "neurology",
    ComponentKind.DATASET: "database",
    ComponentKind.PROMPT: "chat",
    ComponentKind.CODE: "code",
    ComponentKind.ENVIRONMENT: "terminal",
}

ICONS = {
    "overview": "space_dashboard",
    "bundle": "deployed_code",
    "approval": "how_to_reg",
    "application": "lan",
    "gate": "fact_check",
    "promote": "publish",
    "rollback": "undo",
    "sign in": "login",
    "sign out": "logout",
    "withdraw": "cancel_schedule_send",
    "hold": "pause_circle",
    "freeze": "ac_unit",
    "quarantine": "block",
    "deployment": "rocket_launch",
    "delivery": "speed",
    "policy": "gavel",
    "person": "person",
    "confidence": "verified",
    "incident": "report",
    "history": "history",
    "search": "search",
    "approve": "check",
    "reject": "close",
    "rerun": "refresh",
    "restore": "settings_backup_restore",
    "adopt": "input",
    "drill": "sports_score",
}


# "Unknown" is no objection: nobody has looked yet, or MLflow did not answer.
ANSWERS = {
    Answer.SAFE: (Tone.POSITIVE, "safe"),
    Answer.UNKNOWN: (Tone.NEUTRAL, "unknown"),
    Answer.UNSAFE: (Tone.NEGATIVE, "unsafe"),
}


def icon(noun: str) -> str:
    """Streamlit's notation for the icon of a noun or verb."""
    return f":material/{ICONS[noun]}:"


def tone_icon(tone: Tone) -> str:
    return f":material/{LOOKS[tone].icon}:"


def palette(tone: Tone) -> str:
    return LOOKS[tone].palette


def colour(tone: Tone, theme: str) -> str:
    """The tone's text colour in the light or dark theme, for what Streamlit does not colour itself."""
    look = LOOKS[tone]
    return (look.dark if theme == "dark" else look.light).text


def condition_tone(condition: Condition, verdicts: Iterable[Verdict | None] = ()) -> Tone:
    """Met is positive; a gate that said no, a quarantine or a missing component is negative; the rest waits."""
    if condition.met:
        return Tone.POSITIVE
    if condition.name in ("quarantine", "components", "stage"):
        return Tone.NEGATIVE
    if condition.name == "gates" and Verdict.FAILED in verdicts:
        return Tone.NEGATIVE
    return Tone.ATTENTION
