"""The command line in a new home: what cannot be meant, and what is not there, leads to an error that says so."""

from __future__ import annotations

import json
import re
import shutil
import socket
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from desks import BAD_INPUT, DONE, ERROR, Desk, meet_everybody, workshop, write_policy


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path / "home", monkeypatch)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Somebody takes calls there and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_five_mistakes_of_a_policy_are_all_reported_and_nothing_is_applied(empty: Desk, tmp_path: Path) -> None:
    text = """
        [application]
        name = "no blanks please"
        colour = "blue"
        [components]
        model = "delays"
        [data]
        target = "late"
        features = ["hour"]
        [[stages]]
        name = "production"
        gates = ["accuracy", "nowhere"]
        soak = "a while"
        [gates.accuracy]
        kind = "evaluation"
        metric = "roc_auc"
        min = 1.7
    """
    found = empty.run("apply", write_policy(tmp_path, textwrap.dedent(text)))
    assert (found.code, found.out) == (BAD_INPUT, "")
    for path in ("application.name", "application.colour", "stages.0.gates", "stages.0.soak", "gates.accuracy.min"):
        assert re.search(rf"^  {re.escape(path)}: ", found.err, re.M), path
    assert "5 mistakes" in found.err
    assert empty.run("status --json").json == {"applications": []}


def test_a_policy_that_one_person_alone_cannot_satisfy_is_refused_with_what_to_write(
    empty: Desk, tmp_path: Path
) -> None:
    found = empty.run("apply", write_policy(tmp_path))
    assert (found.code, "self_approval = true" in found.err) == (BAD_INPUT, True)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"[application\n"])
def test_a_policy_that_cannot_be_read_is_bad_input(content: bytes | None, empty: Desk, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    if content is not None:
        path.write_bytes(content)
    found = empty.run("apply", str(path))
    assert (found.code, bool(found.err)) == (BAD_INPUT, True)
    assert empty.run("apply", str(tmp_path)).code == BAD_INPUT


def test_a_policy_naming_a_model_that_mlflow_does_not_have_is_told_when_it_is_looked_for(
    empty: Desk, tmp_path: Path
) -> None:
    text = 'application.name = "a"\ncomponents.model = "nowhere"\nstages = [{ name = "production" }]\n'
    assert empty.run("apply", write_policy(tmp_path, text)).code == DONE
    found = empty.run("sync")
    assert (found.code, "'nowhere'" in found.err, "components.model" in found.err) == (BAD_INPUT, True, True)
    assert empty.run("bundle list --json").json == {"bundles": [], "next": None}


@pytest.mark.parametrize("name", ["<b>x</b>", "it's", '"quoted"', "\N{ROCKET}", "n" * 300, "../up", ""])
def test_a_hostile_application_name_is_refused_as_text(name: str, empty: Desk, tmp_path: Path) -> None:
    text = f'application.name = {json.dumps(name, ensure_ascii=False)}\ncomponents.model = "m"\n'
    text += 'stages = [{ name = "production" }]\n'
    found = empty.run("apply", write_policy(tmp_path, text))
    assert (found.code, "application.name: " in found.err) == (BAD_INPUT, True)
    assert empty.run("bundle list", name).code == BAD_INPUT


def test_a_home_that_cannot_be_made_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    found = Desk(tmp_path / "file" / "home", monkeypatch).run("status")
    assert (found.code, "HEADGATE_HOME" in found.err) == (ERROR, True)


def test_a_model_whose_files_are_gone_is_not_made_into_a_bundle_and_stays_where_it_is(
    empty: Desk, tmp_path: Path
) -> None:
    meet_everybody(empty.home)
    made = workshop(empty.home)
    made.train()
    made.write_notice()
    assert empty.run("apply", write_policy(tmp_path), person="mia").code == DONE
    assert empty.run("sync", person="mia").code == DONE
    shutil.rmtree(empty.home / "mlartifacts")
    promoted = empty.run("promote delays/1 --to staging", person="mia")
    assert promoted.code == ERROR
    assert "accuracy" in promoted.err
    made.made = 1
    made.train(seed=15)
    shutil.rmtree(empty.home / "mlartifacts")
    before = empty.record()
    found = empty.run("sync", person="mia")
    assert (found.code, bool(found.err)) == (ERROR, True)
    assert empty.record() == before


def test_serve_says_at_once_that_its_port_is_taken(empty: Desk, silent_port: int) -> None:
    for line in ("serve", "demo"):
        found = empty.run(f"{line} --no-browser --port {silent_port}")
        assert (found.code, f"--port {silent_port + 1}" in found.err) == (BAD_INPUT, True)


def test_settings_that_cannot_be_meant_are_bad_input(empty: Desk) -> None:
    for name, value in (
        ("HEADGATE_DATABASE_URL", "mysql://here"),
        ("HEADGATE_GATE_SECONDS", "soon"),
        ("HEADGATE_MAKERS", "no pairs"),
    ):
        found = empty.run("status", **{name: value})
        assert (found.code, name in found.err) == (BAD_INPUT, True)
