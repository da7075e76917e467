"""Cuts series into (past, future) windows.

    row      0  1  2  3  4  5  6  7  8  9
    x[0]    [.  .  .  .]                      lookback L = 4
    y[0]                   [.  .]             gap G = 1, horizon H = 2
    x[1]          [.  .  .  .]                stride 2
    y[1]                         [.  .]

Windows are row numbers, and a batch is one gather: no array `(N, L, F)` of all windows is ever made.

Axes have the same letters in every docstring of this project:
`N` windows, `T` time steps, `L` lookback, `H` horizon, `F` features, `K` targets.

This module neither scales nor shuffles, and knows nothing of Keras.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from .errors import SeriesTooShort
from .spec import Spec


class WindowSpec(Spec):
    """The shape of one window, in rows.

    Attributes:
        lookback: Rows the model sees, `L`.
        horizon: Rows one call predicts, `H`.
        gap: Rows skipped between past and future, `G`.
        stride: Rows between window starts.

    Example:
        >>> print(WindowSpec(lookback=4, horizon=2, gap=1))
        rows 0..3 predict rows 5..6; next window starts 1 row later
    """

    lookback: int = Field(default=60, ge=1)
    horizon: int = Field(default=1, ge=1)
    gap: int = Field(default=0, ge=0)
    stride: int = Field(default=1, ge=1)

    @property
    def width(self) -> int:
        """Rows of one whole window."""
        return self.lookback + self.gap + self.horizon

    def __str__(self) -> str:
        first = self.lookback + self.gap
        future = f"row {first}" if self.horizon == 1 else f"rows {first}..{self.width - 1}"
        past = "row 0" if self.lookback == 1 else f"rows 0..{self.lookback - 1}"
        later = "1 row" if self.stride == 1 else f"{self.stride} rows"
        return f"{past} predict{'s' if self.lookback == 1 else ''} {future}; next window starts {later} later"

    def too_short(self, rows: int, of: str = "", share: float = 1.0) -> SeriesTooShort:
        """Returns the error for a series of too few rows.

        Args:
            rows: What it has.
            of: What they are, such as " of training".
            share: How many of each row that is given come to be such rows.
        """
        fewer = self.width - rows
        more = math.ceil(fewer / share)
        by = "as many" if more == fewer else f"{fewer}"
        return SeriesTooShort(
            f"One window needs {self.width} rows (lookback {self.lookback} + gap {self.gap} + horizon {self.horizon}). "
            f"Received: {rows} rows{of}. Give {more} more, or shorten the window by {by}."
        )


def make_windows(values: np.ndarray, spec: WindowSpec, targets: Sequence[int] = (0,)) -> tuple[np.ndarray, np.ndarray]:
    """Returns every complete window of a series.

    Window `n` starts at row `s = n * stride`. Its past is rows `[s, s + L)`, its future rows
    `[s + L + gap, s + L + gap + H)`; a tail too short for one more window is left out.

    Args:
        values: Array `(T, F)`, oldest row first, already scaled, so in `[0, 1]` for MinMax.
        spec: Lengths in rows.
        targets: Which of the `F` columns to predict, `K` of them.

    Returns:
        `(x, y)` of shapes `(N, L, F)` and `(N, H, K)`; `x` is a read-only view of `values`.

    Raises:
        SeriesTooShort: `T < L + gap + H`.

    Example:
        >>> x, y = make_windows(np.arange(6.0)[:, None], WindowSpec(lookback=3, horizon=1))
        >>> x[:, :, 0]
        array([[0., 1., 2.],
               [1., 2., 3.],
               [2., 3., 4.]])

    Source:
        The multiple-output strategy of Ben Taieb et al. (2011), https://arxiv.org/abs/1108.3259
    """
    T = len(values)
    if spec.width > T:
        raise spec.too_short(T)
    L, G, H = spec.lookback, spec.gap, spec.horizon
    every = np.lib.stride_tricks.sliding_window_view(values, spec.width, axis=0)[:: spec.stride]  # (N, F, L+G+H)
    return every[:, :, :L].swapaxes(1, 2), every[:, list(targets), L + G :][:, :, :H].swapaxes(1, 2)


@dataclass(frozen=True, eq=False)
class WindowIndex:
    """Where windows lie: the row after which each one's past ends, and the series it is of.

    Attributes:
        cutoffs: Last row of each past `(N,)`; the past is rows `(cutoff - L, cutoff]`.
        series: Number of the series `(N,)`.
        spec: Lengths in rows.
    """

    cutoffs: np.ndarray
    series: np.ndarray
    spec: WindowSpec

    def __len__(self) -> int:
        return len(self.cutoffs)

    def __getitem__(self, which: np.ndarray | slice) -> "WindowIndex":
        return WindowIndex(self.cutoffs[which], self.series[which], self.spec)

    def order(self, ds: np.ndarray | None = None) -> np.ndarray:
        """Returns when each window's cutoff comes among all of them `(N,)`, from 0.

        Args:
            ds: Stamps of all rows `(R,)`, where series share them; without, cutoffs are counted in each series' own
                rows from its first one on, a stride at a time.
        """
        series, firsts, where = np.unique(self.series, return_index=True, return_inverse=True)
        if ds is not None and len(series) > 1:
            return np.unique(ds[self.cutoffs], return_inverse=True)[1]
        return (self.cutoffs - self.cutoffs[firsts][where]) // self.spec.stride

    def past(self, values: np.ndarray) -> np.ndarray:
        """Returns the pasts `(N, L, F)` of rows `(R, F)`."""
        return gather(values, self.cutoffs - (self.spec.lookback - 1), self.spec.lookback)

    def future(self, values: np.ndarray) -> np.ndarray:
        """Returns the futures `(N, H, K)` of rows `(R, K)`."""
        return gather(values, self.cutoffs + 1 + self.spec.gap, self.spec.horizon)

    def both(self, values: np.ndarray) -> np.ndarray:
        """Returns past and future `(N, L + H, F)` without the gap, for covariates that are known ahead."""
        return np.concatenate([self.past(values), self.future(values)], axis=1)


def gather(values: np.ndarray, firsts: np.ndarray, width: int) -> np.ndarray:
    """Returns `width` rows from each of `firsts`: `(R, F)` and `(N,)` give `(N, width, F)`."""
    return values[firsts[:, None] + np.arange(width)]


def index_windows(
    offsets: np.ndarray,
    spec: WindowSpec,
    part: tuple[np.ndarray, np.ndarray],
    missing_past: np.ndarray | None = None,
    missing_future: np.ndarray | None = None,
    future: Literal["complete", "any", "none"] = "complete",
) -> WindowIndex:
    """Returns the windows whose whole future lies in a part, in order of series and time.

    Their pasts may reach back into earlier parts: what was known is known.

    Args:
        offsets: First row of each series and `R`, `(S+1,)`.
        spec: Lengths in rows.
        part: First and end row of the part in each series, `(S,)` each.
        missing_past: True where a row's inputs hold a NaN `(R,)`; windows with such a row are left out.
        missing_future: True where a row's targets hold a NaN `(R,)`.
        future: "complete" leaves out windows with any such row in their future, "any" those with nothing else.
    """
    L, G, H = spec.lookback, spec.gap, spec.horizon
    firsts, ends = part
    low = np.maximum(firsts - G - 1, offsets[:-1] + L - 1)  # the first cutoff of each series
    counts = np.maximum(0, -(-(ends - H - G - low) // spec.stride))
    series = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    cutoffs = np.repeat(low, counts) + within * spec.stride
    keep = np.ones(len(cutoffs), bool)
    if missing_past is not None and missing_past.any():
        keep &= _count(missing_past, cutoffs + 1 - L, L) == 0
    if missing_future is not None and missing_future.any() and future != "none":
        keep &= _count(missing_future, cutoffs + 1 + G, H) <= (0 if future == "complete" else H - 1)
    return WindowIndex(cutoffs[keep], series[keep], spec)


def _count(flags: np.ndarray, firsts: np.ndarray, width: int) -> np.ndarray:
    total = np.concatenate([[0], np.cumsum(flags)])
    return total[firsts + width] - total[firsts]
