"""DataPipeline: Panel in, scaled windows out; predictions in, original units out. Learned on training rows only.

    Panel --fill gaps--> features --clip outliers--> scale--> Rows --gather--> past (N, L, F), y (N, H, K)
    predictions (N, H, K) --------------------------- inverse ------------------------------> original units

The columns of `past` are, in this order: targets, past covariates, computed features, known covariates. So the first
`K` inputs are the targets. What is known ahead is in `known` (N, L + H, Fk) besides.

`predict="return"` makes the target the relative change from the cutoff, `y_h = p_{t+h} / p_t - 1`, divided by the
deviation of one-step returns in training.

Axes: `N` windows, `L` lookback, `H` horizon, `F` inputs, `K` targets, `R` rows of all series, `S` series.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import features
from .cleaning import CleaningReport, CleaningSpec, fill
from .errors import ConfigError, DataError, NotFitted
from .features import Feature
from .outliers import usual_range
from .panel import Panel
from .scaling import Scaler, ScalingSpec
from .spec import Spec
from .splits import Splits
from .windows import WindowIndex, WindowSpec, gather


class PipelineSpec(Spec):
    """Which columns go in and come out, and how.

    Attributes:
        targets: Columns to predict, `K` of them; they are inputs, too.
        past: Other columns that are known up to the cutoff.
        known: Other columns that are known ahead, such as a holiday or a price that is planned.
        static: Columns that are the same in all rows of a series.
        features: Computed columns, such as "RSI(14)" or "day_of_week".
        predict: Predict the level of the targets, or their return since the cutoff.
        bounds: Lowest and highest value that a forecast may take, in original units.
        window: Lengths in rows.
        scaling: How columns are scaled.
        cleaning: What to do about faults.
    """

    targets: tuple[str, ...]
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    predict: Literal["level", "return"] = "level"
    bounds: tuple[float | None, float | None] = (None, None)
    window: WindowSpec = WindowSpec()
    scaling: ScalingSpec = ScalingSpec()
    cleaning: CleaningSpec = CleaningSpec()


@dataclass(frozen=True, eq=False)
class Rows:
    """A panel, transformed: what windows are gathered from.

    Attributes:
        panel: The panel it was made of.
        inputs: Scaled inputs `(R, F)` float32, gaps filled.
        known: Scaled known covariates `(R, Fk)`; `Fk` may be 0.
        static: Scaled static covariates `(S, Fs)`; `Fs` may be 0.
        codes: Each series' number in training `(S,)`; the number of training series where it is cold.
        last: Targets in original units with gaps filled `(R, K)`: the last known values, for returns.
        factor, shift: Scaling of the targets `(S, K)`.
        sigma: Deviation of one-step returns `(S, K)`.
        cold: Names of the series that were not in training.
    """

    panel: Panel
    inputs: np.ndarray
    known: np.ndarray
    static: np.ndarray
    codes: np.ndarray
    last: np.ndarray
    factor: np.ndarray
    shift: np.ndarray
    sigma: np.ndarray
    cold: tuple[str, ...]

    def missing(self) -> np.ndarray:
        """Returns where a row's inputs hold a NaN, `(R,)`."""
        return np.isnan(self.inputs).any(axis=1)


