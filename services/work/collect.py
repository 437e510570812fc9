"""From MLflow's facts to a bundle's components. Reads MLflow and data files, writes nothing anywhere."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.errors import ArtifactUnusable, NotFound
from services.rules.digests import sha256
from services.rules.domain import Commit, Component, ComponentKind, Gap
from services.rules.drafts import BundleDraft
from services.rules.policy import Policy
from services.settings import Settings
from services.work import datasets
from services.work.tracking import ModelFiles, ModelVersion, PromptVersion, Run, Tracking
from services.work.tracking.client import shown

COMMIT_TAG = "mlflow.source.git.commit"
REPOSITORY_TAG = "mlflow.source.git.repoURL"
DIRTY_TAGS = ("headgate.code_dirty", "mlflow.source.git.dirty")
COMMITS_TAG = "headgate.commits"
UNKNOWN_USERS = ("", "unknown")
BEYOND = 1e300  # MLflow stores infinity as 1.8e308
PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?\s*={2,3}\s*[^\s*,;]+\s*(;.*)?")


@dataclass(frozen=True)
class Parts:
    """What a bundle is made of, before anything of it is opened: cheap to ask for, and enough to know it again."""

    model: ModelVersion | None
    prompts: tuple[PromptVersion, ...]

    @property
    def uris(self) -> tuple[str, ...]:
        return (*([self.model.uri] if self.model else []), *(prompt.uri for prompt in self.prompts))


def candidate(tracking: Tracking, policy: Policy, settings: Settings, directory: Path | str) -> BundleDraft | None:
    """The newest READY model version with what belongs to it; None where there is nothing to deliver yet.

    Raises RegistryUnreachable, and ArtifactUnusable where that version's artifact is gone.
    """
    parts = newest_parts(tracking, policy)
    return _collected(tracking, policy, parts, settings, directory) if parts else None


def newest_parts(tracking: Tracking, policy: Policy) -> Parts | None:
    """What `candidate` would collect, without reading artifacts or data: lets a sync skip what it has already."""
    version = tracking.newest_version(policy.components.model) if policy.components.model else None
    if policy.components.model and version is None:
        return None
    parts = Parts(version, prompts_of(tracking, policy, version))
    return parts if version or parts.prompts else None


def history(
    tracking: Tracking,
    policy: Policy,
    settings: Settings,
    directory: Path | str,
    unusable: Callable[[Parts, ArtifactUnusable], None] | None = None,
) -> Iterator[BundleDraft]:
    """Every READY version, oldest first, each with the prompts as they were when it was registered; `candidate` last.

    `unusable` is told of each version whose artifact is gone, which is then left out; without it, the first raises.
    """
    for parts in _past_parts(tracking, policy):
        try:
            yield _collected(tracking, policy, parts, settings, directory)
        except ArtifactUnusable as error:
            if unusable is None:
                raise
            unusable(parts, error)


def collect(
    tracking: Tracking,
    policy: Policy,
    version: ModelVersion | None,
    prompts: tuple[PromptVersion, ...] | None = None,
    *,
    settings: Settings,
    directory: Path | str,
    source: str = "sync",
) -> BundleDraft:
    """A bundle's draft of this model version (None: of prompts alone). `prompts` None: those that belong to it.

    `directory` is the policy's own, where its relative paths start. Raises RegistryUnreachable, and ArtifactUnusable
    where the model's artifact is gone; whatever else is missing becomes a gap.
    """
    if prompts is None:
        prompts = prompts_of(tracking, policy, version)
    run = _run(tracking, version)
    data, gaps = datasets.components_of(policy, run, Path(directory))
    components = [*data, *(_prompt(prompt) for prompt in prompts)]
    gaps += _missing_prompts(policy, prompts)
    if version:
        files = tracking.files(version)
        components.append(_model(version, files))
        for component, gap in (_code(run), _environment(files)):
            components += [component] if component else []
            gaps += gap
        gaps += [] if files.signature else [Gap("no-signature", "The model was logged without a signature.")]
    commits, misread = _commits(run)
    return BundleDraft(
        application=policy.name,
        components=tuple(sorted(components, key=lambda c: (list(ComponentKind).index(c.kind), c.name))),
        gaps=tuple(gaps + misread),
        metrics=_finite(run.metrics) if run else {},
        parameters=dict(run.params) if run else {},
        training_started_at=run.started_at if run else None,
        training_ended_at=run.ended_at if run else None,
        registered_at=_registered_at(version, prompts),
        maker=_maker(run, settings),
        commits=commits,
        source=source,
    )


def prompts_of(
    tracking: Tracking, policy: Policy, version: ModelVersion | None, as_of: datetime | None = None
) -> tuple[PromptVersion, ...]:
    """The prompt versions linked to the model or its run; for the policy's other prompts the newest (by `as_of`)."""
    linked = tracking.prompts_of(version) if version else []
    found = {prompt.name: prompt for prompt in linked}
    for name in policy.components.prompts:
        if name not in found:
            versions = tracking.prompt_versions(name)
            newest = next((prompt for prompt in versions if as_of is None or prompt.created_at <= as_of), None)
            found |= {name: newest} if newest else {}
    return tuple(found[name] for name in sorted(found))


