"""With many applications the overview stays one look: a line each."""

from __future__ import annotations

import example
from delivering import Delivery, Open, sentence, words

from services.store.database import Store


def test_many_applications_get_a_line_each_and_what_waits_is_counted_over_all(open_page: Open, store: Store) -> None:
    for name in ("baggage", "claims", "crews", "fuel", "seats"):
        rules = example.POLICY.replace('"delays"', f'"{name}"')
        team = Delivery(store, rules, name)
        team.waiting(team.make())

    at = open_page()

    assert sentence(at) == "5 promotions wait for you."
    assert words(at).count("1 waits for approval") == 5
    assert not [button.label for button in at.button if button.label == "More applications"]
