"""Scored forecasts from successive cutoffs, the baselines' forecasts beside the model's.

    row        ... c0  c1  c2 ...
    forecasts      [1 2 3]                 each cutoff's horizon, in original units
                       [1 2 3]
    truth          what happened, NaN where nobody measured

Axes: `N` cutoffs, `H` horizon, `K` targets.
"""

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipelines.errors import ConfigError, UnknownName
from pipelines.panel import Panel
from pipelines.windows import WindowIndex

from .adaptive import GAMMA, adaptive
from .bands import Bands, judged, quantile_table
from .frames import by_series, long_frame, quantile_name
from .scores import Scores, score_table
from .significance import holm
from .verdict import LEVEL, Against, Verdict, against, notes, over_time, overlap


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
        training: Of the training rows of each cutoff's series: "mase_scale", "rmsse_scale", "low", "high" `(N, K)`.
        part: "test", or whichever part of the data it is.
        unit: What the values are counted in.
        bands: Intervals of the model's forecasts, where it has any.
        quantiles: What the model's network says of them `(N, H, K)`, by quantile, where it answers with quantiles.
        how: What is not as usual: several fits, or fewer cutoffs than were asked for; else "".
    """

    panel: Panel
    index: WindowIndex
    targets: tuple[str, ...]
    y_true: np.ndarray
    y_pred: dict[str, np.ndarray]
    last: np.ndarray
    training: dict[str, np.ndarray]
    part: str
    unit: str
    bands: Bands | None = None
    quantiles: dict[float, np.ndarray] = field(default_factory=dict)
    how: str = ""

    @property
    def model(self) -> str:
        """Name of the model."""
        return next(iter(self.y_pred))

    @cached_property
    def scores(self) -> Scores:
        """Every score of the model beside the baselines', with a verdict."""
        table: Any = self._table(np.arange(len(self.index)))
        held = None if self.bands is None else self.coverage(None)
        verdicts = {target: self._verdict(k, table.xs(target, level="target")) for k, target in enumerate(self.targets)}
        said = {target: self._quantiles(k) for k, target in enumerate(self.targets)} if self.quantiles else {}
        return Scores(table, self.model, self.unit, self.part, verdicts, held, self.how, said)

    def _quantiles(self, k: int) -> pd.DataFrame:
        """Returns how many true values of a target lay below each quantile, and its pinball loss."""
        true = self.y_true[:, :, k]
        known = ~np.isnan(true)
        return quantile_table(true[known], {q: values[:, :, k][known] for q, values in self.quantiles.items()})

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
            parts = {self.panel.ids[s]: self._table(every[which]) for s, which in by_series(self.index)}
        elif what == "cutoff":
            ds = self.panel.ds[self.index.cutoffs]
            parts = {self.panel.stamp(int(d)): self._table(np.flatnonzero(ds == d)) for d in np.unique(ds)}
        else:
            raise ConfigError(f"Scores come by 'step', 'series' or 'cutoff'. Received: {what!r}")
        return pd.concat(parts, names=[what])

    def frame(self) -> pd.DataFrame:
        """Returns the long frame: `unique_id, target, ds, cutoff, step, y_true, y_pred`, and each baseline's column.

        Where there are intervals, `y_pred_lo_80, y_pred_hi_80, ...` stand after `y_pred`, and where the network answers
        with quantiles, `y_pred_q10, ...`.
        """
        (_, y_pred), *baselines = self.y_pred.items()
        columns = {"y_true": self.y_true, "y_pred": y_pred}
        columns |= {} if self.bands is None else self.bands.columns()
        columns |= {quantile_name(q): values for q, values in self.quantiles.items()}
        return long_frame(self.panel, self.index, self.targets, columns | dict(baselines))

    def one(self, unique_id: str) -> "Backtest":
        """Returns the backtest of one series.

        Raises:
            UnknownName: There is no forecast of such a series.
        """
        found = {self.panel.ids[s]: which for s, which in by_series(self.index)}
        if unique_id not in found:
            raise UnknownName.of("series", unique_id, tuple(found)[:50])
        which = found[unique_id]
        return replace(
            self,
            index=self.index[which],
            y_true=self.y_true[which],
            y_pred={name: y[which] for name, y in self.y_pred.items()},
            quantiles={q: values[which] for q, values in self.quantiles.items()},
            last=self.last[which],
            training={name: fact[which] for name, fact in self.training.items()},
            bands=None if self.bands is None else self.bands[which],
        )

    def coverage(self, by: str | None = "step") -> pd.DataFrame:
        """Returns how often intervals held the truth, and what they are worth: see `bands.judged`.

        Args:
            by: "step" or "series": one row for each target, level, and step or series; None: for all of them together.

        Returns:
            Columns `coverage` (percent), `width`, `winkler` (units), `msis` (ratio) and `values`, how many there were.

        Raises:
            ConfigError: There are no intervals, or `by` is none of these.
        """
        ends = self.intervals().ends
        parts: dict[Any, tuple[Any, Any]]
        if by is None:
            parts = {"": (slice(None), slice(None))}
        elif by == "step":
            parts = {step + 1: (slice(None), slice(step, step + 1)) for step in range(self.y_true.shape[1])}
        elif by == "series":
            parts = {self.panel.ids[s]: (which, slice(None)) for s, which in by_series(self.index)}
        else:
            raise ConfigError(f"Coverage comes by 'step' or 'series', or by None for all. Received: {by!r}")
        rows = {
            (target, level, key): judged(
                self.y_true[n, h, k], low[n, h, k], high[n, h, k], level, self.training["mase_scale"][n, k]
            )
            for k, target in enumerate(self.targets)
            for level, (low, high) in sorted(ends.items())
            for key, (n, h) in parts.items()
        }
        index = pd.MultiIndex.from_tuples(rows, names=["target", "level", by])
        table = pd.DataFrame(list(rows.values()), index=index)
        return table.droplevel(2) if by is None else table

    def significance(self, bar: str = "naive") -> pd.DataFrame:
        """Tests for each target and step whether the absolute errors of model and baseline differ by more than luck.

        Errors of several series are scaled by their training rows (as in MASE) and averaged over those that share a
        cutoff's time.

        Args:
            bar: Name of the baseline.

        Returns:
            One row for each target and step: what `significance.diebold_mariano` found, and `p_holm`, which still holds
            when the best of all steps is picked.

        Raises:
            UnknownName: There is no such baseline in this backtest.
            DataError: There are too few cutoffs for a step.
        """
        bars = tuple(self.y_pred)[1:]
        if bar not in bars:
            raise UnknownName.of("baseline", bar, bars)
        spec, tables = self.index.spec, {}
        for k, target in enumerate(self.targets):
            rows = []
            for h in range(spec.horizon):
                step = overlap(spec.gap, h + 1, spec.stride)
                rows.append(over_time(self._losses(bar, k, slice(h, h + 1)), self._order, step))
            table = pd.DataFrame([asdict(row) for row in rows], index=pd.RangeIndex(1, len(rows) + 1, name="step"))
            tables[target] = table.drop(columns="step").assign(p_holm=holm(table["p_better"]))
        return pd.concat(tables, names=["target"])

    @cached_property
    def _order(self) -> np.ndarray:
        return self.index.order(self.panel.ds if self.panel.dated else None)

    def _losses(self, bar: str, k: int, steps: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean absolute errors of the model and a bar from each cutoff `(N,)`, in one scale for all series."""
        scale = self._scale(k)[:, None]
        errors = [np.abs(self.y_true - self.y_pred[name])[:, steps, k] / scale for name in (self.model, bar)]
        known = ~np.isnan(errors).any(axis=0)
        count = known.sum(axis=1)
        mine, theirs = (
            np.divide(np.where(known, e, 0).sum(axis=1), count, out=np.full(len(e), np.nan), where=count > 0)
            for e in errors
        )
        return mine, theirs

    def _scale(self, k: int) -> np.ndarray:
        """Returns what errors are divided by before those of several series come together `(N,)`."""
        several = len(np.unique(self.index.series)) > 1
        return self.training["mase_scale"][:, k] if several else np.ones(len(self.index))

    def _verdict(self, k: int, table: pd.DataFrame) -> Verdict:
        target, mae, spec = self.targets[k], table["mae"], self.index.spec
        of = f" for {target}" if len(self.targets) > 1 else ""
        if np.isnan(mae[[self.model, "naive"]]).any():
            return Verdict(target, self.many, self.unit, None, of=of)

        def beside(bar: str) -> Against:
            return against(
                bar,
                (mae[self.model], mae[bar]),
                self._losses(bar, k),
                self.index.series,
                self._order,
                self.panel.dated,
                overlap(spec.gap, spec.horizon, spec.stride),
            )

        best = str(mae.drop(self.model).idxmin())
        stronger = best != "naive" and mae[best] < mae["naive"] * (1 - LEVEL)
        more = notes(
            self.y_true[:, :, k],
            self.y_pred[self.model][:, :, k],
            self.last[:, k],
            self._scale(k),
            self.training["low"][:, k],
            self.training["high"][:, k],
        )
        return Verdict(target, self.many, self.unit, beside("naive"), beside(best) if stronger else None, more, of)

    def adaptive(self, gamma: float = GAMMA) -> "Backtest":
        """Returns the same backtest with intervals that follow drift, as if each day's truth came in the day after.

        Args:
            gamma: How fast; see `evaluation/adaptive.py`.

        Raises:
            ConfigError: There are no intervals, several fits made them, or `gamma` is out of range.
        """
        bands, index = self.intervals(), self.index
        if bands.conformal is None:
            raise ConfigError(
                f"Intervals follow drift where one fit made them. Received: a backtest of {self.how}, which "
                "learned its intervals anew at each fit. Choose refit='never'."
            )
        mine = self.y_pred[self.model]
        where: Any = {"cutoffs": index.cutoffs, "series": index.series, "gap": index.spec.gap}
        found = {
            level: adaptive(bands.conformal, self.y_true, mine, bands.scale, level, gamma, **where)
            for level in bands.ends
        }
        ends = {level: (one.low, one.high) for level, one in found.items()}
        return replace(self, bands=replace(bands, ends=ends, asked={level: one.level for level, one in found.items()}))

    def intervals(self) -> Bands:
        """Returns the intervals; ConfigError where there are none."""
        if self.bands is None:
            raise ConfigError(
                f"This backtest must have intervals. Received: none, of the {self.part} part. Fit with "
                "split.calibration=0.1, and choose part='test'."
            )
        return self.bands

    def _table(self, which: np.ndarray, steps: slice = slice(None)) -> pd.DataFrame:
        parts = {}
        for k, target in enumerate(self.targets):
            needs = {"last": self.last[which, k], **{name: fact[which, k] for name, fact in self.training.items()}}
            predictions = {name: y[which, steps, k] for name, y in self.y_pred.items()}
            parts[target] = score_table(self.y_true[which, steps, k], predictions, needs)
        return pd.concat(parts, names=["target"])

    @property
    def many(self) -> str:
        """How much was scored, such as "400 test sessions": different cutoffs, in the word for their rows."""
        count = len(np.unique(self.panel.ds[self.index.cutoffs]))
        calendar = self.panel.calendars[0]
        word = {"": "row", "h": "hour", "D": "day", "B": "day", "min": "minute", "MS": "month", "ME": "month"}.get(
            calendar.code, "row"
        )
        word = "session" if calendar.is_exchange else word
        series = len(np.unique(self.index.series))
        plural = "" if count == 1 else "s"
        return f"{count:,} {self.part} {word}{plural}" + (f" of {series:,} series" if series > 1 else "")
