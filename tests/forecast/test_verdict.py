"""Verdicts: an effect, whether it may be luck, and what else deceives."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forecast import Forecaster
from forecast.evaluation.baselines import BASELINES
from forecast.evaluation.beside import score
from forecast.evaluation.frames import by_series
from forecast.evaluation.verdict import Against, Verdict, against, notes, overlap
from pipelines.errors import DataError, UnknownName
from pipelines.panel import Panel
from pipelines.splits import split
from pipelines.windows import WindowSpec, index_windows


def backtest(frame, make, horizon=1, stride=1, **options):
    """Returns a backtest of the last fifth of rows; `make(truth (N, H), last (N, 1))` forecasts from all cutoffs."""
    panel = Panel.from_frame(frame, **options)
    splits = split(panel)
    spec = WindowSpec(lookback=3, horizon=horizon, stride=stride)
    index = index_windows(panel.offsets, spec, splits.rows("test"))
    truth, last = index.future(panel.values).astype(float), panel.values[index.cutoffs][:, :1].astype(float)
    y_pred = {"model": make(truth[:, :, 0], last)[:, :, None]}
    return score(
        panel,
        splits,
        index,
        truth,
        y_pred,
        (panel.columns[0],),
        BASELINES,
        part="test",
        unit="dollars",
        season_length=1,
    )


def walk(seed=0, rows=1000, series=1, dated=True):
    """Returns random walks far above zero."""
    random = np.random.default_rng(seed)
    days = pd.date_range("2020-01-01", periods=rows) if dated else np.arange(rows)
    parts = [
        pd.DataFrame({"unique_id": f"s{i}", "ds": days, "y": 500 + np.cumsum(random.normal(size=rows))})
        for i in range(series)
    ]
    return pd.concat(parts, ignore_index=True)


def noisy(share, seed=1):
    """A forecast that knows a share of the true move, and adds noise of its own."""

    def make(truth, last):
        noise = np.random.default_rng(seed).normal(size=truth.shape)
        return last + share * (truth - last) + 0.05 * noise

    return make


# --- one sentence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "p", "agreed", "text"),
    [
        (1.0, 0.0002, True, "Better than naive on 9 days: MAE 1.000 against 2.000 dollars (50.0 % lower, p < 0.001)."),
        (1.0, 0.049, True, "Better than naive on 9 days: MAE 1.000 against 2.000 dollars (50.0 % lower, p = 0.05)."),
        (1.9, 0.41, True, "Does not beat naive on 9 days: MAE 1.900 against 2.000 dollars (5.0 % lower, p = 0.41)."),
        (2.1, 0.2, True, "Does not beat naive on 9 days: MAE 2.100 against 2.000 dollars (5.0 % higher, p = 0.20)."),
        (2.1, 0.004, True, "Worse than naive on 9 days: MAE 2.100 against 2.000 dollars (5.0 % higher, p = 0.004)."),
        # surely different, by less than half a percent
        (1.992, 0.01, True, "Level with naive on 9 days: MAE 1.992 against 2.000 dollars (0.4 % lower, p = 0.01)."),
        (2.008, 0.01, True, "Level with naive on 9 days: MAE 2.008 against 2.000 dollars (0.4 % higher, p = 0.01)."),
        # the series say better, but the mean error says worse
        (
            2.1,
            0.01,
            False,
            "Does not beat naive on 9 days: MAE 2.100 against 2.000 dollars (5.0 % higher, p = 0.01, tests disagree).",
        ),
    ],
)
def test_effect_and_luck_make_one_sentence(mine, p, agreed, text):
    assert str(Verdict("Close", "9 days", "dollars", Against("naive", mine, 2.0, p, agreed, ("a test",)))) == text


def test_without_a_test_nothing_is_claimed_and_the_reason_is_given():
    one = Against("naive", 1.0, 2.0, np.nan, True, ("1 cutoff is too few.",))
    assert str(Verdict("y", "1 day", "", one)) == (
        "Lower error than naive on 1 day: MAE 1.000 against 2.000 (50.0 % lower). Not tested: 1 cutoff is too few."
    )


def test_the_strongest_baseline_is_named_where_it_is_better_than_naive():
    naive = Against("naive", 1.5, 2.0, 0.01, True, ("",))
    season = Against("seasonal_naive", 1.5, 1.2, 0.01, True, ("",))
    assert str(Verdict("y", "400 days", "", naive, season)) == (
        "Better than naive on 400 days: MAE 1.500 against 2.000 (25.0 % lower, p = 0.01). "
        "Worse than seasonal naive, the strongest baseline: 1.200 (25.0 % higher, p = 0.01)."
    )


def test_where_nothing_was_observed_there_is_no_verdict():
    assert str(Verdict("y", "9 days", "", None)) == "No verdict on y: nothing was observed on 9 days."


def test_a_naive_forecast_that_never_errs_cannot_be_beaten():
    frame = pd.DataFrame({"y": np.full(200, 7.0)}, index=pd.date_range("2024-01-01", periods=200))
    same = backtest(frame, lambda truth, last: truth).scores.verdict
    assert same == "Does not beat naive on 40 test days: MAE 0.000 against 0.000 dollars (p = 1.00)."
    noise = np.random.default_rng(0).normal(size=(40, 1))
    worse = backtest(frame, lambda truth, last: truth + noise).scores.verdict
    assert worse.startswith("Worse than naive on 40 test days: MAE ")


# --- one series -------------------------------------------------------------------------------------------------------


def test_a_model_that_knows_something_beats_naive_and_one_that_only_adds_noise_does_not():
    assert backtest(walk(), noisy(0.3)).scores.verdict.startswith("Better than naive on 200 test days: MAE ")
    assert backtest(walk(), noisy(-0.3)).scores.verdict.startswith("Worse than naive")
    assert backtest(walk(), noisy(0.0)).scores.verdict.startswith("Does not beat naive")


def test_its_p_is_that_of_a_t_test_of_loss_differences_one_step_ahead():
    result = backtest(walk(), noisy(0.02))
    frame = result.frame()
    difference = (frame["y_true"] - frame["y_pred"]).abs() - (frame["y_true"] - frame["naive"]).abs()
    expected = stats.ttest_1samp(difference, 0).pvalue
    table = result.significance().loc[("y", 1)]
    assert table["p_value"] == pytest.approx(expected)
    assert result.scores.verdicts["y"].naive.p_value == pytest.approx(max(expected, table["p_fixed"]))


def test_each_step_is_tested_with_its_own_overlap_and_holm_makes_up_for_trying_all():
    table = backtest(walk(), noisy(0.2), horizon=4).significance()
    assert table.index.tolist() == [("y", 1), ("y", 2), ("y", 3), ("y", 4)]
    assert (table["p_holm"] >= table["p_better"]).all()
    frame = backtest(walk(), noisy(0.2), horizon=4).frame()
    third = frame[frame["step"] == 3]
    d = ((third["y_true"] - third["y_pred"]).abs() - (third["y_true"] - third["naive"]).abs()).to_numpy()
    n, h, c = len(d), 3, d - d.mean()
    variance = (c @ c + 2 * sum(c[k:] @ c[:-k] for k in (1, 2))) / n  # autocovariances of two lags
    correction = np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    assert table.loc[("y", 3), "statistic"] == pytest.approx(d.mean() / np.sqrt(variance / n) * correction)


def test_another_bar_can_be_tested_and_one_that_is_not_there_is_named():
    result = backtest(walk(), noisy(0.3))
    assert result.significance("mean")["p_better"].max() < 1e-6
    with pytest.raises(UnknownName, match=r"No baseline is called 'nave'\. Did you mean 'naive'"):
        result.significance("nave")


@pytest.mark.parametrize(("stride", "rows"), [(1, 5), (2, 3), (5, 1), (7, 1)])
def test_forecasts_overlap_by_as_many_cutoffs_as_fit_into_their_reach(stride, rows):
    assert overlap(0, 5, stride) == rows


def test_one_cutoff_is_too_few_for_a_test_and_the_error_says_what_to_do():
    result = backtest(walk(rows=20), lambda truth, last: last + 0.5, horizon=4)
    assert len(result.index) == 1
    with pytest.raises(DataError, match=r"needs losses from more than 1 cutoffs\. Received: 1 .*Forecast from more"):
        result.significance()
    assert result.scores.verdict.endswith("Not tested: 1 cutoff is too few to test forecasts of which 4 overlap.")


def test_few_cutoffs_for_a_long_horizon_are_called_too_few():
    result = backtest(walk(rows=200), noisy(0.5), horizon=12)
    assert "Not tested: 29 cutoffs are too few to test forecasts of which 12 overlap." in result.scores.verdict


def test_rows_that_were_not_scored_keep_their_place_in_time():
    frame = walk()
    frame.loc[880:890, "y"] = np.nan
    n = backtest(frame, lambda truth, last: np.nan_to_num(last, nan=500.0) + 0.1).significance().loc[("y", 1), "n"]
    assert n == 200 - 11


# --- several series ---------------------------------------------------------------------------------------------------


def test_many_series_are_tested_over_series_and_over_time_and_both_must_agree():
    result = backtest(walk(series=8, rows=300), noisy(0.2), freq="D")
    one = result.scores.verdicts["y"].naive
    assert one.tests == ("Wilcoxon over 8 series", "Diebold-Mariano over 60 cutoffs")
    frame, scale = result.frame(), result.training["mase_scale"][:, 0]
    mine = ((frame["y_true"] - frame["y_pred"]).abs() / scale).groupby(frame["unique_id"]).mean()
    theirs = ((frame["y_true"] - frame["naive"]).abs() / scale).groupby(frame["unique_id"]).mean()
    over_series = stats.wilcoxon(mine - theirs).pvalue
    gain = ((frame["y_true"] - frame["y_pred"]).abs() - (frame["y_true"] - frame["naive"]).abs()) / scale
    over_time = stats.ttest_1samp(gain.groupby(frame["cutoff"]).mean(), 0).pvalue
    assert one.p_value == pytest.approx(max(over_series, over_time, result.significance()["p_fixed"].item()))


def test_series_without_common_times_are_tested_over_series():
    result = backtest(walk(series=8, rows=300, dated=False), noisy(0.2))
    assert result.scores.verdicts["y"].naive.tests == ("Wilcoxon over 8 series",)


def test_one_cutoff_of_many_series_is_enough():
    result = backtest(walk(series=30, rows=30, dated=False), noisy(0.6), horizon=6)
    assert len(result.index) == 30
    assert result.scores.verdict.startswith("Better than naive on 1 test row of 30 series")


def test_a_model_that_is_right_on_one_wild_series_alone_does_not_beat_naive():
    frame = walk(series=8, rows=300)
    wild = frame["unique_id"] == "s0"
    frame.loc[wild, "y"] = 500 + 50 * (frame.loc[wild, "y"] - 500)

    def make(truth, last):
        right = np.arange(len(truth)) < len(truth) // 8  # the windows of s0
        bad = last + 0.3 * np.abs(truth - last).mean() / 50 * np.random.default_rng(0).normal(size=truth.shape)
        return np.where(right[:, None], last + 0.5 * (truth - last), bad)

    result = backtest(frame, make, freq="D")
    table = result.scores.table.xs("y")["mae"]
    assert table["model"] < table["naive"]
    assert [s for s, _ in by_series(result.index)] == list(range(8))
    assert result.scores.verdicts["y"].naive.outcome == "open"


def test_on_random_walks_better_than_naive_is_said_in_at_most_a_twentieth():
    """Forecasts that lean back a little towards the average, five rows ahead: these look better too often elsewhere.

    A share of 5 % shows more than 7 of 60 in one of 100 such counts; the whole count is in `benchmarks/honesty.py`.
    """

    def lean(truth, last):
        average = pd.Series(last[:, 0]).rolling(20, min_periods=1).mean().to_numpy()[:, None]
        return last + 0.05 * (average - last) + 0 * truth

    found = [backtest(walk(seed, rows=1200), lean, horizon=5).scores.verdicts["y"].naive for seed in range(60)]
    assert sum(one.outcome == "better" for one in found) <= 7
    assert not any(one.outcome == "untested" for one in found)


def test_losses_that_nobody_has_are_left_out_of_both():
    losses = np.array([1.0, np.nan, 1.0, 1.2, 0.7] * 10), np.array([2.0, 2.0, np.nan, 2.2, 2.4] * 10)
    one = against("naive", (1.0, 2.0), losses, np.zeros(50, int), np.arange(50), True, 1)
    known = ~np.isnan(losses).any(axis=0)
    assert one.tests == (f"Diebold-Mariano over {known.sum()} cutoffs",)
    assert one.p_value >= stats.ttest_1samp((losses[0] - losses[1])[known], 0).pvalue - 1e-12


# --- what else deceives -----------------------------------------------------------------------------------------------


def test_a_copy_of_the_last_value_is_called_one():
    found = backtest(walk(), noisy(0.0)).scores.notes
    assert found[0].startswith("At step 1 it copies the last value: ")
    assert not any("copies" in note for note in backtest(walk(), noisy(0.5)).scores.notes)


def test_values_outside_the_training_range_are_counted():
    frame = pd.DataFrame({"y": np.arange(1000.0)}, index=pd.date_range("2020-01-01", periods=1000))
    found = backtest(frame, lambda truth, last: last + 1.0).scores.notes
    assert "100.0 % of 200 true values lie outside the training range, the farthest 400.0 beyond it" in "".join(found)
    inside = pd.DataFrame({"y": np.arange(1000.0) % 10}, index=frame.index)
    assert not any("training range" in note for note in backtest(inside, noisy(0.5)).scores.notes)


def test_directions_come_with_their_interval_and_what_always_up_would_score():
    result = backtest(walk(), noisy(0.5))
    frame = result.frame()
    right = 100 * (np.sign(frame["y_pred"] - frame["naive"]) == np.sign(frame["y_true"] - frame["naive"])).mean()
    up = 100 * (frame["y_true"] > frame["naive"]).mean()
    assert f"Direction at step 1: {right:.1f} % right (95 % interval" in result.scores.notes[-1]
    assert result.scores.notes[-1].endswith(f"always saying up would be {up:.1f} %.")


def test_series_that_never_move_have_no_notes_and_no_error():
    assert notes(np.ones((5, 1)), np.ones((5, 1)), np.ones(5), np.ones(5), np.full(5, np.nan), np.full(5, np.nan)) == ()


# --- statistical baselines --------------------------------------------------------------------------------------------

TINY = {"model": {"name": "lstm", "units": 2}, "training": {"epochs": 1}, "lookback": 4}


def test_statistical_baselines_stand_in_the_same_table_and_an_unknown_one_is_named():
    model = Forecaster(**TINY, target="y").fit(walk(rows=200)[["ds", "y"]], quiet=True)
    scores = model.evaluate(baselines=["ets", "theta", "arima"])
    assert scores.table.index.unique("model").tolist()[-3:] == ["ets", "theta", "arima"]
    assert scores["ets"]["mae"] == pytest.approx(scores["naive"]["mae"], rel=0.1)  # of a walk only the last is known
    assert {"ets", "theta", "arima"} <= set(model.backtest(baselines=["ets", "theta", "arima"]).frame().columns)
    with pytest.raises(UnknownName, match="No baseline is called 'prophet'"):
        model.evaluate(baselines=["prophet"])
