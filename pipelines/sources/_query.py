"""What the sources of databases have in common: their options, and from an answer to rows."""

from typing import Literal

import pandas as pd
import pydantic

from ..errors import DataError
from ..spec import Spec
from . import _layouts
from ._table import Table


class Options(Spec):
    """The options behind the question mark."""

    table: str | None = None
    query: str | None = None
    as_of: str | None = None
    id_col: str | None = None
    time_col: str | None = None
    text: Literal["refuse", "keep"] = "refuse"

    @pydantic.model_validator(mode="after")
    def _one_of_both(self) -> "Options":
        if (self.table is None) == (self.query is None):
            raise ValueError(
                "Give `table` or `query`, one of them, such as ?table=prices. Received: "
                f"table={self.table!r}, query={self.query!r}"
            )
        return self

    @property
    def where(self) -> str:
        """What messages call it."""
        return self.table or "the query"


def rows(answer: pd.DataFrame, name: str, options: Options) -> pd.DataFrame:
    """Returns the rows of an answer.

    Args:
        name: Of the database, for messages.

    Raises:
        DataError: It holds no rows, or cells that cannot be used as given.
        UnknownName: There is no such column.
    """
    if answer.empty:
        raise DataError(f"A table must hold rows. Received: none from {options.where} of {name}.")
    found = Table(answer, name, lambda row: f"row {row + 1} of {options.where} in {name}")
    frame = _layouts.rows(found, id_col=options.id_col, time_col=options.time_col, text=options.text)
    frame.attrs["notes"] = found.notes
    return frame
