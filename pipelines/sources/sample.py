"""Real prices that need no network: the samples that come with matplotlib, this project's own dependency.

    sample:goog     daily open, high, low, close, volume of Google, 1,047 sessions, 2004-08-19 to 2008-10-14
    sample:stocks   monthly adjusted closes of eight companies, 1990 to 2022; some of them start later

`sample:stocks` leaves out what is no company's month: two indices, and the rows of days on which dividends were paid.
Both were recorded from Yahoo Finance. Nothing is drawn, and pyplot is not imported.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..errors import SourceError, UnknownName

EXAMPLES = ("sample:goog", "sample:stocks")

_NAMES = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume", "adj_close": "Adj Close"}


def load(locator: str) -> pd.DataFrame:
    """Returns a sample.

    Args:
        locator: "goog" for one series with its dates in the index, "stocks" for a long frame.

    Raises:
        UnknownName: There is no such sample.
        SourceError: The installed matplotlib does not carry it.

    Example:
        >>> load("goog").loc["2004-08-19", "Close"].item()
        100.34
        >>> load("stocks")["unique_id"].unique().tolist()
        ['IBM', 'AAPL', 'MSFT', 'XRX', 'AMZN', 'DELL', 'GOOGL', 'ADBE']
    """
    if locator not in _SAMPLES:
        raise UnknownName.of("sample", locator, _SAMPLES)
    file, read = _SAMPLES[locator]
    from matplotlib import cbook

    try:
        path = cbook.get_sample_data(file, asfileobj=False)
        return read(path)
    except (OSError, KeyError, ValueError) as error:
        raise SourceError(
            f"matplotlib must carry its sample {file}. Received: {error}. "
            "Install another version of matplotlib, or load data of your own."
        ) from None


def _goog(path: Any) -> pd.DataFrame:
    with np.load(path, allow_pickle=False) as archive:
        records = archive["price_data"]  # (R,) with a field per column
    dates = pd.DatetimeIndex(records["date"].astype("datetime64[ns]"), name="Date")
    frame = pd.DataFrame({name: records[field] for field, name in _NAMES.items()}, index=dates)
    # Google trades on NASDAQ, whose sessions are those of the New York Stock Exchange.
    frame.attrs.update(calendar="XNYS", unit="dollars", notes=[])
    return frame


def _stocks(path: Any) -> pd.DataFrame:
    table = pd.read_csv(path, comment="#", index_col="Date")
    table.index = pd.to_datetime(table.index, format="%Y-%m-%d")
    months = table[table.index.day == 1].drop(columns=["^GSPC", "^IXIC"])
    parts = [
        pd.DataFrame({"unique_id": name, "ds": prices.index, "Adj Close": prices.to_numpy()})
        for name, column in months.items()
        if len(prices := column.dropna())
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs.update(unit="dollars", notes=["Two indices and the days of dividends were left out."])
    return frame


_SAMPLES: dict[str, tuple[str, Callable[[Any], pd.DataFrame]]] = {
    "goog": ("goog.npz", _goog),
    "stocks": ("Stocks.csv", _stocks),
}
