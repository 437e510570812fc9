"""Seeing one's own intent through: by the worker that lives, or by this process where none does."""

from __future__ import annotations

from typing import Any

from services import clock as clocks
from services.cli.desk import Desk, working
from services.errors import GateSaidNo, HeadgateError, RegistryUnreachable
from services.queries import gate_report, watching
from services.queries.common import iso
from services.queries.watching import Watched
from services.rules.domain import Phase, Verdict
from services.start import worker_lives


def see_through(desk: Desk, promotion_id: int) -> Watched:
    """Wait until the promotion waits for a person or is over. Raises RegistryUnreachable where MLflow is silent."""
    while True:
        watched = watching.promotion(desk.store, promotion_id)
        if not watched.moving:
            return watched
        if watched.promotion.phase is Phase.DEPLOYING and watched.note:
            raise RegistryUnreachable(
                f"{watched.promotion.ref} stays on its way to {watched.promotion.stage}: {watched.note}",
                "It is finished as soon as MLflow answers: by the worker, or by `headgate reconcile`.",
            )
        if worker_lives(desk.store):
            with working(_doing(watched)):
                clocks.sleep(0.2)
            continue
        _carry_out(desk, promotion_id, watched)
        if watching.promotion(desk.store, promotion_id) == watched:
            clocks.sleep(0.2)  # somebody else holds its lease


def _carry_out(desk: Desk, promotion_id: int, watched: Watched) -> None:
    with working(_doing(watched)):
        from services.work import carry

        carry.carry_out(desk.store, desk.tracking, desk.settings, promotion_id, clock=desk.clock)


def require_registry(desk: Desk) -> None:
    """Before leaving an intent that this process must carry out itself: nothing is left half done."""
    if not worker_lives(desk.store):
        with working("Asking MLflow"):
            desk.tracking.ping()


def _doing(watched: Watched) -> str:
    going = [f"{gate.gate} ({gate.progress or gate.state})" for gate in watched.gates if gate.verdict is None]
    phase = watched.promotion.phase.value.replace("_", " ")
    return f"{watched.promotion.ref} to {watched.promotion.stage}: {phase} {', '.join(going)}".strip()


def as_json(watched: Watched) -> dict[str, Any]:
    promotion = watched.promotion
    return {
        "promotion": {
            "id": promotion.id,
            "phase": promotion.phase.value,
            "bundle": str(promotion.ref),
            "stage": promotion.stage,
            "rollback": promotion.rollback,
            "requested_by": promotion.requested_by,
            "requested_at": iso(promotion.requested_at),
            "finished_at": iso(promotion.finished_at),
            "note": promotion.note,
            "gates": [
                {"gate": gate.gate, "verdict": gate.verdict.value if gate.verdict else None} for gate in watched.gates
            ],
        }
    }


def refuse_a_no(watched: Watched) -> None:
    """A blocked or failed promotion is not "done": the exit code says whether it was a no, or a don't know."""
    phase, ref, stage = watched.promotion.phase, watched.promotion.ref, watched.promotion.stage
    note = watched.promotion.note or watched.note
    if phase is Phase.FAILED:
        raise HeadgateError(f"{ref} did not become live in {stage}: {note}", "What was live before still is.")
    if phase is not Phase.BLOCKED:
        return
    remedy = f"`headgate gate report {ref} --stage {stage}` shows the evidence."
    verdicts = {gate.verdict for gate in watched.gates}
    if Verdict.ERRORED in verdicts and not verdicts & {Verdict.FAILED, Verdict.INCONCLUSIVE}:
        raise HeadgateError(f"{ref} stays before {stage}, because a gate could not judge: {note}", remedy)
    raise GateSaidNo(f"{ref} was stopped before {stage}: {note}", remedy)


def see_gates_through(desk: Desk, runs: list[int]) -> None:
    """Wait until these gate runs are finished, or carry them out where no worker lives."""
    while left := gate_report.unfinished(desk.store, runs):
        if worker_lives(desk.store):
            with working(f"Waiting for {len(left)} of {len(runs)} gates"):
                clocks.sleep(0.2)
            continue
        from services.work import deploy
        from services.work import runs as gate_runs

        for run_id in left:
            with working(f"Running gate {run_id}"):
                gate_runs.carry_out(desk.store, desk.settings, run_id, owner=deploy.new_owner(), clock=desk.clock)
