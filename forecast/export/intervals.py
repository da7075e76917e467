"""Intervals of a file: learned again from the file's own errors, on the windows that taught the network's.

    calibration part    windows - [ the file, as a device runs it ] - errors / unit, sorted - offsets (H, K) a level
    test part           windows - [ the same ] - how often they held the truth, beside the network's

Rounding to integers makes errors that the network never made, so its own intervals would be too narrow. A table of
offsets goes into the metadata; a device adds `offset * unit` to its forecast, where the unit is how far the window's
target moved from row to row (`forecast/uncertainty.py`).

These windows are not those that integers are calibrated with: those are training rows.

Axes: `N` windows, `L` lookback, `H` horizon, `K` targets, `F` columns.
"""

from typing import Any

import numpy as np

from ..evaluation import quantile_metrics
from ..evaluation.intervals import LEVELS, Conformal, level_name, needed
from ..uncertainty import FADE, QUIET, recent_change
from . import measure
from .subject import Subject, Windows


def learned(subject: Subject, data: bytes) -> tuple[dict[str, Any] | None, list[str]]:
    """Returns the group `intervals` of the metadata, and what it lacks and why.

    Args:
        subject: What is exported; nothing is learned where its network has no intervals.
        data: The file.
    """
    if subject.uncertain is None or subject.scaling is None:
        return None, []
    windows = subject.uncertain.calibration
    if not windows.series:
        return None, ["intervals: the rows hold no window of the calibration part"]
    forecasts = _forecasts(subject, data, windows)
    y_file = np.stack([np.full_like(one.values, np.nan) if one.fallback else one.values for one in forecasts])
    if y_file.ndim == 4:  # intervals lie around the quantile 0.5
        y_file = y_file[..., subject.about["quantiles"].index(0.5)]
    own = [subject.per_series.get(name, subject.scaling) for name in windows.series]
    usual = np.array([scaling["usual"] for scaling in own])  # (N, K)
    conformal = Conformal().fit(windows.y_true - y_file, unit(windows.raw["past"], usual))
    levels, have = [level for level in LEVELS if conformal.reaches(level)], int(conformal.counts_.min())
    left_out = [
        f"intervals of {level_name(level)} %: they need {needed(level)} windows of the calibration part, and there are "
        f"{have}"
        for level in LEVELS
        if level not in levels
    ]
    if not levels:
        return None, left_out
    low, high = ([_short(one) for one in ends] for ends in zip(*map(conformal.offsets, levels), strict=True))
    return {"levels": levels, "low": low, "high": high, "fade": FADE, "quiet": QUIET, "windows": have}, left_out


def _short(offsets: np.ndarray) -> list[list[float]]:
    """Returns offsets `(H, K)` as lists of numbers with the digits of float32."""
    return [[float(f"{value:.7g}") for value in step] for step in offsets]


def unit(past: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Returns the unit of offsets `(N, K)` from raw windows `(N, L, F)`, as a device does.

    Args:
        usual: How far targets moved from row to row in training `(N, K)`.

    Example:
        >>> unit(np.array([[[1.0], [3.0], [2.0]], [[5.0], [5.0], [5.0]]]), np.array([[4.0], [4.0]]))
        array([[1.48453608],
               [0.4       ]])
    """
    if past.shape[1] == 1:
        return usual
    return np.maximum(recent_change(past[:, :, : usual.shape[1]]), QUIET * usual)


def counted(subject: Subject, data: bytes, levels: list[float]) -> list[dict[str, float]]:
    """Returns how often intervals held the truth of the test part, and their mean width: of the file and the network.

    Args:
        subject: What is exported.
        data: The file, with its intervals.
        levels: Those that it has.

    Returns:
        For each level `level`, `values`, and in percent and in the unit `file`, `file_width`, `network`,
        `network_width`; nothing where the test part holds no window.
    """
    given = subject.uncertain
    if given is None or given.test is None:
        return []
    forecasts, result = _forecasts(subject, data, given.test), []
    for level in levels:
        names = [f"y_pred_{side}_{level_name(level)}" for side in ("lo", "hi")]
        file = [np.stack([one.intervals[name] for one in forecasts]) for name in names]  # (N, H, K) each
        there = np.isfinite(given.test.y_true) & np.isfinite(file[0])
        row = {"level": level, "values": int(there.sum())}
        for who, ends in (("file", file), ("network", given.network.get(level))):
            if ends is not None and there.any():
                low, high = (end[there] for end in ends)
                row[who] = quantile_metrics.coverage(given.test.y_true[there], low, high)
                row[f"{who}_width"] = quantile_metrics.width(low, high)
        result.append(row)
    return result


def _forecasts(subject: Subject, data: bytes, windows: Windows) -> list[Any]:
    """Returns what a device answers; a stream is fed as a stream, whose state knows more rows than a window."""
    whose = windows.series if subject.per_series else None
    return measure.forecasts(data, windows.raw, whose, (windows.series, windows.cutoffs))
