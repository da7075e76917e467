"""Describe: what the data are, before anybody trains on them."""

import json

import numpy as np
import pandas as pd
import pytest

from forecast.describe import describe
from pipelines.errors import ConfigError, DataError, UnknownName
from pipelines.sources import load


def hours(rows=200, **columns):
    base = {"y": 20 + np.sin(np.arange(rows) / 4)}
    return pd.DataFrame({**base, **columns}, index=pd.date_range("2024-01-01", periods=rows, freq="h", name="ds"))


def test_a_sample_is_described_by_its_facts():
    facts = describe("sample:goog").facts
    assert facts["rows"] == 1047
    assert facts["series"] == 1
    assert (facts["freq"], facts["season length"], facts["unit"]) == ("XNYS", 5, "dollars")
    assert (facts["first"], facts["last"]) == ("2004-08-19", "2008-10-14")


def test_columns_have_the_smallest_the_middle_and_the_largest_value():
    prices = load("sample:goog")["Close"].astype(np.float32)
    row = describe("sample:goog").columns.loc["Close"]
    assert (row["kind"], row["missing"]) == ("number", 0)
    assert [row["smallest"], row["median"], row["largest"]] == pytest.approx(
        [prices.min(), prices.median(), prices.max()]
    )


def test_missing_and_infinite_values_are_counted_and_do_not_move_the_range():
    frame = hours()
    frame.iloc[[3, 5, 9]] = [[np.nan], [np.inf], [-np.inf]]
    row = describe(frame).columns.loc["y"]
    assert row["missing"] == 3
    assert row["largest"] < 22
    assert row["smallest"] > 18


def test_text_columns_are_listed_and_left_out():
    description = describe(hours(weather="rain", open_=True))
    assert description.columns["kind"].to_dict() == {"y": "number", "open_": "number", "weather": "text"}


def test_faults_are_found_and_it_is_said_what_cleaning_would_do():
    frame = hours().drop(index=pd.date_range("2024-01-03 05:00", periods=4, freq="h"))
    frame = pd.concat([frame, frame.iloc[[10]]]).sort_index()
    frame.iloc[30] = 9999.0
    text = "\n".join(describe(frame).findings)
    assert "1 duplicate stamp (first at 2024-01-01 10:00:00): kept the last" in text
    assert "4 missing rows (first at 2024-01-03 05:00:00, longest gap 4 rows)" in text
    assert "1 outlier in y (such as 9,999; usual is " in text
    assert "Nothing to clean." not in text
    assert frame["y"].max() == 9999.0  # nothing was changed


def test_good_data_need_no_cleaning():
    assert describe(hours()).findings == ["Nothing to clean."]


def test_a_raw_price_that_falls_to_a_seventh_overnight_is_called_a_split():
    days = pd.bdate_range("2014-01-01", periods=200)
    close = np.where(np.arange(200) < 100, 645.0, 645.0 / 7) * np.exp(np.random.default_rng(0).normal(0, 0.01, 200))
    text = "\n".join(describe(pd.DataFrame({"Close": close}, index=days)).findings)
    assert "split" in text.lower()
    assert "7" in text
    assert "2014-05-21" in text


def test_many_series_have_a_range_of_lengths():
    facts = describe("sample:stocks").facts
    assert facts["series"] == 8
    lengths = load("sample:stocks")["unique_id"].value_counts()
    assert facts["rows per series"] == f"{lengths.min()} .. {lengths.max()}"


def test_a_description_prints_and_is_plain_data():
    description = describe(hours(weather="rain"))
    text = str(description)
    for word in ("rows", "200", "freq", "h", "weather", "Nothing to clean."):
        assert word in text
    again = json.loads(json.dumps(description.to_dict(), allow_nan=False))
    assert again["rows"] == 200
    assert again["columns"]["y"]["largest"] == pytest.approx(21, abs=0.01)
    assert again["columns"]["weather"] == {
        "kind": "text",
        "missing": None,
        "smallest": None,
        "median": None,
        "largest": None,
    }


def test_settings_decide_how_the_rows_are_read():
    frame = hours().reset_index().rename(columns={"ds": "when"}).assign(shop="a")
    facts = describe(frame, id_col="shop", time_col="when", freq="30min").facts
    assert (facts["series"], facts["freq"]) == (1, "30min")
    with pytest.raises(UnknownName, match=r"No column .* is called 'wen'"):
        describe(frame, id_col="shop", time_col="wen")
    with pytest.raises(ConfigError, match=r"has no setting 'frequency'\. "):
        describe(frame, frequency="h")


def test_two_levels_of_columns_are_described_like_long_rows():
    columns = pd.MultiIndex.from_product([["Close", "Volume"], ["AAPL", "IBM"]], names=["Price", "Ticker"])
    frame = pd.DataFrame(
        np.random.default_rng(0).random((50, 4)) + 1, index=pd.date_range("2024-01-01", periods=50), columns=columns
    )
    description = describe(frame)
    assert (description.facts["series"], description.facts["rows"]) == (2, 100)
    assert description.columns.index.tolist() == ["Close", "Volume"]


def test_data_without_a_number_are_a_data_error():
    with pytest.raises(DataError, match=r"At least one column must hold numbers\. Received: y\b"):
        describe(hours().astype(str))


@pytest.mark.shared_data
def test_a_motorway_with_every_fault_is_described(shared_data):
    description = describe(str(shared_data / "sensor" / "traffic_volume.csv.gz"))
    text = "\n".join(description.findings)
    assert description.facts["rows"] == 48204
    assert "7,629 duplicate stamps" in text
    assert "11,976 missing rows" in text
    assert "such as 9,831" in text  # millimetres of rain in one hour
