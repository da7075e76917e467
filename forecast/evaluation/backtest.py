"""Scored forecasts from successive cutoffs, the baselines' forecasts beside the model's.

    row        ... c0  c1  c2 ...
    forecasts      [1 2 3]                 each cutoff's horizon, in original units
                       [1 2 3]
    truth          what happened, NaN where nobody measured

Axes: `N` cutoffs, `H` horizon, `K` targets.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipelines.errors import ConfigError
from pipelines.panel import Panel
from pipelines.splits import Splits
from pipelines.windows import WindowIndex

from .adaptive import GAMMA, adaptive
from .bands import Bands, coverage
from .baselines import BASELINES
from .metrics import mase_scale, rmsse_scale
from .scores import Scores, score_table


@dataclass(frozen=True, eq=False)
class Backtest:
    """Forecasts of a model and of the baselines from the same cutoffs.

    Attributes:
        panel: Cleaned rows, in original units.
        index: The cutoffs.
        targets: Names of the targets, `K` of them.
        y_true: What happened `(N, H, K)`, NaN where nobody measured.
        y_pred: Forecasts `(N, H, K)` by name; the first is the model's.
        last: Last observed value at each cutoff `(N, K)`.
        scales: "mase_scale" and "rmsse_scale" of each cutoff's series `(N, K)`.
        part: "test", or whichever part of the data it is.
        unit: What the values are counted in.
        bands: Intervals of the model's forecasts, where it has any.
    """

    panel: Panel
    index: WindowIndex
    targets: tuple[str, ...]
    y_true: np.ndarray
    y_pred: dict[str, np.ndarray]
    last: np.ndarray
    scales: dict[str, np.ndarray]
    part: str
    unit: str
    bands: Bands | None = None

    @property
    def model(self) -> str:
        """Name of the model."""
        return next(iter(self.y_pred))

    @cached_property
    def scores(self) -> Scores:
        """Every score of the model beside the baselines', with a verdict."""
        held = None if self.bands is None else self.coverage(None)
        return Scores(self._table(np.arange(len(self.index))), self.model, self.unit, self.part, self._many(), held)

    def by(self, what: str) -> pd.DataFrame:
        """Returns scores per "step", "series" or "cutoff": one row for each value, target and model.

        Raises:
            ConfigError: It is none of these.
        """
        parts: dict[Any, pd.DataFrame]
        if what == "step":
            parts = {
                step + 1: self._table(np.arange(len(self.index)), slice(step, step + 1))
                for step in range(self.y_true.shape[1])
            }
        elif what == "series":
            every = np.arange(len(self.index))
            parts = {self.panel.ids[s]: self._table(every[which]) for s, which in _by_series(self.index)}
        elif what == "cutoff":
            ds = self.panel.ds[self.index.cutoffs]
            parts = {self.panel.stamp(int(d)): self._table(np.flatnonzero(ds == d)) for d in np.unique(ds)}
        else:
            raise ConfigError(f"Scores come by 'step', 'series' or 'cutoff'. Received: {what!r}")
        return pd.concat(parts, names=[what])

    def frame(self) -> pd.DataFrame:
        """Returns the long frame: `unique_id, target, ds, cutoff, step, y_true, y_pred`, and each baseline's column.

        Where there are intervals, `y_pred_lo_80, y_pred_hi_80, ...` stand after `y_pred`.
        """
        (_, y_pred), *baselines = self.y_pred.items()
        columns = {"y_true": self.y_true, "y_pred": y_pred}
        columns |= {} if self.bands is None else self.bands.columns()
        return long_frame(self.panel, self.index, self.targets, columns | dict(baselines))

    def coverage(self, by: str | None = "step") -> pd.DataFrame:
        """Returns how often intervals held the truth, in percent, and their mean width, in units.

        Args:
            by: "step" or "series": one row for each target, level, and step or series; None: for all of them together.

        Returns:
            Columns `coverage`, `width` and `values`, how many true values there were.

        Raises:
            ConfigError: There are no intervals, or `by` is none of these.
        """
        ends = self._bands().ends
        parts: dict[Any, tuple[Any, Any]]
        if by is None:
            parts = {"": (slice(None), slice(None))}
        elif by == "step":
            parts = {step + 1: (slice(None), slice(step, step + 1)) for step in range(self.y_true.shape[1])}
        elif by == "series":
            parts = {self.panel.ids[s]: (which, slice(None)) for s, which in _by_series(self.index)}
        else:
            raise ConfigError(f"Coverage comes by 'step' or 'series', or by None for all. Received: {by!r}")
        rows = {
            (target, level, key): coverage(self.y_true[n, h, k], low[n, h, k], high[n, h, k])
            for k, target in enumerate(self.targets)
            for level, (low, high) in sorted(ends.items())
            for key, (n, h) in parts.items()
        }
        index = pd.MultiIndex.from_tuples(rows, names=["target", "level", by])
        table = pd.DataFrame(list(rows.values()), index=index)
        return table.droplevel(2) if by is None else table

    def adaptive(self, gamma: float = GAMMA) -> "Backtest":
        """Returns the same backtest with intervals that follow drift, as if each day's truth came in the day after.

        Args:
            gamma: How fast; see `evaluation/adaptive.py`.

        Raises:
            ConfigError: There are no intervals, or `gamma` is out of range.
        """
        bands, index = self._bands(), self.index
        mine = self.y_pred[self.model]
        where: Any = {"cutoffs": index.cutoffs, "series": index.series, "gap": index.spec.gap}
        found = {
            level: adaptive(bands.conformal, self.y_true, mine, bands.scale, level, gamma, **where)
            for level in bands.ends
        }
        ends = {level: (one.low, one.high) for level, one in found.items()}
        return replace(self, bands=replace(bands, ends=ends, asked={level: one.level for level, one in found.items()}))

    def _bands(self) -> Bands:
        if self.bands is None:
            raise ConfigError(
                f"This backtest must have intervals. Received: none, of the {self.part} part. Fit with "
                "split.calibration=0.1, and choose part='test'."
            )
        return self.bands

    def _table(self, which: np.ndarray, steps: slice = slice(None)) -> pd.DataFrame:
        parts = {}
        for k, target in enumerate(self.targets):
            needs = {"last": self.last[which, k], **{name: scale[which, k] for name, scale in self.scales.items()}}
            predictions = {name: y[which, steps, k] for name, y in self.y_pred.items()}
            parts[target] = score_table(self.y_true[which, steps, k], predictions, needs)
        return pd.concat(parts, names=["target"])

    def _many(self) -> str:
        """Returns "400 sessions": how many different stamps were forecast, in the word for its rows."""
        count = len(np.unique(self.panel.ds[self.index.cutoffs]))
        calendar = self.panel.calendars[0]
        word = {"": "row", "h": "hour", "D": "day", "B": "day", "min": "minute", "MS": "month", "ME": "month"}.get(
            calendar.code, "row"
        )
        word = "session" if calendar.is_exchange else word
        series = len(np.unique(self.index.series))
        plural = "" if count == 1 else "s"
        return f"{count:,} {self.part} {word}{plural}" + (f" of {series:,} series" if series > 1 else "")


