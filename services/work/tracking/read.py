"""What is asked of MLflow. Nothing in here writes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import mlflow.artifacts
import requests
from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.prompt.registry_utils import model_version_to_prompt_version

from services.errors import NotFound, RegistryRefused
from services.rules.digests import canonical
from services.work.tracking import artifacts
from services.work.tracking.client import Connection, first_line
from services.work.tracking.facts import (
    REGISTERED_AT_TAG,
    DatasetInput,
    ModelFiles,
    ModelVersion,
    PromptVersion,
    Run,
)

LINKED_PROMPTS_TAG = "mlflow.linkedPrompts"
CONTEXT_TAG = "mlflow.data.context"
IS_PROMPT = f"tag.`{IS_PROMPT_TAG_KEY}` = 'true'"
PAGE = 200


class Reader(Connection):
    """The reading half of `Tracking`. Every method may raise RegistryUnreachable."""

    def newest_version(self, model: str) -> ModelVersion | None:
        """The READY version with the highest number, or None."""
        return next((_version(found) for found in self._found_versions(model, "DESC") if _ready(found)), None)

    def versions(self, model: str) -> list[ModelVersion]:
        """Every READY version, oldest first."""
        return [_version(found) for found in self._found_versions(model, "ASC") if _ready(found)]

    def version(self, model: str, number: str) -> ModelVersion:
        """Raises NotFound where it is missing or deleted, and RegistryRefused where it is not ready."""
        if not str(number).isdigit():
            raise NotFound(f"{number!r} is not a version of the model {model!r}.", "Versions are whole numbers.")
        with self.asking(f"version {number} of the model {model!r}"):
            found = self.client.get_model_version(model, str(number))
        if not _ready(found):
            raise RegistryRefused(
                f"Version {number} of the model {model!r} is {found.status} and not READY.",
                "Wait until MLflow has registered it, or register it again.",
            )
        return _version(found)

    def model_exists(self, name: str) -> bool:
        with self.asking(f"the registered model {name!r}"):
            try:
                self.client.get_registered_model(name)  # which hides prompts
            except MlflowException as error:
                if _missing(error) or error.error_code == "INVALID_PARAMETER_VALUE":
                    return False
                raise
        return True

    def prompt_exists(self, name: str) -> bool:
        return self._registered_prompt(name) is not None

    def run(self, run_id: str) -> Run:
        """Raises NotFound where there is no such run."""
        with self.asking(f"run {run_id}"):
            found = self.client.get_run(run_id)
        logged = found.inputs.dataset_inputs if found.inputs else []
        tags = dict(found.data.tags)
        return Run(
            id=found.info.run_id,
            user=tags.get("mlflow.user") or found.info.user_id or "",
            started_at=_time(found.info.start_time),
            ended_at=_time(found.info.end_time) if found.info.end_time else None,
            metrics=dict(found.data.metrics),
            params=dict(found.data.params),
            tags=tags,
            inputs=tuple(_input(entry) for entry in logged),
        )

    def files(self, version: ModelVersion) -> ModelFiles:
        """Read the version's artifact, over the network where it must. Raises ArtifactUnusable where it is gone."""
        local = self._local_folder(version)
        if local is not None:
            return artifacts.read(local, version.uri)
        with tempfile.TemporaryDirectory(prefix="headgate-model-") as scratch:
            return artifacts.read(self._downloaded(version, scratch), version.uri)

    def require_artifact(self, version: ModelVersion) -> None:
        """A look, without reading it: MLflow calls a version READY whose files are gone. Raises ArtifactUnusable."""
        local = self._local_folder(version)
        if local is not None:
            if not (local / "MLmodel").is_file():
                raise artifacts.gone(version.uri, f"there is no model in {local}")
            return
        with self.asking(f"the artifact of {version.uri}"):
            if version.model_id and not self.client.list_logged_model_artifacts(version.model_id):
                raise artifacts.gone(version.uri, "its folder is empty")

    def prompt(self, name: str, number: str | None = None) -> PromptVersion | None:
        """That version of the prompt, the newest where no number is given, or None where there is none."""
        if number is None:
            return next(iter(self.prompt_versions(name)), None)
        with self.asking(f"version {number} of the prompt {name!r}"):
            try:
                found = self.client.get_prompt_version(name, str(number))
            except MlflowException as error:
                if _missing(error):
                    return None
                raise
        return self._prompt(found) if found else None

    def prompt_versions(self, name: str) -> list[PromptVersion]:
        """Every version of the prompt, newest first; empty where there is no such prompt."""
        found = self._search(f"name = {_quoted(name)} AND {IS_PROMPT}", "DESC")
        return [self._prompt(model_version_to_prompt_version(version)) for version in found]

    def prompts_of(self, version: ModelVersion) -> list[PromptVersion]:
        """The prompt versions linked to the logged model, or else to the run; sorted by name."""
        linked = self._links_of_model(version) or self._links_of_run(version)
        found = [self.prompt(link["name"], link["version"]) for link in linked]
        return sorted((prompt for prompt in found if prompt), key=lambda prompt: prompt.name)

    def template_text(self, template: str | list[dict[str, Any]]) -> str:
        """A prompt's template as one text: chat messages become canonical JSON."""
        return template if isinstance(template, str) else canonical(template)

    def _found_versions(self, model: str, direction: str) -> Iterator[Any]:
        return self._search(f"name = {_quoted(model)}", direction)

    def _search(self, filters: str, direction: str) -> Iterator[Any]:
        token = None
        while True:
            with self.asking("the registered versions"):
                page = self.client.search_model_versions(
                    filters, max_results=PAGE, order_by=[f"version_number {direction}"], page_token=token
                )
            yield from page
            token = page.token
            if not token:
                return

    def _links_of_model(self, version: ModelVersion) -> list[dict[str, str]]:
        if not version.model_id:
            return []
        try:
            with self.asking(f"the logged model {version.model_id}"):
                return _links(self.client.get_logged_model(version.model_id).tags)
        except NotFound:
            return []  # deleted since; the registered version outlives it

    def _links_of_run(self, version: ModelVersion) -> list[dict[str, str]]:
        if not version.run_id:
            return []
        try:
            return _links(self.run(version.run_id).tags)
        except NotFound:
            return []

    def _registered_prompt(self, name: str) -> Any | None:
        """By searching: the client's own get_prompt answers None for every error, an unreachable server among them."""
        with self.asking(f"the prompt {name!r}"):
            found = self.client.search_registered_models(f"name = {_quoted(name)} AND {IS_PROMPT}", max_results=1)
        return found[0] if found else None

    def _prompt(self, found: Any) -> PromptVersion:
        created = _time(found.creation_timestamp)
        return PromptVersion(
            name=found.name,
            version=str(found.version),
            uri=f"prompts:/{found.name}/{found.version}",
            template=self.template_text(found.template),
            variables=tuple(sorted(found.variables)),
            created_at=created,
            registered_at=_registered_at(found.tags, created),
        )

    def _local_folder(self, version: ModelVersion) -> Path | None:
        """Where the artifact lies, if that is a folder of this machine; it need not exist any more."""
        if self.uri.startswith("http"):
            return None
        with self.asking(f"the artifact of {version.uri}"):
            where = self.client.get_model_version_download_uri(version.name, version.version)
            if where.startswith("models:/") and version.model_id:
                where = self.client.get_logged_model(version.model_id).artifact_location
        return local_path(where)

    def _downloaded(self, version: ModelVersion, scratch: str) -> Path:
        with self.asking(f"the artifact of {version.uri}"):
            try:
                return Path(mlflow.artifacts.download_artifacts(artifact_uri=version.uri, dst_path=scratch))
            except OSError as error:
                if isinstance(error, requests.RequestException) and not _not_there(error):
                    raise
                raise artifacts.gone(version.uri, str(error)) from error
            except MlflowException as error:
                if _missing(error) or "API request to" not in error.message:
                    raise artifacts.gone(version.uri, first_line(error.message)) from error
                raise


