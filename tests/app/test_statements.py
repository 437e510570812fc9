"""No page issues more than 12 SQL statements, whatever the number of rows; and none imports mlflow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from delivering import Delivery, Open
from sqlalchemy import Engine, event
from sqlmodel import select

from pages.components import reads
from services.queries import application, measures
from services.rules.domain import (
    ComponentKind,
    DeploymentKind,
    DeploymentState,
    GateMode,
    RunState,
    SlotRef,
    Verdict,
)
from services.store.models import Application, Bundle, ComponentRow, Deployment, GateRun

MOST = 12
PROJECT = Path(__file__).parents[2]
PAGES: list[tuple[str, dict[str, str]]] = [
    ("", {}),
    ("bundles", {}),
    ("bundles", {"q": "delays", "only": "live"}),
    ("bundle", {"ref": "delays/1"}),
    ("bundle", {"ref": "delays/3"}),
    ("approvals", {}),
    ("application", {"name": "delays"}),
    ("measure/delivery", {}),
    ("measure/delivery", {"app": "delays", "window": "half a year"}),
]


@contextmanager
def counted() -> Iterator[list[str]]:
    said: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith(("PRAGMA", "BEGIN")):
            said.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def history(team: Delivery, bundles: int) -> None:
    """Bundles that came and went: each was live in production, in its turn, and was judged there."""
    with team.store.writing() as session:
        row = session.exec(select(Application)).one()
        first = row.next_bundle
        row.next_bundle += bundles
        session.add(row)
        for number in range(first, first + bundles):
            at = team.clock.now() - timedelta(minutes=bundles + first - number)
            bundle = Bundle(
                application="delays", number=number, digest=f"sha256:{number}", maker="mia", at=at, recorded_at=at
            )
            session.add(bundle)
            session.flush()
            assert bundle.id is not None
            session.add(
                ComponentRow(bundle_id=bundle.id, kind=ComponentKind.MODEL, name="delays", version=str(number + 100))
            )
            session.add(
                Deployment(
                    application="delays",
                    stage="production",
                    bundle_id=bundle.id,
                    state=DeploymentState.SUCCEEDED,
                    kind=DeploymentKind.RELEASE,
                    requested_at=at,
                    started_at=at,
                    finished_at=at,
                    superseded_at=at,
                    policy_revision=1,
                    recorded_at=at,
                )
            )
            session.add(
                GateRun(
                    application="delays",
                    stage="production",
                    bundle_id=bundle.id,
                    gate="accuracy",
                    kind="evaluation",
                    mode=GateMode.ENFORCE,
                    definition_digest="sha256:older",
                    policy_revision=1,
                    state=RunState.FINISHED,
                    verdict=Verdict.PASSED,
                    requested_by="mia",
                    requested_at=at,
                    finished_at=at,
                    recorded_at=at,
                )
            )


@pytest.mark.parametrize("bundles", [10, 1000])
def test_no_page_issues_more_than_twelve_statements(open_page: Open, team: Delivery, bundles: int) -> None:
    team.bring_live(team.make())
    team.bring_live(team.make())
    team.waiting(team.make())
    history(team, bundles - 3)

    for page, parameters in PAGES:
        at = open_page(page, **parameters)
        reads.forget_everything()
        measures.forget()
        with counted() as said:
            at.run()
        assert not at.exception
        assert len(said) <= MOST, (page, parameters, said)


def test_the_way_back_is_looked_up_in_at_most_twelve_statements(team: Delivery) -> None:
    team.bring_live(team.make())
    team.bring_live(team.make())
    history(team, 200)

    with counted() as said:
        offer = application.rollback_offer(team.store, SlotRef("delays", "production"))

    assert len(offer.ways) > 1
    assert len(said) <= MOST, said


def test_no_page_imports_mlflow_or_the_workers_rooms() -> None:
    program = (
        "import importlib, pathlib, sys\n"
        "import app\n"
        "for path in pathlib.Path('pages/components').glob('*.py'):\n"
        "    importlib.import_module(f'pages.components.{path.stem}')\n"
        "for path in pathlib.Path('services/queries').glob('*.py'):\n"
        "    importlib.import_module(f'services.queries.{path.stem}')\n"
        "for path in pathlib.Path('services/commands').glob('*.py'):\n"
        "    importlib.import_module(f'services.commands.{path.stem}')\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('mlflow', 'sklearn', 'pandera')\n"
        "       or name.startswith('services.work')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)

    assert done.stdout.strip().splitlines()[-1] == "[]"
