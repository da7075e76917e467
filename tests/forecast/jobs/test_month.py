"""A month of real sessions: a backfill, the truth day by day, and prices that double on the fifteenth day."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from forecast import Forecaster
from forecast.jobs import backfill, run, score, status

EXAMPLE = Path(__file__).parents[3] / "examples" / "nightly_stocks.yaml"
QUERY = "SELECT ticker AS unique_id, day AS ds, close AS Close FROM prices WHERE date(day) <= :as_of"
LOOKBACK, HORIZON = 20, 5


@pytest.fixture(scope="module")
def prices(shared_data):
    """Adjusted closes of six tickers since 2016: `ticker, day, close`."""
    rows = pd.read_csv(shared_data / "stocks" / "us_daily_6tickers.csv.gz")
    rows = rows.rename(columns={"Ticker": "ticker", "Date": "day", "Adj Close": "close"})
    return rows.loc[rows["day"] >= "2016-01-01", ["ticker", "day", "close"]]


@pytest.fixture(scope="module")
def sessions(prices):
    """The 22 sessions of February and March 2021 that are forecast from."""
    return sorted(prices["day"].unique())[-30:-8]


@pytest.fixture(scope="module")
def six(prices, sessions, tmp_path_factory):
    """A folder with a bundle that learned from what was before these sessions."""
    folder = tmp_path_factory.mktemp("six")
    rows = prices.rename(columns={"ticker": "unique_id", "day": "ds", "close": "Close"})
    rows = rows[rows["ds"] < sessions[0]].assign(ds=lambda table: pd.to_datetime(table["ds"]))
    settings = {"calendar": "XNYS", "target": "Close", "split": {"test": 0, "calibration": 0.2}, "seed": 0}
    model = Forecaster(model={"name": "lstm", "units": 4}, lookback=LOOKBACK, horizon=HORIZON, **settings)
    model.fit(rows, quiet=True, epochs=1).save("six", folder)
    return folder


@pytest.fixture
def nightly(six, prices, tmp_path):
    """Writes prices into a SQLite file and the example's job file on them."""

    def write(rows=prices):
        with closing(sqlite3.connect(tmp_path / "prices.db")) as base:
            rows.to_sql("prices", base, if_exists="replace", index=False)
        job = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
        job |= {"source": f"sqlite:prices.db?query={QUERY}", "bundle": str(six / "six" / "1"), "output": "out"}
        job["gates"]["freshness"] = 1
        path = tmp_path / "nightly_stocks.yaml"
        path.write_text(yaml.safe_dump(job), encoding="utf-8")
        return path

    return write


@pytest.mark.shared_data
def test_the_example_runs_on_six_tickers_of_a_database(nightly, sessions):
    path = nightly()
    first = run(path, sessions[-1])
    assert first.about["counts"]["ok"] == 6
    assert run(path, sessions[-1]).status == "unchanged"
    assert [(one["status"], one["current"]) for one in status(path)] == [("published", True)]


@pytest.mark.shared_data
def test_a_month_of_forecasts_is_scored_as_truth_arrives_and_a_doubling_is_seen_at_once(nightly, prices, sessions):
    doubled = prices.copy()
    doubled.loc[doubled["day"] >= sessions[14], "close"] *= 2  # from the fifteenth session on
    path = nightly(doubled)
    done = backfill(path, sessions[0], sessions[-1])
    assert [one.as_of for one in done] == sessions
    assert {one.status for one in done} == {"published"}
    for n, day in enumerate(sessions):  # as of each day only the rows up to it are read
        found = score(path, day)
        due = [min(HORIZON, n - k) for k in range(n + 1)]
        assert found.cutoffs["waiting"].tolist() == [6 * (HORIZON - known) for known in due]
        one_sided = found.alarms[found.alarms["kind"] != "size"]
        if n < 14:
            assert not len(one_sided)
        else:
            assert set(one_sided["unique_id"]) == set(prices["ticker"])
            assert set(one_sided["as_of"]) == {sessions[13]}  # what was forecast of the fifteenth
    table = forecasts_by_hand(path, doubled)
    for _, own in table.groupby("unique_id"):
        assert own["error"].notna().all()
    mine = found.rows[found.rows["known"] == HORIZON].set_index(["unique_id", "as_of"])["error"]
    by_hand = table.set_index(["unique_id", "as_of"])["error"].reindex(mine.index)
    np.testing.assert_allclose(mine, by_hand, rtol=0, atol=5e-5)  # dollars; a panel keeps seven digits of a price
    assert found.plot().get_title().startswith("nightly_stocks: error of 21 published forecasts")


def forecasts_by_hand(path, prices):
    """Returns the mean absolute error of each series and as_of whose truth is known, by pandas."""
    truth = prices.rename(columns={"ticker": "unique_id", "day": "ds"}).assign(ds=lambda t: pd.to_datetime(t["ds"]))
    parts = []
    for one in status(path):
        table = pd.read_parquet(Path(one["folder"]) / "forecasts.parquet").merge(truth, on=["unique_id", "ds"])
        error = (table["close"] - table["y_pred"]).abs().groupby(table["unique_id"]).mean()
        parts.append(error.rename("error").reset_index().assign(as_of=one["as_of"]))
    return pd.concat(parts)
