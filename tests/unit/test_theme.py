"""The five tones: each once, with icon and word, readable, and the same in config.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from pages.components import theme
from pages.components.theme import LOOKS, Pair, Tone
from services.rules.domain import ComponentKind, Condition, DeploymentState, Phase, Verdict

PROJECT = Path(__file__).parents[2]
CONFIG = tomllib.loads((PROJECT / ".streamlit" / "config.toml").read_text())


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def pair(tone: Tone, kind: str) -> Pair:
    return LOOKS[tone].dark if kind == "dark" else LOOKS[tone].light


@pytest.mark.parametrize("kind", ["light", "dark"])
@pytest.mark.parametrize("tone", Tone)
def test_a_tone_has_the_same_colours_in_the_code_and_in_the_configuration(tone: Tone, kind: str) -> None:
    configured, name = CONFIG["theme"][kind], theme.palette(tone)

    assert configured[f"{name}TextColor"] == pair(tone, kind).text
    assert configured[f"{name}BackgroundColor"] == pair(tone, kind).background


@pytest.mark.parametrize("kind", ["light", "dark"])
@pytest.mark.parametrize("tone", Tone)
def test_a_tone_can_be_read_on_its_badge_and_on_the_page(tone: Tone, kind: str) -> None:
    words = pair(tone, kind).text

    assert contrast(words, pair(tone, kind).background) >= 4.5
    assert contrast(words, CONFIG["theme"][kind]["backgroundColor"]) >= 4.5
    assert contrast(words, CONFIG["theme"][kind]["secondaryBackgroundColor"]) >= 4.5


@pytest.mark.parametrize("kind", ["light", "dark"])
def test_text_links_and_the_primary_button_can_be_read(kind: str) -> None:
    look = CONFIG["theme"][kind]

    assert contrast(look["textColor"], look["backgroundColor"]) >= 7
    assert contrast(look["linkColor"], look["backgroundColor"]) >= 4.5
    assert contrast("#FFFFFF", look["primaryColor"]) >= 4.5


@pytest.mark.parametrize("kind", ["light", "dark"])
def test_charts_use_the_colours_of_the_configuration(kind: str) -> None:
    look = CONFIG["theme"][kind]

    assert list(theme.ACCENTS[kind]) == look["chartCategoricalColors"]
    assert theme.TEXT[kind] == look["textColor"]
    assert theme.GRID[kind] == look["borderColor"]
    assert theme.PAPER[kind] == look["backgroundColor"]


def test_every_phase_verdict_and_state_has_exactly_one_tone_and_a_word() -> None:
    for known, shown in (
        (Phase, theme.PHASES),
        (Verdict, theme.VERDICTS),
        (DeploymentState, theme.DEPLOYMENTS),
    ):
        assert set(shown) == set(known)
        assert all(isinstance(tone, Tone) and word for tone, word in shown.values())


def test_what_waits_for_a_person_is_attention_and_a_gate_that_could_not_judge_is_no_failure() -> None:
    assert theme.PHASES[Phase.AWAITING_APPROVAL][0] is Tone.ATTENTION
    assert theme.VERDICTS[Verdict.ERRORED][0] is Tone.ATTENTION
    assert theme.VERDICTS[Verdict.FAILED][0] is Tone.NEGATIVE


def test_no_two_tones_and_no_two_kinds_of_component_share_an_icon() -> None:
    assert len({look.icon for look in LOOKS.values()}) == len(Tone)
    assert len({look.palette for look in LOOKS.values()}) == len(Tone)
    assert len({theme.KIND_ICONS[kind] for kind in ComponentKind}) == len(ComponentKind)


def test_no_noun_shares_its_icon_with_another() -> None:
    assert len(set(theme.ICONS.values())) == len(theme.ICONS)


def test_a_missing_condition_is_negative_only_where_something_said_no() -> None:
    missing = Condition("gates", False, "accuracy has not run.")

    assert theme.condition_tone(missing) is Tone.ATTENTION
    assert theme.condition_tone(missing, [Verdict.FAILED]) is Tone.NEGATIVE
    assert theme.condition_tone(Condition("quarantine", False, "Quarantined.")) is Tone.NEGATIVE
    assert theme.condition_tone(Condition("gates", True, "1 gate passed."), [Verdict.FAILED]) is Tone.POSITIVE


def test_only_the_theme_knows_a_colour() -> None:
    colour = re.compile(r"#[0-9A-Fa-f]{6}\b|#[0-9A-Fa-f]{3}\b|rgba?\((?!0,0,0,0)")
    for path in (PROJECT / "pages").rglob("*.py"):
        if path.name != "theme.py":
            assert not colour.search(path.read_text()), path


def test_nothing_is_fetched_from_elsewhere_and_only_this_machine_is_served() -> None:
    assert CONFIG["server"]["address"] == "127.0.0.1"
    assert CONFIG["runner"]["magicEnabled"] is False
    for face in CONFIG["theme"]["fontFaces"]:
        assert (PROJECT / face["url"].removeprefix("app/")).is_file()


def test_every_line_of_the_configuration_has_its_reason() -> None:
    lines = (PROJECT / ".streamlit" / "config.toml").read_text().splitlines()
    settings = [line for line in lines[: lines.index("[theme]")] if "=" in line and not line.startswith("#")]

    assert settings
    assert all("#" in line for line in settings)
