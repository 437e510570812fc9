"""Skipping, and when that is a failure: HEADGATE_REQUIRE=browser,postgres names what a run must have."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRED = {name.strip() for name in os.environ.get("HEADGATE_REQUIRE", "").split(",") if name.strip()}


def skip_without(what: str, reason: str) -> NoReturn:
    """Skip, with a plain reason, unless this run requires it."""
    if what in REQUIRED:
        pytest.fail(f"HEADGATE_REQUIRE asks for {what}, and {reason}", pytrace=False)
    pytest.skip(reason)
