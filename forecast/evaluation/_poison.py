"""What a leakage audit works with: rows that nobody may know yet are changed, and whatever moves has seen them.

    row          ... c-1   c  | c+1  c+2 ...        c is the cutoff, the last row known
    target, past      .    .  |  x    x   x         x: changed
    known             .    .  |  .    .   x         only beyond gap + horizon: nearer rows are known ahead

Rows are changed in three ways, in turn: raised (7 v + 1000), turned upside down (three times as far), and shuffled
(half as high). Whatever may be asked of the rows can still be done with them: what is above zero stays above zero,
what is missing stays missing, and of a few whole numbers, such as codes, another one is taken; not of a target's,
because a range of the same numbers is the same range.

Axes: `S` series, `R` rows of all series, `T` rows of one, `C` columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.panel import Panel

from ..text import number

if TYPE_CHECKING:
    from pipelines.pipeline import DataPipeline
    from pipelines.splits import Splits
    from pipelines.windows import WindowIndex

    from ..forecaster import Forecaster

SHOWN = 5  # leaks of one check that are spelled out
CODES = 20  # different numbers of a column, at most, that may be codes


@dataclass(frozen=True)
class Check:
    """One part of an audit.

    Attributes:
        name: What was looked at, such as "features".
        tried: How much of it, such as "3 features at 9 cutoffs"; or why it could not be tried.
        leaks: What leaks, a sentence each.
        possible: False where it could not be tried.
    """

    name: str
    tried: str
    leaks: tuple[str, ...] = ()
    possible: bool = True

    @property
    def result(self) -> str:
        """Either "passed", "leaks" or "not tried"."""
        return "leaks" if self.leaks else "passed" if self.possible else "not tried"


@dataclass(frozen=True, eq=False)
class Trial:
    """A forecaster that holds the rows to try, and how.

    Attributes:
        forecaster: Holds all series.
        few: Holds those that are tried.
        tries: Cutoffs for each check.
        seed: Of cutoffs and changes.
        same: Whether these are the rows that the forecaster was fitted on, so that what it has learned can be compared.
    """

    forecaster: Forecaster
    few: Forecaster
    tries: int
    seed: int
    same: bool

    @property
    def panel(self) -> Panel:
        """The rows that are tried."""
        return self.few.panel_

    @property
    def splits(self) -> Splits:
        """Where they are cut."""
        return self.few.splits_

    @property
    def pipeline(self) -> DataPipeline:
        """The fitted pipeline."""
        return self.few.pipeline_

    @property
    def whole(self) -> bool:
        """Whether all series are tried."""
        return len(self.panel.ids) == len(self.forecaster.panel_.ids)

    @property
    def reach(self) -> int:
        """How many rows after a cutoff known covariates are known."""
        window = self.pipeline.spec.window
        return window.gap + window.horizon

    def share(self, t: int) -> float:
        """Returns a number from 0 to 1 for try `t`: tries are spread."""
        return float((t + np.random.default_rng((self.seed, t)).random()) / self.tries)

    def cuts(self, t: int) -> np.ndarray:
        """Returns the first unknown row of each series `(S,)`, in try `t`: after one stamp where there are dates."""
        panel, pipeline = self.panel, self.pipeline
        settled = (pipeline.warmup + pipeline.spec.window.lookback) / max(1, int(np.diff(panel.offsets).max()))
        low = min(max(0.3, settled), 0.9)
        share = low + (0.95 - low) * self.share(t)
        if panel.dated:
            return self.after(int(np.quantile(panel.ds, share, method="lower")))
        return panel.offsets[:-1] + np.maximum(1, (share * np.diff(panel.offsets)).astype(np.int64))

    def after(self, stamp: int) -> np.ndarray:
        """Returns the first row after a stamp in each series `(S,)`."""
        panel = self.panel
        spans = [panel.rows(s) for s in range(len(panel.ids))]
        return np.array([span.start + np.searchsorted(panel.ds[span], stamp, side="right") for span in spans])

    def among(self, index: WindowIndex, share: float) -> np.ndarray:
        """Returns the first unknown row of each series `(S,)` after such a share of the cutoffs of an index."""
        panel = self.panel
        if panel.dated:
            return self.after(int(np.quantile(panel.ds[index.cutoffs], share, method="lower")))
        first = panel.offsets[1:].copy()
        for s in np.unique(index.series):
            first[s] = 1 + np.quantile(index.cutoffs[index.series == s], share, method="lower")
        return first

    def poisoned(
        self,
        first: np.ndarray,
        t: int,
        only: Iterable[str] | None = None,
        panel: Panel | None = None,
        reach: int | None = None,
    ) -> Panel:
        """Returns the panel with changed rows.

        Args:
            first: The first row that is unknown in each series `(S,)`.
            t: The number of the try: it decides how rows are changed.
            only: Columns to change; all by default.
            panel: Rows to change; those that are tried by default.
            reach: How many more rows of known covariates are known; gap + horizon by default.
        """
        panel, random = panel or self.panel, np.random.default_rng((self.seed, t))
        values, targets = np.array(panel.values), self.pipeline.spec.targets
        ahead = self.reach if reach is None else reach
        for c, name in enumerate(panel.columns):
            if only is not None and name not in only:
                continue
            codes = None if name in targets else _codes(values[:, c])
            for s in range(len(panel.ids)):
                begin = int(first[s]) + (ahead if name in self.pipeline.spec.known else 0)
                rows = slice(begin, panel.rows(s).stop)
                values[rows, c] = changed(values[rows, c], t, random, codes)
        return replace(panel, values=values)

    def data_columns(self) -> list[str]:
        """Returns the columns whose rows change with time."""
        return [name for name in self.pipeline.columns_ if name not in self.pipeline.spec.static]

    def at(self, row: int, s: int) -> str:
        """Returns where a row is, for people: its stamp, and its series where there are several."""
        of = f" of {self.panel.ids[s]}" if len(self.panel.ids) > 1 else ""
        return f"{self.panel.stamp(int(self.panel.ds[row]), s)}{of}"

    def unknown(self, first: np.ndarray, s: int) -> str:
        """Returns which rows were changed, for people."""
        return f"rows after {self.panel.stamp(int(self.panel.ds[max(int(first[s]) - 1, 0)]), s)} changed"


def changed(values: np.ndarray, t: int, random: np.random.Generator, codes: np.ndarray | None = None) -> np.ndarray:
    """Returns other values `(T,)`, in one of three ways, or other codes; NaN stays where it is.

    Example:
        >>> changed(np.array([1.0, np.nan, 3.0, 2.0]), 1, np.random.default_rng(0))
        array([ 9., nan,  3.,  6.])
    """
    known = ~np.isnan(values)
    x = values[known]
    if not len(x):
        return values
    result = values.copy()
    if codes is not None:
        result[known] = codes[(np.searchsorted(codes, x) + 1 + t % (len(codes) - 1)) % len(codes)]
        return result
    turned = (3 if x.min() >= 0 else 1) * (x.min() + x.max() - x)
    result[known] = (7 * x + 1000, turned, 0.5 * random.permutation(x))[t % 3]
    return result


def _codes(values: np.ndarray) -> np.ndarray | None:
    """Returns the numbers that a column `(R,)` consists of, where they are few and whole."""
    found = np.unique(values[~np.isnan(values)])
    return found if 2 <= len(found) <= CODES and (found == np.round(found)).all() else None


def moved(before: np.ndarray, after: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """Returns where two arrays differ, to the last bit, or by more than `noise`; NaN equals NaN.

    Arrays of two shapes differ everywhere.

    Example:
        >>> moved(np.array([1.0, np.nan, 3.0]), np.array([1.0, np.nan, 3.5]))
        array([False, False,  True])
    """
    if before.shape != after.shape:
        return np.ones(before.shape, bool)
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    return ~same if not noise else ~same & ~(np.abs(before - after) <= noise)


def difference(before: Any, after: Any) -> str:
    """Returns how far something moved, for people.

    Example:
        >>> difference(1.0, 3.5)
        '2.500'
    """
    if np.isnan(before) or np.isnan(after):
        return "from or to nothing"
    return number(abs(float(after) - float(before)))
