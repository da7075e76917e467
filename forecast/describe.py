"""Says what data are before anybody trains on them: rows, series, freq, faults, and what cleaning would do."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipelines.cleaning import clean
from pipelines.errors import DataError
from pipelines.outliers import usual_range
from pipelines.panel import Panel
from pipelines.stock_splits import find_split_cliffs

from .config import ForecastConfig
from .prepare import load_rows, value_columns
from .text import number


@dataclass(frozen=True)
class Description:
    """What data are; prints as lines.

    Attributes:
        facts: Rows, series, freq, first and last stamp, unit.
        columns: One row a column: kind, missing, smallest, median, largest.
        findings: What cleaning found and would do, split cliffs, outliers.
    """

    facts: dict[str, Any]
    columns: pd.DataFrame
    findings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data."""
        columns = self.columns.astype(object).where(self.columns.notna(), None).to_dict(orient="index")
        return {**self.facts, "columns": columns, "findings": self.findings}

    def __str__(self) -> str:
        width = max(map(len, self.facts))
        facts = [
            f"{name:{width}}  {f'{value:,}' if isinstance(value, int) else value}"
            for name, value in self.facts.items()
            if value not in ("", None)
        ]
        table = self.columns.rename_axis(None).to_string(float_format=number, na_rep="-")
        return "\n".join([*facts, "", table, "", *(self.findings or ["Nothing to clean."])])


def describe(data: str | pd.DataFrame, **settings: Any) -> Description:
    """Returns what data are; nothing is changed.

    Args:
        data: A locator or a DataFrame.
        settings: Such as `calendar`, `freq`, `id_col`, `time_col` and `cleaning`.

    Raises:
        DataError: No column holds numbers.
    """
    config = ForecastConfig(**settings)
    frame, options = load_rows(data, config)
    names = value_columns(frame, options["id_col"], options["time_col"])
    if frame.columns.nlevels == 2:
        numeric = list(names)
    else:
        numeric = [c for c in names if pd.api.types.is_numeric_dtype(frame[c]) or pd.api.types.is_bool_dtype(frame[c])]
    if not numeric:
        raise DataError(
            f"At least one column must hold numbers. Received: {', '.join(names) or 'none'}, no number among them."
        )
    raw = Panel.from_frame(frame, columns=numeric, **options)
    panel, report = clean(raw, config.cleaning)
    findings = [*str(report).splitlines(), *find_split_cliffs(panel), *_outliers(panel, config.cleaning.outlier_factor)]
    if len(findings) > 1 and findings[0] == "Nothing to clean.":
        findings = findings[1:]
    text = [c for c in names if c not in numeric]
    return Description(_facts(raw, panel, data), _columns(raw, text), findings)


def _facts(raw: Panel, panel: Panel, data: str | pd.DataFrame) -> dict[str, Any]:
    lengths = np.diff(raw.offsets)
    codes = sorted({calendar.code or "integer steps" for calendar in panel.calendars})
    return {
        "data": data if isinstance(data, str) else "DataFrame",
        "series": len(raw.ids),
        "rows": len(raw),
        "rows per series": f"{lengths.min()} .. {lengths.max()}" if len(raw.ids) > 1 else "",
        "freq": ", ".join(codes),
        "season length": panel.calendars[0].season_length,
        "first": str(raw.stamp(int(raw.ds.min()))),
        "last": str(raw.stamp(int(raw.ds.max()))),
        "unit": raw.unit,
    }


def _columns(panel: Panel, text: list[str]) -> pd.DataFrame:
    values = np.where(np.isfinite(panel.values), panel.values, np.nan)
    rows = {}
    for c, name in enumerate(panel.columns):
        column = values[:, c]
        known = column[~np.isnan(column)]
        low, middle, high = (known.min(), np.median(known), known.max()) if len(known) else (np.nan,) * 3
        rows[name] = {
            "kind": "number",
            "missing": len(column) - len(known),
            "smallest": low,
            "median": middle,
            "largest": high,
        }
    rows |= {
        name: {"kind": "text", "missing": np.nan, "smallest": np.nan, "median": np.nan, "largest": np.nan}
        for name in text
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _outliers(panel: Panel, factor: float) -> list[str]:
    sentences = []
    for s, unique_id in enumerate(panel.ids):
        values = np.asarray(panel.values[panel.rows(s)], np.float64)
        low, high = usual_range(values, factor)
        for c, name in enumerate(panel.columns):
            outside = values[:, c][(values[:, c] < low[c]) | (values[:, c] > high[c])]
            if len(outside):
                extreme = outside[np.argmax(abs(outside - (low[c] + high[c]) / 2))]
                many = f"{len(outside):,} outlier{'s' if len(outside) > 1 else ''}"
                sentences.append(
                    f"{unique_id}: {many} in {name} (such as {extreme:,.6g}; "
                    f"usual is {low[c]:,.6g} .. {high[c]:,.6g}): reported; cleaning.outliers=clip clips them."
                )
    return (
        sentences
        if len(sentences) <= 12
        else [*sentences[:12], f"... and outliers in {len(sentences) - 12} more columns."]
    )
