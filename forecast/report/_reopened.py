"""A backtest again, of the rows that `forecast backtest --out` wrote.

    unique_id  target  ds   cutoff  step  y_true  y_pred  y_pred_lo_80  y_pred_hi_80  naive  drift ...
    series     Close   Tue  Mon        1     101     103            99           107    100    101      -> y_true[0, 0]
    series     Close   Wed  Mon        2     102     104            98           110    100    102      -> y_true[0, 1]
    series     Close   Wed  Tue        1     102     103            99           107    101    102      -> y_true[1, 0]

The rows of the panel are the stamps of the file: cutoffs and futures. Where cutoffs lie far apart, the rows between
them are not known, and not missed.

What a file does not tell stays unknown: the model's name, the unit, and the training rows, so there is neither
MASE nor RMSSE.

Axes: `N` cutoffs, `H` horizon, `K` targets.
"""

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.calendars import Calendar
from pipelines.errors import DataError
from pipelines.freq import infer
from pipelines.panel import Panel
from pipelines.windows import WindowIndex, WindowSpec

from ..evaluation.backtest import Backtest
from ..evaluation.bands import Bands

NEEDED = ("unique_id", "target", "ds", "cutoff", "step", "y_true", "y_pred", "naive")
_END = re.compile(r"y_pred_(lo|hi)_(\d+(?:\.\d+)?)")
_ASKED = re.compile(r"level_\d+(?:\.\d+)?")  # of adaptive intervals
_REMEDY = "Give a file that `forecast backtest BUNDLE --out x.parquet` wrote."


def read(path: str | Path) -> pd.DataFrame:
    """Returns the rows of a file.

    Raises:
        DataError: It is not there, or no Parquet or CSV file.
    """
    path = Path(path)
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype={"unique_id": str})
    except (OSError, ValueError) as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())[:200]
        raise DataError(f"Forecasts must lie in a Parquet or CSV file. Received: {path}: {why}. {_REMEDY}") from None


def reopen(frame: pd.DataFrame, model: str = "model", unit: str = "", part: str = "backtest") -> Backtest:
    """Returns the backtest that a long frame is of; its scores are those of the backtest that wrote it.

    Args:
        frame: As `Backtest.frame` gives it, with rows in any order.
        model: What to call the model.
        unit: What the values are counted in.
        part: What the rows are called in sentences.

    Raises:
        DataError: Columns, steps or numbers are missing.
    """
    _check(frame)
    zone, stamps = _stamps(frame)
    ids, series = _codes(frame["unique_id"])
    targets, target = _codes(frame["target"])
    order = np.lexsort([target, frame["step"].to_numpy(), stamps["cutoff"], series])
    K, H = len(targets), int(frame["step"].max())
    ds, cutoff, series, step, target = (
        array[order] for array in (stamps["ds"], stamps["cutoff"], series, frame["step"].to_numpy(), target)
    )
    _check_whole(step, target, np.stack([series, cutoff]), H, targets)

    def column(name: str) -> np.ndarray:
        return frame[name].to_numpy(np.float64)[order].reshape(-1, H, K)

    kept = {*NEEDED, *(name for name in frame.columns if _END.fullmatch(name) or _ASKED.fullmatch(name))}
    others = [name for name in frame.columns if name not in kept and pd.api.types.is_numeric_dtype(frame[name])]
    y_true = column("y_true")
    y_pred = {
        name: column(source) for name, source in [(model, "y_pred"), *((name, name) for name in ["naive", *others])]
    }
    levels = sorted({match[2] for match in map(_END.fullmatch, frame.columns) if match}, key=float)
    ends = {float(level): (column(f"y_pred_lo_{level}"), column(f"y_pred_hi_{level}")) for level in levels}
    last = y_pred["naive"][:, 0]
    panel, index = _panel(
        (ids, targets),
        series[:: H * K],
        np.column_stack([cutoff[:: H * K], ds[::K].reshape(-1, H)]),  # (N, 1 + H)
        np.concatenate([last[:, None], y_true], axis=1),
        zone,
    )
    unknown = np.full((len(index), K), np.nan)
    return Backtest(
        panel=panel,
        index=index,
        targets=targets,
        y_true=y_true,
        y_pred=y_pred,
        last=last,
        training=dict.fromkeys(("mase_scale", "rmsse_scale", "low", "high"), unknown),
        part=part,
        unit=unit,
        bands=Bands(None, None, ends) if ends else None,
    )


