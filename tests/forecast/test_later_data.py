"""What happens to a fitted forecaster, and to rows that come after the fit."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast import Forecaster
from forecast._keras import load_keras
from pipelines.errors import ConfigError, DataError
from pipelines.panel import Panel
from pipelines.sources import load, name_of

keras = load_keras()

TINY = {"model": {"name": "lstm", "units": 4}, "training": {"epochs": 1}, "lookback": 8, "horizon": 3}


def walk(rows=300, start="2024-01-01"):
    values = 100 + np.cumsum(np.random.default_rng(0).normal(0, 1, rows))
    return pd.DataFrame({"y": values}, index=pd.date_range(start, periods=rows, name="ds"))


@pytest.fixture(scope="module")
def goog():
    return Forecaster(**TINY, target="Close").fit("sample:goog", quiet=True)


def test_later_rows_are_dated_by_the_calendar_of_the_training_rows(goog, tmp_path):
    plain = load("sample:goog").loc[:"2005-11-23"].copy()
    plain.attrs = {}  # nobody says XNYS any more
    goog.save("goog", tmp_path)
    for model in (goog, Forecaster.load("goog", tmp_path)):
        assert model.predict(1, data=plain)["ds"].dt.strftime("%Y-%m-%d").tolist() == ["2005-11-25"]  # not Thanksgiving


def test_a_picture_of_other_rows_changes_nothing(goog):
    before = goog.predict()
    goog.plot("splits", data=load("sample:goog").iloc[:900])
    pd.testing.assert_frame_equal(goog.predict(), before)


def test_a_fit_that_fails_leaves_the_settings_as_they_were(goog):
    with pytest.raises(ConfigError):
        goog.fit("sample:goog", quiet=True, loss="nope")
    assert goog.config.training.loss == "auto"


def test_integer_series_are_scored_on_rows_after_those_trained_on():
    rows = pd.DataFrame({"y": walk()["y"].to_numpy()})
    model = Forecaster(**TINY).fit(rows, quiet=True)
    first = model.backtest().frame()["ds"].min()
    assert model.backtest(rows.iloc[:280]).frame()["ds"].min() == first
    with pytest.raises(DataError, match="The test part must hold one window"):
        model.backtest(rows.iloc[:150])


def test_integer_stamps_that_do_not_count_rows_are_refused():
    dates = walk().index.strftime("%Y%m%d").astype(int)
    for stamps in (dates, 10 * np.arange(300)):
        with pytest.raises(DataError, match=r"Integer stamps count rows.*pd\.to_datetime"):
            Panel.from_frame(walk().set_index(stamps))


def test_hourly_rows_have_no_exchange_calendar():
    rows = walk().set_index(pd.date_range("2024-01-02 09:30", periods=300, freq="h"))
    with pytest.raises(ConfigError, match=r"calendar='XNYS' for rows every 0 days 01:00:00.*freq='h'"):
        Panel.from_frame(rows, calendar="XNYS")


def test_a_panel_takes_the_calendar_that_is_asked_for():
    panel = Panel.from_frame(load("sample:goog"), columns=["Close"], freq="B")
    model = Forecaster(**TINY, calendar="XNYS").fit(panel, quiet=True)
    assert model.panel_.calendars[0].code == "XNYS"


def test_a_column_too_fine_for_seven_digits_is_pointed_out():
    assert "kept to seven digits" in Panel.from_frame(walk() + 1.7e9).notes[0]
    assert not Panel.from_frame(walk()).notes


def test_a_forecast_that_is_no_number_is_an_error_and_not_left_out():
    rows = walk()
    rows.loc[rows.index[-30:], "y"] = 20.0  # below everything seen in training: the logarithm of a negative number
    past = keras.Input((8, 1), name="past")
    mean = keras.layers.GlobalAveragePooling1D()(past)
    own = keras.Model(past, keras.layers.Dense(3)(keras.ops.log(mean)))
    settings = {**TINY, "model": own, "normalize": "none"}
    model = Forecaster(**settings).fit(rows, quiet=True)
    with pytest.raises(DataError, match="Every forecast of own must be a number"):
        model.evaluate()
    with pytest.raises(DataError, match="Every forecast must be a number"):
        model.predict()


def test_static_covariates_survive_a_gap_at_the_start_of_the_last_rows():
    rows = pd.concat(
        [walk().reset_index().assign(unique_id=name, size=size) for name, size in (("a", 1.0), ("b", 2.0))]
    )
    rows = rows[rows["ds"] != walk().index[-32]]
    past, static = keras.Input((8, 1), name="past"), keras.Input((1,), name="static")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(past), static])
    own = keras.Model({"past": past, "static": static}, keras.layers.Dense(3)(joined))
    settings = {**TINY, "model": own, "target": "y", "static": ["size"]}
    assert np.isfinite(Forecaster(**settings).fit(rows, quiet=True).predict()["y_pred"]).all()


@pytest.mark.parametrize("wrong", [[1.0, 2.0], np.arange(9.0), None])
def test_data_of_another_type_is_refused_by_name(wrong):
    with pytest.raises(DataError, match=f"Received: {type(wrong).__name__}"):
        Forecaster(**TINY).fit(wrong, quiet=True)


def test_a_file_is_found_again_from_another_folder(tmp_path, monkeypatch):
    walk().to_csv(tmp_path / "rows.csv")
    monkeypatch.chdir(tmp_path)
    model = Forecaster(**TINY).fit(Path("rows.csv"), quiet=True)
    monkeypatch.chdir(os.sep)
    assert len(model.predict(data=model.source_)) == 3


def test_nothing_is_no_data():
    with pytest.raises(ConfigError, match="Received: nothing"):
        load(" ")


def test_names_of_bundles_stay_apart_where_letters_are_left_out():
    assert name_of("价格.csv") != name_of("销售.csv")


def test_future_rows_may_be_named_and_dated_as_the_training_rows():
    rows = walk().assign(promo=np.arange(300) % 2).rename_axis("Date").reset_index()
    rows["Date"] = rows["Date"].dt.tz_localize("America/New_York")
    past, known = keras.Input((8, 2), name="past"), keras.Input((11, 1), name="known")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(past), keras.layers.Flatten()(known)])
    own = keras.Model({"past": past, "known": known}, keras.layers.Dense(3)(joined))
    model = Forecaster(**{**TINY, "model": own, "target": "y", "known": ["promo"], "time_col": "Date", "gap": 1})
    ahead = pd.date_range(rows["Date"].iloc[-1].tz_localize(None), periods=5)[2:]  # the gap's row is not needed
    frame = model.fit(rows, quiet=True).predict(future=pd.DataFrame({"Date": ahead, "promo": [1.0, 0.0, 1.0]}))
    assert frame["ds"].dt.tz_localize(None).tolist() == ahead.tolist()
