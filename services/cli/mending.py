"""Commands for a stage in trouble, or kept out of it: hold, freeze, drill, and aliases that somebody moved."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import waiting
from services.cli.desk import Json, desk, print_json, say, working
from services.cli.times import moment
from services.commands import drills, freezes, holds, strays
from services.commands.strays import Choice
from services.errors import HeadgateError
from services.queries import drills as reading
from services.rules.domain import SlotRef

hold = typer.Typer(help="A hold keeps automation out of a stage. A rollback sets one.", no_args_is_help=True)
freeze = typer.Typer(help="A freeze keeps promotions out of a stage for a while.", no_args_is_help=True)

Stage = Annotated[str, typer.Argument(metavar="STAGE", help="application@stage, such as flight-delay@production")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; others will read it.")]
Moment = Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601 with its zone: 2026-12-24T12:00:00Z")]


@hold.command("set")
def hold_set(stage: Stage, reason: Reason) -> None:
    """Keep automation out of a stage; people may still promote."""
    at = desk()
    holds.set_(at.store, SlotRef.parse(stage), actor=at.actor, clock=at.clock, reason=reason)
    say(f"{stage} is held.")


@hold.command("lift")
def hold_lift(stage: Stage, reason: Reason = "") -> None:
    """Let automation into the stage again."""
    at = desk()
    holds.lift(at.store, SlotRef.parse(stage), actor=at.actor, clock=at.clock, reason=reason)
    say(f"The hold on {stage} is lifted.")


@freeze.command("set")
def freeze_set(stage: Stage, reason: Reason, begins: Moment = None, ends: Moment = None) -> None:
    """Keep promotions out of a stage, from now or from a time, until a time or until it is lifted."""
    at = desk()
    freezes.set_(
        at.store,
        SlotRef.parse(stage),
        actor=at.actor,
        clock=at.clock,
        reason=reason,
        begins=moment(begins),
        ends=moment(ends),
    )
    say(f"{stage} is frozen. Rolling back stays possible.")


@freeze.command("lift")
def freeze_lift(stage: Stage, reason: Reason = "") -> None:
    """End a freeze before its time."""
    at = desk()
    freezes.lift(at.store, SlotRef.parse(stage), actor=at.actor, clock=at.clock, reason=reason)
    say(f"{stage} is not frozen any more.")


def restore_alias(stage: Stage, reason: Reason = "") -> None:
    """Put back the bundle's alias that somebody moved outside Headgate."""
    _choose(stage, Choice.RESTORE, reason)
    say(f"{stage} says again what is live.")


def adopt(stage: Stage, reason: Reason) -> None:
    """Take over what somebody moved outside Headgate: it is recorded as a deployment by an unknown hand."""
    _choose(stage, Choice.ADOPT, reason)
    say(f"What {stage} was moved to is live now, and in the record.")


def _choose(stage: str, choice: Choice, reason: str) -> None:
    from services.work import reconcile
    from services.work import strays as carrying

    at, slot = desk(), SlotRef.parse(stage)
    with working("Comparing the record with MLflow"):
        at.tracking.ping()
        reconcile.reconcile_slot(at.store, at.tracking, slot, clock=at.clock)
        stray_id = strays.choose(at.store, slot, choice, actor=at.actor, clock=at.clock, reason=reason)
        for chosen in strays.chosen(at.store):
            if chosen.stray_id == stray_id:
                carrying.carry_out(at.store, at.tracking, at.settings, chosen, clock=at.clock)


def drill(
    application: Annotated[str, typer.Argument(help="The application.")],
    stage: Annotated[str, typer.Option("--stage", help="Which stage goes back and forward again.")],
    as_json: Json = False,
) -> None:
    """Roll a stage back and forward again, measure both, and record it apart from real rollbacks."""
    from services.work import drill as running

    at = desk()
    waiting.require_registry(at)
    drill_id = drills.begin(at.store, SlotRef(application, stage), actor=at.actor, clock=at.clock)
    outcome = running.run(at.store, drill_id, lambda p: waiting.see_through(at, p), actor=at.actor, clock=at.clock)
    found = reading.one(at.store, drill_id)
    if as_json:
        print_json({"drill": found.as_json()})
    elif outcome == drills.PASSED:
        say(
            f"{application}@{stage}: back to {found.to} in {found.back_seconds:.2f} s, "
            f"forward again in {found.forward_seconds:.2f} s."
        )
    if outcome != drills.PASSED:
        raise HeadgateError(f"The drill did not pass: {outcome}", "`headgate status` shows what is live now.")


COMMANDS = (drill, restore_alias, adopt)
