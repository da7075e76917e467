"""Intervals of a Forecaster: learned on the calibration part, in units of how far each window's target usually moves.

    part         train             validation          calibration                  test
    network      learns            stops early         forecasts once               forecasts
    intervals                                          errors / scale, sorted       y_pred + scale * offsets
                                                                                    coverage is measured here

    window       ... r r r r r | H H H          scale = mean |r[t] - r[t - 1]| over the lookback, for each target,
                                                an earlier change counting 0.94 times the one after it

The scale makes one pool of quiet and wild times, and of dear and cheap series; late changes say more of the next ones
(RiskMetrics, 1996, whose constant for days 0.94 is). It is at least a tenth of the series'
usual one in training rows, so that a window which happens to stand still is not sure of everything; a series that never
moved in training counts as moving by a thousandth of its size. A series not seen in training is compared with its own
rows before the first cutoff.

Steps beyond the horizon are forecasts of forecasts, which no calibration window measured: they have no interval.

What intervals promise, and what overlapping windows cost, `forecast/evaluation/intervals.py` says.

Axes: `N` windows, `L` lookback, `H` horizon, `K` targets, `S` series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import BundleError, ConfigError, DataError
from pipelines.pipeline import DataPipeline, Rows, bounded
from pipelines.splits import Splits
from pipelines.windows import WindowIndex, gather

from .evaluation.bands import Bands
from .evaluation.intervals import LEVELS, Conformal, check_levels, level_name, needed

FILE = "intervals.npz"
NUMBERS = 2_000_000  # scores kept, at most; but those of 1,000 windows always
FEWEST = 1_000
FADE = 0.94  # how much less a change counts than the one after it
QUIET = 0.1  # of the usual change: no window counts as quieter
STILL = 1e-3  # of its size: how far a series moves that never moved

Levels = float | Iterable[float] | None
Bars = Callable[[Rows, WindowIndex, np.ndarray], dict[str, np.ndarray]]  # forecasts (N, H, K) to columns of ends


@dataclass(frozen=True, eq=False)
class Intervals:
    """What calibration windows taught.

    Attributes:
        conformal: Their errors.
        ids: Series of the training rows.
        usual: How far each one's targets moved from row to row in training `(S, K)`.
        windows: How many windows there were.
        apart: How many of them share no row of their futures.
        series: Of how many series they are.
        rows: Rows of the calibration part.
        train: Rows of training.
        bounds: What a forecast may be, see `ForecastConfig`.
    """

    conformal: Conformal
    ids: tuple[str, ...]
    usual: np.ndarray
    windows: int
    apart: int
    series: int
    rows: int
    train: int
    bounds: tuple[float | None, float | None] = (None, None)

    def __str__(self) -> str:
        """Says what they rest on, and what they cost."""
        of = f"{self.series:,} series" if self.series > 1 else "one series"
        few = [level for level in LEVELS if not self.conformal.reaches(level)]
        whole = self.train + self.rows
        share = f"{100 * self.rows / whole:.0f} %"
        return " ".join(
            [
                f"Intervals rest on {self.windows:,} windows of {of}; {self.apart:,} of them share no row.",
                *(f"They are too few for {level_name(level)} %, which needs {needed(level)}." for level in few),
                f"Calibration took the latest {self.rows:,} of {whole:,} training rows ({share}).",
            ]
        )

    def about(self) -> dict[str, Any]:
        """Returns the same for the manifest."""
        names = ("windows", "apart", "series", "rows", "train")
        return {"about": str(self), **{name: getattr(self, name) for name in names}}

    def scale(self, rows: Rows, index: WindowIndex) -> np.ndarray:
        """Returns how far the targets of each window moved from row to row, with a floor, `(N, K)`."""
        L, N = index.spec.lookback, len(index)
        usual = self._usual(rows, index)[index.series]  # (N, K)
        if L == 1:
            return usual
        changes = np.empty_like(usual)
        for first in range(0, N, 4096):
            part = slice(first, first + 4096)
            past = gather(rows.last, index.cutoffs[part] - (L - 1), L).astype(np.float64)  # (N, L, K)
            changes[part] = recent_change(past)
        return np.maximum(changes, QUIET * usual)

    def bands(self, rows: Rows, index: WindowIndex, y_pred: np.ndarray, levels: Iterable[float]) -> Bands:
        """Returns the intervals of forecasts `(N, H, K)`."""
        scale = self.scale(rows, index)
        ends = {level: self.conformal.interval(y_pred, scale, level) for level in levels}
        ends = {level: (bounded(low, self.bounds), bounded(high, self.bounds)) for level, (low, high) in ends.items()}
        return Bands(self.conformal, scale, ends)

    def _usual(self, rows: Rows, index: WindowIndex) -> np.ndarray:
        """Returns the usual change of each series of a panel, `(S, K)`; NaN for those without a window."""
        panel, numbers = rows.panel, {name: i for i, name in enumerate(self.ids)}
        result = np.full((len(panel.ids), self.usual.shape[1]), np.nan)
        series, firsts = np.unique(index.series, return_index=True)
        for s, first in zip(series, firsts, strict=True):
            known = numbers.get(panel.ids[s])
            past = slice(int(panel.offsets[s]), int(index.cutoffs[first]) + 1)
            result[s] = usual_change(rows.last[past]) if known is None else self.usual[known]
        return result

    # --- state --------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Writes `intervals.npz` into a folder."""
        about = [self.windows, self.apart, self.series, self.rows, self.train]
        arrays: dict[str, Any] = {
            **self.conformal.to_arrays(),
            "ids": np.array(self.ids, np.str_),
            "usual": self.usual,
            "about": np.array(about, np.int64),
        }
        np.savez_compressed(folder / FILE, **arrays)

    @classmethod
    def load(cls, folder: Path, pipeline: DataPipeline) -> Intervals | None:
        """Returns what `save` wrote; None where there is no such file.

        Raises:
            BundleError: It does not fit the pipeline, or holds something else.
        """
        if not (folder / FILE).is_file():
            return None
        H, K = pipeline.spec.window.horizon, len(pipeline.spec.targets)
        try:
            with np.load(folder / FILE, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            conformal = Conformal.from_arrays(arrays)
            ids, usual, about = tuple(arrays["ids"].tolist()), arrays["usual"], arrays["about"]
            if conformal.scores_.shape[1:] != (H, K) or ids != pipeline.ids_ or about.shape != (5,):
                raise DataError(
                    f"they must be of {H} steps, {K} targets and the pipeline's {len(pipeline.ids_)} series"
                )
            if usual.shape != (len(ids), K) or not (np.isfinite(usual) & (usual > 0)).all():
                raise DataError("the usual change of each series must be above zero")
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise BundleError(
                f"{FILE} must hold the intervals of this forecaster. Received for {folder}: {error}. Save the model "
                "again."
            ) from None
        windows, apart, series, rows, train = map(int, about)
        return cls(conformal, ids, usual, windows, apart, series, rows, train, pipeline.spec.bounds)


def calibrate(
    predict: Callable[[Rows, WindowIndex], np.ndarray],
    pipeline: DataPipeline,
    rows: Rows,
    index: WindowIndex,
    splits: Splits,
) -> Intervals:
    """Learns intervals from one forecast of the calibration windows.

    Args:
        predict: Returns forecasts `(N, H, K)` in original units.
        rows: The transformed panel of `fit`.
        index: The calibration windows, at least one; of very many an even share is taken.

    Raises:
        DataError: A forecast is not a number.
    """
    spec, panel = pipeline.spec, rows.panel
    first, end = splits.rows("train")
    known = [s for s in range(len(panel.ids)) if end[s] > first[s]]
    result = Intervals(
        conformal=Conformal(),
        ids=pipeline.ids_,
        usual=np.array([usual_change(rows.last[first[s] : end[s]]) for s in known]).reshape(-1, len(spec.targets)),
        windows=len(index),
        apart=_apart(index),
        series=len(np.unique(index.series)),
        rows=splits.count("calibration"),
        train=splits.count("train"),
        bounds=spec.bounds,
    )
    most = max(FEWEST, NUMBERS // (spec.window.horizon * len(spec.targets)))
    if len(index) > most:
        index = index[np.linspace(0, len(index) - 1, most).astype(np.int64)]
    y_pred = predict(rows, index)
    y_true = pipeline.truth(panel, index)
    if not np.isfinite(y_pred).all():
        raise DataError(
            f"Intervals are learned from forecasts that are numbers. Received: {int((~np.isfinite(y_pred)).sum()):,} "
            f"of {y_pred.size:,} on the calibration part that are none. Look for inputs far outside the training range."
        )
    result.conformal.fit(y_true - y_pred, result.scale(rows, index))
    return result


def uncalibrated(pipeline: DataPipeline, splits: Splits) -> str:
    """Returns why there are no intervals, where the calibration part holds no window."""
    count, window = splits.count("calibration"), pipeline.spec.window
    return (
        f"No intervals: the calibration part of {count:,} rows holds no window with a future of {window.horizon} rows "
        f"and {window.lookback} rows without missing values before it. Raise split.calibration, or set it to 0 to "
        "train on these rows, too."
    )


def recent_change(past: np.ndarray) -> np.ndarray:
    """Returns the mean change from row to row of windows `(N, L, K)`, late ones counting more, `(N, K)`; L >= 2.

    Example:
        >>> recent_change(np.array([[[1.0], [3.0], [2.0]]])).round(4)  # (0.94 * 2 + 1) / 1.94
        array([[1.4845]])
    """
    changes = np.abs(np.diff(past, axis=1))
    weights = FADE ** np.arange(changes.shape[1])[::-1]
    result: np.ndarray = np.tensordot(weights / weights.sum(), changes, axes=(0, 1))
    return result


def usual_change(values: np.ndarray) -> np.ndarray:
    """Returns the mean change from row to row of each column of `(T, K)`, always above zero.

    Example:
        >>> usual_change(np.array([[1.0, 500.0, 0.0], [3.0, 500.0, 0.0], [2.0, 500.0, 0.0]]))
        array([1.5, 0.5, 1. ])
    """
    result = np.ones(values.shape[1])
    for k, column in enumerate(np.asarray(values, np.float64).T):
        changes, sizes = np.abs(np.diff(column)), np.abs(column[~np.isnan(column)])
        changes = changes[~np.isnan(changes)]
        result[k] = (changes.mean() if changes.any() else STILL * sizes.mean() if sizes.any() else 0.0) or 1.0
    return result


def _apart(index: WindowIndex) -> int:
    """Returns how many windows there are whose futures share no row, series by series."""
    count, last, series = 0, -1, -1
    for cutoff, s in zip(index.cutoffs.tolist(), index.series.tolist(), strict=True):
        if s != series or cutoff >= last + index.spec.horizon:
            count, last, series = count + 1, cutoff, s
    return count


# --- what predict and backtest ask for ------------------------------------------------------------------------------


def wanted(intervals: Intervals | None, levels: Levels, part: str = "test") -> tuple[float, ...]:
    """Returns which levels to compute: those asked for, or by default those of `LEVELS` that there are windows for.

    Only the test part has any: the network, or the intervals themselves, were fitted on the others.

    Raises:
        ConfigError: Levels are asked for that are none, that there are no or too few calibration windows for, or for
            another part.
    """
    if levels is None:
        some = () if intervals is None or part != "test" else LEVELS
        return tuple(level for level in some if intervals is not None and intervals.conformal.reaches(level))
    asked = check_levels(levels)
    if not asked:
        return ()
    if intervals is None:
        raise ConfigError(
            "Intervals are learned on calibration windows, and this forecaster was fitted without any. Received: "
            f"levels {', '.join(map(level_name, asked))}. Fit with split.calibration=0.1 (`forecast train "
            "--calibration 0.1`) or a larger share."
        )
    if part != "test":
        raise ConfigError(
            "Intervals are for rows after calibration: the network or they themselves were fitted on the others. "
            f"Received: part={part!r}. Choose part='test', or leave out `levels`."
        )
    for level in asked:
        intervals.conformal.offsets(level)  # refuses what needs more windows
    return asked


def bars(intervals: Intervals | None, levels: Levels) -> Bars | None:
    """Returns what makes columns of ends; None where no levels are wanted, see `wanted`."""
    chosen = wanted(intervals, levels)
    if intervals is None or not chosen:
        return None
    return lambda rows, index, y_pred: intervals.bands(rows, index, y_pred, chosen).columns()
