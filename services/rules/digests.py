"""Digests: one canonical form, so that equal things have equal digests on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from services.rules.domain import Component


def canonical(value: Any) -> str:
    """JSON with sorted keys and no blanks. Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256(text: str) -> str:
    """`sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def digest(value: Any) -> str:
    return sha256(canonical(value))


def bundle_digest(application: str, components: Iterable[Component]) -> str:
    """The identity of a bundle: the same components, in any order, give the same digest."""
    rows = sorted([c.kind.value, c.name, c.version, c.uri, c.digest] for c in components)
    return digest({"application": application, "components": rows})


def short(full: str) -> str:
    """What people compare by eye: the first 12 digits."""
    return full.rpartition(":")[2][:12]
