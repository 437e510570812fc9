"""Which addresses no other machine reaches, and who comes from one. What they then see: tests/browser/test_login.py."""

from __future__ import annotations

import pytest

from pages.components import door


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_loopback_address_is_this_machines_own(address: str) -> None:
    assert door.only_this_machine(address)


@pytest.mark.parametrize("address", [None, "", "0.0.0.0", "::", "10.0.0.7", "dashboard.example.org"])
def test_every_other_address_may_be_reached_and_so_may_a_server_without_one(address: str | None) -> None:
    assert not door.only_this_machine(address)


@pytest.mark.parametrize(
    ("address", "elsewhere"),
    [(None, False), ("127.0.0.1", False), ("::1", False), ("203.0.113.9", True), ("10.0.0.7", True), ("fe80::1", True)],
)
def test_a_visitor_with_an_address_of_another_machine_comes_from_there(address: str | None, elsewhere: bool) -> None:
    assert door.is_another_machine(address) is elsewhere
