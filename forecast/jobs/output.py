"""The tables of a run, written, read again and compared before anyone sees them.

    shard-00000.parquet  shard-00001.parquet ...  -->  forecasts.parquet     a row group for each shard
    failures                                      -->  quarantine.parquet

The rows of a shard stay together; memory holds one shard at a time.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .gates import Failure

FORECASTS = "forecasts.parquet"
QUARANTINE = "quarantine.parquet"
CHALLENGER = "challenger.parquet"

_QUARANTINE = pa.schema(
    [
        ("unique_id", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
        ("fallback", pa.bool_()),
    ]
)


def write(table: pa.Table, path: Path) -> None:
    """Writes a table: whole, or not at all."""
    temporary = path.with_suffix(".tmp")
    try:
        pq.write_table(table, temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def metadata(path: Path) -> dict[bytes, bytes] | None:
    """Returns the metadata of a table that was written; None where it is not there, or not whole."""
    try:
        found: dict[bytes, bytes] = pq.read_schema(path).metadata
    except (OSError, pa.ArrowException):
        return None
    return found


def write_forecasts(shards: Sequence[Path], schema: pa.Schema, path: Path) -> None:
    """Writes the rows of all shards into one file."""
    with pq.ParquetWriter(path, schema) as writer:
        for shard in shards:
            writer.write_table(pq.read_table(shard).replace_schema_metadata(None))


def write_quarantine(failures: Sequence[Failure], with_fallback: Collection[str], path: Path) -> None:
    """Writes who failed, where and why, and whether a fallback stands in for it."""
    rows: list[dict[str, Any]] = [{**asdict(one), "fallback": one.unique_id in with_fallback} for one in failures]
    pq.write_table(pa.Table.from_pylist(rows, schema=_QUARANTINE), path)


def sources_of(shards: Sequence[Path]) -> tuple[set[str], set[str]]:
    """Returns the series that the network forecast, and those that have a fallback."""
    found: dict[str, set[str]] = {"model": set(), "fallback": set()}
    for shard in shards:
        table = pq.read_table(shard, columns=["unique_id", "source"])
        for source, ids in found.items():
            ids.update(pc.unique(table.filter(pc.field("source") == source)["unique_id"]).to_pylist())
    return found["model"], found["fallback"]


def validate(path: Path, schema: pa.Schema, ids: Collection[str], targets: int, steps: int) -> int:
    """Reads a file of forecasts again and compares it with what must be in it; returns its number of rows.

    Raises:
        RuntimeError: It is not what was computed.
    """
    if not pq.read_schema(path).equals(schema):
        raise RuntimeError(f"{path} must have the columns {schema.names}. Received: {pq.read_schema(path).names}.")
    rows, seen, wrong, key = 0, set[str](), set[str](), ["unique_id", "target", "step"]
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):  # a series lies in one, so that memory holds one at a time
            table = file.read_row_group(number, columns=[*key, "y_pred"])
            own = set(pc.unique(table["unique_id"]).to_pylist())
            if seen & own or len(table.select(key).group_by(key).aggregate([])) != len(table):
                wrong.add("rows that come twice")
            if not pc.all(pc.is_finite(table["y_pred"]), min_count=0, skip_nulls=False).as_py():
                wrong.add("forecasts that are no numbers")
            rows, seen = rows + len(table), seen | own
    if rows != len(ids) * targets * steps:
        wrong.add("rows")
    if seen != set(ids):
        wrong.add("series")
    if wrong:
        raise RuntimeError(f"{path} must hold what was computed. Received: other {', '.join(sorted(wrong))}.")
    return rows


def ids_of(folder: Path) -> set[str] | None:
    """Returns the series of a published run, forecast or not; None where somebody removed or changed it."""
    found: set[str] = set()
    try:
        for name in (FORECASTS, QUARANTINE):
            found.update(pc.unique(pq.read_table(folder / name, columns=["unique_id"])["unique_id"]).to_pylist())
    except (OSError, pa.ArrowException):
        return None
    return found
