"""Split cliffs are found in raw prices, and not where a market falls."""

import numpy as np
import pandas as pd
import pytest

from pipelines.panel import Panel
from pipelines.stock_splits import find_split_cliffs


def prices(close, **more):
    days = pd.bdate_range("2020-01-01", periods=len(close))
    return Panel.from_frame(pd.DataFrame({"Close": close, **more}, index=days))


def walk(rows=200, seed=0):
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, rows)))


@pytest.mark.parametrize("ratio", [2, 7, 1 / 10])
def test_a_split_is_found_with_its_day_and_ratio(ratio):
    close = walk()
    close[120:] /= ratio
    (sentence,) = find_split_cliffs(prices(close))
    day = pd.bdate_range("2020-01-01", periods=200)[120].date()
    # The day's own move of about 1 % is in the ratio, too.
    assert f"series: Close has 1 split cliff (first on {day}, ratio " in sentence
    assert float(sentence.split("ratio ")[1].split(")")[0]) == pytest.approx(ratio, rel=0.03)
    assert "use adjusted prices" in sentence


def test_adjusted_prices_tell_splits_from_moves_of_the_market():
    adjusted = walk()
    adjusted[50:] /= 2  # a crash, in both columns
    raw = adjusted * np.where(np.arange(200) < 120, 3, 1)
    (sentence,) = find_split_cliffs(prices(raw, **{"Adj Close": adjusted}))
    day = pd.bdate_range("2020-01-01", periods=200)[120].date()
    assert sentence == (
        f"series: Close has 1 split cliff (first on {day}, ratio 3): these are raw prices, and splits look like "
        "crashes; use 'Adj Close'."
    )


def test_a_walk_a_fall_by_a_third_and_missing_days_are_no_splits():
    close = walk()
    close[100:] *= 2 / 3
    close[20:25] = np.nan
    assert find_split_cliffs(prices(close)) == []


def test_a_wild_series_of_small_numbers_is_no_stock_with_splits():
    counts = np.random.default_rng(0).integers(1, 9, 300).astype(float)
    assert find_split_cliffs(prices(counts)) == []


@pytest.mark.parametrize("close", [[], [1.0], [0.0, 0.0, 5.0], [-1.0, 2.0, -4.0], [np.nan] * 5])
def test_odd_rows_are_no_error(close):
    panel = prices(np.array([1.0, *close]))
    assert find_split_cliffs(panel) == []


@pytest.mark.shared_data
def test_the_four_splits_of_apple_are_found_in_quotes_as_traded(shared_data):
    frame = pd.read_csv(shared_data / "stocks/us_daily_6tickers.csv.gz", parse_dates=["Date"])
    panel = Panel.from_frame(frame.rename(columns={"Date": "ds", "Ticker": "unique_id"}))
    found = {sentence.split(":")[0]: sentence for sentence in find_split_cliffs(panel)}
    # 2000-06-21 2:1, 2005-02-28 2:1, 2014-06-09 7:1, 2020-08-31 4:1
    assert "Close has 4 split cliffs (first on 2000-06-21, ratio 2)" in found["AAPL"]
    assert "SPY" not in found
