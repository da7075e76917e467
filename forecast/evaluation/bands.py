"""Intervals beside forecasts: their columns, and how often they held the truth.

ds      y_true   y_pred   y_pred_lo_80   y_pred_hi_80
Mon        101      103             99            106        held
Tue        109      103             98            107        missed, 9 wide
"""

from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.errors import DataError

from ..text import number
from . import quantile_metrics
from .baselines import FloatArray
from .intervals import Conformal, level_name

Ends = dict[float, tuple[FloatArray, FloatArray]]  # low and high, (N, H, K) each, by level


@dataclass(frozen=True, eq=False)
class Bands:
    """Intervals of the forecasts of a backtest.

    Attributes:
        conformal: What they were made with; None where several fits made them, each with its own.
        scale: Of each window `(N, K)`; None likewise.
        ends: Low and high ends by level, the lowest level first.
        asked: The level that each interval asked for `(N, H, K)`, by level, where they are adaptive.
    """

    conformal: Conformal | None
    scale: FloatArray | None
    ends: Ends
    asked: dict[float, FloatArray] = field(default_factory=dict)

    def __getitem__(self, which: slice) -> "Bands":
        return Bands(
            self.conformal,
            None if self.scale is None else self.scale[which],
            {level: (low[which], high[which]) for level, (low, high) in self.ends.items()},
            {level: asked[which] for level, asked in self.asked.items()},
        )

    def columns(self) -> dict[str, FloatArray]:
        """Returns the columns of a frame: `y_pred_lo_80, y_pred_hi_80, ...`; and `level_80, ...` of adaptive ones."""
        result = {
            f"y_pred_{side}_{level_name(level)}": self.ends[level][i]
            for level in self.ends
            for i, side in enumerate(("lo", "hi"))
        }
        return result | {f"level_{level_name(level)}": asked for level, asked in self.asked.items()}


def judged(
    y_true: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, level: float, scale: npt.ArrayLike = np.nan
) -> dict[str, float]:
    """Returns what intervals are worth: see `quantile_metrics` for each score.

    Values that nobody measured are left out; where none was, all scores are NaN.

    Args:
        y_true: Array `(N, ...)`, NaN where nothing was observed.
        low, high: Arrays of the same shape.
        level: Percent that they claim to hold.
        scale: From `mase_scale`, `(N,)`; without one there is no MSIS.

    Returns:
        `coverage` in percent, mean `width` and `winkler` in units, `msis`, and how many `values` there were.

    Example:
        >>> scores = judged([1.0, 5.0, np.nan], [0.0, 0.0, 0.0], [2.0, 2.0, 2.0], level=80)
        >>> {name: round(value, 2) for name, value in scores.items()}
        {'coverage': 50.0, 'width': 2.0, 'winkler': 17.0, 'msis': nan, 'values': 2}
    """
    true, below, above = (np.asarray(array, np.float64) for array in (y_true, low, high))
    known, share = ~np.isnan(true), level / 100
    result = dict.fromkeys(("coverage", "width", "winkler", "msis"), float("nan"))
    if known.any():
        result["coverage"] = quantile_metrics.coverage(true, below, above)
        result["width"] = quantile_metrics.width(below[known], above[known])
        result["winkler"] = quantile_metrics.winkler(true, below, above, share)
        with suppress(DataError):  # no series has a scale
            result["msis"] = quantile_metrics.msis(true, below, above, share, scale)
    return result | {"values": int(known.sum())}


def quantile_table(y_true: FloatArray, quantiles: dict[float, FloatArray]) -> pd.DataFrame:
    """Returns what quantiles are worth: `below`, the percent of true values below each, and its `pinball` loss.

    Args:
        y_true: Known values `(n,)`.
        quantiles: Forecasts `(n,)` by quantile.

    Example:
        >>> quantile_table(np.array([1.0, 3.0]), {0.5: np.array([2.0, 2.0])})
             below  pinball  values
        0.5   50.0      0.5       2
    """
    rows = {
        q: {
            "below": 100 * float((y_true < said).mean()),
            "pinball": quantile_metrics.pinball(y_true, said[:, None], [q]),
            "values": len(y_true),
        }
        for q, said in quantiles.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def quantile_sentence(table: pd.DataFrame, unit: str) -> str:
    """Returns the same for people.

    Example:
        >>> quantile_sentence(quantile_table(np.array([1.0, 3.0]), {0.5: np.array([2.0, 2.0])}), "dollars")
        'Below the quantiles 50 % lay 50.0 % of 2 true values; mean pinball loss 0.5000 dollars.'
    """
    asked = ", ".join(level_name(100 * float(q)) for q in table.index)
    lay = ", ".join(f"{share:.1f}" for share in table["below"])
    loss = f"{number(float(table['pinball'].mean()))}{unit and ' '}{unit}"
    values = f"{int(table['values'].iloc[0]):,}"
    return f"Below the quantiles {asked} % lay {lay} % of {values} true values; mean pinball loss {loss}."


def sentences(table: pd.DataFrame, unit: str) -> list[str]:
    """Returns one target's coverage for people.

    Args:
        table: One row for each level, with the columns of `judged`.
        unit: What widths are counted in; "" where nobody said.

    Example:
        >>> sentences(pd.DataFrame({"coverage": [78.9], "width": [12.5], "values": [1040]}, index=[80.0]), "dollars")
        ['Intervals of 80 % held 78.9 % of 1,040 true values, mean width 12.50 dollars.']
    """
    levels: list[float] = table.index.tolist()
    share, width, values = (table[name].tolist() for name in ("coverage", "width", "values"))
    return [
        f"Intervals of {level_name(level)} % held {share[i]:.1f} % of {values[i]:,} true values, mean width "
        f"{number(width[i])}{unit and ' '}{unit}."
        for i, level in enumerate(levels)
    ]
