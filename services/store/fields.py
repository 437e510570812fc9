"""The fields of the tables, each kind the same everywhere: times in UTC, JSON, words of an enum, text."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Text
from sqlmodel import Field

from services.store.column_types import Json, UtcDateTime, enum_type


def time_field(nullable: bool = False, index: bool = False) -> Any:
    default = None if nullable else ...
    return Field(default=default, sa_column=Column(UtcDateTime(), nullable=nullable, index=index))


def json_field() -> Any:
    return Field(default_factory=dict, sa_column=Column(Json, nullable=False))


def enum_field(kind: Any, nullable: bool = False) -> Any:
    return Field(default=None if nullable else ..., sa_column=Column(enum_type(kind), nullable=nullable, index=True))


def text_field(default: str = "") -> Any:
    return Field(default=default, sa_column=Column(Text, nullable=False, server_default=default))