class DataPipeline:
    """Learns from training rows, turns a panel into windows and predictions into original units.

    Example:
        >>> import pandas as pd
        >>> from pipelines.splits import split
        >>> days = pd.date_range("2024-01-01", periods=100)
        >>> panel = Panel.from_frame(pd.DataFrame({"y": np.arange(100.0)}, index=days))
        >>> pipeline = DataPipeline(PipelineSpec(targets=("y",), window={"lookback": 3})).fit(panel, split(panel))
        >>> rows = pipeline.transform(panel)
        >>> inputs, y = pipeline.batch(rows, WindowIndex(np.array([10]), np.array([0]), pipeline.spec.window))
        >>> pipeline.inverse(y, rows, np.array([10]), np.array([0])).round(3)
        array([[[11.]]])
    """

    def __init__(self, spec: PipelineSpec) -> None:
        self.spec = spec
        self.columns_: tuple[str, ...] = ()  # data columns read, targets first
        self.inputs_: tuple[str, ...] = ()  # names of the F inputs
        self.known_: tuple[str, ...] = ()  # names of those known ahead: the last of the inputs
        self.levels_: np.ndarray = np.empty(0, bool)  # (F,) inputs that move with the level
        self.features_: tuple[Feature, ...] = ()
        self.ids_: tuple[str, ...] = ()  # series in training, in order
        self.scaler_: Scaler | None = None
        self.static_: tuple[np.ndarray, np.ndarray] | None = None  # lowest value and range, (Fs,) each
        self.sigma_: dict[str, np.ndarray] = {}
        self.bounds_: dict[str, np.ndarray] = {}  # (2, F) usual range of each series' inputs in training

    # --- what is read -------------------------------------------------------------------------------------------

    @property
    def warmup(self) -> int:
        """Rows before the lookback that features need."""
        return max((feature.warmup for feature in self.features_), default=0)

    def needs(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the data columns to read, targets first, given all there are."""
        spec = self.spec
        made = [features.make(text, spec.targets[0], columns) for text in spec.features]
        return tuple(
            dict.fromkeys([*spec.targets, *spec.past, *spec.known, *spec.static, *(c for f in made for c in f.inputs)])
        )

    def prepare(self, columns: tuple[str, ...]) -> None:
        """Decides what the inputs are, in order, from the data columns there are."""
        spec = self.spec
        names = [*spec.targets, *spec.past, *spec.known]
        if len(set(names)) < len(names):
            raise ConfigError(f"`target`, `past` and `known` name different columns. Received: {', '.join(names)}")
        self.columns_ = self.needs(columns)
        made = [features.make(text, spec.targets[0], columns) for text in spec.features]
        # Known ahead comes last, so that `known` is a slice of the inputs.
        self.features_ = tuple([f for f in made if not f.known] + [f for f in made if f.known])
        first = [(c, True) for c in (*spec.targets, *spec.past)]
        first += [(c, f.level) for f in self.features_ if not f.known for c in f.columns]
        known = [(c, False) for c in spec.known] + [(c, f.level) for f in self.features_ if f.known for c in f.columns]
        self.inputs_ = tuple(name for name, _ in first + known)
        self.known_ = tuple(name for name, _ in known)
        self.levels_ = np.array([level for _, level in first + known])

    # --- fit ----------------------------------------------------------------------------------------------------

    def fit(self, panel: Panel, splits: Splits, report: CleaningReport | None = None) -> "DataPipeline":
        """Learns scaling, usual ranges and the size of returns from training rows.

        Args:
            panel: Cleaned rows; the columns of `needs` must be among them.
            splits: Where each series is cut; nothing after the end of train is looked at.
            report: Gets the outliers that were found.

        Raises:
            UnknownName: A column is missing.
            DataError: Returns are asked for, and a target is not positive.
        """
        self.prepare(panel.columns)
        firsts, ends = splits.rows("train")
        self.ids_ = tuple(name for name, a, b in zip(panel.ids, firsts, ends, strict=True) if b > a)
        self.bounds_, self.sigma_ = {}, {}
        self.scaler_ = Scaler(self.spec.scaling, logged=self.levels_)
        self.scaler_.fit(self._training_rows(panel, firsts, ends, report))
        if self.spec.static:
            values = self.static(panel)[ends > firsts]
            low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
            self.static_ = (low, np.where(high > low, high - low, 1.0))
        return self

    def _training_rows(
        self, panel: Panel, firsts: np.ndarray, ends: np.ndarray, report: CleaningReport | None
    ) -> Iterator[tuple[str, np.ndarray]]:
        for s, name in enumerate(panel.ids):
            if ends[s] <= firsts[s]:
                continue
            raw = self._inputs(panel, s, slice(int(firsts[s]), int(ends[s])))  # (T, F)
            low, high = self.bounds_[name] = usual_range(raw, self.spec.cleaning.outlier_factor)
            outside = (raw < low) | (raw > high)
            if report is not None and outside.any():
                columns = [
                    f"{c} {raw[outside[:, i], i].tolist()[0]:g}"
                    for i, c in enumerate(self.inputs_)
                    if outside[:, i].any()
                ]
                done = "clipped in the inputs" if self.spec.cleaning.outliers == "clip" else "left as they are"
                report.add(name, "outliers in training rows", outside.sum(), f"such as {', '.join(columns[:3])}", done)
            if self.spec.predict == "return":
                targets = raw[:, : len(self.spec.targets)]
                self._refuse_no_returns(targets, name)
                self.sigma_[name] = self._return_sigma(targets)
            self._refuse_out_of_bounds(raw[:, : len(self.spec.targets)], name)
            yield name, self._clipped(raw, name)

    def _clipped(self, raw: np.ndarray, name: str) -> np.ndarray:
        if self.spec.cleaning.outliers != "clip" or name not in self.bounds_:
            return raw
        clipped: np.ndarray = np.clip(raw, *self.bounds_[name])
        return clipped

    def _refuse_out_of_bounds(self, targets: np.ndarray, name: str) -> None:
        low, high = self.spec.bounds
        outside = targets[bounded(targets, self.spec.bounds) != targets]
        outside = outside[~np.isnan(outside)]
        if len(outside):
            raise DataError(
                f"Targets must lie within `bounds` {[low, high]}. Received: {outside[0]:g} in series {name!r}. Widen "
                "the bounds, or repair the rows."
            )

    def _refuse_no_returns(self, targets: np.ndarray, name: str) -> None:
        if self.spec.predict == "return" and (targets <= 0).any():
            raise DataError(
                f"Returns need targets above zero. Received: {np.nanmin(targets):g} in series {name!r}. Choose "
                'predict="level".'
            )

    def _return_sigma(self, targets: np.ndarray) -> np.ndarray:
        """Returns the deviation of one-step returns around zero, `(K,)`; 1 where all are zero."""
        returns = targets[1:] / targets[:-1] - 1
        known = ~np.isnan(returns)
        count = np.maximum(known.sum(axis=0), 1)
        sigma = np.sqrt((np.where(known, returns, 0) ** 2).sum(axis=0) / count)
        return np.where(sigma > 0, sigma, 1.0)

    # --- transform ----------------------------------------------------------------------------------------------

    def transform(self, panel: Panel, known_until: np.ndarray | None = None) -> Rows:
        """Returns the panel's rows as a network sees them.

        Args:
            panel: Cleaned rows of any series.
            known_until: The row before which a cold series may be looked at to scale it, `(S,)`; all its rows by
                default, which is right where the future is not there yet.
        """
        if self.scaler_ is None:
            raise NotFitted("A pipeline must be fitted before it transforms. Call fit on training rows first.")
        R, S, F, K = len(panel), len(panel.ids), len(self.inputs_), len(self.spec.targets)
        inputs, last = self._array(panel, (R, F)), self._array(panel, (R, K))
        factor, shift, sigma = np.empty((S, K)), np.empty((S, K)), np.ones((S, K))
        numbers = {name: i for i, name in enumerate(self.ids_)}
        cold = []
        for s, name in enumerate(panel.ids):
            span = panel.rows(s)
            raw = self._inputs(panel, s, span)
            past = None
            if not self.scaler_.knows(name) or name not in numbers:
                cold.append(name)
                end = (
                    span.stop
                    if known_until is None
                    else max(int(known_until[s]), span.start + self.spec.window.lookback)
                )
                past = raw[: end - span.start]
            f, b = self.scaler_.pair(name, past)
            inputs[span] = self.scaler_.forward(self._clipped(raw, name)) * f + b
            last[span] = raw[:, :K]
            self._refuse_no_returns(raw[:, :K], name)
            factor[s], shift[s] = f[:K], b[:K]
            if self.spec.predict == "return":
                learned = self.sigma_.get(name)
                sigma[s] = self._return_sigma((raw if past is None else past)[:, :K]) if learned is None else learned
        return Rows(
            panel=panel,
            inputs=inputs,
            known=inputs[:, F - len(self.known_) :],
            static=self._scaled_static(panel),
            codes=np.array([numbers.get(name, len(numbers)) for name in panel.ids], np.int32),
            last=last,
            factor=factor,
            shift=shift,
            sigma=sigma,
            cold=tuple(cold),
        )

    def raw(self, panel: Panel) -> np.ndarray:
        """Returns the inputs of all rows in original units, `(R, F)` float64: features computed, gaps filled."""
        return np.concatenate([self._inputs(panel, s, panel.rows(s)) for s in range(len(panel.ids))])

    def batch(
        self, rows: Rows, index: WindowIndex, future: bool = True
    ) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """Returns the inputs of a network and what it should answer, float32.

        Returns:
            `past (N, L, F)`, `known (N, L + H, Fk)`, `static (N, Fs)` and `series (N,)`, those there are; and
            `y (N, H, K)`, or None where `future` is False.
        """
        inputs = {"past": index.past(rows.inputs), "series": rows.codes[index.series]}
        if self.known_:
            inputs["known"] = index.both(rows.known)
        if self.spec.static:
            inputs["static"] = rows.static[index.series]
        return inputs, self._answers(rows, index) if future else None

    def _answers(self, rows: Rows, index: WindowIndex) -> np.ndarray:
        truth = self.truth(rows.panel, index)  # (N, H, K)
        s = index.series
        if self.spec.predict == "return":
            now = rows.last[index.cutoffs].astype(np.float64)  # (N, K)
            return ((truth / now[:, None] - 1) / rows.sigma[s][:, None]).astype(np.float32)
        assert self.scaler_ is not None  # noqa: S101  (rows came from transform, which needs it)
        scaled = self.scaler_.forward(truth) * rows.factor[s][:, None] + rows.shift[s][:, None]
        return scaled.astype(np.float32)

    def units(self, rows: Rows, index: WindowIndex) -> tuple[np.ndarray, np.ndarray]:
        """Returns slope and intercept `(N, K)` each: `original = slope * scaled + intercept`, but for a logarithm."""
        if self.spec.predict == "return":
            now = rows.last[index.cutoffs].astype(np.float64)  # (N, K)
            return now * rows.sigma[index.series], now
        factor, shift = rows.factor[index.series], rows.shift[index.series]
        return 1 / factor, -shift / factor

    def truth(self, panel: Panel, index: WindowIndex) -> np.ndarray:
        """Returns what really happened, in original units, `(N, H, K)` float64; NaN where nobody measured."""
        columns = [panel.column(name) for name in self.spec.targets]
        firsts = index.cutoffs + 1 + index.spec.gap
        return gather(panel.values, firsts, index.spec.horizon)[:, :, columns].astype(np.float64)

    def inverse(self, predictions: np.ndarray, rows: Rows, cutoffs: np.ndarray, series: np.ndarray) -> np.ndarray:
        """Returns predictions in original units, float64.

        Args:
            predictions: What the network answered `(N, H, K)`, or `(N, H, K, Q)`.
            rows: What its inputs were gathered from.
            cutoffs: Last known row of each window `(N,)`.
            series: Number of each window's series `(N,)`.
        """
        if self.scaler_ is None:
            raise NotFitted("A pipeline must be fitted before it inverts. Call fit on training rows first.")
        points = np.moveaxis(predictions, 3, 1) if predictions.ndim == 4 else predictions[:, None]  # (N, Q, H, K)
        if self.spec.predict == "return":
            now = rows.last[cutoffs].astype(np.float64)[:, None, None]
            values = now * (1 + points * rows.sigma[series][:, None, None])
        else:
            factor, shift = rows.factor[series][:, None, None], rows.shift[series][:, None, None]
            values = self.scaler_.inverse(points, factor, shift)
        values = bounded(values, self.spec.bounds)
        return np.moveaxis(values, 1, 3) if predictions.ndim == 4 else values[:, 0]

    def _inputs(self, panel: Panel, s: int, span: slice) -> np.ndarray:
        """Returns the inputs of some rows of a series in original units, `(T, F)` float64, gaps filled."""
        spec = self.spec
        columns = {name: c for c, name in enumerate(panel.columns)}
        for name in self.columns_:
            panel.column(name)  # names what is missing
        values = np.asarray(panel.values[span], np.float64)
        policy = spec.cleaning.gap_policy(panel.calendars[s])
        values = fill(values, policy, spec.cleaning.fill_limit)
        stamps = panel.stamps_of(panel.ds[span], s) if self.features_ else panel.ds[span]
        data = [*spec.targets, *spec.past]
        parts = [values[:, [columns[name] for name in data]]]
        parts += [self._feature(f, values, columns, stamps) for f in self.features_ if not f.known]
        parts.append(values[:, [columns[name] for name in spec.known]])
        parts += [self._feature(f, values, columns, stamps) for f in self.features_ if f.known]
        return np.concatenate(parts, axis=1)

    def _feature(self, feature: Feature, values: np.ndarray, columns: dict[str, int], stamps: Any) -> np.ndarray:
        computed = np.array(feature.compute(values[:, [columns[c] for c in feature.inputs]], stamps), np.float64)
        computed[: feature.warmup] = np.nan  # unsettled: a run that reads fewer rows would compute others
        return computed

    def static(self, panel: Panel) -> np.ndarray:
        """Returns the static columns of each series `(S, Fs)`: their first value that is there."""
        result = np.empty((len(panel.ids), len(self.spec.static)))
        for f, name in enumerate(self.spec.static):
            column = panel.column(name)
            for s, unique_id in enumerate(panel.ids):
                values = panel.values[panel.rows(s), column]
                known = ~np.isnan(values)
                if not known.any():
                    raise DataError(
                        f"Static columns must hold a value. Received none in column {name!r} of series {unique_id!r}."
                    )
                result[s, f] = values[np.argmax(known)]
        return result

    def _scaled_static(self, panel: Panel) -> np.ndarray:
        if self.static_ is None:
            return np.empty((len(panel.ids), 0), np.float32)
        low, range_ = self.static_
        return ((self.static(panel) - low) / range_).astype(np.float32)

    def _array(self, panel: Panel, shape: tuple[int, int]) -> np.ndarray:
        """Returns an empty array, on disk where the panel is: a panel larger than memory trains, too."""
        if not panel.mapped or not shape[0]:
            return np.empty(shape, np.float32)
        with tempfile.TemporaryFile() as file:  # has no name: it is gone with the array
            return np.memmap(file, np.float32, "w+", shape=shape)

    # --- state --------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Writes `pipeline.json` and `pipeline.npz` into a folder."""
        from .pipeline_state import save

        save(self, folder)

    @classmethod
    def load(cls, folder: Path) -> "DataPipeline":
        """Reads what `save` wrote.

        Raises:
            ConfigError: A setting in it is unknown to this version.
        """
        from .pipeline_state import load

        return load(folder)


def bounded(values: np.ndarray, bounds: tuple[float | None, float | None]) -> np.ndarray:
    """Returns values brought within bounds; what happens lies within them, so none is further from it than before.

    Example:
        >>> bounded(np.array([-2.0, 3.0]), (0.0, None))
        array([0., 3.])
    """
    low, high = bounds
    return values if low is None and high is None else np.clip(values, low, high)
