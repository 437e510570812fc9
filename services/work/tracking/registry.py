"""What is written into MLflow: the one pointer of each application, and the members' own aliases.

MLflow cannot move two aliases at once, so a bundle becomes a version of one registered model, `bundle.<application>`,
whose source is the model's own artifact and whose tags name the rest. Its aliases are the stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import IntegrityError

from services.errors import NotFound, RegistryRefused
from services.rules.digests import canonical
from services.work.tracking.facts import ModelVersion
from services.work.tracking.read import Reader

BUNDLE_TAG = "headgate.bundle"
DIGEST_TAG = "headgate.digest"
MANIFEST_TAG = "headgate.manifest"
MANIFEST_CHARACTERS = 100_000  # what MLflow keeps of a tag
EXPERIMENT = "headgate"


class Tracking(Reader):
    """Everything Headgate asks of MLflow and writes into it."""

    def ensure_bundle_version(
        self, application: str, *, digest: str, ref: str, manifest: Mapping[str, Any], model: ModelVersion | None
    ) -> str:
        """The version of `bundle.<application>` with this digest, made where there is none. May be repeated.

        Of two that a race made, the smallest wins for everybody. `model` is None for a bundle of prompts alone: its
        version loads no model, and its tags still name the rest. Raises RegistryUnreachable or RegistryRefused.
        """
        pointer = bundle_name(application)
        found = self._bundle_version(pointer, digest)
        if found is None:
            tags = {BUNDLE_TAG: ref, DIGEST_TAG: digest, MANIFEST_TAG: _manifest_text(ref, manifest)}
            with self.asking(f"the pointer {pointer!r}", writes=True):
                self.ensure_registered_model(pointer)
                self._create_bundle_version(pointer, tags, model)
            found = self._bundle_version(pointer, digest)
        if found is None:
            raise RegistryRefused(
                f"MLflow took the version of {pointer!r} for {ref} and does not find it again.",
                "Look at the registered model in MLflow; somebody may have deleted it just now. Then try again.",
            )
        return str(found)

    def bundle_version_exists(self, application: str, registry_version: str, digest: str) -> bool:
        """Whether that number still means this bundle: a restored MLflow may have given it to another."""
        try:
            found = self.version(bundle_name(application), registry_version)
        except (NotFound, RegistryRefused):
            return False
        return found.tags.get(DIGEST_TAG) == digest

    def set_model_alias(self, name: str, alias: str, version: str) -> None:
        """Point the alias at the version. Raises RegistryRefused where there is no such version."""
        with self.asking(f"the alias {alias!r} of the model {name!r}", writes=True):
            _twice(lambda: self.client.set_registered_model_alias(name, alias, version))

    def set_prompt_alias(self, name: str, alias: str, version: str) -> None:
        """Point the alias at the prompt's version. Raises RegistryRefused where there is no such version."""
        with self.asking(f"the alias {alias!r} of the prompt {name!r}", writes=True):
            _twice(lambda: self.client.set_prompt_alias(name, alias, int(version)))

    def model_aliases(self, name: str) -> dict[str, str]:
        """Alias to version; empty where there is no such model."""
        with self.asking(f"the aliases of {name!r}"):
            try:
                return {alias: str(to) for alias, to in self.client.get_registered_model(name).aliases.items()}
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return {}
                raise

    def prompt_aliases(self, name: str) -> dict[str, str]:
        """Alias to version; empty where there is no such prompt."""
        found = self._registered_prompt(name)
        return {alias: str(version) for alias, version in found.aliases.items()} if found else {}

    def ensure_registered_model(self, name: str) -> None:
        """Make the registered model where there is none. Raises RegistryRefused where a prompt has the name."""
        with self.asking(f"the registered model {name!r}", writes=True):
            try:
                self.client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                taken = not self.model_exists(name)
            else:
                taken = False
        if taken:
            raise RegistryRefused(f"MLflow has a prompt named {name!r}, so no model can be.", "Choose another name.")

    def _bundle_version(self, pointer: str, digest: str) -> int | None:
        filters = f"name = '{pointer}' AND tag.`{DIGEST_TAG}` = '{digest}'"
        return min(
            (int(found.version) for found in self._search(filters, "ASC") if found.status == "READY"), default=None
        )

    def _create_bundle_version(self, pointer: str, tags: dict[str, str], model: ModelVersion | None) -> None:
        if model is None:
            external = mlflow.create_external_model(name="prompts", experiment_id=self.experiment(EXPERIMENT))
            source, model_id, run_id = f"models:/{external.model_id}", external.model_id, None
        elif model.model_id:
            source, model_id, run_id = model.source, model.model_id, model.run_id
        else:
            source, model_id, run_id = model.uri, None, model.run_id
        self.client.create_model_version(pointer, source=source, run_id=run_id, tags=tags, model_id=model_id)


def bundle_name(application: str) -> str:
    return f"bundle.{application}"


def _manifest_text(ref: str, manifest: Mapping[str, Any]) -> str:
    text = canonical(manifest)
    if len(text) > MANIFEST_CHARACTERS:
        raise RegistryRefused(
            f"The manifest of {ref} has {len(text)} characters, and MLflow keeps {MANIFEST_CHARACTERS} of a tag.",
            "Leave details out of the bundle's components.",
        )
    return text


def _twice(write: Any) -> None:
    """Two processes that set a NEW alias at once collide on SQLite; the second time it is an update."""
    try:
        write()
    except (IntegrityError, MlflowException) as error:
        if "IntegrityError" not in f"{type(error).__name__} {error}":
            raise
        write()
