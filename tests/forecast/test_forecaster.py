"""Forecaster: the story of a first forecast, what it refuses, and that nothing after a cutoff reaches a forecast."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast import Forecaster
from forecast._keras import load_keras
from pipelines.errors import ConfigError, DataError, NotFitted, SeriesTooShort, UnknownName
from pipelines.panel import Panel
from pipelines.sources import load

keras = load_keras()

TINY = {"model": {"name": "lstm", "units": 4}, "training": {"epochs": 1}}

# The sessions of New York around Google's last row: a copy of the exchange's own list for October and November 2008.
NEXT_SESSIONS = ["2008-10-15", "2008-10-16", "2008-10-17", "2008-10-20", "2008-10-21", "2008-10-22", "2008-10-23"]


def tiny(**settings):
    return Forecaster(**{**TINY, "lookback": 8, "horizon": 2, **settings})


def walk(rows=200, seed=0, start="2022-01-01", level=50.0):
    values = level + np.cumsum(np.random.default_rng(seed).normal(0, 1, rows))
    return pd.DataFrame({"y": values}, index=pd.date_range(start, periods=rows, name="ds"))


def many(**series):
    """Returns the long frame of several series by name."""
    return pd.concat([one.reset_index().assign(unique_id=name) for name, one in series.items()], ignore_index=True)


def same_training(one, other):
    """True where losses and weights are the same to the last bit; the losses, because the best may be the untrained."""
    weights = zip(one.network_.get_weights(), other.network_.get_weights(), strict=True)
    return one.run_.history.equals(other.run_.history) and all((a == b).all() for a, b in weights)


@pytest.fixture(scope="module")
def goog():
    model = Forecaster(
        model={"name": "lstm", "units": 8}, target="Close", lookback=20, horizon=5, training={"epochs": 2}
    )
    return model.fit("sample:goog", quiet=True)


@pytest.fixture(scope="module")
def fitted():
    return tiny().fit(walk(), quiet=True)


# --- the story --------------------------------------------------------------------------------------------------------


def test_the_next_five_sessions_have_dates_and_prices(goog):
    frame = goog.predict(steps=5)
    ends = [f"y_pred_{side}_{level}" for level in (80, 95) for side in ("lo", "hi")]
    assert frame.columns.tolist() == ["unique_id", "target", "ds", "cutoff", "step", "y_pred", *ends]
    assert frame["ds"].dt.strftime("%Y-%m-%d").tolist() == NEXT_SESSIONS[:5]
    assert frame["cutoff"].unique().tolist() == [pd.Timestamp("2008-10-14")]
    assert frame["step"].tolist() == [1, 2, 3, 4, 5]
    assert (frame["unique_id"].unique(), frame["target"].unique()) == (["goog"], ["Close"])
    last = load("sample:goog")["Close"].iloc[-1]
    assert (abs(frame["y_pred"] / last - 1) < 0.15).all()  # prices, not scaled values
    assert frame.attrs["cold"] == frame.attrs["skipped"] == frame.attrs["provisional"] == []


def test_what_is_known_of_the_data_is_kept(goog):
    assert (goog.source_, goog.unit_, goog.target) == ("sample:goog", "dollars", ("Close",))
    assert goog.network_.input_shape == (None, 20, 1)
    assert len(goog.run_.history) == 3
    parts = goog.splits_.describe(goog.panel_)
    assert [parts[part]["rows"] for part in ("train", "validation", "calibration", "test")] == [628, 105, 105, 209]


def test_fewer_steps_than_the_horizon_are_its_first(goog):
    whole = goog.predict()
    pd.testing.assert_frame_equal(goog.predict(steps=2), whole.iloc[:2])
    assert len(whole) == 5


def test_a_frame_gives_the_same_forecast_as_the_locator_and_fewer_rows_an_earlier_one(goog):
    frame = load("sample:goog")
    pd.testing.assert_frame_equal(goog.predict(data=frame), goog.predict())
    earlier = goog.predict(data=frame.iloc[:-5])
    assert earlier["ds"].tolist() == frame.index[-5:].tolist()
    before = goog.backtest().frame().query("cutoff == @earlier.cutoff[0]")
    np.testing.assert_allclose(before["y_pred"], earlier["y_pred"], rtol=1e-6)


def test_few_rows_before_the_cutoff_are_enough_to_predict(goog):
    pd.testing.assert_frame_equal(goog.predict(data=load("sample:goog").iloc[-20:]), goog.predict())
    with pytest.raises(DataError, match=r"needs the last 20 rows .* Received: 19 rows in the longest series, 'goog'"):
        goog.predict(data=load("sample:goog").iloc[-19:])


def test_a_level_forecast_moves_with_the_level_of_the_rows(goog):
    frame = load("sample:goog")
    moved = goog.predict(data=frame.assign(Close=frame["Close"] + 250))
    np.testing.assert_allclose(moved["y_pred"], goog.predict()["y_pred"] + 250, atol=0.002)


# --- before fit, and settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["predict", "evaluate", "backtest", "plot"])
@pytest.mark.parametrize("rows", [None, "synthetic:sine?rows=50"])
def test_nothing_comes_before_fit(action, rows):
    with pytest.raises(NotFitted, match=r"[Cc]all fit\(data\)"):
        getattr(tiny(), action)(data=rows)


@pytest.mark.parametrize("use", [lambda m: m.save("x"), lambda m: m.attach(walk()), lambda m: m.network_])
def test_nothing_is_kept_or_shown_before_fit(use):
    with pytest.raises(NotFitted, match=r"[Cc]all fit\(data\)"):
        use(tiny())


def test_a_fit_that_fails_leaves_the_forecaster_as_it_was(fitted):
    before = fitted.predict()
    with pytest.raises(SeriesTooShort):
        fitted.fit(walk(9), quiet=True)
    pd.testing.assert_frame_equal(fitted.predict(), before)


def test_settings_come_from_a_config_and_arguments_go_over_it():
    config = forecast.ForecastConfig(
        model={"name": "lstm", "units": 8}, lookback=9, training={"epochs": 3, "patience": 2}
    )
    model = Forecaster(config=config, horizon=4, training={"epochs": 7})
    assert (model.config.lookback, model.config.horizon) == (9, 4)
    assert (model.config.training.epochs, model.config.training.patience) == (7, 2)
    assert model.config.model.options == {"units": 8}
    assert Forecaster("stacked_lstm", config=config).config.model.options == {}  # options belong to their model
    assert Forecaster(model={"name": "lstm", "units": 2}, config=config).config.model.options == {"units": 2}


def test_training_settings_of_fit_go_over_those_of_the_forecaster():
    model = tiny().fit(walk(60), quiet=True, epochs=2, patience=4)
    assert len(model.run_.history) == 3
    assert (model.config.training.epochs, model.config.training.patience) == (2, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lookbak": 3}, r"has no setting 'lookbak'\. Did you mean 'lookback'\?"),
        ({"horizon": 0}, r"`horizon` must be an integer >= 1\. Received: 0"),
        ({"predict": "price"}, r"`predict` must be one of 'level' or 'return'\. Received: 'price'"),
        ({"training": {"epochs": "many"}}, r"epochs` must be an integer\. Received: 'many'"),
        ({"freq": "D", "calendar": "XNYS"}, r"Give `freq` or `calendar`, not both"),
        ({"model": {"name": "lstm", "unitz": 3}}, r"`lstm` has no setting 'unitz'"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**settings).fit(walk(), quiet=True)


@pytest.mark.parametrize("steps", [0, -1, 1.5, "5", True])
def test_steps_are_a_whole_number_from_1(fitted, steps):
    with pytest.raises(ConfigError, match=r"`steps` must be an integer >= 1\. Received: "):
        fitted.predict(steps=steps)


def test_importing_the_package_loads_no_tensorflow():
    program = "import sys, forecast; forecast.Forecaster; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


# --- what data may be -------------------------------------------------------------------------------------------------


def test_among_several_columns_the_target_must_be_named():
    with pytest.raises(
        ConfigError, match=r"`target` must say which column to predict\. Choose from: Open, High, Low, Close"
    ):
        tiny().fit("sample:goog")
    with pytest.raises(UnknownName, match=r"No column is called 'close'\. Did you mean 'Close'\?"):
        tiny(target="close").fit("sample:goog")


def test_too_few_rows_say_how_many_are_missing():
    with pytest.raises(
        SeriesTooShort,
        match=r"needs 10 rows \(lookback 8 \+ gap 0 \+ horizon 2\)\. Received: 6 rows of training \(60 % of all\) "
        r".*Give 7 more, or shorten the window by 4",
    ):
        tiny().fit(walk(10))
    with pytest.raises(SeriesTooShort, match=r"Received: 1 rows? of training"):
        tiny().fit(walk(1))
    with pytest.raises(DataError, match=r"at least one row"):
        tiny().fit(walk(0))


def test_validation_must_hold_a_whole_future():
    with pytest.raises(
        DataError, match=r"future of 2 rows lies in validation\. Received: 1 validation rows?\. Raise split\.validation"
    ):
        tiny(split={"validation": 0.02}).fit(walk(50))
    panel = pd.concat([walk(50).assign(unique_id=one) for one in "abc"])
    with pytest.raises(
        DataError, match=r"1 validation rows in the longest of 3 series\. Raise split\.validation to 2 rows"
    ):
        tiny(split={"validation": 0.02}, id_col="unique_id").fit(panel)


def test_a_target_without_values_is_a_data_error_that_names_it():
    with pytest.raises(DataError, match=r"'y'"):
        tiny().fit(walk().assign(y=np.nan))
    with pytest.raises(DataError, match=r"'y'"):
        tiny().fit(walk().assign(y=np.inf))


def test_infinite_values_are_taken_as_missing_and_reported():
    frame = walk()
    frame.iloc[[20, 60]] = [[np.inf], [-np.inf]]
    model = tiny().fit(frame, quiet=True)
    assert "2 infinite values (in y): taken as missing" in str(model.report_)
    assert np.isfinite(model.predict()["y_pred"]).all()


def test_unsorted_rows_and_duplicate_stamps_are_repaired_and_reported():
    frame = walk()
    clean = tiny().fit(frame, quiet=True)
    messy = pd.concat([frame.iloc[[50]] + 99, frame]).iloc[::-1]  # of two rows with one stamp, the last in time order
    repaired = tiny(cleaning={"duplicates": "first"}).fit(messy, quiet=True)
    assert "duplicate stamp" in str(repaired.report_)
    assert "sorted by stamp" in str(repaired.report_)
    assert same_training(clean, repaired)
    with pytest.raises(
        DataError, match=r"1 duplicate stamps? in series 'series', the first at 2022-02-20\. Remove them, or choose"
    ):
        tiny(cleaning={"duplicates": "error"}).fit(messy)


def test_mixed_time_zones_are_a_data_error_that_says_how_to_repair_them():
    stamps = [pd.Timestamp("2022-01-01", tz="UTC") + pd.Timedelta(days=d) for d in range(50)]
    stamps[3] = stamps[3].tz_convert("Asia/Tokyo")
    frame = pd.DataFrame({"ds": pd.Series(stamps, dtype=object), "y": np.arange(50.0)})
    with pytest.raises(DataError, match=r"column 'ds' mix time zones.*utc=True"):
        tiny().fit(frame)


def test_text_in_the_target_is_a_data_error_that_names_the_column():
    with pytest.raises(DataError, match=r"column 'y' of dtype .*'n/a'"):
        tiny().fit(walk().assign(y="n/a"))


def test_integer_stamps_go_on_counting():
    model = tiny().fit(walk().reset_index(drop=True), quiet=True)
    frame = model.predict()
    assert frame["ds"].tolist() == [200, 201]
    assert frame["cutoff"].tolist() == [199, 199]
    parts = model.splits_.describe(model.panel_)
    assert [parts[part]["rows"] for part in ("train", "validation", "test")] == [120, 20, 40]


def test_stamps_keep_their_time_zone():
    hours = pd.date_range(
        "2024-03-30", periods=100, freq="h", tz="Europe/Berlin"
    )  # the clock changes on the second day
    frame = tiny().fit(pd.DataFrame({"y": walk(100)["y"].to_numpy()}, index=hours), quiet=True).predict()
    assert frame["ds"].tolist() == pd.date_range(hours[-1], periods=3, freq="h")[1:].tolist()
    assert str(frame["ds"].dt.tz) == "Europe/Berlin"


def test_a_gap_puts_the_forecast_further_ahead():
    model = tiny(gap=3).fit(walk(), quiet=True)
    frame = model.predict()
    assert (frame["ds"] - frame["cutoff"]).dt.days.tolist() == [4, 5]
    rows = model.backtest().frame()
    assert set((rows["ds"] - rows["cutoff"]).dt.days) == {4, 5}
    truth = walk()["y"].astype(np.float32)
    np.testing.assert_array_equal(rows["y_true"], truth[rows["ds"]])
    np.testing.assert_array_equal(rows["naive"], truth[rows["cutoff"]])
    np.testing.assert_array_equal(rows["seasonal_naive"], truth[rows["ds"] - pd.Timedelta(days=7)])


def test_several_targets_are_forecast_together():
    frame = load("sample:goog")[["High", "Low"]].iloc[-300:]
    model = tiny(target=["High", "Low"]).fit(frame, quiet=True)
    rows = model.predict()
    assert rows["target"].tolist() == ["High", "Low"] * 2
    assert rows["step"].tolist() == [1, 1, 2, 2]
    assert (
        rows.loc[rows["target"] == "High", "y_pred"].to_numpy() > rows.loc[rows["target"] == "Low", "y_pred"].to_numpy()
    ).all()
    assert model.evaluate().verdict.count("\n") == 1


@pytest.mark.parametrize(
    "normalize", ["last", *(pytest.param(one, marks=pytest.mark.slow) for one in ("mean_std", "none"))]
)
def test_the_return_of_a_target_becomes_a_level_again(normalize):
    frame = walk(level=100.0)
    model = tiny(predict="return", normalize=normalize).fit(frame, quiet=True)
    pred = model.predict()["y_pred"].to_numpy()
    # by hand: the network answers the return since the cutoff, in deviations of one-step returns of training
    train = frame["y"].to_numpy(np.float32).astype(float)[:140]
    sigma = np.sqrt(np.mean((train[1:] / train[:-1] - 1) ** 2))
    window = (frame["y"].to_numpy(np.float32).astype(float)[-8:] - train.min()) / (train.max() - train.min())
    answer = np.asarray(model.network_(window[None, :, None].astype(np.float32)))[0, :, 0]
    np.testing.assert_allclose(pred, np.float32(frame["y"].iloc[-1]) * (1 + sigma * answer), rtol=1e-5)


def test_returns_need_prices_above_zero():
    with pytest.raises(DataError, match=r"Returns need targets above zero\. Received: -5 in series 'series'\. Choose"):
        tiny(predict="return").fit(walk().assign(y=np.where(np.arange(200) == 7, -5, 10.0)))


def test_past_covariates_and_features_are_inputs():
    model = tiny(target="Close", past=["Volume"], features=["day_of_week", "returns(5)"]).fit("sample:goog", quiet=True)
    assert model.pipeline_.inputs_ == ("Close", "Volume", "returns(5)", "day_of_week.sin", "day_of_week.cos")
    assert model.network_.input_shape == (None, 8, 5)
    assert np.isfinite(model.predict()["y_pred"]).all()


def test_a_panel_from_disk_trains_to_the_same_training(tmp_path, fitted):
    Panel.from_frame(walk()).save(tmp_path)
    mapped = Panel.open(tmp_path)
    assert mapped.mapped
    model = tiny().fit(mapped, quiet=True)
    assert same_training(model, fitted)
    pd.testing.assert_frame_equal(model.predict(), fitted.predict())


def test_a_model_of_ones_own_is_trained_and_keeps_its_name_out_of_the_zoo():
    own = keras.Sequential([keras.layers.LSTM(3), keras.layers.Dense(2)])
    model = Forecaster(own, lookback=8, horizon=2, training={"epochs": 1}).fit(walk(), quiet=True)
    assert len(model.predict()) == 2
    assert model.evaluate().model == "own"


# --- many series ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def several():
    data = many(a=walk(seed=1), b=walk(seed=2, level=900.0), late=walk(9, seed=3, start="2022-01-01"))
    return tiny().fit(data, quiet=True)


def test_one_series_that_is_too_short_is_named_and_the_others_train(several):
    assert "late: 9 rows in a series without a training window" in str(several.report_)
    assert "not trained on" in str(several.report_)
    frame = several.predict()
    assert frame["unique_id"].tolist() == ["a", "a", "b", "b", "late", "late"]  # nine rows are enough to predict from
    assert frame.loc[2:3, "y_pred"].between(700, 1100).all()


def test_series_without_a_window_at_their_end_are_left_out_and_named(several, caplog):
    data = many(a=walk(seed=1), b=walk(5, seed=2))
    frame = several.predict(data=data)
    assert frame["unique_id"].unique().tolist() == ["a"]
    assert frame.attrs["skipped"] == ["b"]
    assert "1 of 2 series have no complete window at their end and were left out: b" in caplog.text


def test_a_series_that_was_not_in_training_is_forecast_and_flagged(several):
    both = several.predict(data=many(a=walk(seed=1), new=walk(seed=5, level=1e6)))
    assert both.attrs["cold"] == ["new"]
    new = both.query("unique_id == 'new'")["y_pred"]
    assert (abs(new - walk(seed=5, level=1e6)["y"].iloc[-1]) < 20).all()  # scaled by its own rows


def test_each_series_is_scaled_on_its_own(several):
    alone = several.predict(data=many(b=walk(seed=2, level=900.0)))
    together = several.predict().query("unique_id == 'b'")
    np.testing.assert_allclose(alone["y_pred"], together["y_pred"], rtol=1e-8)


# --- nothing after the cutoff -----------------------------------------------------------------------------------------


def test_a_poisoned_future_changes_no_loss_no_weight_and_no_earlier_forecast(fitted):
    clean = walk()
    poisoned = clean.copy()
    poisoned.iloc[160:] = 1e6 * np.random.default_rng(9).random((40, 1))  # the test part
    model = tiny().fit(poisoned, quiet=True)
    assert same_training(model, fitted)
    before = fitted.backtest(data=clean).frame()
    for cut in (165, 180):
        partly = clean.copy()
        partly.iloc[cut + 1 :] = 1e6
        after = fitted.backtest(data=partly).frame()
        known = before["cutoff"] <= clean.index[cut]
        assert known.sum() >= 2 * (cut - 158)
        for column in ("y_pred", "naive", "drift", "mean", "seasonal_naive"):
            np.testing.assert_array_equal(after.loc[known, column], before.loc[known, column])
            assert (after.loc[~known, column] != before.loc[~known, column]).any()


def test_a_forecast_of_the_end_is_that_of_the_last_backtest_window(fitted):
    rows = fitted.backtest(cutoffs=1).frame()
    earlier = fitted.predict(data=walk().iloc[:-2])
    assert rows["ds"].tolist() == earlier["ds"].tolist()
    np.testing.assert_allclose(rows["y_pred"], earlier["y_pred"], rtol=1e-6)


# --- new rows ---------------------------------------------------------------------------------------------------------


def test_new_rows_are_cut_at_the_dates_of_training(fitted):
    more = walk(300)  # the same first 200 rows, and 100 new ones
    scores = fitted.evaluate(more)
    assert scores.many == "139 test days"  # from row 160 on, not 20 % of 300
    again = tiny().fit(walk(), quiet=True).attach(more)
    assert again.splits_.bounds.tolist() == [[0, 120, 140, 160, 300]]
    assert again.evaluate().to_dict() == scores.to_dict()
    assert again.predict()["cutoff"][0] == more.index[-1]


def test_scores_of_rows_before_the_test_part_do_not_exist(fitted):
    with pytest.raises(DataError, match=r"The test part must hold one window.*Received: 0 test rows"):
        fitted.evaluate(walk(100))


def test_scores_and_settings_are_plain_data(fitted):
    text = json.dumps(
        {"scores": fitted.evaluate().to_dict(), "config": fitted.config.model_dump(mode="json")}, allow_nan=False
    )
    again = json.loads(text)
    assert again["config"]["model"] == {"name": "lstm", "options": {"units": 4}}
    assert set(again["scores"]) == {"lstm", "naive", "seasonal_naive", "drift", "mean"}


def test_a_saved_forecaster_answers_the_same(fitted, tmp_path):
    path = fitted.save("walk", tmp_path)
    again = Forecaster.load("walk", tmp_path)
    assert path == tmp_path / "walk" / "1"
    pd.testing.assert_frame_equal(again.predict(data=walk()), fitted.predict())
    assert again.evaluate(walk()).to_dict() == fitted.evaluate().to_dict()
    pd.testing.assert_frame_equal(again.run_.history, fitted.run_.history)
    assert again.run_.best_epoch == fitted.run_.best_epoch
    with pytest.raises(NotFitted, match="Give `data`"):
        again.predict()
