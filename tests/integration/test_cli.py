"""The command line as other programs see it: shapes of JSON, exit codes, and what bad input leads to."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import example
import pytest
from desks import BAD_INPUT, DONE, ERROR, NO, UNREACHABLE, WAITING, Desk, open_shop, workshop, write_policy

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ANSWERS_WITHIN = 10  # seconds, where MLflow is silent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only read from here."""
    return open_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def shop(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A copy to change. Its models' and data's files are those of the original."""
    shutil.copytree(built, tmp_path / "home")
    return Desk(tmp_path / "home", monkeypatch)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Somebody takes calls there and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def at(port: int) -> dict[str, str]:
    return {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}


def is_time(value: object) -> bool:
    return isinstance(value, str) and bool(TIME.fullmatch(value))


# What other programs read


def test_status_keeps_its_shape(shop: Desk) -> None:
    found = shop.run("status --json").json
    assert list(found) == ["applications"]
    (application,) = found["applications"]
    assert list(application) == ["name", "stages"]
    assert [(stage["stage"], stage["bundle"]) for stage in application["stages"]] == [
        ("development", "delays/1"),
        ("staging", "delays/1"),
        ("production", None),
    ]
    for stage in application["stages"]:
        assert list(stage) == ["stage", "bundle", "since", "promotion"]
    development, _, production = application["stages"]
    assert is_time(development["since"])
    assert development["promotion"] is None
    assert production["since"] is None
    assert production["promotion"] == {"id": WAITING, "phase": "awaiting_approval", "bundle": "delays/1"}


def test_resolve_keeps_its_shape_and_names_what_is_pinned(shop: Desk) -> None:
    found = shop.run("resolve delays --stage staging --json").json
    assert list(found) == ["application", "stage", "bundle", "digest", "model_uri", "components"]
    assert (found["application"], found["stage"], found["bundle"]) == ("delays", "staging", "delays/1")
    assert found["digest"].startswith("sha256:")
    assert found["model_uri"] == "models:/delays/1"
    assert {"model", "dataset", "prompt", "environment"} == {part["kind"] for part in found["components"]}
    for part in found["components"]:
        assert list(part) == ["kind", "name", "version", "uri", "digest"]
        assert all(isinstance(value, str) for value in part.values())
    assert shop.run("resolve delays@staging --json").json == found


def test_bundle_show_keeps_its_shape(shop: Desk) -> None:
    found = shop.run("bundle show delays/1 --json").json
    assert list(found) == [
        *("application", "bundle", "digest", "components", "provenance_gaps", "metrics", "quarantine", "stages")
    ]
    assert found["quarantine"] is None
    assert found["metrics"] == {"roc_auc": 0.8}
    for gap in found["provenance_gaps"]:
        assert list(gap) == ["name", "reason"]
    assert [stage["stage"] for stage in found["stages"]] == ["development", "staging", "production"]
    for stage in found["stages"]:
        assert list(stage) == ["stage", "conditions"]
        for condition in stage["conditions"]:
            assert list(condition) == ["name", "met", "reason", "remedy", "since"]
            assert isinstance(condition["met"], bool)
            assert condition["since"] is None or is_time(condition["since"])


def test_bundle_show_says_who_quarantined_it_and_why(shop: Desk) -> None:
    assert shop.run("bundle quarantine delays/1 --reason", "Wrong data", person="lou").code == DONE
    found = shop.run("bundle show delays/1 --json").json["quarantine"]
    assert (found["by"], found["reason"], is_time(found["since"])) == ("lou", "Wrong data", True)
    assert shop.run("bundle unquarantine delays/1 --reason", "Right after all", person="lou").code == DONE
    assert shop.run("bundle show delays/1 --json").json["quarantine"] is None


def test_bundle_list_keeps_its_shape(shop: Desk) -> None:
    found = shop.run("bundle list --json").json
    assert list(found) == ["bundles", "next"]
    (bundle,) = found["bundles"]
    assert (bundle["bundle"], bundle["maker"], bundle["live"]) == ("delays/1", "mia", ["development", "staging"])
    assert is_time(bundle["made"])
    assert found["next"] is None


def test_promote_keeps_its_shape_and_its_id_is_what_reject_takes(shop: Desk) -> None:
    assert shop.run(f"withdraw {WAITING} --json", person="mia").json["promotion"]["phase"] == "withdrawn"
    found = shop.run("promote delays/1 --to production --json", person="mia").json["promotion"]
    assert (found["phase"], found["bundle"], found["stage"]) == ("awaiting_approval", "delays/1", "production")
    assert isinstance(found["id"], int)
    assert is_time(found["requested_at"])
    assert found["finished_at"] is None
    assert found["gates"] == []  # what passed lately is not measured again
    rejected = shop.run(f"reject {found['id']} --json --comment", "Not now", person="lou").json["promotion"]
    assert (rejected["id"], rejected["phase"], rejected["note"]) == (found["id"], "rejected", "Not now")
    assert is_time(rejected["finished_at"])


def test_the_same_promotion_is_approved_and_rolled_back_and_mlflow_agrees(shop: Desk) -> None:
    approved = shop.run(f"approve {WAITING} --json", person="lou")
    assert (approved.code, approved.json["promotion"]["phase"]) == (DONE, "succeeded")
    made = workshop(shop.home)
    made.made = 1
    made.train(seed=11)
    assert shop.run("sync --json", person="mia").json == {
        "applications": [{"name": "delays", "new": ["delays/2"], "note": "", "trouble": None}]
    }
    promoted = shop.run("promote delays/2 --to staging --json", person="mia").json["promotion"]
    assert sorted(gate["gate"] for gate in promoted["gates"]) == ["accuracy", "notice", "schema"]
    assert {gate["verdict"] for gate in promoted["gates"]} == {"passed"}
    assert is_time(promoted["finished_at"])
    promoted = shop.run("promote delays/2 --to production --json", person="mia").json["promotion"]
    assert shop.run(f"approve {promoted['id']}", person="lou").code == DONE
    assert shop.run("resolve delays@production --json").json["model_uri"] == "models:/delays/2"
    back = shop.run("rollback delays@production --json --reason", "Worse", person="lou").json["promotion"]
    assert (back["bundle"], back["phase"], back["rollback"]) == ("delays/1", "succeeded", True)
    live = {stage["stage"]: stage["bundle"] for stage in shop.run("status --json").json["applications"][0]["stages"]}
    assert live == {"development": "delays/2", "staging": "delays/2", "production": "delays/1"}
    assert {slot["agrees"] for slot in shop.run("reconcile --json").json["slots"]} == {True}
    difference = shop.run("bundle diff delays/1 delays/2 --json").json
    assert {part["change"] for part in difference["components"] if part["kind"] == "model"} == {"changed"}
    held = [c for c in shop.run("bundle show delays/2 --json").json["stages"][-1]["conditions"] if c["name"] == "hold"]
    assert "Worse" in held[0]["reason"]


def test_gates_answer_with_their_verdicts_and_the_record_verifies(shop: Desk) -> None:
    found = shop.run("gate run delays/1 --stage staging --gate notice --json", person="mia")
    assert (found.code, [gate["verdict"] for gate in found.json["gates"]]) == (DONE, ["passed"])
    report = shop.run("gate report delays/1 --stage staging --json").json["gates"]
    assert {gate["gate"]: gate["verdict"] for gate in report} == dict.fromkeys(
        ("schema", "accuracy", "notice"), "passed"
    )
    audit = shop.run("audit verify --json").json
    assert audit["broken_at"] is None
    assert audit["events"] > 5
    assert {check["state"] for check in shop.run("doctor --json").json["checks"]} <= {"ok", "note"}


# No


def test_out_of_order_and_unknown_stages_are_told_apart(shop: Desk) -> None:
    workshop(shop.home).train(seed=12)
    assert shop.run("sync", person="mia").code == DONE
    before = shop.record()
    order = shop.run("promote delays/2 --to production", person="mia")
    assert (order.code, "previous stage" in order.err) == (NO, True)
    unknown = shop.run("promote delays/2 --to moon", person="mia")
    assert (unknown.code, "moon" in unknown.err, "development, staging" in unknown.err) == (BAD_INPUT, True, True)
    assert shop.record() == before


def test_what_a_gate_stops_is_a_no_with_the_way_to_its_evidence(shop: Desk) -> None:
    workshop(shop.home).train(seed=13, extra={"leak": 1.0})
    assert shop.run("sync", person="mia").code == DONE
    found = shop.run("promote delays/2 --to staging", person="mia")
    assert (found.code, "schema failed" in found.err, "gate report delays/2" in found.err) == (NO, True, True)
    assert shop.run("gate run delays/2 --stage staging --gate schema", person="mia").code == NO
    assert "leak" in shop.run("gate report delays/2 --stage staging").out
    assert shop.run("resolve delays@staging --json").json["bundle"] == "delays/1"


def test_approving_twice_is_refused(shop: Desk) -> None:
    assert shop.run(f"approve {WAITING}", person="lou").code == DONE
    before = shop.record()
    again = shop.run(f"approve {WAITING}", person="lou")
    assert (again.code, again.out) == (NO, "")
    assert again.err
    assert shop.record() == before


def test_approving_what_was_withdrawn_is_refused(shop: Desk) -> None:
    assert shop.run(f"withdraw {WAITING}", person="mia").code == DONE
    found = shop.run(f"approve {WAITING}", person="lou")
    assert (found.code, "withdrawn" in found.err) == (NO, True)


def test_nobody_approves_what_they_made_and_a_viewer_decides_nothing(shop: Desk) -> None:
    before = shop.record()
    for person in ("mia", "vic"):
        found = shop.run(f"approve {WAITING}", person=person)
        assert (found.code, "may not" in found.err) == (NO, True)
    assert shop.run("promote delays/1 --to production", person="vic").code == NO
    assert shop.run("rollback delays@staging --reason why", person="mia").code == NO
    assert shop.record() == before


def test_an_approval_does_not_count_once_the_rules_have_changed(shop: Desk, tmp_path: Path) -> None:
    stricter = example.POLICY.replace("min = 0.70", "min = 0.75")
    assert shop.run("apply", write_policy(tmp_path, stricter), person="mia").code == DONE
    found = shop.run(f"approve {WAITING}", person="lou")
    assert found.code == NO
    assert "accuracy" in found.err
    assert shop.run("status --json").json["applications"][0]["stages"][-1]["bundle"] is None


def test_rolling_back_where_nothing_was_live_before_is_refused(shop: Desk) -> None:
    before = shop.record()
    for stage in ("production", "staging"):
        found = shop.run(f"rollback delays@{stage} --reason", "Just so", person="lou")
        assert found.code in (BAD_INPUT, NO)
        assert "delays@" in found.err or stage in found.err
    assert shop.record() == before


# Bad input


def test_a_dry_run_shows_the_difference_and_stores_nothing(shop: Desk, tmp_path: Path) -> None:
    before = shop.record()
    path = write_policy(tmp_path, example.POLICY.replace("min = 0.70", "min = 0.75"))
    found = shop.run("apply --dry-run --json", path, person="mia").json
    assert found == {"application": "delays", "revision": 0, "changes": ["gates.accuracy.min: 0.7 -> 0.75"]}
    assert shop.record() == before


def test_a_bundle_of_a_deleted_model_version_is_not_made_and_not_promoted(shop: Desk) -> None:
    made = workshop(shop.home)
    made.train(seed=14)
    assert shop.run("sync", person="mia").code == DONE
    made.tracking.client.delete_model_version("delays", "2")
    before = shop.record()
    added = shop.run("bundle add delays --model 2 --prompt notice/1", person="mia")
    assert (added.code, "delays" in added.err) == (BAD_INPUT, True)
    assert shop.record() == before
    promoted = shop.run("promote delays/2 --to staging", person="mia")
    assert promoted.code in (ERROR, NO)
    assert "delays/2" in promoted.err
    assert shop.run("resolve delays@staging --json").json["bundle"] == "delays/1"


@pytest.mark.parametrize(
    "line",
    [
        "bundle show nowhere/1",
        "bundle show delays/99",
        "bundle show delays",
        "bundle show delays/0",
        "bundle show delays/99999999999999999999",
        "bundle diff delays/1 delays/7",
        "bundle list nowhere",
        "bundle add delays --prompt notice",
        "promote delays/9 --to staging",
        "approve 99999",
        "approve nineteen",
        "resolve nowhere@production",
        "resolve delays@production",
        "resolve delays",
        "rollback delays --reason x",
        "gate run delays/1 --stage moon",
        "gate run delays/1 --stage staging --gate nowhere",
        "hold lift delays@moon",
        "sync nowhere",
        "serve --port 0",
        "serve --port 70000",
        "--as nobody status",
        "nonsense",
    ],
)
def test_names_that_do_not_exist_and_words_that_make_no_sense_are_bad_input(line: str, shop: Desk) -> None:
    before = shop.record()
    person = None if line.startswith("--as") else "lou"
    found = shop.run(line, person=person)
    assert (found.code, found.out) == (BAD_INPUT, "")
    assert found.err.strip()
    assert "Traceback" not in found.err
    assert shop.record() == before


HOSTILE = 'Robert\'); DROP TABLE "bundle";-- <script>alert(1)</script> [bold]no[/bold] \N{ROCKET} ' + "long " * 60


def test_hostile_names_and_reasons_are_shown_as_text(shop: Desk, tmp_path: Path) -> None:
    text = example.POLICY.replace('owner = "operations"', f"owner = {json.dumps(HOSTILE, ensure_ascii=False)}")
    assert shop.run("apply", write_policy(tmp_path, text), person="mia").code == DONE
    rejected = shop.run(f"reject {WAITING} --comment", HOSTILE, person="lou")
    assert (rejected.code, HOSTILE.strip() in rejected.out) == (DONE, True)
    assert shop.run(f"reject {WAITING} --comment", HOSTILE, person="lou").code == NO
    assert shop.run("bundle quarantine delays/1 --reason", HOSTILE, person="lou").code == DONE
    assert HOSTILE.strip() in shop.run("bundle show delays/1").out
    assert shop.run("bundle show delays/1 --json").json["quarantine"]["reason"] == HOSTILE.strip()


# Broken, and unreachable


def test_a_corrupt_store_is_an_error_that_names_the_way_out(shop: Desk) -> None:
    for path in shop.home.glob("headgate.db*"):
        path.unlink()
    (shop.home / "headgate.db").write_bytes(b"this is no database" * 100)
    for line in ("status", "promote delays/1 --to production", "doctor"):
        found = shop.run(line)
        assert found.code == ERROR
        assert "Traceback" not in found.err
    assert "backup" in shop.run("status").err


def test_a_store_that_cannot_be_written_to_can_be_read_and_refuses_the_rest(shop: Desk) -> None:
    address = f"sqlite:///file:{shop.home / 'headgate.db'}?mode=ro&uri=true"
    before = shop.record()
    assert shop.run("status --json", person="vic", HEADGATE_DATABASE_URL=address).code == DONE
    found = shop.run(f"withdraw {WAITING}", person="mia", HEADGATE_DATABASE_URL=address)
    assert (found.code, "cannot be written" in found.err) == (ERROR, True)
    assert shop.record() == before


def test_a_store_that_somebody_locked_is_read_and_a_write_gives_up_in_time(shop: Desk) -> None:
    with contextlib.closing(sqlite3.connect(shop.home / "headgate.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert shop.run("status", person="vic").code == DONE
        begun = time.monotonic()
        found = shop.run(f"withdraw {WAITING}", person="mia")
        assert (found.code, "locked" in found.err) == (UNREACHABLE, True)
        assert time.monotonic() - begun < 15
    assert shop.run(f"withdraw {WAITING}", person="mia").code == DONE


@pytest.mark.parametrize(
    "line",
    [
        "sync",
        "reconcile",
        "bundle add delays --model 1",
        "gate run delays/1 --stage staging",
        f"approve {WAITING}",
        "promote delays/1 --to production",
        "doctor",
    ],
)
def test_where_mlflow_is_down_commands_say_so_and_leave_nothing_half_done(
    line: str, shop: Desk, closed_port: int
) -> None:
    if line.startswith("promote"):
        assert shop.run(f"withdraw {WAITING}", person="mia").code == DONE
    before, begun = shop.record(), time.monotonic()
    found = shop.run(line, person="lou", **at(closed_port))
    assert (found.code, "MLflow" in found.err + found.out) == (UNREACHABLE, True)
    assert time.monotonic() - begun < ANSWERS_WITHIN
    assert "Traceback" not in found.err
    assert shop.record() == before


def test_where_mlflow_never_answers_the_real_program_gives_up_in_time(shop: Desk, silent_port: int) -> None:
    before, begun = shop.record(), time.monotonic()
    found = subprocess.run(
        [sys.executable, "-c", "from services.cli import main; main()", "sync"],
        env={**os.environ, "HEADGATE_HOME": str(shop.home), **at(silent_port)},
        capture_output=True,
        text=True,
    )
    assert (found.returncode, "does not answer" in found.stderr) == (UNREACHABLE, True)
    # The program's own start is not the network's; it takes 3 s on a quiet machine and more on a busy one.
    assert time.monotonic() - begun < ANSWERS_WITHIN + 5
    assert shop.record() == before


def test_what_does_not_need_mlflow_works_without_it(shop: Desk, closed_port: int) -> None:
    for line in (
        "status",
        "resolve delays@staging",
        "bundle list",
        "bundle show delays/1",
        "gate report delays/1 --stage staging",
        "audit verify",
    ):
        assert shop.run(line, **at(closed_port)).code == DONE
    assert shop.run(f"approve {WAITING} --no-wait", person="lou", **at(closed_port)).code == DONE
    assert shop.run("status --json").json["applications"][0]["stages"][-1]["promotion"]["phase"] == "deploying"
    assert shop.run("reconcile").code == DONE
    assert shop.run("resolve delays@production --json").json["bundle"] == "delays/1"


def test_a_closed_pipe_is_no_traceback(shop: Desk) -> None:
    program = f"{sys.executable} -c 'from services.cli import main; main()'"
    found = subprocess.run(
        ["bash", "-c", f"{program} bundle show delays/1 --json | head -c 1"],
        env={**os.environ, "HEADGATE_HOME": str(shop.home)},
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stdout, found.stderr) == (DONE, "{", "")
