"""Value columns become float32: numbers and categories convert, text is refused, lost digits are pointed out."""

from typing import Any

import numpy as np
import pandas as pd

from .errors import DataError
from .ordering import BLOCK


def number_reader(column: pd.Series, name: str, notes: list[str]) -> Any:
    """Returns the block reader of a value column."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        categories = dtype.categories
        if pd.api.types.is_numeric_dtype(categories.dtype):
            table = np.append(categories.to_numpy(np.float32), np.float32(np.nan))
        else:
            table = np.append(np.arange(len(categories), dtype=np.float32), np.float32(np.nan))
            notes.append(
                f"Column {name!r} holds categories; they became numbers: "
                f"{', '.join(map(str, categories[:5]))} = 0, 1, ..."
            )
        codes = column.cat.codes.to_numpy()
        return lambda rows: table[codes[rows]]
    if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)) or pd.api.types.is_complex_dtype(
        dtype
    ):
        first = column.dropna().iloc[:1].tolist()
        raise DataError(
            f"Value columns are numbers or categories. Received: column {name!r} of dtype {dtype}, such as "
            f"{first[0] if first else None!r}. Choose the columns to use (`target`, `past`, `known`), or convert this "
            "one."
        )
    if pd.api.types.is_extension_array_dtype(dtype):
        array = column.array
        return lambda rows: array[rows].to_numpy(np.float32, na_value=np.nan)
    return column.to_numpy().__getitem__


def digits_lost(name: str, read: Any, R: int) -> str:
    """Returns a note where a column's steps are small beside its values: rows are kept to seven digits (float32)."""
    values = np.asarray(read(slice(0, min(R, BLOCK // 8))), np.float64)
    values = values[np.isfinite(values)]
    steps = abs(np.diff(values))
    steps = steps[steps > 0]
    if not len(steps):
        return ""
    lost, usual = float(np.spacing(np.float32(min(abs(values).max(), 3e38)))), float(np.median(steps))
    if lost <= 0.02 * usual:
        return ""
    return (
        f"Column {name!r} moves by about {usual:.3g} at values near {abs(values).max():.3g}, which are kept to seven "
        f"digits, so to {lost:.3g}: subtract a constant first, or forecast its differences."
    )
