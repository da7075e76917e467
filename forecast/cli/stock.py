"""`forecast stock`: does a network know where stocks go? One table, one sentence."""

from typing import Annotated

import typer

from ._shared import ExchangeCalendar, Json, Model, Quiet, say, show_json


def stock(
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA...", help="Files, or scheme:locator, such as sample:goog or yahoo:AAPL,SPY."),
    ],
    model: Model = None,
    target: Annotated[str, typer.Option("--target", "-t", help="Column of the prices to predict.")] = "Close",
    lookback: Annotated[int, typer.Option(help="Rows the network sees.")] = 60,
    horizon: Annotated[int, typer.Option(help="Rows ahead.")] = 5,
    calendar: ExchangeCalendar = None,
    epochs: Annotated[int | None, typer.Option(help="At most so many. [default: 100]")] = None,
    seed: Annotated[int, typer.Option(help="Of weights and order.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Learn closes from open, high, low, close and volume; score errors and directions beside naive and ARIMA.

    Each stock gets a network of its own, which is scored on the stock's last rows and not kept.

    Example: forecast stock AAPL.csv SPY.csv --calendar XNYS
    """
    from ..stock import stock as scored
    from ..stock import together

    result = scored(
        data,
        model,
        target=target,
        lookback=lookback,
        horizon=horizon,
        calendar=calendar,
        training={} if epochs is None else {"epochs": epochs},
        seed=seed,
        quiet=quiet,
    )
    if as_json:
        show_json(result.to_dict())
    else:
        say(result)
    if result.failed:
        raise together(result.failed)
