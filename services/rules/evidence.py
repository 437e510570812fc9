"""What an approval signs: everything that, when it changes, makes the approval stale, and nothing else."""

from __future__ import annotations

from typing import Any

from services.rules.digests import digest, short
from services.rules.readiness import Facts

Evidence = dict[str, Any]


def of(facts: Facts) -> Evidence:
    """Plain JSON: bundle, this stage's rules, each gate's definition, verdict and data, and what is live.

    A measured value that moved by a decimal, or a description, is not part of it: the verdict is.
    """
    rules = facts.rules
    return {
        "bundle": facts.digest,
        "stage": rules.model_dump(mode="json") if rules else {},
        "gates": {
            gate.gate: {
                "definition": gate.wanted_definition,
                "enforcing": gate.enforcing,
                "judged_under": gate.definition,
                "verdict": gate.verdict.value if gate.verdict else None,
                "waived_by": gate.waived_by,
                "data": gate.data_digest,
            }
            for gate in facts.gates
        },
        "live": facts.live.digest if facts.live else None,
    }


def digest_of(evidence: Evidence) -> str:
    return digest(evidence)


def changes(signed: Evidence, now: Evidence) -> list[str]:
    """Why an approval is stale, in words."""
    found = []
    if signed.get("bundle") != now["bundle"]:
        found.append("the bundle is another one")
    if signed.get("stage") != now["stage"]:
        keys = sorted(k for k in now["stage"] if signed.get("stage", {}).get(k) != now["stage"][k])
        found.append(f"the stage's rules changed ({', '.join(keys)})")
    before, after = signed.get("gates", {}), now["gates"]
    found += [f"the gate {name} is no longer demanded" for name in before if name not in after]
    for name, gate in after.items():
        old = before.get(name)
        if old is None:
            found.append(f"the gate {name} is new")
        elif old != gate:
            found.append(f"the gate {name} {_gate_change(old, gate)}")
    if signed.get("live") != now["live"]:
        live = short(now["live"]) if now["live"] else "nothing"
        found.append(f"what is live is now {live}")
    return found


def _gate_change(old: Evidence, new: Evidence) -> str:
    if old["definition"] != new["definition"]:
        return "is defined differently"
    if old["verdict"] != new["verdict"]:
        return f"was {old['verdict']} and is now {new['verdict'] or 'without a verdict'}"
    if old["data"] != new["data"]:
        return "judged other data"
    if old["waived_by"] != new["waived_by"]:
        return "was waived, or its waiver was taken back"
    return "is enforced differently" if old["enforcing"] != new["enforcing"] else "was judged again under other rules"
