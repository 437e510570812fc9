"""Alembic's entry: `services.store.migrate` hands over a connection that holds the lock."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import JSON
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

from services.store import models, trouble  # noqa: F401  (fill SQLModel.metadata, which autogenerate compares with)
from services.store.column_types import UtcDateTime


def _render(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write our own types by name, so that a revision reads like the models."""
    if kind == "type" and isinstance(item, AutoString):
        return "sa.String()"
    if kind == "type" and isinstance(item, (UtcDateTime, JSON)):
        autogen.imports.add("from services.store.column_types import Json, UtcDateTime")
        return "UtcDateTime()" if isinstance(item, UtcDateTime) else "Json"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_item=_render,
    compare_type=True,
)
context.run_migrations()