def local_path(where: str) -> Path | None:
    """The path that a file address or a plain path means; None for an address of anywhere else."""
    parsed = urlparse(where)
    if parsed.scheme == "file":
        return Path(unquote(parsed.path))
    return Path(where) if where and not parsed.scheme else None


def _version(found: Any) -> ModelVersion:
    created = _time(found.creation_timestamp)
    tags = dict(found.tags)
    source = str(found.source or "")
    return ModelVersion(
        name=found.name,
        version=str(found.version),
        uri=f"models:/{found.name}/{found.version}",
        source=source,
        model_id=source.removeprefix("models:/") if source.startswith("models:/m-") else None,
        run_id=found.run_id or None,
        created_at=created,
        registered_at=_registered_at(tags, created),
        tags=tags,
        user=found.user_id or "",
    )


def _input(entry: Any) -> DatasetInput:
    dataset = entry.dataset
    profile = _json(dataset.profile)
    rows = profile.get("num_rows") if isinstance(profile, dict) else None
    return DatasetInput(
        name=dataset.name or "",
        context=next((tag.value for tag in entry.tags if tag.key == CONTEXT_TAG), ""),
        digest=dataset.digest or "",
        source=_source(dataset.source),
        source_type=dataset.source_type or "",
        columns=_columns(dataset.schema),
        rows=rows if isinstance(rows, int) else None,
    )


def _source(text: str) -> str:
    """MLflow keeps a source as JSON of a kind of its own for each source type."""
    said = _json(text)
    if not isinstance(said, dict):
        return ""
    where = next((str(said[key]) for key in ("uri", "url", "path", "delta_table_name") if said.get(key)), "")
    path = local_path(where)
    return str(path) if path is not None else where


def _columns(schema: str | None) -> dict[str, str]:
    said = _json(schema)
    columns = said.get("mlflow_colspec") if isinstance(said, dict) else None
    if not isinstance(columns, list):
        return {}
    return {str(column["name"]): str(column["type"]) for column in columns if "name" in column and "type" in column}


def _links(tags: dict[str, str]) -> list[dict[str, str]]:
    said = _json(tags.get(LINKED_PROMPTS_TAG))
    entries = said if isinstance(said, list) else []
    return [
        {"name": str(entry["name"]), "version": str(entry["version"])}
        for entry in entries
        if isinstance(entry, dict) and entry.get("name") and entry.get("version")
    ]


def _json(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _registered_at(tags: dict[str, str], created: datetime) -> datetime:
    text = tags.get(REGISTERED_AT_TAG, "")
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        return created
    return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _ready(found: Any) -> bool:
    return bool(found.status == "READY")


def _missing(error: MlflowException) -> bool:
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


def _not_there(error: requests.RequestException) -> bool:
    return error.response is not None and error.response.status_code in (404, 410)


def _quoted(name: str) -> str:
    """A name as MLflow's filters take it, which know no escape."""
    if "'" not in name:
        return f"'{name}'"
    if '"' not in name:
        return f'"{name}"'
    raise RegistryRefused(
        f"The name {name!r} has both kinds of quotes, and MLflow cannot be searched for it.", "Rename it in MLflow."
    )
