"""What backtests of stocks amount to: one table, one sentence.

    lstm: 60 rows of Open, High, Low, Close, Volume to the next 5 of Close, on 672 test days
                    mae  of_naive  p_value  direction  95 % interval  up_share  correlation  moves
      AAPL  lstm   2.141     1.008    0.087       49.6   41.3 to 58.0      55.6        -0.11    135
            naive  2.125     1.000        -          -              -      55.6            -    135
            arima  2.133     1.004    0.023       47.4   39.2 to 55.8      55.6         0.00    135
    lstm is not shown to beat naive on AAPL: MAE 2.141 against 2.125 (0.8 % higher, p = 0.09); its error is not below
    that of arima; its direction over 5 rows is not shown to be better than always saying up.

Errors are over all steps, and p comes from the verdict. Directions are of the whole move, to the last step, and of
cutoffs whose futures do not overlap. The best of many stocks looks good by luck alone: in the sentence p is multiplied
by the number of stocks, and the interval of a direction is as much surer (Bonferroni).

This module trains nothing and reads no data.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from pipelines.errors import ForecastError

from ..text import aligned, number
from .backtest import Backtest
from .moves import Moves, moves
from .verdict import Against

BARS = ("naive", "arima")
NONE = float("nan")


@dataclass(frozen=True, eq=False)
class Stock:
    """A network's backtest on one stock.

    Attributes:
        name: Of the stock.
        backtest: With ARIMA beside the network.
        inputs: Columns that the network saw.
        missing: Columns that it would have seen, had they been there.
    """

    name: str
    backtest: Backtest
    inputs: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @cached_property
    def beside(self) -> dict[str, Against | None]:
        """How the network and ARIMA stand beside naive; None where nothing was observed."""
        return {name: self._beside(name) for name in (self.backtest.model, *BARS) if name != "naive"}

    @cached_property
    def moves(self) -> Moves:
        """What the network said of the whole moves."""
        return moves(self.backtest)

    @cached_property
    def rows(self) -> dict[str, dict[str, float]]:
        """A row of the table for the network, naive and ARIMA; NaN where there is no such score."""
        table: Any = self.backtest.scores.table.xs(self.backtest.targets[0], level="target")
        return {name: self._row(name, table["mae"]) for name in (self.backtest.model, *BARS)}

    def _row(self, name: str, mae: Any) -> dict[str, float]:
        beside, made = self.beside.get(name), moves(self.backtest, name=name)
        low, high = made.interval()
        return {
            "mae": float(mae[name]),
            "of_naive": 1 + beside.change if beside else 1.0 if name == "naive" else NONE,
            "p_value": beside.p_value if beside else NONE,
            "direction": made.accuracy,
            "low": low,
            "high": high,
            "up_share": made.up_share,
            "correlation": made.correlation,
            "moves": len(made),
        }

    def _beside(self, name: str) -> Against | None:
        """Returns the verdict's view of one of the forecasts, as if it were the model's."""
        y_pred = {one: self.backtest.y_pred[one] for one in (name, "naive")}
        one = replace(self.backtest, y_pred=y_pred, bands=None)
        return one.scores.verdicts[one.targets[0]].naive


@dataclass(frozen=True, eq=False)
class Stocks:
    """Backtests of one network's kind on some stocks; prints as a table and a sentence.

    Attributes:
        stocks: At least one.
        failed: What kept others from it: name and error.
    """

    stocks: tuple[Stock, ...]
    failed: tuple[tuple[str, ForecastError], ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """One row for each stock and forecast.

        Returns:
            Columns `mae` (in the stock's unit), `of_naive` (ratio), `p_value` (the chance that forecasts as good as
            naive look this different), `direction`, `low`, `high` and `up_share` (percent of the whole
            moves), `correlation` (of predicted with realised ones) and `moves`, how many there were.
        """
        rows = {(i, name): row for i, stock in enumerate(self.stocks) for name, row in stock.rows.items()}
        index = pd.MultiIndex.from_tuples([(self.stocks[i].name, n) for i, n in rows], names=["stock", "forecast"])
        return pd.DataFrame(list(rows.values()), index=index)

    @property
    def sentence(self) -> str:
        """Whether the network beats naive and ARIMA, and whether it knows directions."""
        return f"{self._errors()}; {self._arima()}; {self._directions()}."

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the columns, in sentences."""
        return [
            f"{stock.name} has no {' and no '.join(stock.missing)}: the network saw {', '.join(stock.inputs)}."
            for stock in self.stocks
            if stock.missing
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data."""
        spec = self.stocks[0].backtest.index.spec
        about = [
            {
                "stock": stock.name,
                "target": stock.backtest.targets[0],
                "inputs": list(stock.inputs),
                "missing": list(stock.missing),
                "unit": stock.backtest.unit,
                "cutoffs": len(stock.backtest.index),
                "scores": {n: {k: None if np.isnan(v) else v for k, v in r.items()} for n, r in stock.rows.items()},
            }
            for stock in self.stocks
        ]
        return {
            "model": self._model,
            "lookback": spec.lookback,
            "horizon": spec.horizon,
            "part": self.stocks[0].backtest.part,
            "stocks": about,
            "sentence": self.sentence,
            "failed": [{"stock": name, "error": f"{type(error).__name__}: {error}"} for name, error in self.failed],
        }

    def __str__(self) -> str:
        return "\n".join([self._title(), aligned(self._cells(), numbers=True, indent="  "), *self.notes, self.sentence])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head, *rows = ([escape(cell) for cell in row] for row in self._cells())
        lines = [f"<tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>"]
        lines += [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<b>{escape(self.sentence)}</b><p>{escape(self._title())}</p><table>{''.join(lines)}</table>{notes}"

    @property
    def _model(self) -> str:
        return self.stocks[0].backtest.model

    def _title(self) -> str:
        spec, whole = self.stocks[0].backtest.index.spec, max(self.stocks, key=lambda stock: len(stock.inputs))
        target = " or ".join(dict.fromkeys(stock.backtest.targets[0] for stock in self.stocks))
        units, scored = ({getattr(stock.backtest, of) for stock in self.stocks} for of in ("unit", "many"))
        unit = f", in {units.pop()}" if len(units) == 1 and units != {""} else ""
        on = f", on {scored.pop()}" if len(scored) == 1 else ""
        inputs = ", ".join(whole.inputs)
        return f"{self._model}: {spec.lookback} rows of {inputs} to the next {spec.horizon} of {target}{unit}{on}"

    def _cells(self) -> list[list[str]]:
        heads = ["mae", "of_naive", "p_value", "direction", "95 % interval", "up_share", "correlation", "moves"]
        several = len({stock.backtest.unit for stock in self.stocks}) > 1  # dollars of one, yuan of another
        names = [f"{s.name}, {s.backtest.unit}" if several and s.backtest.unit else s.name for s in self.stocks]
        width, cells = max(map(len, names)), [["", *heads]]
        for name, stock in zip(names, self.stocks, strict=True):
            for i, (forecast, row) in enumerate(stock.rows.items()):
                held = "-" if np.isnan(row["low"]) else f"{row['low']:.1f} to {row['high']:.1f}"
                shown = [
                    number(row["mae"]),
                    _digits(row["of_naive"], 3),
                    _digits(row["p_value"], 3),
                    _digits(row["direction"], 1),
                    held,
                    _digits(row["up_share"], 1),
                    _digits(row["correlation"], 2),
                    f"{row['moves']:,}",
                ]
                cells.append([f"{'' if i else name:{width}}  {forecast}", *shown])
        return cells

    def _errors(self) -> str:
        """Returns whether the network beats naive, and where it comes closest."""
        model, tried = self._model, len(self.stocks)
        known = [(stock, one) for stock in self.stocks if (one := stock.beside[model]) is not None]
        if not known:
            return f"{model} was not scored: nothing was observed"
        known = [(stock, replace(one, p_value=float(np.minimum(tried * one.p_value, 1)))) for stock, one in known]
        better = [(stock, one) for stock, one in known if one.outcome == "better"]
        stock, one = min(better or known, key=lambda pair: pair[1].change)
        size = one.size if tried == 1 or one.outcome == "untested" else f"{one.size[:-1]} for {tried} tries)"
        unit = f" {stock.backtest.unit}" if stock.backtest.unit else ""
        errors = f"{stock.name}: MAE {number(one.mine)} against {number(one.theirs)}{unit}{size}"
        if tried == 1:
            return f"{model} {'beats' if better else 'is not shown to beat'} naive on {errors}"
        if better:
            return f"{model} beats naive on {len(better)} of {tried} stocks, most on {errors}"
        return f"{model} is shown to beat naive on none of {tried} stocks, closest on {errors}"

    def _arima(self) -> str:
        lower = sum(stock.rows[self._model]["mae"] < stock.rows["arima"]["mae"] for stock in self.stocks)
        if len(self.stocks) == 1:
            return f"its error is {'' if lower else 'not '}below that of arima"
        return f"its error is below that of arima on {lower} of {len(self.stocks)}"

    def _directions(self) -> str:
        tried, horizon = len(self.stocks), self.stocks[0].backtest.index.spec.horizon
        knows = [stock for stock in self.stocks if stock.moves.interval(1 - 0.05 / tried)[0] > stock.moves.bar]
        ahead = f"its direction over {horizon} rows" if horizon > 1 else "its direction"
        if not knows:
            ways = {"down" if stock.moves.up_share < 50 else "up" for stock in self.stocks}
            return (
                f"{ahead} is not shown to be better than always saying {ways.pop() if len(ways) == 1 else 'the same'}"
            )
        names = ", ".join(stock.name for stock in knows)
        return f"{ahead} is right more often than always saying the same on {len(knows)} of {tried} ({names})"


def _digits(value: float, digits: int) -> str:
    return "-" if np.isnan(value) else f"{round(value, digits) + 0.0:.{digits}f}"  # no "-0.00"
