"""What every benchmark prints: a table for people, and as its last line one JSON object with its figures."""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser that knows `--json`."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the JSON object only")
    return parser


def report(columns: Sequence[str], rows: Sequence[Sequence[Any]], figures: dict[str, Any], only_json: bool) -> None:
    """Prints the table and the figures.

    Args:
        columns: Headings.
        rows: One row of cells for each heading.
        figures: Goes into the JSON object; the machine is added.
        only_json: Leave out the table.
    """
    if not only_json:
        table(columns, rows)
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    print(json.dumps({**figures, "machine": machine}))


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints cells in columns as wide as their widest, and an empty line."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[c]) for row in cells) for c in range(len(columns))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


def data_folder() -> Path:
    """Returns the folder of real data: `FORECAST_DATA`, by default `../shared/data` from the project's root."""
    folder = Path(os.environ.get("FORECAST_DATA") or Path(__file__).parents[1] / "../shared/data").resolve()
    if not folder.is_dir():
        raise SystemExit(f"This benchmark needs real data. Set FORECAST_DATA to their folder. Received: {folder}")
    return folder
