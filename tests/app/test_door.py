"""Which addresses of a server no other machine reaches. What a visitor then sees is in tests/browser/test_login.py."""

from __future__ import annotations

import pytest

from pages.components import door


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_loopback_address_is_this_machines_own(address: str) -> None:
    assert door.only_this_machine(address)


@pytest.mark.parametrize("address", [None, "", "0.0.0.0", "::", "10.0.0.7", "dashboard.example.org"])
def test_every_other_address_may_be_reached_and_so_may_a_server_without_one(address: str | None) -> None:
    assert not door.only_this_machine(address)
