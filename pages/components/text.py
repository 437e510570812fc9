"""What people wrote, shown as they wrote it: every page text is Markdown, and a name is never markup."""

from __future__ import annotations

import re

PUNCTUATION = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:=^&\"'/@])")
# Some notations are replaced after Markdown has been read, where a backslash no longer helps: a joiner that nobody
# sees keeps their parts apart.
JOINER = "\u2060"
LATE = re.compile(
    r":(?=[\w+/-]+:)|:(?=//)|(?<=www)(?=\.)|(?<=\w)@(?=\w)|<(?=[-=])|-(?=[->])|(?<=[>~<])(?==)", re.IGNORECASE
)


def plain(text: object, limit: int | None = None) -> str:
    """Escape for st.markdown, captions, labels and tables. Longer than `limit` characters, it ends in an ellipsis."""
    words = " ".join(str(text).split())
    if limit is not None and len(words) > limit:
        words = words[: limit - 1].rstrip() + "…"
    parts = LATE.sub(lambda match: match[0] + JOINER, words).split(JOINER)
    return JOINER.join(PUNCTUATION.sub(r"\\\1", part) for part in parts)


def mono(text: object, limit: int | None = None) -> str:
    """Escape and set in monospace, for digests and versions."""
    words = " ".join(str(text).split())
    if limit is not None and len(words) > limit:
        words = words[: limit - 1].rstrip() + "…"
    fence = "`" * (max((len(run) for run in re.findall(r"`+", words)), default=0) + 1)
    padded = f" {words} " if words.startswith("`") or words.endswith("`") else words
    return f"{fence}{padded}{fence}" if words else ""


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 bundle`, `3 bundles`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(words: list[str]) -> str:
    """`model`, `model and prompt`, `model, dataset and prompt`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def lines(text: object) -> str:
    """Escape a text of several lines, and keep them."""
    return "  \n".join(plain(line) for line in str(text).splitlines() if line.strip())
