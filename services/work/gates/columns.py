"""Which family of type a column belongs to, and whether what is found fits what the model's signature declares."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import pandas as pd


class Family(StrEnum):
    """Types as people speak of them."""

    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TEXT = "text"
    DATETIME = "datetime"
    BYTES = "bytes"
    EMPTY = "empty"  # no value at all, so no type either
    OTHER = "other"


SIGNATURE = {
    "boolean": Family.BOOLEAN,
    "integer": Family.INTEGER,
    "long": Family.INTEGER,
    "float": Family.FLOAT,
    "double": Family.FLOAT,
    "string": Family.TEXT,
    "datetime": Family.DATETIME,
    "binary": Family.BYTES,
}
PLURAL = {
    Family.INTEGER: "integers",
    Family.FLOAT: "floats",
    Family.BOOLEAN: "booleans",
    Family.DATETIME: "dates",
    Family.OTHER: "values of no one type",
}
INFERRED = {
    "string": Family.TEXT,
    "boolean": Family.BOOLEAN,
    "integer": Family.INTEGER,
    "floating": Family.FLOAT,
    "mixed-integer-float": Family.FLOAT,
    "decimal": Family.FLOAT,
    "datetime": Family.DATETIME,
    "date": Family.DATETIME,
    "bytes": Family.BYTES,
}


def family(column: pd.Series) -> Family:
    """The family of a column's values. A nullable type is its plain one; a category is what its labels are."""
    if column.isna().all():
        return Family.EMPTY
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return family(pd.Series(dtype.categories))
    if pd.api.types.is_bool_dtype(dtype):
        return Family.BOOLEAN
    if pd.api.types.is_integer_dtype(dtype):
        return Family.INTEGER
    if pd.api.types.is_float_dtype(dtype):
        return Family.FLOAT
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return Family.DATETIME
    return INFERRED.get(pd.api.types.infer_dtype(column, skipna=True), Family.OTHER)


def declared(signature_type: object) -> Family | None:
    """The family that a signature's type names, or None for one this gate does not compare (tensors, objects)."""
    return SIGNATURE.get(str(signature_type))


def whole_numbers(column: pd.Series) -> bool:
    """Whether a float column holds nothing but whole numbers: integers that met a null, as pandas reads them."""
    values = column.dropna().to_numpy(dtype=float)
    return bool(len(values) and np.isfinite(values).all() and (values == np.floor(values)).all())


def fitted(column: pd.Series, signature_type: object) -> pd.Series:
    """The column in the exact width its signature names, where nothing is lost by it: a file keeps only the family."""
    kind = family(column)
    match str(signature_type):
        case "integer" if kind is Family.INTEGER and _fits(column, np.iinfo(np.int32)):
            return column.astype(np.int32)
        case "long" if kind is Family.INTEGER and _fits(column, np.iinfo(np.int64)):
            return column.astype(np.int64)
        case "float" if kind in (Family.INTEGER, Family.FLOAT):
            return column.astype(np.float32)
        case "double" if kind in (Family.INTEGER, Family.FLOAT):
            return column.astype(np.float64)
        case "boolean" if kind is Family.BOOLEAN and not column.isna().any():
            return column.astype(bool)
        case "datetime" if kind is Family.TEXT:
            return pd.to_datetime(column, errors="coerce")
    return column


def _fits(column: pd.Series, width: np.iinfo) -> bool:
    return bool(column.between(width.min, width.max).all())  # a null lies between nothing, so it does not fit
