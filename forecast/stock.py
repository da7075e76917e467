"""Sixty rows of open, high, low, close and volume to the next five closes: does a network know where a stock goes?

    "AAPL.csv"          AAPL: Open High Low Close Volume  ->  its own network  ->  its backtest  -.
    "yahoo:SPY,MSFT"    SPY:  Open High Low Close Volume  ->  its own network  ->  its backtest  -+->  Stocks
                        MSFT: Open High Low Close Volume  ->  its own network  ->  its backtest  -'

Columns are found however they are spelt: "close" and "CLOSE", too. What one stock lacks, or why it fails, does not keep
the others from being scored. `evaluation/stocks.py` says what the backtests amount to.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipelines.errors import ConfigError, ForecastError
from pipelines.panel import Panel

from ._keras import load_keras
from .evaluation.beside import chosen
from .evaluation.stocks import Stock, Stocks
from .forecaster import Forecaster
from .prepare import Data, load_rows, value_columns

if TYPE_CHECKING:
    import keras

COLUMNS = ("Open", "High", "Low", "Close", "Volume")
BESIDE = ("arima",)  # besides the baselines that are always there


def stock(
    data: Data | Sequence[Data],
    model: str | dict[str, Any] | keras.Model | None = None,
    *,
    target: str = "Close",
    lookback: int = 60,
    horizon: int = 5,
    quiet: bool = False,
    **settings: Any,
) -> Stocks:
    """Trains a network for each stock, and scores its test part by error and direction beside naive and ARIMA.

    Args:
        data: One or more locators or DataFrames, each of one stock or of several.
        model: As for `Forecaster`.
        target: The column to predict, however it is spelt; the network sees it and the others of the five.
        lookback: Rows the network sees.
        horizon: Rows ahead.
        quiet: Show no progress.
        settings: Others of a `Forecaster`, such as `calendar="XNYS"`, `training={"epochs": 20}`.

    Returns:
        One table, one sentence: print it. Stocks that failed are in `.failed`.

    Raises:
        ConfigError, UnknownName: A setting is wrong, or statsmodels, which ARIMA needs, is not installed.
        ForecastError: No stock could be scored; of the first one's kind, and it names all.

    Example:
        >>> import forecast
        >>> found = stock("sample:goog", lookback=8, training={"epochs": 1}, quiet=True)
        >>> found.table.index.tolist()
        [('goog', 'lstm'), ('goog', 'naive'), ('goog', 'arima')]
    """
    plain = Forecaster(model, lookback=lookback, horizon=horizon, **settings)  # a wrong setting fails here, once
    chosen(BESIDE)
    load_keras()
    from .training.progress import Progress

    progress = Progress(quiet)
    found: list[Stock] = []
    failed: list[tuple[str, ForecastError]] = []
    for one in [data] if isinstance(data, str | os.PathLike | pd.DataFrame | pd.Series | Panel) else data:
        try:
            series = list(_series(one, target, plain))
        except ForecastError as error:
            failed.append((str(one) if isinstance(one, str | os.PathLike) else "data", error))
            continue
        for panel, columns in series:
            name = panel.ids[0]
            inputs = tuple(sorted(columns, key=_place))
            progress.say(f"{name}: {', '.join(inputs)}")
            try:
                own = Forecaster(model, config=plain.config.replace(target=columns[:1], past=columns[1:]))
                backtest = own.fit(panel, quiet=quiet).backtest(baselines=BESIDE)
            except ForecastError as error:
                failed.append((name, error))
            else:
                missing = tuple(one for one in COLUMNS if _place(one) not in map(_place, columns))
                found.append(Stock(name, backtest, inputs, missing))
    if found:
        return Stocks(tuple(found), tuple(failed))
    if failed:
        raise together(failed)
    raise ConfigError("There must be a stock to score. Received: none. Give a file or a locator.")


def together(failed: Sequence[tuple[str, ForecastError]]) -> ForecastError:
    """Returns one error for several stocks, of the first one's kind."""
    return type(failed[0][1])("\n".join(f"{name}: {error}" for name, error in failed))


def _series(data: Data, target: str, plain: Forecaster) -> Iterator[tuple[Panel, tuple[str, ...]]]:
    """Yields each series of some data with the target and the others of the five that there are, the target first.

    Raises:
        ConfigError: There is no column of the target's name.
        DataError: The rows cannot be used as they are.
        SourceError: The source failed.
    """
    if isinstance(data, Panel):
        panel, columns = data, _wanted(data.columns, target)
    else:
        rows = os.fspath(data) if isinstance(data, os.PathLike) else data
        frame, options = load_rows(rows, plain.config)
        columns = _wanted(value_columns(frame, options["id_col"], options["time_col"]), target)
        panel = Panel.from_frame(frame, columns=columns, **options)
    for s in range(len(panel.ids)):
        yield panel.take([s]), columns


def _wanted(there: Sequence[str], target: str) -> tuple[str, ...]:
    """Returns the target and the others of the five, as they are spelt there.

    Example:
        >>> _wanted(["open", "<CLOSE>", "Adj Close", "Dividends"], "Close")
        ('<CLOSE>', 'open')
    """
    plain = {_plain(name): name for name in reversed(there)}  # of two spellings the first
    exact = {name: name for name in there}
    found = [exact.get(name) or plain.get(_plain(name)) for name in (target, *COLUMNS)]
    if found[0] is None:
        raise ConfigError(
            f"One column must be {target!r}, or `target` must name another to predict. Received: {', '.join(there)}. "
            f"Choose one of these, such as --target {shlex.quote(there[-1])}."
        )
    return tuple(dict.fromkeys(name for name in found if name is not None))


def _place(name: str) -> int:
    """Returns where a column stands among the five; -1 where it is none of them."""
    return next((i for i, one in enumerate(COLUMNS) if _plain(one) == _plain(name)), -1)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))