def _panel(
    names: tuple[tuple[str, ...], tuple[str, ...]],
    series: np.ndarray,
    stamps: np.ndarray,
    values: np.ndarray,
    zone: str | None,
) -> tuple[Panel, WindowIndex]:
    """Returns the rows that a file shows, and where its windows lie in them.

    Args:
        names: Of the series and of the targets.
        series: Number of each window's series `(N,)`, in rising order.
        stamps: Of cutoff and future `(N, 1 + H)`.
        values: Last known value and truth `(N, 1 + H, K)`.
        zone: Of the stamps; None where they are integers.
    """
    (ids, targets), width = names, stamps.shape[1]
    firsts = np.searchsorted(series, np.arange(len(ids) + 1))
    known = [np.unique(stamps[first:end]) for first, end in itertools.pairwise(firsts)]
    offsets = np.cumsum([0, *map(len, known)])
    rows = np.concatenate(
        [offset + np.searchsorted(known[s], stamps[firsts[s] : firsts[s + 1]]) for s, offset in enumerate(offsets[:-1])]
    )  # (N, 1 + H)
    gap = rows[:, 1] - rows[:, 0] - 1
    if (gap != gap[0]).any() or (np.diff(rows[:, 1:]) != 1).any():
        raise DataError(
            "Each forecast must lie as many rows after its cutoff, and no row may be missing in it. Received: "
            "forecasts that skip stamps which others have. Backtest with --stride 1, or make the report of the bundle."
        )
    apart = np.diff(rows[:, 0])[np.diff(series) == 0]
    spec = WindowSpec(lookback=1, horizon=width - 1, gap=int(gap[0]), stride=int(min(apart, default=1)))
    placed = np.full((offsets[-1], len(targets)), np.nan, np.float32)
    placed[rows[:, 0]] = values[:, 0]
    placed[rows[:, 1:]] = values[:, 1:]
    codes = ["" if zone is None else infer(one, zone) or "s" for one in known]  # seconds, which any stamps fit
    calendars = tuple(Calendar(code, zone or "") for code in codes)
    return Panel(ids, offsets, np.concatenate(known), placed, targets, calendars), WindowIndex(rows[:, 0], series, spec)


def _check(frame: pd.DataFrame) -> None:
    """Raises a DataError where the columns cannot be those of forecasts with their truth."""
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing or not len(frame):
        what = f"no {', '.join(missing)}, but {', '.join(map(str, frame.columns[:12])) or 'nothing'}"
        raise DataError(
            f"Forecasts of a backtest have the columns {', '.join(NEEDED)}, and rows. Received: "
            f"{what if missing else 'no row'}. {_REMEDY}"
        )
    pairs = {
        name: name.replace("_lo_", "_hi_") if "_lo_" in name else name.replace("_hi_", "_lo_")
        for name in frame.columns
        if _END.fullmatch(str(name))
    }
    numbers = ["y_true", "y_pred", "naive", *pairs]
    if bad := [name for name in numbers if not pd.api.types.is_numeric_dtype(frame[name])]:
        raise DataError(f"{', '.join(bad)} must be numbers. Received: {frame[bad[0]].dtype}. {_REMEDY}")
    if bad := [name for name, other in pairs.items() if other not in frame.columns]:
        raise DataError(f"An interval has two ends. Received: {bad[0]} without {pairs[bad[0]]}. {_REMEDY}")
    if not pd.api.types.is_integer_dtype(frame["step"]) or frame["step"].min() < 1:
        raise DataError(f"`step` must be an integer from 1 on. Received: {frame['step'].iloc[0]!r}. {_REMEDY}")
    if frame["y_true"].isna().all():
        raise DataError(f"Some `y_true` must be known. Received: {len(frame):,} rows without one. {_REMEDY}")


def _check_whole(step: np.ndarray, target: np.ndarray, of: np.ndarray, horizon: int, targets: tuple[str, ...]) -> None:
    """Raises a DataError where a cutoff lacks a step, or has it twice; `of` are series and cutoffs `(2, rows)`."""
    size = horizon * len(targets)
    whole = len(step) % size == 0
    if whole:
        steps, one = step.reshape(-1, horizon, len(targets)), of.reshape(2, -1, size)
        whole = bool(
            (steps == np.arange(1, horizon + 1)[:, None]).all()
            and (target.reshape(-1, len(targets)) == np.arange(len(targets))).all()
            and (one == one[:, :, :1]).all()
        )
    if not whole:
        raise DataError(
            f"Each series and cutoff must have each of the steps 1 to {horizon} of {', '.join(targets[:5])} once. "
            f"Received: {len(step):,} rows, where some have not. {_REMEDY}"
        )


def _codes(column: pd.Series) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns names in the order in which they are first seen, and the number of each row's."""
    numbers, names = pd.factorize(column.astype(str))
    return tuple(map(str, names)), numbers.astype(np.int64)


def _stamps(frame: pd.DataFrame) -> tuple[str | None, dict[str, np.ndarray]]:
    """Returns the time zone, None where stamps are integers; and `ds` and `cutoff` as int64."""
    columns = {name: frame[name] for name in ("ds", "cutoff")}
    if all(pd.api.types.is_integer_dtype(column) for column in columns.values()):
        return None, {name: column.to_numpy(np.int64) for name, column in columns.items()}
    try:
        try:
            read = {name: pd.DatetimeIndex(pd.to_datetime(column)) for name, column in columns.items()}
        except ValueError:  # texts from both sides of a clock change
            read = {name: pd.DatetimeIndex(pd.to_datetime(column, utc=True)) for name, column in columns.items()}
        zones = {str(index.tz or "") for index in read.values()}
        if len(zones) > 1:  # each of the two lies on one side of it
            read, zones = {name: index.tz_convert("UTC") for name, index in read.items()}, {"UTC"}
        if any(index.hasnans for index in read.values()):
            raise ValueError("a stamp is missing")
    except (ValueError, TypeError) as error:
        why = " ".join(str(error).split())[:200]
        raise DataError(f"`ds` and `cutoff` must be dates, or integers. Received: {why}. {_REMEDY}") from None
    return zones.pop(), {name: index.as_unit("ns").asi8 for name, index in read.items()}
