"""What one file holds before anyone knows what is time, id or value, and how its texts become numbers.

"12"  "1,234.5"  ""  "n/a"  ->  12.0  1234.5  NaN  NaN       commas or dots may group thousands
"12"  "13"  "-"             ->  DataError: line 4            most cells are numbers, one is not
                            ->  12.0  13.0  "-"              the same, where text is kept
"rain"  "7"  "None"         ->  "rain"  "7"  NaN             most are not: it stays text
"""

from collections.abc import Callable, Container
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..errors import DataError
from ._sniff import MISSING, grouped_pattern, number_pattern


@dataclass
class Table:
    """What one file holds, before anyone knows what is time, id or value.

    Args:
        frame: Rows; the index holds row numbers.
        file: Its name, for messages.
        place: Says where a row stands: "line 12 of prices.csv".
        decimal: The decimal mark of the columns that are still text.
        notes: What was found and repaired, as sentences.
    """

    frame: pd.DataFrame
    file: str
    place: Callable[[int], str]
    decimal: str = "."
    notes: list[str] = field(default_factory=list)

    def texts(self) -> list[str]:
        """Returns the names of the columns that hold text."""
        kinds = zip(self.frame, self.frame.dtypes, strict=True)
        return [str(name) for name, kind in kinds if kind.kind == "O" or isinstance(kind, pd.StringDtype)]


def numbers(table: Table, keep: Container[str | None], *, strict: bool = False, text: str = "refuse") -> None:
    """Turns the columns of text that hold numbers into numbers, in place.

    A column with at most half of its cells numbers stays text. True and false become 1 and 0.

    Args:
        table: Changed in place.
        keep: Columns that stay as they are: stamps and ids.
        strict: No column may stay text.
        text: "refuse" a text among numbers, or "keep" it as it is.

    Raises:
        DataError: A column of numbers holds a text, and it is not kept.
    """
    frame = table.frame
    converted: dict[str, pd.Series] = {}
    for name in table.texts():
        if name in keep:
            continue
        codes, cells = pd.factorize(frame[name])  # each text is looked at once; -1 is missing
        texts = pd.Series(cells, dtype="object").map(lambda cell: str(cell).strip())
        values = np.append(_to_numbers(texts, table, name).to_numpy(), np.nan)
        present = np.append(~texts.isin(MISSING).to_numpy(), False)[codes]
        good = present & ~np.isnan(values)[codes]
        if strict or 2 * good.sum() > present.sum() or not present.any():
            bad = present & ~good
            if bad.any() and text != "keep":
                row = int(frame.index[bad.argmax()])
                raise DataError(
                    f"Column {name!r} must hold numbers. Received: {frame[name][row]!r} in {table.place(row)}. "
                    "Repair that cell, or leave it empty, which reads as missing."
                )
            converted[name] = pd.Series(values[codes], index=frame.index)
            if bad.any():
                converted[name] = converted[name].astype(object).where(~bad, frame[name])
        elif not present.all():
            converted[name] = frame[name].where(present)
    table.frame = frame.assign(**converted)


def _to_numbers(texts: pd.Series, table: Table, name: str) -> pd.Series:
    decimal, group = table.decimal, "." if table.decimal == "," else ","
    truth = texts.str.casefold().map({"true": 1.0, "false": 0.0}).astype("float64")
    grouped = texts.str.fullmatch(grouped_pattern(decimal))
    plain = texts.str.fullmatch(number_pattern(decimal)) | grouped
    clean = texts.where(~grouped, texts.str.replace(group, "")).str.replace(decimal, ".").where(plain)
    if grouped.any():
        marks = {",": "Commas", ".": "Dots"}
        table.notes.append(f"{marks[group]} in column {name!r} group thousands, as in {texts[grouped].iloc[0]!r}.")
    return pd.to_numeric(clean, errors="coerce").fillna(truth)
