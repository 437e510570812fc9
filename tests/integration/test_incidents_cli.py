"""`headgate incident`: what it says of the cause, and how it prints times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from desks import Desk, Headgate

from services.commands import imports
from services.settings import Settings
from services.store.database import Store

DEPLOYMENTS = """id,application,stage,bundle,finished_at
d1,flights,production,v1,2026-01-05T10:00:00Z
d2,flights,production,v2,2026-01-06T10:00:00Z
"""
OPEN = ("incident", "open", "flights", "--title", "Late", "--since", "2026-01-06T12:00:00Z")


@pytest.fixture
def headgate(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> Headgate:
    return Desk(settings.home, monkeypatch).program()


@pytest.fixture
def flights(headgate: Headgate, tmp_path: Path) -> Path:
    path = tmp_path / "deployments.csv"
    path.write_text(DEPLOYMENTS)
    assert headgate("deployment", "import", str(path))[0] == 0
    return path


def first(headgate: Headgate) -> Any:
    return json.loads(headgate("incident", "list", "--json")[1])["incidents"][0]


def test_a_cause_is_inferred_named_none_and_left_to_the_rule_again(headgate: Headgate, flights: Path) -> None:
    assert headgate(*OPEN)[1] == "Incident 1 is open. Caused by: deployment 2 of v2 (inferred).\n"

    for option, said, cause in (
        (("--none",), "no deployment", ("none", None, False)),
        (("--deployment", "1"), "deployment 1 of v1", ("deployment", 1, False)),
        (("--unknown",), "deployment 2 of v2 (inferred)", ("unknown", 2, True)),
    ):
        code, out, _ = headgate("incident", "link", "1", *option)
        assert (code, out) == (0, f"Incident 1 is corrected. Caused by: {said}.\n")
        assert said in headgate("incident", "list")[1]
        found = first(headgate)
        assert (found["cause"], found["caused_by"], found["inferred"]) == cause


@pytest.mark.parametrize(
    ("cause", "said"), [("none", "no deployment"), ("1", "deployment 1 of v1"), ("unknown", "deployment 2 of v2")]
)
def test_one_is_opened_with_what_is_known_of_its_cause(
    headgate: Headgate, flights: Path, cause: str, said: str
) -> None:
    assert f"Caused by: {said}" in headgate(*OPEN, "--caused-by", cause)[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*OPEN, "--caused-by", "v2"), "is not the number of a deployment"),
        (("incident", "link", "1"), "Say one of --deployment NUMBER, --none and --unknown"),
        (("incident", "link", "1", "--none", "--unknown"), "Say one of"),
        (("incident", "link", "7", "--none"), "There is no incident 7"),
    ],
)
def test_what_says_no_cause_is_refused(
    headgate: Headgate, flights: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = headgate(*arguments)

    assert code != 0
    assert said in err


def test_times_are_printed_in_utc_as_they_can_be_typed(headgate: Headgate, flights: Path) -> None:
    headgate(*OPEN)

    out = headgate("incident", "list")[1]

    assert "2026-01-06T12:00:00Z" in out
    assert "+00:00" not in out


def test_a_long_import_says_that_it_was_written_in_parts(
    headgate: Headgate, flights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "PART", 1)
    flights.write_text(DEPLOYMENTS.replace("d1,", "d3,").replace("d2,", "d4,"))

    _, out, err = headgate("deployment", "import", str(flights))

    assert out == "2 deployments imported; 0 were there already.\n"
    assert "Written in 2 parts, between which others could write." in err


def test_of_many_new_applications_the_first_ten_are_named(headgate: Headgate, flights: Path) -> None:
    rows = [f"n{number},app-{number},production,v1,2026-01-05T10:00:00Z" for number in range(12)]
    flights.write_text("\n".join(["id,application,stage,bundle,finished_at", *rows]))

    _, _, err = headgate("deployment", "import", str(flights))

    assert err.count("was created, without a policy.") == 10
    assert "2 more applications were created, too; `--json` names them." in err
