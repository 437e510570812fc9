"""Aliases, versions and backups of MLflow that were changed outside Headgate: found, told, put right or offered."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import example
import pytest
from shops import LEAD, ONLY_LEAD, POINTER, PRODUCTION, Builder, Shop, building
from sqlmodel import col, select

from services.commands import deployments, strays
from services.commands.strays import Choice
from services.errors import BadInput, Conflict, NotAllowed, NotFound
from services.rules.domain import BundleRef, Phase, SlotRef
from services.rules.preflight import Answer
from services.store.models import Bundle, Deployment
from services.work import strays as carrying
from services.work.jobs import Jobs
from services.work.tracking import Tracking


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def builder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return building(request, tmp_path_factory)


@pytest.fixture
def shop(builder: Builder) -> Iterator[Shop]:
    made = builder.shop()
    yield made
    made.store.close()


def test_an_alias_moved_by_hand_is_told_once_and_nothing_is_touched(shop: Shop) -> None:
    shop.point_at("1")

    for _ in range(2):
        assert "Moved outside Headgate" in shop.reconciled().moved[0]

    assert shop.alias() == "1"
    (stray,) = shop.open_strays()
    assert (stray.says, stray.should_say) == ("1", "2")
    assert len(shop.events("alias.moved_outside")) == 1


def test_restoring_puts_back_what_is_live(shop: Shop) -> None:
    shop.point_at("1")
    shop.reconciled()

    shop.choose(Choice.RESTORE)

    assert (shop.alias(), shop.alias("delays"), shop.live()) == ("2", "2", 2)
    assert not shop.open_strays()
    assert "restored by lou" in shop.events("aliases.repaired")[-1].body
    assert shop.agrees()


def test_adopting_a_known_bundle_is_a_deployment_by_an_unknown_hand(shop: Shop) -> None:
    shop.point_at("1")
    shop.reconciled()

    shop.choose(Choice.ADOPT)

    assert (shop.alias(), shop.alias("delays"), shop.live()) == ("1", "1", 1)
    with shop.store.reading() as session:
        row = session.exec(select(Deployment).order_by(col(Deployment.id).desc())).first()
        assert row is not None
        assert (row.adopted, row.planned) == (True, False)
    assert not shop.open_strays()
    assert shop.agrees()


def test_adopting_a_version_headgate_has_never_seen_makes_the_bundle_with_its_gaps(shop: Shop, tmp_path: Path) -> None:
    # given a model that somebody trained and pointed at by hand, past sync and every gate
    workshop = example.Workshop(shop.settings, shop.tracking, tmp_path / "data", made=9)
    version = workshop.train(seed=33)
    source = shop.tracking.version("delays", str(version.version))
    made = shop.tracking.client.create_model_version(
        POINTER, source=source.source, run_id=source.run_id, model_id=source.model_id
    )
    shop.point_at(str(made.version))
    for path in (tmp_path / "data").glob("train-*"):
        path.unlink()  # and its data is gone, which is a gap
    assert shop.reconciled().moved

    shop.choose(Choice.ADOPT, "A hotfix by night")

    assert shop.live() == 3
    with shop.store.reading() as session:
        bundle = session.exec(select(Bundle).where(Bundle.number == 3)).one()
        assert bundle.source == "adopted"
        assert bundle.gaps
    assert shop.alias("delays") == str(version.version)
    assert shop.agrees()


def test_adopting_takes_an_admin_and_a_reason_and_something_to_adopt(shop: Shop) -> None:
    with pytest.raises(Conflict, match="No alias"):
        shop.choose(Choice.ADOPT)
    shop.point_at("1")
    shop.reconciled()
    with pytest.raises(NotAllowed):
        shop.choose(Choice.ADOPT, by=ONLY_LEAD)
    with pytest.raises(BadInput, match="reason"):
        shop.choose(Choice.ADOPT, reason=" ")
    shop.choose(Choice.RESTORE, by=ONLY_LEAD)
    assert shop.alias() == "2"


def test_a_choice_that_mlflow_refuses_is_told_on_the_stray_and_may_be_made_again(shop: Shop) -> None:
    # given an alias that was moved, and the version it points at deleted after somebody chose to adopt it
    made = shop.tracking.client.create_model_version(POINTER, source=shop.tracking.version("delays", "1").source)
    shop.point_at(str(made.version))
    shop.reconciled()
    strays.choose(shop.store, PRODUCTION, Choice.ADOPT, actor=LEAD, clock=shop.clock, reason="It may stay")
    (chosen,) = strays.chosen(shop.store)
    shop.tracking.client.delete_model_version(POINTER, str(made.version))

    with pytest.raises(NotFound):
        carrying.carry_out(shop.store, shop.tracking, shop.settings, chosen, clock=shop.clock)

    (told,) = shop.open_strays()
    assert str(made.version) in told.trouble
    assert not strays.chosen(shop.store)
    shop.choose(Choice.RESTORE)
    assert shop.alias() == "2"


def test_a_choice_that_mlflow_refuses_does_not_keep_the_worker_from_the_next(shop: Shop) -> None:
    # given two moved aliases, and that the version which the first was to be adopted at is deleted
    made = shop.tracking.client.create_model_version(POINTER, source=shop.tracking.version("delays", "1").source)
    staging = SlotRef("delays", "staging")
    shop.point_at(str(made.version))
    shop.tracking.set_model_alias(POINTER, "staging", "1")
    shop.reconciled()
    strays.choose(shop.store, PRODUCTION, Choice.ADOPT, actor=LEAD, clock=shop.clock, reason="It may stay")
    strays.choose(shop.store, staging, Choice.RESTORE, actor=LEAD, clock=shop.clock)
    assert [chosen.slot for chosen in strays.chosen(shop.store)] == [PRODUCTION, staging]
    shop.tracking.client.delete_model_version(POINTER, str(made.version))

    Jobs(shop.settings, shop.store).stray.call_local()

    assert [stray.stage for stray in shop.open_strays() if stray.trouble] == ["production"]
    assert shop.tracking.model_aliases(POINTER)["staging"] == "2"


def test_what_our_own_late_writer_wrote_is_put_right_and_nobody_accused(shop: Shop) -> None:
    # given a mover of ours that stalled before its alias call while delays/1 came back and delays/2 again
    assert shop.roll_back(to=BundleRef("delays", 1)) is Phase.SUCCEEDED
    stalled = deployments.take_lease(shop.store, PRODUCTION, owner="stalled")
    assert stalled is not None
    deployments.begin_repair(shop.store, stalled, owner="stalled")
    deployments.release_lease(shop.store, PRODUCTION, owner="stalled")
    assert shop.roll_back(to=BundleRef("delays", 2)) is Phase.SUCCEEDED

    # when it goes on
    shop.point_at("1")

    found = shop.reconciled()
    assert found.why == "a mover of Headgate's own wrote late"
    assert shop.alias() == "2"
    assert not shop.open_strays()
    assert not shop.events("alias.moved_outside")


@pytest.mark.parametrize("name", [POINTER, "delays"])
def test_a_deleted_alias_is_written_again(shop: Shop, name: str) -> None:
    shop.tracking.client.delete_registered_model_alias(name, "production")

    assert shop.reconciled().repaired

    assert (shop.alias(), shop.alias("delays")) == ("2", "2")
    assert not shop.open_strays()


def test_a_members_alias_that_strays_is_a_copy_and_put_right(shop: Shop) -> None:
    shop.point_at("1", name="delays")

    found = shop.reconciled()

    assert found.why == "a member's alias is a copy of what is live, and strayed"
    assert shop.alias("delays") == "2"


def test_a_deleted_version_of_the_pointer_is_made_again(shop: Shop) -> None:
    shop.tracking.client.delete_model_version(POINTER, "2")

    assert shop.reconciled().repaired

    assert shop.alias() not in (None, "2")  # a number is not given again
    assert shop.agrees()
    tags = shop.tracking.version(POINTER, shop.alias() or "").tags
    assert tags["headgate.bundle"] == "delays/2"


def test_a_deleted_pointer_is_made_again_for_every_stage(shop: Shop) -> None:
    shop.tracking.client.delete_registered_model(POINTER)

    for stage in ("development", "staging", "production"):
        shop.reconciled(stage)

    assert shop.agrees()
    aliases = shop.tracking.model_aliases(POINTER)
    assert set(aliases) == {"development", "staging", "production"}


def test_a_deleted_version_of_the_model_itself_is_trouble_that_is_told(shop: Shop) -> None:
    shop.tracking.client.delete_model_version("delays", "2")

    found = shop.reconciled()

    assert not found.agrees
    assert "2" in found.trouble
    looked = shop.looked()
    assert looked[2].answer is Answer.UNSAFE
    # and the way back is open
    assert shop.roll_back() is Phase.SUCCEEDED
    assert shop.agrees() or shop.reconciled().agrees


def test_mlflow_restored_from_an_older_backup_is_brought_up_to_date_without_accusing_anybody(shop: Shop) -> None:
    # given a backup from before delays/2 had a version of the pointer
    client = shop.tracking.client
    client.set_registered_model_alias(POINTER, "production", "1")
    client.set_registered_model_alias("delays", "production", "1")
    for stage in ("development", "staging"):
        client.set_registered_model_alias(POINTER, stage, "1")
    client.delete_model_version(POINTER, "2")
    backup = shop.settings.home / "backup.db"
    shutil.copy(shop.settings.home / "mlflow.db", backup)
    # when MLflow goes on, and is then restored from it
    shop.reconciled()
    assert shop.agrees()
    shutil.copy(backup, shop.settings.home / "mlflow.db")
    shop.tracking = Tracking(shop.settings)

    found = shop.reconciled()

    assert found.why == "MLflow lost the bundle's version, as it does when it is restored from an older backup"
    assert not shop.open_strays()
    assert shop.agrees()
    tags = shop.tracking.version(POINTER, shop.alias() or "").tags
    assert tags["headgate.bundle"] == "delays/2"
