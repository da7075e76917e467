"""Reads one Parquet file, by Arrow alone.

Types are the file's own; decimals become floats, and an index that pandas stored becomes columns again. Nothing is
unpickled: extension types that would need it stay what they are stored as.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from ..errors import SourceError
from ._table import Table


def read_parquet(path: Path) -> Table:
    """Returns the table of a Parquet file.

    Raises:
        SourceError: It cannot be read.
    """
    try:
        with pa.parquet.ParquetFile(path) as file:
            arrow = file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise SourceError(
            f"A Parquet file must be whole. Received: {path}: {reason}. Write or fetch it again."
        ) from None
    for at, field in enumerate(arrow.schema):
        if pa.types.is_decimal(field.type):
            arrow = arrow.set_column(at, field.name, arrow.column(at).cast(pa.float64()))
    frame: pd.DataFrame = arrow.to_pandas()
    if not isinstance(frame.index, pd.RangeIndex):
        unnamed = "ds" if isinstance(frame.index, pd.DatetimeIndex) else "index"
        frame = frame.reset_index(names=[name or unnamed for name in frame.index.names])
    frame = frame.reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    frame.attrs.clear()
    return Table(frame, path.name, lambda row: f"row {row + 1} of {path.name}")