def _past_parts(tracking: Tracking, policy: Policy) -> list[Parts]:
    versions = tracking.versions(policy.components.model) if policy.components.model else []
    past = [Parts(version, prompts_of(tracking, policy, version, as_of=version.created_at)) for version in versions]
    newest = newest_parts(tracking, policy)
    if newest and newest not in past:
        past.append(newest)
    return past


def _collected(
    tracking: Tracking, policy: Policy, parts: Parts, settings: Settings, directory: Path | str
) -> BundleDraft:
    return collect(tracking, policy, parts.model, parts.prompts, settings=settings, directory=directory)


def _run(tracking: Tracking, version: ModelVersion | None) -> Run | None:
    if version is None or not version.run_id:
        return None
    try:
        return tracking.run(version.run_id)
    except NotFound:
        return None  # deleted since: what it would have told becomes gaps


def _model(version: ModelVersion, files: ModelFiles) -> Component:
    details = {
        "signature": files.signature,
        "flavors": list(files.flavors),
        "predicts": files.predicts,
        "size_bytes": files.size_bytes,
        "run_id": version.run_id,
        "model_id": version.model_id,
        "source": version.source,
    }
    return Component(ComponentKind.MODEL, version.name, version.version, version.uri, files.digest, details)


def _prompt(prompt: PromptVersion) -> Component:
    details = {"template": prompt.template, "variables": list(prompt.variables)}
    return Component(
        ComponentKind.PROMPT, prompt.name, prompt.version, prompt.uri, sha256(prompt.template), details=details
    )


def _missing_prompts(policy: Policy, prompts: tuple[PromptVersion, ...]) -> list[Gap]:
    known = {prompt.name for prompt in prompts}
    return [
        Gap("no-prompt", f"The policy names the prompt {name!r}, and MLflow has no version of it.")
        for name in policy.components.prompts
        if name not in known
    ]


def _code(run: Run | None) -> tuple[Component | None, list[Gap]]:
    commit = run.tags.get(COMMIT_TAG, "") if run else ""
    if run is None or not commit:
        return None, [Gap("no-commit", f"The run has no tag {COMMIT_TAG}: which code trained it is not known.")]
    repository = shown(run.tags.get(REPOSITORY_TAG, ""))
    said = next((run.tags[tag].strip().lower() for tag in DIRTY_TAGS if run.tags.get(tag)), "")
    dirty = None if not said else said not in ("false", "0", "no")
    name = re.split(r"[/:]", repository.rstrip("/"))[-1].removesuffix(".git") or "code"
    component = Component(
        ComponentKind.CODE, name, version=commit, uri=repository, digest=f"git:{commit}", details={"dirty": dirty}
    )
    reason = "It was trained with changes that were not committed, so the commit alone does not say with what."
    return component, [Gap("dirty-tree", reason)] if dirty else []


def _environment(files: ModelFiles) -> tuple[Component | None, list[Gap]]:
    if not files.environment_digest:
        return None, [Gap("no-environment", "The model has neither a requirements.txt nor a python_env.yaml.")]
    component = Component(
        ComponentKind.ENVIRONMENT,
        "python",
        version=files.python,
        digest=files.environment_digest,
        details={"requirements": files.requirements.splitlines(), "python": files.python},
    )
    loose = unpinned(files.requirements)
    reason = f"Not pinned with ==, so another day installs something else: {', '.join(loose)}."
    return component, [Gap("unpinned-requirement", reason)] if loose else []


def unpinned(requirements: str) -> list[str]:
    """The lines of a requirements file that do not name one version. Options such as --index-url are no requirement."""
    lines = [line.split(" #")[0].split(" --hash")[0].strip(" \t\\") for line in requirements.splitlines()]
    wanted = [line for line in lines if line and not line.startswith(("#", "--"))]
    return [line for line in wanted if not PINNED.fullmatch(line)]


def _commits(run: Run | None) -> tuple[tuple[Commit, ...], list[Gap]]:
    text = run.tags.get(COMMITS_TAG, "") if run else ""
    try:
        said = json.loads(text) if text else []
        return tuple(Commit(str(sha), _aware(datetime.fromisoformat(at))) for sha, at in said), []
    except (ValueError, TypeError):
        reason = f"The run's tag {COMMITS_TAG} is not a JSON list of [commit, ISO time]."
        return (), [Gap("no-commit", reason)]


def _aware(at: datetime) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value) and abs(value) <= BEYOND}


def _registered_at(version: ModelVersion | None, prompts: tuple[PromptVersion, ...]) -> datetime | None:
    if version:
        return version.registered_at
    return max((prompt.registered_at for prompt in prompts), default=None)


def _maker(run: Run | None, settings: Settings) -> str:
    user = run.user if run else ""
    return "" if user in UNKNOWN_USERS else settings.makers.get(user, user)
