"""Scores: a table with the naive forecast in it, and one sentence that says who is better.

test scores of Close, in dollars
                    mae    rmse   ...
lstm              1.310   2.003
naive             1.200   1.950
Worse than naive on 400 test days: MAE 1.310 against 1.200 dollars (9.2 % higher, p = 0.021).
Direction at step 1: 49.8 % right (95 % interval 44.9 to 54.7); always saying up would be 53.1 %.
Intervals of 80 % held 78.9 % of 400 true values, mean width 4.310 dollars.      where there are intervals
"""

from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from pipelines.errors import DataError

from ..text import aligned, number
from .bands import quantile_sentence, sentences
from .metrics import METRICS
from .verdict import Verdict


def score_table(y_true: np.ndarray, predictions: dict[str, np.ndarray], needs: dict[str, Any]) -> pd.DataFrame:
    """Returns one row for each forecast, one column for each metric; NaN where the data define no such score.

    Args:
        y_true: What happened `(N, H)`, NaN where nobody measured.
        predictions: Forecasts `(N, H)` by name, the model's first, then baselines'. All are scored where all the
            baselines have a value.
        needs: What some metrics need besides: "last", "mase_scale" and "rmsse_scale", `(N,)` each.

    Raises:
        DataError: A forecast of the model is not a number.
    """
    model, *baselines = predictions
    # A baseline has no forecast before its first observation: score all on the rows that all of them have.
    there = np.logical_and.reduce([~np.isnan(predictions[name]) for name in baselines] + [np.ones(y_true.shape, bool)])
    truth = np.where(there, y_true, np.nan)
    bad = ~np.isfinite(predictions[model]) & ~np.isnan(truth)
    if bad.any():  # never left out: the scores would be of the easy rest
        raise DataError(
            f"Every forecast of {model} must be a number. Received: {int(bad.sum()):,} of {bad.size:,} that are none. "
            "Look for what the network makes of inputs outside its training range."
        )
    return pd.DataFrame(
        [{name: _score(metric, truth, y, needs) for name, metric in METRICS.items()} for y in predictions.values()],
        index=pd.Index(predictions, name="model"),
    )


def _score(metric: Any, y_true: np.ndarray, y_pred: np.ndarray, needs: dict[str, Any]) -> float:
    try:
        return float(
            metric.function(y_true, np.where(np.isnan(y_true), np.nan, y_pred), *(needs[n] for n in metric.needs))
        )
    except DataError:
        return float("nan")  # such as MAPE where a true value is zero; `metrics` itself says why


@dataclass(frozen=True)
class Scores:
    """Every score of a model beside the baselines'; prints as a table with a verdict.

    Attributes:
        table: One row for each target and model, one column for each metric.
        model: Name of the model.
        unit: What the target is counted in; "" where nobody said.
        part: Which part of the data was scored.
        verdicts: What they amount to, by target.
        coverage: What the model's intervals are worth, by target and level, where it has any.
        how: What was not as usual in the backtest; see there.
        quantiles: What the quantiles of the network are worth, by target and quantile, where it answers with some.
    """

    table: pd.DataFrame
    model: str
    unit: str
    part: str
    verdicts: dict[str, Verdict]
    coverage: pd.DataFrame | None = None
    how: str = ""
    quantiles: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __getitem__(self, name: str) -> pd.Series:
        """Returns the scores of one forecast by metric, averaged over targets."""
        rows: Any = self.table.xs(name, level="model")
        return rows.mean()

    @property
    def many(self) -> str:
        """How much was scored, such as "400 test days"."""
        return next(iter(self.verdicts.values())).many

    @property
    def verdict(self) -> str:
        """One sentence for each target: better or worse than naive, by how much, and whether it may be luck."""
        return "\n".join(str(verdict) for verdict in self.verdicts.values())

    @property
    def notes(self) -> list[str]:
        """What else a reader should know, in sentences."""
        several = len(self.verdicts) > 1
        return [f"{target}: {note}" if several else note for target, v in self.verdicts.items() for note in v.notes]

    def to_dict(self) -> dict[str, dict[str, float | None]]:
        """Returns `{forecast: {metric: score}}`, None where the data define none; averaged over targets."""
        names = [str(name) for name in self.table.index.unique("model")]
        return {name: {str(m): None if np.isnan(v) else float(v) for m, v in self[name].items()} for name in names}

    def __str__(self) -> str:
        lines = []
        for target, verdict in self.verdicts.items():
            unit = f", in {self.unit}" if self.unit else ""
            how = f"; {self.how}" if self.how else ""
            table: Any = self.table.xs(target, level="target")
            lines += [
                f"{self.part} scores of {target}{unit}{how}",
                _lines(table),
                *_undefined(table),
                str(verdict),
                *verdict.notes,
                *self._held(target),
            ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        lines = [f"<b>{escape(str(verdict))}</b>" for verdict in self.verdicts.values()]
        lines += map(escape, self.notes)
        lines += [line for target in self.verdicts for line in self._held(target)]
        return self.table.map(number).to_html() + "".join(f"<p>{line}</p>" for line in lines)

    def _held(self, target: str) -> list[str]:
        """Returns how often the intervals held the truth, one sentence for each level, and what quantiles are worth."""
        said = [quantile_sentence(self.quantiles[target], self.unit)] if target in self.quantiles else []
        if self.coverage is None:
            return said
        table: Any = self.coverage.xs(target, level="target")
        return sentences(table, self.unit) + said


def _undefined(table: pd.DataFrame) -> list[str]:
    """Returns why a column has no numbers, where one has none."""
    why = {"mape": "a true value is zero", "wape": "all true values are zero", "up_share": "nothing moved"}
    why |= {"mase": "the training rows never change", "rmsse": "the training rows never change"}
    empty = [str(name) for name in table.columns if table[name].isna().all()]
    return [f"No {name}: {why[name]}." for name in empty if name in why]


def _lines(table: pd.DataFrame) -> str:
    rows = [["", *map(str, table.columns)]]
    rows += [[str(name), *map(number, row)] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    return aligned(rows, numbers=True, indent="  ")
