"""Commands that decide: gates, promotions, approvals, the way back."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli import waiting
from services.cli.desk import Desk, Json, desk, hint, print_json, say, table
from services.commands import approvals, gates, promotions, rollbacks
from services.errors import GateSaidNo, HeadgateError
from services.queries import gate_report, watching
from services.rules.domain import BundleRef, DeploymentKind, Phase, SlotRef, Verdict

gate = typer.Typer(help="Run a stage's gates, and read what they found.", no_args_is_help=True)

Ref = Annotated[str, typer.Argument(metavar="BUNDLE", help="application/number, such as flight-delay/12")]
PromotionId = Annotated[int, typer.Argument(metavar="PROMOTION", help="The promotion's number")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; others will read it.")]


def promote(
    bundle: Ref,
    to: Annotated[str, typer.Option("--to", metavar="STAGE", help="The stage it shall serve.")],
    reason: Reason = "",
    unplanned: Annotated[
        bool, typer.Option("--unplanned", help="It mends a failure; the metrics want to know.")
    ] = False,
    kind: Annotated[DeploymentKind | None, typer.Option(help="hotfix or retrain, where that is what it is.")] = None,
    fixes: Annotated[str, typer.Option(help="The deployment or incident it fixes.")] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for its gates and its deployment.")] = True,
    as_json: Json = False,
) -> None:
    """Ask that a bundle goes to a stage, run its gates, and deploy it where no approval is needed."""
    at = desk()
    if wait:
        waiting.require_registry(at)
    promotion_id = promotions.request(
        at.store,
        BundleRef.parse(bundle),
        to,
        actor=at.actor,
        clock=at.clock,
        reason=reason,
        planned=not unplanned,
        kind=kind,
        fixes=fixes,
    )
    _report(at, promotion_id, as_json, wait)


def approve(
    promotion: PromotionId,
    comment: Annotated[str, typer.Option("--comment", "-m", help="What you want to say with it.")] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is live.")] = True,
    as_json: Json = False,
) -> None:
    """Approve a promotion on its evidence as it is now. The last approval needed starts the deployment."""
    at = desk()
    if wait:
        waiting.require_registry(at)
    approvals.approve(at.store, promotion, actor=at.actor, clock=at.clock, comment=comment)
    _report(at, promotion, as_json, wait)


def reject(
    promotion: PromotionId,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; its maker will read it.")],
    as_json: Json = False,
) -> None:
    """Turn a promotion down, with a reason."""
    at = desk()
    approvals.reject(at.store, promotion, actor=at.actor, clock=at.clock, comment=comment)
    _report(at, promotion, as_json, wait=False)


def withdraw(promotion: PromotionId, reason: Reason = "", as_json: Json = False) -> None:
    """Take a promotion back before it deploys."""
    at = desk()
    promotions.withdraw(at.store, promotion, actor=at.actor, clock=at.clock, reason=reason)
    _report(at, promotion, as_json, wait=False)


def rollback(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="application@stage, such as flight-delay@production")],
    reason: Reason,
    to: Annotated[
        str | None, typer.Option("--to", metavar="BUNDLE", help="Left out: the last verified one that was live.")
    ] = None,
    quarantine: Annotated[bool, typer.Option("--quarantine", help="Also quarantine the bundle it removes.")] = False,
    override: Annotated[
        str, typer.Option(metavar="REASON", help="Why a quarantine or an unsafe preflight does not count.")
    ] = "",
    blames: Annotated[
        int | None, typer.Option(metavar="DEPLOYMENT", help="Left out: the deployment it replaces.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is live.")] = True,
    as_json: Json = False,
) -> None:
    """Bring back a bundle that was live before. Sets a hold, so that automation cannot undo it."""
    at = desk()
    promotion_id = rollbacks.roll_back(
        at.store,
        SlotRef.parse(stage),
        actor=at.actor,
        clock=at.clock,
        reason=reason,
        to=BundleRef.parse(to) if to else None,
        quarantine=quarantine,
        override=override,
        blames=blames,
    )
    _report(at, promotion_id, as_json, wait)


def _report(at: Desk, promotion_id: int, as_json: bool, wait: bool) -> None:
    watched = waiting.see_through(at, promotion_id) if wait else watching.promotion(at.store, promotion_id)
    if as_json:
        print_json(waiting.as_json(watched))
    else:
        promotion = watched.promotion
        said = {
            Phase.SUCCEEDED: f"{promotion.ref} is live in {promotion.stage}.",
            Phase.AWAITING_APPROVAL: f"{promotion.ref} waits for an approval for {promotion.stage}.",
            Phase.REJECTED: f"Rejected: {promotion.note}",
            Phase.WITHDRAWN: "Withdrawn.",
        }
        say(f"Promotion {promotion.id}: {said.get(promotion.phase, promotion.phase.value.replace('_', ' '))}")
        if promotion.phase is Phase.AWAITING_APPROVAL:
            hint(f"A lead approves it with `headgate approve {promotion.id}`, or on the Approvals page.")
    waiting.refuse_a_no(watched)


@gate.command("run")
def gate_run(
    bundle: Ref,
    stage: Annotated[str, typer.Option("--stage", help="Whose gates.")],
    only: Annotated[
        list[str] | None, typer.Option("--gate", help="Only this gate; may be given more than once.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a stage's gates for a bundle and wait for what they find. Exit code 3 where an enforcing gate says no."""
    at = desk()
    waiting.require_registry(at)
    runs = gates.request(at.store, BundleRef.parse(bundle), stage, actor=at.actor, clock=at.clock, gates=only or None)
    waiting.see_gates_through(at, runs)
    _print_results(gate_report.of_runs(at.store, runs), as_json)


@gate.command("report")
def report(
    bundle: Ref, stage: Annotated[str, typer.Option("--stage", help="Whose gates.")], as_json: Json = False
) -> None:
    """The latest result of each gate of a stage, with its evidence."""
    at = desk()
    _print_results(gate_report.latest(at.store, BundleRef.parse(bundle), stage), as_json, judge=False)


@gate.command("decide")
def decide(
    run: Annotated[int, typer.Argument(metavar="RUN", help="The gate run's number, from `gate report --json`.")],
    defect: Annotated[bool, typer.Option("--defect/--false", help="Was there a defect, or was the block false?")],
) -> None:
    """Say of a block whether it was right: what the gate catch rate is made of."""
    at = desk()
    gates.decide(at.store, run, defect=defect, actor=at.actor, clock=at.clock)
    say(f"Gate run {run}: {'a defect' if defect else 'a false block'}.")


def _print_results(results: list[dict[str, object]], as_json: bool, judge: bool = True) -> None:
    if as_json:
        print_json({"gates": results})
    else:
        rows = [
            (r["gate"], r["verdict"] or r["state"], "shadow" if r["mode"] == "shadow" else "", r["summary"])
            for r in results
        ]
        table(("Gate", "Verdict", "", "Finding"), rows)
    enforcing = {str(r["verdict"]) for r in results if r["mode"] == "enforce"}
    if judge and enforcing & {Verdict.FAILED, Verdict.INCONCLUSIVE}:
        raise GateSaidNo("A gate did not let it through.", "Read its finding above.")
    if judge and Verdict.ERRORED in enforcing:
        raise HeadgateError("A gate could not judge.", "Its finding above says why; run it again when that is mended.")


COMMANDS = (promote, approve, reject, withdraw, rollback)