def score(
    panel: Panel,
    splits: Splits,
    index: WindowIndex,
    targets: tuple[str, ...],
    y_true: np.ndarray,
    y_pred: dict[str, np.ndarray],
    part: str,
    unit: str,
    season_length: int | None,
) -> Backtest:
    """Returns a model's forecasts with the baselines' from the same cutoffs beside them, ready to be scored."""
    seasons = season_lengths(panel, season_length)
    baselines = baseline_forecasts(panel, index, targets, seasons)
    first, end = splits.rows("train")
    train_end = np.where(end > first, end, splits.rows(part)[0])  # a cold series is scaled by what came before
    return Backtest(
        panel=panel,
        index=index,
        targets=targets,
        y_true=y_true,
        y_pred=y_pred | baselines,
        last=baselines["naive"][:, 0],
        scales=training_scales(panel, index, targets, seasons, train_end),
        part=part,
        unit=unit,
    )


def season_lengths(panel: Panel, given: int | None) -> list[int]:
    """Returns the rows per season of each series: the given number, or its calendar's."""
    return [given or calendar.season_length for calendar in panel.calendars]


def baseline_forecasts(
    panel: Panel, index: WindowIndex, targets: tuple[str, ...], seasons: list[int]
) -> dict[str, np.ndarray]:
    """Returns each baseline's forecasts `(N, H, K)` from the cutoffs of an index, given rows per season `(S,)`."""
    steps = index.spec.gap + np.arange(1, index.spec.horizon + 1)
    shape = (len(index), index.spec.horizon, len(targets))
    result = {name: np.empty(shape) for name in BASELINES}
    columns = [panel.column(name) for name in targets]
    for s, which in _by_series(index):
        rows = panel.rows(s)
        for k, c in enumerate(columns):
            series = np.asarray(panel.values[rows, c], np.float64)
            for name, baseline in BASELINES.items():
                result[name][which, :, k] = baseline(series, index.cutoffs[which] - rows.start, steps, seasons[s])
    if max(seasons) == 1:
        del result["seasonal_naive"]  # it would be naive under another name
    return result


def _by_series(index: WindowIndex) -> Iterator[tuple[int, slice]]:
    """Yields each series with its windows, which stand together."""
    series, firsts = np.unique(index.series, return_index=True)
    for s, first, end in zip(series, firsts, [*firsts[1:], len(index)], strict=True):
        yield int(s), slice(int(first), int(end))


def training_scales(
    panel: Panel, index: WindowIndex, targets: tuple[str, ...], seasons: list[int], ends: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the scales of MASE and RMSSE for each cutoff's series `(N, K)`, from rows before `ends` `(S,)`."""
    result = {name: np.full((len(panel.ids), len(targets)), np.nan) for name in ("mase_scale", "rmsse_scale")}
    for s in np.unique(index.series):
        rows, season = slice(panel.rows(s).start, int(ends[s])), seasons[s]
        for k, target in enumerate(targets):
            train = np.asarray(panel.values[rows, panel.column(target)], np.float64)
            if len(train):
                result["mase_scale"][s, k] = mase_scale(train, season)
                result["rmsse_scale"][s, k] = rmsse_scale(train, season)
    return {name: scale[index.series] for name, scale in result.items()}


def long_frame(
    panel: Panel, index: WindowIndex, targets: tuple[str, ...], columns: dict[str, np.ndarray], first_step: int = 1
) -> pd.DataFrame:
    """Returns arrays `(N, H, K)` as rows of `unique_id, target, ds, cutoff, step` and one column each."""
    N, H, K = len(index), index.spec.horizon, len(targets)
    rows = (index.cutoffs + 1 + index.spec.gap)[:, None] + np.arange(H)  # (N, H)
    series = np.repeat(index.series, H * K)
    data: dict[str, Any] = {
        "unique_id": np.array(panel.ids, object)[series],
        "target": np.tile(np.array(targets, object), N * H),
        "ds": panel.stamp_column(panel.ds[np.repeat(rows.ravel(), K)], series),
        "cutoff": panel.stamp_column(panel.ds[np.repeat(index.cutoffs, H * K)], series),
        "step": np.tile(np.repeat(np.arange(first_step, first_step + H), K), N),
    }
    return pd.DataFrame(data | {name: array.reshape(-1) for name, array in columns.items()})
