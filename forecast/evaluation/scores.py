"""Scores: a table with the naive forecast in it, and one sentence that says who is better.

test scores of Close, in dollars
                    mae    rmse   ...
lstm              1.310   2.003
naive             1.200   1.950
Worse than naive on 400 test days: MAE 1.310 against 1.200 dollars (9.2 % higher).
Intervals of 80 % held 78.9 % of 400 true values, mean width 4.310 dollars.      where there are intervals
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipelines.errors import DataError

from ..text import aligned, number
from .bands import sentences
from .metrics import METRICS

# Closer than this to naive is called level: no claim is made of half a percent.
LEVEL = 0.005


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
        many: How much was scored, such as "400 test days".
        coverage: How often the model's intervals held the truth, by target and level, where it has any.
    """

    table: pd.DataFrame
    model: str
    unit: str
    part: str
    many: str
    coverage: pd.DataFrame | None = None

    def __getitem__(self, name: str) -> pd.Series:
        """Returns the scores of one forecast by metric, averaged over targets."""
        rows: Any = self.table.xs(name, level="model")
        return rows.mean()

    @property
    def verdict(self) -> str:
        """One sentence for each target: better or worse than naive, and by how much."""
        return "\n".join(self._sentence(target) for target in self.table.index.unique("target"))

    def to_dict(self) -> dict[str, dict[str, float | None]]:
        """Returns `{forecast: {metric: score}}`, None where the data define none; averaged over targets."""
        names = [str(name) for name in self.table.index.unique("model")]
        return {name: {str(m): None if np.isnan(v) else float(v) for m, v in self[name].items()} for name in names}

    def __str__(self) -> str:
        lines = []
        for target in self.table.index.unique("target"):
            unit = f", in {self.unit}" if self.unit else ""
            table: Any = self.table.xs(target, level="target")
            lines += [
                f"{self.part} scores of {target}{unit}",
                _lines(table),
                *_undefined(table),
                self._sentence(target),
                *self._held(target),
            ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        lines = [f"<b>{line}</b>" for line in self.verdict.splitlines()]
        lines += [line for target in self.table.index.unique("target") for line in self._held(target)]
        return self.table.map(number).to_html() + "".join(f"<p>{line}</p>" for line in lines)

    def _sentence(self, target: str) -> str:
        mae: Any = self.table.xs(target, level="target")["mae"]
        mine, naive = mae[self.model], mae["naive"]
        if np.isnan(mine) or np.isnan(naive):
            return f"No verdict on {target}: nothing was observed on {self.many}."
        unit = f" {self.unit}" if self.unit else ""
        of = f" for {target}" if self.table.index.unique("target").size > 1 else ""
        numbers = f"MAE {number(mine)} against {number(naive)}{unit}{_percent(mine, naive)}"
        sentence = f"{_against(mine, naive).capitalize()} naive{of} on {self.many}: {numbers}."
        bars = mae.drop(self.model)
        best = bars.idxmin()
        if best != "naive" and bars[best] < naive * (1 - LEVEL):
            name = str(best).replace("_", " ")
            numbers = f"{number(bars[best])}{unit}{_percent(mine, bars[best])}"
            sentence += f" {_against(mine, bars[best]).capitalize()} {name}, the strongest baseline: {numbers}."
        return sentence

    def _held(self, target: str) -> list[str]:
        """Returns how often the intervals held the truth, one sentence for each level."""
        if self.coverage is None:
            return []
        table: Any = self.coverage.xs(target, level="target")
        return sentences(table, self.unit)


def _against(mine: float, bar: float) -> str:
    if abs(mine - bar) <= LEVEL * bar:
        return "level with"
    return "better than" if mine < bar else "worse than"


def _percent(mine: float, bar: float) -> str:
    if not bar:
        return ""
    change = 100 * (mine / bar - 1)
    return f" ({abs(change):.1f} % {'higher' if change > 0 else 'lower'})"


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
