"""Scales each column, learned on training rows only; the state is plain arrays.

    method      scaled value                                            a sibling of scikit-learn's
    minmax      low + (x - min) / (max - min) * (high - low)            MinMaxScaler
    standard    (x - mean) / deviation                                  StandardScaler
    robust      (x - median) / (third quartile - first quartile)        RobustScaler
    log1p       minmax of log(1 + x), for counts that span decades      FunctionTransformer, then MinMaxScaler
    none        x

All but the logarithm are `x * factor + shift`, one pair for each series and column. Constant columns and NaN behave as
in scikit-learn: a range of zero counts as one, and NaN is passed over when fitting and kept when transforming.

A series that was never seen in training is cold: it gets a scaler fitted on its own rows up to the cutoff.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from pydantic import model_validator

from .errors import DataError, NotFitted
from .spec import Spec


class ScalingSpec(Spec):
    """How columns are scaled.

    Attributes:
        method: See the table at the top of this module.
        shared: One scaler over all series, instead of one for each.
        low: Where minmax and log1p put the smallest training value.
        high: Where they put the largest.
    """

    method: Literal["minmax", "standard", "robust", "log1p", "none"] = "minmax"
    shared: bool = False
    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "ScalingSpec":
        if not self.low < self.high:
            raise ValueError(f"`low` must be below `high`. Received: low={self.low:g}, high={self.high:g}")
        return self


class Scaler:
    """One factor and shift for each known series and column.

    Example:
        >>> scaler = Scaler(ScalingSpec()).fit([("a", np.array([[10.0], [20.0]]))])
        >>> scaler.transform(np.array([[10.0], [15.0], [25.0]]), "a")[:, 0]
        array([0. , 0.5, 1.5], dtype=float32)
    """

    def __init__(self, spec: ScalingSpec, logged: np.ndarray | None = None) -> None:
        self.spec = spec
        self.logged = logged  # columns that log1p takes the logarithm of; all where None
        self.ids_: tuple[str, ...] = ()
        self.factor_: np.ndarray | None = None  # (S, C) float64
        self.shift_: np.ndarray | None = None  # (S, C) float64
        self._number: dict[str, int] = {}

    def fit(self, train_rows: Iterable[tuple[str, np.ndarray]]) -> "Scaler":
        """Learns from training rows; a series without any stays cold.

        Args:
            train_rows: Name and rows `(T, C)` in original units, series by series.
        """
        rows = ((name, values) for name, values in train_rows if len(values))
        if self.spec.shared:
            pairs, self.ids_ = [self._learn(np.concatenate([values for _, values in rows]))], ("*",)
        else:
            named = [(name, self._learn(values)) for name, values in rows]
            pairs, self.ids_ = [pair for _, pair in named], tuple(name for name, _ in named)
        self.restore(self.ids_, *(np.array([pair[i] for pair in pairs]) for i in (0, 1)))
        return self

    def restore(self, ids: Sequence[str], factor: np.ndarray, shift: np.ndarray) -> None:
        """Sets the learned state."""
        self.ids_, self.factor_, self.shift_ = tuple(ids), factor, shift
        self._number = {name: i for i, name in enumerate(self.ids_)}

    def knows(self, unique_id: str) -> bool:
        """True where the series was seen in training, or one scaler serves all."""
        return self.spec.shared or unique_id in self._number

    def pair(self, unique_id: str, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Returns factor and shift `(C,)` of a series; a cold one is fitted on `rows` `(T, C)` before the cutoff."""
        if self.factor_ is None or self.shift_ is None:
            raise NotFitted("A scaler must be fitted before it transforms. Call fit on training rows first.")
        if self.spec.shared:
            return self.factor_[0], self.shift_[0]
        if unique_id in self._number:
            i = self._number[unique_id]
            return self.factor_[i], self.shift_[i]
        if rows is None:
            raise NotFitted(f"Series {unique_id!r} was not in the training rows. Give its rows up to the cutoff.")
        return self._learn(rows)

    def transform(self, values: np.ndarray, unique_id: str, before_cutoff: np.ndarray | None = None) -> np.ndarray:
        """Returns scaled values `(..., C)` float32."""
        factor, shift = self.pair(unique_id, before_cutoff)
        return (self.forward(values) * factor + shift).astype(np.float32)

    def inverse(self, scaled: np.ndarray, factor: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Returns values of the first columns in original units, float64.

        Args:
            scaled: `(..., K)`, the first `K` of the `C` columns.
            factor: Broadcasts against `scaled`.
            shift: Likewise.
        """
        values = (np.asarray(scaled, np.float64) - shift) / factor
        return self._on_logged(values, np.expm1)

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Returns values of the first columns `(..., K)` as float64, after the logarithm where there is one."""
        values = np.asarray(values, np.float64)
        if self.spec.method == "log1p" and (self._logged(values.shape[-1]) & (values <= -1)).any():
            raise DataError(
                f"Scaling log1p takes values above -1. Received: {np.nanmin(values):g}. "
                "Choose scaling='minmax' or 'robust'."
            )
        return self._on_logged(values, np.log1p)

    def _on_logged(self, values: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        if self.spec.method != "log1p":
            return values
        logged = self._logged(values.shape[-1])
        return np.where(logged, function(np.where(logged, values, 0.0)), values)

    def _logged(self, columns: int) -> np.ndarray:
        return np.ones(columns, bool) if self.logged is None else self.logged[:columns]

    def _learn(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns factor and shift `(C,)`."""
        spec, C = self.spec, rows.shape[1]
        if spec.method == "none":
            return np.ones(C), np.zeros(C)
        rows = self.forward(rows)
        if spec.method in ("minmax", "log1p"):
            low, high = np.fmin.reduce(rows, axis=0), np.fmax.reduce(rows, axis=0)
            factor = (spec.high - spec.low) / _nonzero(high - low, np.maximum(abs(low), abs(high)))
            return factor, spec.low - low * factor
        known = ~np.isnan(rows)
        if spec.method == "standard":
            count = np.maximum(known.sum(axis=0), 1)
            center = np.where(known, rows, 0).sum(axis=0) / count
            deviation = np.sqrt((np.where(known, rows - center, 0) ** 2).sum(axis=0) / count)
            factor = 1 / _nonzero(deviation, abs(center))
        else:
            columns = [column[~np.isnan(column)] for column in rows.T]
            low, center, high = np.array([np.percentile(c if len(c) else [0.0], [25, 50, 75]) for c in columns]).T
            factor = 1 / _nonzero(high - low, abs(center))
        return factor, -center * factor


def _nonzero(scale: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Returns 1 for a scale that is zero but for rounding of values of this size, as scikit-learn does."""
    return np.where(scale <= 10 * np.finfo(np.float64).eps * np.maximum(size, 1e-300), 1.0, scale)
