"""Backtests: forecasts at every cutoff beside the naive ones, and a verdict that claims no more than is true."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from forecast import Forecaster
from pipelines.errors import ConfigError, DataError, NotFitted, UnknownName
from pipelines.sources import load

TINY = {
    "model": {"name": "lstm", "units": 4},
    "training": {"epochs": 1},
    "lookback": 8,
    "split": {"calibration": 0.0},  # what intervals are worth, test_intervals.py sees to
}


@pytest.fixture(scope="module")
def goog():
    frame = load("sample:goog").iloc[-400:]
    return Forecaster(**TINY, target="Close", horizon=3).fit(frame, quiet=True)


@pytest.fixture(scope="module")
def months():
    return Forecaster(**TINY, horizon=2).fit("sample:stocks", quiet=True)


@pytest.fixture(scope="module")
def result(goog):
    return goog.backtest()


def close():
    """Returns prices as the panel holds them, float32, by date."""
    return load("sample:goog")["Close"].iloc[-400:].astype(np.float32).astype(float)


def test_the_frame_has_every_cutoff_with_its_whole_horizon_inside_the_part(result):
    frame = result.frame()
    assert frame.columns.tolist() == [
        "unique_id", "target", "ds", "cutoff", "step", "y_true", "y_pred", "naive", "seasonal_naive", "drift", "mean",
    ]  # fmt: skip
    days = close().index
    test = days[320:]  # the last fifth
    assert frame["ds"].min() == test[0]
    assert frame["ds"].max() == test[-1]
    assert frame["cutoff"].unique().tolist() == days[319:397].tolist()
    assert len(frame) == 3 * 78
    steps = days.get_indexer(frame["ds"]) - days.get_indexer(frame["cutoff"])
    assert steps.tolist() == frame["step"].tolist()


def test_truth_and_baselines_are_what_pandas_says_they_are(result):
    frame, prices = result.frame(), close()
    np.testing.assert_array_equal(frame["y_true"], prices[frame["ds"]])
    np.testing.assert_array_equal(frame["naive"], prices[frame["cutoff"]])
    at, step = prices.index.get_indexer(frame["cutoff"]), frame["step"].to_numpy()
    np.testing.assert_array_equal(frame["seasonal_naive"], prices.to_numpy()[at - 5 + step])  # a week has five sessions
    np.testing.assert_allclose(frame["mean"], prices.expanding().mean()[frame["cutoff"]], rtol=1e-12)
    slope = (prices.to_numpy()[at] - prices.iloc[0]) / at
    np.testing.assert_allclose(frame["drift"], prices.to_numpy()[at] + step * slope, rtol=1e-12)


@pytest.mark.parametrize("name", ["lstm", "naive", "drift"])
def test_scores_are_those_computed_by_hand_from_the_frame(result, name):
    frame, score = result.frame(), result.scores[name]
    error = frame["y_true"] - frame["y_pred" if name == "lstm" else name]
    last = close()[frame["cutoff"]].to_numpy()
    moves, expected = frame["y_true"] - last, frame["y_true"] - last - error
    train = close().iloc[:280].to_numpy()
    by_hand = {
        "mae": error.abs().mean(),
        "mse": (error**2).mean(),
        "rmse": np.sqrt((error**2).mean()),
        "mape": 100 * (error / frame["y_true"]).abs().mean(),
        "smape": 200 * (error.abs() / (frame["y_true"].abs() + (frame["y_true"] - error).abs())).mean(),
        "wape": 100 * error.abs().sum() / frame["y_true"].abs().sum(),
        "mase": error.abs().mean() / np.abs(train[5:] - train[:-5]).mean(),
        "rmsse": np.sqrt((error**2).mean() / np.square(train[5:] - train[:-5]).mean()),
        "directional_accuracy": 100 * (np.sign(moves) == np.sign(expected))[moves != 0].mean(),
        "up_share": 100 * (moves > 0)[moves != 0].mean(),
    }
    assert set(by_hand) == set(score.index)
    for metric, value in by_hand.items():
        assert score[metric] == pytest.approx(value, rel=1e-9, abs=1e-12), metric


def test_scores_by_step_average_to_the_whole(result):
    by_step = result.by("step")["mae"].unstack(["target", "model"])
    assert by_step.index.tolist() == [1, 2, 3]
    assert by_step["Close", "naive"].is_monotonic_increasing
    assert by_step["Close", "naive"].mean() == pytest.approx(result.scores["naive"]["mae"])


def test_scores_by_cutoff_are_those_of_one_window_each(result):
    by_cutoff, frame = result.by("cutoff"), result.frame()
    assert len(by_cutoff.index.unique("cutoff")) == 78
    one = frame[frame["cutoff"] == "2008-10-09"]
    expected = (one["y_true"] - one["y_pred"]).abs().mean()
    assert by_cutoff.loc[("2008-10-09", "Close", "lstm"), "mae"] == pytest.approx(expected)


def test_scores_come_by_step_series_or_cutoff(result, months):
    by_series = months.backtest().by("series")
    assert by_series.index.unique("series").tolist() == load("sample:stocks")["unique_id"].unique().tolist()
    with pytest.raises(ConfigError, match=r"by 'step', 'series' or 'cutoff'\. Received: 'month'"):
        result.by("month")


def test_a_stride_skips_cutoffs_and_a_number_keeps_the_last(goog, months, result):
    everything = result.frame()["cutoff"].unique()
    assert goog.backtest(stride=10).frame()["cutoff"].unique().tolist() == everything[::10].tolist()
    assert goog.backtest(cutoffs=4).frame()["cutoff"].unique().tolist() == everything[-4:].tolist()
    last = months.backtest(cutoffs=2).frame().groupby("unique_id")["cutoff"].nunique()
    assert len(last) == 8
    assert (last == 2).all()


def test_a_backtest_that_is_longer_than_the_data_says_so_above_its_scores(goog):
    result = goog.backtest(cutoffs=5000)
    assert len(result.index) == 78
    title = "test scores of Close, in dollars; 78 of 5,000 cutoffs, the test part holds no more: give more rows\n"
    assert str(result.scores).startswith(title)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, r"`stride` must be an integer >= 1\. Received: 0"),
        ({"cutoffs": 0}, r"`cutoffs` must be an integer >= 1\. Received: 0"),
        ({"part": "tests"}, r"`part` must be one of train, validation, calibration, test\. Received: 'tests'"),
    ],
)
def test_a_wrong_option_is_a_config_error(goog, options, message):
    with pytest.raises(ConfigError, match=message):
        goog.backtest(**options)


def without_statsmodels(monkeypatch):
    for module in [module for module in sys.modules if module.partition(".")[0] == "statsmodels"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "statsmodels", None)


@pytest.mark.parametrize("options", [{}, {"refit": 10}, {"data": "no/such/file.csv"}], ids=["", "refit", "data"])
@pytest.mark.parametrize("score", ["backtest", "evaluate"])
def test_a_baseline_that_cannot_be_had_is_refused_before_anything_is_read_or_forecast(
    goog, monkeypatch, score, options
):
    monkeypatch.setattr(type(goog.fitted_), "answers", lambda *_: pytest.fail("it predicted first"))
    monkeypatch.setattr("forecast.refitting.forecast", lambda *_, **__: pytest.fail("it fitted first"))
    with pytest.raises(UnknownName, match=r"No baseline is called 'arma'. Did you mean 'arima'\?"):
        getattr(goog, score)(baselines=["arma"], **options)
    without_statsmodels(monkeypatch)
    with pytest.raises(ConfigError, match=r"`arima` needs statsmodels, .*pip install 'keras-forecast\[baselines\]'"):
        getattr(goog, score)(baselines=["drift", "arima"], **options)


def test_baselines_that_need_no_statsmodels_are_had_without_it(goog, monkeypatch):
    without_statsmodels(monkeypatch)
    assert {"naive", "drift"} <= set(goog.backtest(cutoffs=3, baselines=["drift"]).y_pred)


def test_an_empty_part_has_no_scores(goog):
    with pytest.raises(DataError, match=r"The calibration part must hold one window.*Received: 0 calibration rows"):
        goog.backtest(part="calibration")


@pytest.mark.parametrize(("part", "rows"), [("train", 280 - 8), ("validation", 40), ("test", 80)])
def test_every_part_can_be_scored(goog, part, rows):
    scores = goog.evaluate(part=part)
    assert scores.many == f"{rows - 2} {part} sessions"
    assert scores.part == part


def test_hidden_truth_is_not_scored_and_not_made_up(goog):
    frame = load("sample:goog").iloc[-400:]
    holes = frame.copy()
    holes.iloc[[350, 351, 352, 353], holes.columns.get_loc("Close")] = np.nan
    rows = goog.backtest(data=holes).frame()
    hidden = rows["ds"].isin(frame.index[350:354])
    assert rows.loc[hidden, "y_true"].isna().all()
    assert rows.loc[~hidden, "y_true"].notna().all()
    assert np.isfinite(rows[["y_pred", "naive"]]).all().all()  # inputs take the last value
    error = (rows["y_true"] - rows["y_pred"]).abs()
    assert goog.evaluate(holes)["lstm"]["mae"] == pytest.approx(error.mean())
    whole_future_hidden = frame.index[349:351]  # cutoffs of which all three steps are hidden
    assert not rows["cutoff"].isin(whole_future_hidden[:2]).any()


def test_season_length_goes_over_the_calendar():
    model = Forecaster(**TINY, target="Close", horizon=3, season_length=20).fit(
        load("sample:goog").iloc[-400:], quiet=True
    )
    rows, prices = model.backtest().frame(), close()
    at = prices.index.get_indexer(rows["cutoff"])
    np.testing.assert_array_equal(rows["seasonal_naive"], prices.to_numpy()[at - 20 + rows["step"].to_numpy()])


def test_without_a_season_there_is_no_seasonal_naive():
    values = np.cumsum(np.random.default_rng(0).normal(0, 1, 120))
    model = Forecaster(**TINY, horizon=1).fit(pd.DataFrame({"y": values}), quiet=True)
    scores = model.evaluate()
    assert scores.table.index.unique("model").tolist() == ["lstm", "naive", "drift", "mean"]
    assert scores.many == "24 test rows"


def test_many_series_are_counted_by_stamp_and_by_series(months):
    scores = months.evaluate()
    stamps = months.backtest().frame()["cutoff"].nunique()
    assert scores.many == f"{stamps} test months of 8 series"
    assert f" on {stamps} test months of 8 series: MAE " in scores.verdict


def test_one_series_is_scored_as_if_it_stood_alone(months):
    result, name = months.backtest(), months.panel_.ids[3]
    alone, frame = result.one(name), result.frame()
    pd.testing.assert_frame_equal(alone.frame(), frame[frame["unique_id"] == name].reset_index(drop=True))
    assert alone.scores["lstm"]["mae"] == pytest.approx(
        result.by("series").loc[(name, alone.targets[0], "lstm"), "mae"]
    )
    with pytest.raises(UnknownName, match="No series is called 'nobody'"):
        result.one("nobody")


def test_nothing_is_scored_before_fit():
    with pytest.raises(NotFitted):
        Forecaster(**TINY).backtest("sample:goog")


def test_a_missing_column_in_new_data_is_named(goog):
    with pytest.raises(UnknownName, match="No column is called 'Close'"):
        goog.backtest(load("sample:goog").drop(columns="Close"))


# --- printed ----------------------------------------------------------------------------------------------------------


def test_scores_print_with_their_unit_and_verdict_and_are_plain_data(result):
    scores = result.scores
    lines = str(scores).splitlines()
    assert lines[0] == "test scores of Close, in dollars"
    assert lines[1].split() == list(scores.table.columns)
    assert [line.split()[0] for line in lines[2:7]] == ["lstm", "naive", "seasonal_naive", "drift", "mean"]
    assert lines[7:] == [scores.verdict, *scores.notes]
    assert " on 78 test sessions: MAE " in scores.verdict
    assert " dollars (" in scores.verdict
    assert scores.verdict in scores._repr_html_()
    again = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert again["naive"]["mae"] == scores["naive"]["mae"]


def test_a_score_that_the_data_do_not_define_is_none():
    values = np.where(np.arange(150) % 7 == 0, 0.0, np.random.default_rng(0).random(150))  # MAPE divides by zero
    model = Forecaster(**TINY, horizon=1).fit(pd.DataFrame({"y": values}), quiet=True)
    assert model.evaluate().to_dict()["lstm"]["mape"] is None
    assert " - " in str(model.evaluate())
