"""Intervals: they hold the truth as often as they say, learn from calibration rows alone, and say where they cannot."""

import contextlib
import io
import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast import Forecaster, bundle
from forecast.cli import main
from forecast.evaluation.adaptive import adaptive
from forecast.evaluation.intervals import Conformal, check_levels, level_name, needed
from forecast.evaluation.quantile_metrics import coverage
from forecast.selection import calibration_windows, scored_windows
from forecast.uncertainty import Intervals, calibrate, usual_change
from pipelines.errors import BundleError, ConfigError, DataError, NotFitted
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline, PipelineSpec
from pipelines.splits import SplitSpec, split

ENDS = ["y_pred_lo_80", "y_pred_hi_80", "y_pred_lo_95", "y_pred_hi_95"]
TINY = {"model": {"name": "lstm", "units": 4}, "training": {"epochs": 1}, "lookback": 8, "horizon": 2}
CALIBRATED = {**TINY, "split": {"calibration": 0.3}}


def column(values):
    """Returns numbers as errors of one step and one target, `(N, 1, 1)`."""
    return np.asarray(values, float).reshape(-1, 1, 1)


def held(state, y_true, y_pred, scale, level):
    """Returns where intervals hold the truth."""
    low, high = state.interval(y_pred, scale, level)
    return (low <= y_true) & (y_true <= high)


def walk(rows=200, seed=0, level=50.0, size=1.0):
    values = level + np.cumsum(np.random.default_rng(seed).normal(0, size, rows))
    return pd.DataFrame({"y": values}, index=pd.date_range("2022-01-01", periods=rows, name="ds"))


def many(**series):
    return pd.concat([one.reset_index().assign(unique_id=name) for name, one in series.items()], ignore_index=True)


# --- the promise ------------------------------------------------------------------------------------------------------


@given(
    errors=st.lists(st.integers(-10_000, 10_000), min_size=2, max_size=50, unique=True),
    level=st.sampled_from([33.3, 50, 80, 90, 95]),
)
def test_of_any_windows_an_interval_of_the_others_holds_exactly_the_share_that_theory_says(errors, level):
    """Where each window could have been the one to forecast, this is the whole theorem, with no luck in it."""
    n, alpha = len(errors) - 1, 1 - level / 100
    if n < needed(level):
        return
    hits = 0
    for i, error in enumerate(errors):
        state = Conformal().fit(column(errors[:i] + errors[i + 1 :]))
        hits += held(state, column([error]), column([0.0]), None, level).item()
    beyond = math.floor(round((n + 1) * alpha / 2, 9))
    assert hits == n + 1 - 2 * beyond
    assert level / 100 - 1e-9 <= hits / (n + 1) < level / 100 + 2 / (n + 1)


@pytest.mark.parametrize("level", [80, 95])
def test_skewed_errors_that_differ_by_step_and_target_are_held_as_often_as_promised_at_each_tail(level):
    rng, trials, n = np.random.default_rng(1), 4000, 79
    size = np.array([[1.0, 100.0], [5.0, 0.01], [0.2, 3.0]])  # (H, K)
    below, above = np.zeros((3, 2)), np.zeros((3, 2))
    for _ in range(trials):
        errors = size * rng.lognormal(0, 1, (n + 1, 3, 2))
        low, high = Conformal().fit(errors[:n]).interval(np.zeros((1, 3, 2)), None, level)
        below += errors[n] < low[0]
        above += errors[n] > high[0]
    tail = math.floor(round((n + 1) * (100 - level) / 200, 9)) / (n + 1)
    four_sigma = 4 * math.sqrt(tail * (1 - tail) / trials)
    np.testing.assert_allclose(below / trials, tail, rtol=0, atol=four_sigma)
    np.testing.assert_allclose(above / trials, tail, rtol=0, atol=four_sigma)


def test_a_forecast_that_is_always_too_low_has_an_interval_above_it():
    state = Conformal().fit(column(np.arange(5.0, 14.0)))
    low, high = state.interval(column([100.0]), None, 80)
    assert (round(low.item(), 6), round(high.item(), 6)) == (105.0, 113.0)


def test_ranks_are_counted_exactly():
    state = Conformal().fit(column(np.arange(1.0, 40.0)))  # 39 errors, each its own rank
    expected = {80: (4, 36), 95: (1, 39), 90: (2, 38), 87.5: (2, 38), 33.3: (13, 27), 1.5: (19, 21)}
    for level, ranks in expected.items():
        assert tuple(end.item() for end in state.offsets(level)) == ranks, level


@given(errors=st.lists(st.floats(-1e3, 1e3), min_size=39, max_size=80), pred=st.floats(-1e6, 1e6))
def test_a_higher_level_lies_around_a_lower_one_and_low_is_never_above_high(errors, pred):
    state = Conformal().fit(column(errors))
    ends = [state.interval(column([pred]), None, level) for level in (95, 80, 50, 20)]
    flat = [low.item() for low, _ in ends] + [high.item() for _, high in reversed(ends)]
    assert flat == sorted(flat)


def test_windows_in_other_units_give_the_same_intervals_in_those_units():
    rng = np.random.default_rng(2)
    errors, scale = rng.normal(size=(50, 2, 1)), rng.uniform(1, 5, (50, 1))
    dear = rng.choice([1e-3, 1.0, 1e4], (50, 1))  # every window is of another currency
    one, other = Conformal().fit(errors, scale), Conformal().fit(errors * dear[:, None], scale * dear)
    np.testing.assert_allclose(one.scores_, other.scores_, rtol=1e-12)
    low, high = other.interval(np.zeros((1, 2, 1)), [[7e4]], 80)
    wanted = one.interval(np.zeros((1, 2, 1)), [[7.0]], 80)
    np.testing.assert_allclose((low, high), np.multiply(wanted, 1e4), rtol=1e-9)


def test_the_scale_is_fair_to_quiet_and_to_wild_windows():
    rng = np.random.default_rng(3)
    sigma = np.repeat([[1.0], [30.0]], 2000, axis=0)
    past, future = (rng.normal(size=(4000, 1, 1)) * sigma[:, None] for _ in range(2))
    zero, wild = np.zeros((4000, 1, 1)), np.arange(4000) >= 2000
    with_scale = held(Conformal().fit(past, sigma), future, zero, sigma, 80)
    without = held(Conformal().fit(past), future, zero, None, 80)
    for part in (wild, ~wild):
        assert abs(with_scale[part].mean() - 0.8) < 0.04
    assert without[~wild].mean() == 1
    assert without[wild].mean() < 0.65


def test_a_truth_that_nobody_measured_is_left_out_of_its_step_alone():
    rng = np.random.default_rng(4)
    errors = rng.normal(size=(60, 2, 1))
    holed = errors.copy()
    holed[10:20, 0] = np.nan
    state, whole = Conformal().fit(holed), Conformal().fit(errors)
    assert state.counts_.tolist() == [[50], [60]]
    assert not state.reaches(96.5)  # which 57 windows are enough for, but not 50
    rest = Conformal().fit(np.delete(errors, np.s_[10:20], axis=0))
    for got, step_1, step_2 in zip(state.offsets(80), rest.offsets(80), whole.offsets(80), strict=True):
        assert (got[0], got[1]) == (step_1[0], step_2[1])


def test_truths_that_tie_with_an_end_are_inside_whatever_is_rounded():
    """Counts have few different errors: an end that is rounded inwards would lose a large share of all windows."""
    rng = np.random.default_rng(5)
    pred, scale = rng.uniform(0, 100, (500, 1, 1)), np.full((500, 1), 0.7)
    true = pred + rng.choice([-1 / 3, 0.0, 1 / 3], (500, 1, 1), p=[0.05, 0.9, 0.05])
    state = Conformal().fit(true - pred, scale)
    assert held(state, true, pred, scale, 95).mean() == 1
    assert held(state, true, pred, scale, 80).mean() == (true == pred).mean()


def test_what_never_errs_has_an_interval_of_no_width():
    state = Conformal().fit(np.zeros((9, 1, 1)), np.ones((9, 1)))
    low, high = state.interval(column([41.5]), [[2.0]], 80)
    assert low <= 41.5 <= high
    assert high - low < 1e-12


# --- what it costs that windows overlap: the table of forecast/evaluation/intervals.py --------------------------------


@pytest.mark.parametrize(
    ("step", "share", "deviation"), [(1, 80.3, 4.0), (5, 78.1, 6.6), (10, 75.7, 9.3), (24, 68.2, 14.3)]
)
def test_overlapping_windows_cost_what_the_table_says(step, share, deviation):
    runs = 4000
    path = np.cumsum(np.random.default_rng(6).normal(size=(100 + step, 1, runs)), axis=0)
    low, high = Conformal().fit(path[step:] - path[:-step]).offsets(80)
    normal = np.vectorize(lambda end: 50 * math.erfc(-end / math.sqrt(2 * step)))  # the law of a walk, in percent
    shares = normal(high) - normal(low)
    assert abs(shares.mean() - share) < 0.7
    assert abs(shares.std() - deviation) < 0.5


# --- what is refused --------------------------------------------------------------------------------------------------


@given(level=st.floats(1.5, 99.9))
def test_so_many_windows_as_a_level_needs_are_enough_and_one_fewer_is_not(level):
    n = needed(level)
    assert Conformal().fit(column(np.arange(float(n)))).reaches(level)
    Conformal().fit(column(np.arange(float(n)))).offsets(level)
    if n > 1:
        fewer = Conformal().fit(column(np.arange(n - 1.0)))
        assert not fewer.reaches(level)
        with pytest.raises(ConfigError, match=f"need {n} windows in the calibration part.*Received: {n - 1} at step 1"):
            fewer.offsets(level)


def test_too_few_windows_are_refused_with_the_step_and_advice_that_can_be_followed():
    errors = np.arange(24.0).reshape(12, 2, 1)
    errors[0, 1] = np.nan
    state = Conformal().fit(errors)
    message = (
        r"Intervals of 95 % need 39 windows in the calibration part.* Received: 11 at step 2\. "
        r"Ask for at most 83\.3 %, or raise split\.calibration"
    )
    with pytest.raises(ConfigError, match=message):
        state.interval(np.zeros((1, 2, 1)), None, 95)
    state.offsets(83.3)
    for n in (0, 1):
        with pytest.raises(ConfigError, match=rf"Received: {n} at step 1\. Raise split\.calibration"):
            Conformal().fit(np.zeros((n, 1, 1))).offsets(80)


@pytest.mark.parametrize(
    "levels", [0, 100, -5, 101, 0.8, 1, float("nan"), True, None, "80", ["80"], [80, 120], [[80]], [80, None]]
)
def test_what_is_no_level_is_refused(levels):
    with pytest.raises(ConfigError, match=r"`levels` must be percent, above 1 and below 100, such as 80\. Received: "):
        check_levels(levels)


def test_levels_come_in_order_once_and_have_a_name_each():
    assert check_levels([95, 80, 80.0, np.float64(97.5)]) == (80.0, 95.0, 97.5)
    assert [level_name(level) for level in (80.0, 97.5, 99.99999)] == ["80", "97.5", "99.99999"]
    assert check_levels(()) == ()


@pytest.mark.parametrize(
    ("residuals", "scale", "message"),
    [
        (np.zeros((5, 2)), None, r"`residuals` must have the shape \(N, H, K\)\. Received: \(5, 2\)"),
        (np.full((5, 1, 1), np.inf), None, "`residuals` must be finite"),
        (np.zeros((5, 1, 1)), np.ones(5), r"`scale` must have the shape \(5, 1\)\. Received: \(5,\)"),
        (np.zeros((5, 1, 1)), [[1], [1], [0], [1], [1]], "`scale` must be above zero.* 1 of 5 that are not, such as 0"),
        (np.zeros((5, 1, 1)), [[1], [1], [np.nan], [np.inf], [-1]], "3 of 5 that are not, such as nan"),
    ],
)
def test_errors_that_cannot_be_learned_from_are_refused(residuals, scale, message):
    with pytest.raises(DataError, match=message):
        Conformal().fit(residuals, scale)


def test_forecasts_must_have_the_steps_and_the_scale_that_were_learned():
    state = Conformal().fit(np.zeros((9, 2, 1)), np.ones((9, 1)))
    with pytest.raises(DataError, match=r"`y_pred` must have the shape \(N, 2, 1\)\. Received: \(4, 3, 1\)"):
        state.interval(np.zeros((4, 3, 1)), np.ones((4, 1)), 80)
    with pytest.raises(ConfigError, match=r"fitted with a scale take one\. Received: none"):
        state.interval(np.zeros((4, 2, 1)), None, 80)
    with pytest.raises(ConfigError, match=r"fitted without a scale take none\. Received: one"):
        Conformal().fit(np.zeros((9, 2, 1))).interval(np.zeros((4, 2, 1)), np.ones((4, 1)), 80)
    with pytest.raises(NotFitted, match="fitted first"):
        Conformal().offsets(80)


# --- following drift --------------------------------------------------------------------------------------------------


def followed_by_hand(state, true, pred, scale, level, gamma, at, gap):
    """The rule written out for one series in order: for each interval, all that was known by then is gone through."""
    alpha, (N, H, K) = 1 - level / 100, true.shape
    low, high, asked = np.empty((3, N, H, K))
    for h, k in np.ndindex(H, K):
        scores = [score for score in state.scores_[:, h, k] if not math.isnan(score)]
        n = len(scores)
        for i in range(N):
            a = alpha
            for j in range(N):
                if at[j] + gap + h + 1 <= at[i] and not math.isnan(true[j, h, k]):
                    hit = low[j, h, k] <= true[j, h, k] <= high[j, h, k]
                    a = min(1.0, a + gamma * (alpha if hit else alpha - 1))
            rank = min(max(1, math.floor((n + 1) * a / 2)), (n + 1) // 2)
            wider = max(0.0, 2 / (n + 1) - a) / alpha * (scores[-1] - scores[0]) / 2
            low[i, h, k] = pred[i, h, k] + scale[i, k] * (scores[rank - 1] - wider)
            high[i, h, k] = pred[i, h, k] + scale[i, k] * (scores[n - rank] + wider)
            asked[i, h, k] = 100 * (1 - a)
    return low, high, asked


@pytest.mark.parametrize(("gap", "stride"), [(0, 1), (2, 1), (0, 3)])
def test_following_is_the_rule_written_out_with_its_delay_gap_holes_and_series(gap, stride):
    rng = np.random.default_rng(7)
    state = Conformal().fit(rng.normal(size=(45, 3, 2)), np.ones((45, 2)))
    N = 60
    true, pred = rng.normal(size=(N, 3, 2)) * np.linspace(0.3, 6, N)[:, None, None], rng.normal(size=(N, 3, 2))
    true[rng.random(true.shape) < 0.1] = np.nan
    scale, whose = rng.uniform(0.5, 2, (N, 2)), rng.integers(0, 2, N)
    at = np.arange(N) * stride
    order = rng.permutation(N)  # they need not come in order
    got = adaptive(
        state, true[order], pred[order], scale[order], 80, 0.1, cutoffs=at[order], series=whose[order], gap=gap
    )
    for s in (0, 1):
        mine = whose == s
        wanted = followed_by_hand(state, true[mine], pred[mine], scale[mine], 80, 0.1, at[mine], gap)
        for found, expected in zip(got, wanted, strict=True):
            np.testing.assert_allclose(found[np.argsort(order)][mine], expected, rtol=1e-9, atol=1e-9)
    assert got.level.min() < 78
    assert got.level.max() > 100  # wider than the widest, and still finite
    assert np.isfinite(got.low).all()
    assert np.isfinite(got.high).all()


def test_no_interval_knows_a_truth_before_its_day():
    rng = np.random.default_rng(8)
    state = Conformal().fit(rng.normal(size=(50, 3, 1)))
    true, pred = rng.normal(size=(40, 3, 1)), np.zeros((40, 3, 1))
    base = adaptive(state, true, pred, None, 80, 0.3, gap=1)
    for h in range(3):
        poisoned = true.copy()
        poisoned[20, h] = 1e9
        changed = (adaptive(state, poisoned, pred, None, 80, 0.3, gap=1).level != base.level).any(axis=2)
        knows = 20 + 1 + h + 1
        assert not changed[:knows].any()
        assert changed[knows, h]
        assert not np.delete(changed, h, axis=1).any()


def test_without_gamma_every_rank_is_the_one_that_is_counted_exactly():
    for n in range(39, 140):
        state = Conformal().fit(column(np.arange(float(n))))
        for level in (60, 80, 90, 95):
            got = adaptive(state, column([0]), column([0]), None, level, 0)
            np.testing.assert_allclose((got.low.item(), got.high.item()), np.ravel(state.offsets(level)), atol=1e-9)


def test_without_gamma_nothing_is_followed():
    rng = np.random.default_rng(9)
    state = Conformal().fit(rng.normal(size=(50, 2, 1)))
    pred = rng.normal(size=(30, 2, 1))
    got = adaptive(state, pred + 9, pred, None, 95, 0)
    np.testing.assert_allclose((got.low, got.high), state.interval(pred, None, 95), rtol=1e-12)
    assert (got.level == 95).all()


@pytest.mark.parametrize("delay", [1, 10])
def test_errors_thrice_as_large_are_held_again_after_so_many_rows_as_it_says(delay):
    rng, runs, rows = np.random.default_rng(10), 300, 500
    state = Conformal().fit(rng.normal(size=(200, 1, runs)))  # as many targets: each run is one
    size = np.where((np.arange(rows) >= 100) & (np.arange(rows) < 300), 3.0, 1.0)
    true, zero = rng.normal(size=(rows, 1, runs)) * size[:, None, None], np.zeros((rows, 1, runs))
    got = adaptive(state, true, zero, None, 80, gap=delay - 1)
    hits = 100 * ((got.low <= true) & (true <= got.high)).mean(axis=(1, 2))
    fixed = 100 * held(state, true, zero, None, 80).mean(axis=(1, 2))
    assert abs(hits[30:100].mean() - 80) < 2
    assert 30 < hits[100:120].mean() < 47  # about 40
    assert 75 < hits[150:300].mean() < 82  # after 50 rows
    assert abs(hits[200:300].mean() - 80) < 2
    assert fixed[150:300].mean() < 40  # what nobody follows stays lost
    assert hits[300:350].mean() > 93  # too wide, for about 100 rows
    assert abs(hits[400:].mean() - 80) < 3


def test_in_the_long_run_the_share_of_hits_is_the_level_whatever_the_errors_do():
    rng, N, gamma = np.random.default_rng(11), 3000, 0.05
    state = Conformal().fit(column(rng.normal(size=100)))
    nasty = rng.normal(size=N) * np.exp(np.cumsum(rng.normal(0, 0.05, N))) + np.sin(np.arange(N) / 50) * 20
    got = adaptive(state, column(nasty), np.zeros((N, 1, 1)), None, 90, gamma)
    hits = ((got.low <= column(nasty)) & (column(nasty) <= got.high)).mean()
    asked = got.level.ravel() / 100
    assert abs(hits - 0.9) <= (abs(asked[-1] - 0.9) + gamma) / (gamma * N) + 1e-9  # the telescoped sum of all moves
    assert abs(hits - 0.9) < 0.02
    assert held(state, column(nasty), np.zeros((N, 1, 1)), None, 90).mean() < 0.5


def test_a_series_that_never_erred_and_then_moves_is_held_again():
    state = Conformal().fit(np.zeros((20, 1, 1)), np.full((20, 1), 2.0))
    true = np.concatenate([np.zeros(300), np.full(80, 7.0)])
    got = adaptive(state, column(true), np.zeros((380, 1, 1)), np.full((380, 1), 2.0), 80, 0.05)
    inside = ((got.low <= column(true)) & (column(true) <= got.high)).ravel()
    assert inside[:300].all()
    assert not inside[300]
    assert got.level.min() == pytest.approx(0)  # as far as hits can take it, however many they are
    assert inside[-40:].mean() > 0.7


@pytest.mark.parametrize("gamma", [-0.1, 1, True, "fast", float("nan")])
def test_a_gamma_out_of_range_is_refused(gamma):
    with pytest.raises(ConfigError, match="`gamma` must be a number from 0 to below 1"):
        adaptive(Conformal().fit(np.zeros((9, 1, 1))), column([1]), column([1]), None, 80, gamma)


def test_truths_and_cutoffs_must_fit_the_forecasts():
    state = Conformal().fit(np.zeros((9, 1, 1)))
    with pytest.raises(DataError, match=r"`y_true` must have the shape of `y_pred`"):
        adaptive(state, column([1, 2]), column([1]), None, 80)
    with pytest.raises(DataError, match="one entry for each window"):
        adaptive(state, column([1, 2]), column([1, 2]), None, 80, cutoffs=[1])


# --- a Forecaster with a calibration part -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return Forecaster(**CALIBRATED).fit(walk(), quiet=True)


@pytest.fixture(scope="module")
def plain():
    return Forecaster(**TINY, split={"calibration": 0}).fit(walk(), quiet=True)


def test_a_forecast_has_ordered_ends_after_its_value(model):
    frame = model.predict()
    assert frame.columns.tolist() == ["unique_id", "target", "ds", "cutoff", "step", "y_pred", *ENDS]
    ends = frame[["y_pred_lo_95", "y_pred_lo_80", "y_pred_hi_80", "y_pred_hi_95"]].to_numpy()
    assert (np.diff(ends, axis=1) > 0).all()
    some = model.predict(levels=(96, 50.5)).columns.tolist()[6:]
    assert some == ["y_pred_lo_50.5", "y_pred_hi_50.5", "y_pred_lo_96", "y_pred_hi_96"]
    assert model.predict(levels=()).columns.tolist() == frame.columns.tolist()[:6]
    pd.testing.assert_frame_equal(model.predict(levels=()), frame.iloc[:, :6])


def fading_mean_change(values):
    """Returns the mean change of the last eight rows, each counting 0.94 times the one after it."""
    return (
        values.diff().abs().rolling(7).apply(lambda changes: np.average(changes, weights=0.94 ** np.arange(6, -1, -1)))
    )


def test_ends_are_what_pandas_makes_of_the_calibration_rows(model):
    """Every number by a second way: errors of the calibration part over the fading mean change of eight rows."""
    past = model.backtest(part="calibration")
    frame = past.frame()
    assert not [name for name in frame if name.startswith("y_pred_lo")]  # they would judge themselves
    prices = walk()["y"].astype(np.float32).astype(float)
    size = fading_mean_change(prices)
    frame["score"] = (frame["y_true"] - frame["y_pred"]) / size[frame["cutoff"]].to_numpy()
    n = len(past.index)
    assert (n, model.intervals_.windows) == (59, 59)  # 60 rows, futures of two
    ahead = model.predict()
    for level, tail in ((80, 0.1), (95, 0.025)):
        rank = math.floor((n + 1) * tail)
        for step in (1, 2):
            scores = np.sort(frame.loc[frame["step"] == step, "score"])
            row = ahead.iloc[step - 1]
            for side, score in (("lo", scores[rank - 1]), ("hi", scores[n - rank])):
                wanted = row["y_pred"] + score * size.iloc[-1]
                assert row[f"y_pred_{side}_{level}"] == pytest.approx(wanted, rel=1e-6)


def test_beyond_the_horizon_there_are_no_ends_and_it_says_so(model, plain):
    frame = model.predict(steps=5)
    assert frame[ENDS].notna().all(axis=1).tolist() == [True, True, False, False, False]
    assert frame.attrs["uncalibrated"] == [3, 4, 5]
    assert frame["y_pred"].notna().all()
    pd.testing.assert_frame_equal(frame.iloc[:2], model.predict(steps=2))
    assert model.predict(steps=1).attrs["uncalibrated"] == []
    assert "uncalibrated" not in plain.predict(steps=5).attrs


def test_without_calibration_rows_all_is_as_before(plain):
    assert plain.intervals_ is None
    frame, result = plain.predict(), plain.backtest()
    assert frame.columns.tolist() == ["unique_id", "target", "ds", "cutoff", "step", "y_pred"]
    assert (set(frame.attrs), result.bands, result.scores.coverage) == ({"skipped", "cold", "provisional"}, None, None)
    assert "Intervals" not in str(result.scores)
    assert plain.predict(levels=()).columns.tolist() == frame.columns.tolist()
    message = r"fitted without any\. Received: levels 80, 95\. Fit with split\.calibration=0\.1"
    for ask in (plain.predict, plain.backtest):
        with pytest.raises(ConfigError, match=message):
            ask(levels=(80, 95))
    for use in (result.coverage, result.adaptive):
        with pytest.raises(ConfigError, match="This backtest must have intervals"):
            use()


def same_training(one, other):
    weights = zip(one.network_.get_weights(), other.network_.get_weights(), strict=True)
    return one.run_.history.equals(other.run_.history) and all((a == b).all() for a, b in weights)


@pytest.mark.parametrize("part", ["calibration", "test"])
def test_training_never_sees_a_calibration_row_and_intervals_never_see_a_test_row(model, part):
    frame = walk()
    first, end = (int(row[0]) for row in model.splits_.rows(part))
    frame.iloc[first:end] = np.random.default_rng(1).normal(1e4, 300, (end - first, 1))
    other = Forecaster(**CALIBRATED).fit(frame, quiet=True)
    assert same_training(model, other)
    same = np.array_equal(model.intervals_.conformal.scores_, other.intervals_.conformal.scores_)
    assert same == (part == "test")
    np.testing.assert_array_equal(model.intervals_.usual, other.intervals_.usual)


def test_training_is_the_same_as_where_the_calibration_rows_are_not_there_at_all(model):
    """Dates cut the parts here, so that train and validation stay where they are."""
    days = walk().index
    dates = {"validation": str(days[80].date()), "calibration": str(days[100].date()), "test": str(days[160].date())}
    one = Forecaster(**TINY, split=dates).fit(walk(), quiet=True)
    gone = {"validation": dates["validation"], "test": dates["calibration"]}
    assert same_training(one, Forecaster(**TINY, split=gone).fit(walk().iloc[:110], quiet=True))
    assert same_training(one, model)


def test_a_backtest_counts_how_often_its_intervals_held(model):
    result = model.backtest()
    frame = result.frame()
    assert frame.columns.tolist()[5:] == ["y_true", "y_pred", *ENDS, "naive", "seasonal_naive", "drift", "mean"]
    table = result.coverage()
    assert table.index.names == ["target", "level", "step"]
    assert table.columns.tolist() == ["coverage", "width", "winkler", "msis", "values"]
    for (_, level, step), row in table.iterrows():
        mine = frame[frame["step"] == step]
        low, high = mine[f"y_pred_lo_{level:g}"], mine[f"y_pred_hi_{level:g}"]
        assert row["coverage"] == pytest.approx(100 * mine["y_true"].between(low, high).mean())
        assert row["width"] == pytest.approx((high - low).mean())
        assert row["values"] == len(mine)
    pd.testing.assert_frame_equal(
        result.coverage(None),
        table.groupby(level=[0, 1]).mean().assign(values=2 * len(result.index)),
        check_dtype=False,
    )
    np.testing.assert_allclose(result.coverage("series")["coverage"], result.coverage(None)["coverage"])
    with pytest.raises(ConfigError, match=r"Coverage comes by 'step' or 'series', .*Received: 'day'"):
        result.coverage("day")


def test_scores_say_how_often_intervals_held(model):
    scores = model.evaluate()
    share = scores.coverage.loc[("y", 80.0)]
    assert (
        str(scores)
        .splitlines()[-2]
        .startswith(
            f"Intervals of 80 % held {share['coverage']:.1f} % of {int(share['values'])} true values, mean width "
        )
    )
    assert str(scores).splitlines()[-1].startswith("Intervals of 95 % held ")
    assert "Intervals of 95 % held" in scores._repr_html_()
    assert set(scores.to_dict()) == {"lstm", "naive", "seasonal_naive", "drift", "mean"}
    assert "Intervals" not in scores.verdict


def test_only_the_test_part_has_intervals(model):
    for part in ("train", "validation", "calibration"):
        assert model.backtest(part=part).bands is None
        with pytest.raises(ConfigError, match=rf"for rows after calibration.*part='{part}'"):
            model.backtest(part=part, levels=80)
    assert model.backtest(levels=()).bands is None
    assert list(model.backtest(levels=50).bands.ends) == [50.0]


def test_a_backtest_that_follows_is_the_same_forecasts_with_other_ends(model):
    result = model.backtest(cutoffs=20)
    other = result.adaptive(gamma=0.2)
    frame, moved = result.frame(), other.frame()
    assert moved.columns.tolist() == [*frame.columns[:11], "level_80", "level_95", *frame.columns[11:]]
    pd.testing.assert_frame_equal(moved[frame.columns].drop(columns=ENDS), frame.drop(columns=ENDS))
    bands = result.bands
    by_hand = adaptive(
        bands.conformal, result.y_true, result.y_pred["lstm"], bands.scale, 80, 0.2, cutoffs=result.index.cutoffs
    )
    np.testing.assert_array_equal(other.bands.ends[80.0], (by_hand.low, by_hand.high))
    assert moved["level_80"].nunique() > 5
    assert result.bands.asked == {}
    assert other.coverage().shape == result.coverage().shape


def test_a_backtest_follows_each_series_by_itself_with_its_gap_and_stride():
    frame = many(a=walk(200, 9), b=walk(200, 2))
    result = Forecaster(**CALIBRATED, gap=1).fit(frame, quiet=True).backtest(stride=2, levels=80)
    found, bands = result.adaptive(gamma=0.3), result.bands
    for s in (0, 1):
        mine = result.index.series == s
        rows = np.arange(mine.sum()) * 2
        parts = (array[mine] for array in (result.y_true, result.y_pred["lstm"], bands.scale))
        one = adaptive(bands.conformal, *parts, 80, 0.3, cutoffs=rows, gap=1)
        np.testing.assert_array_equal(found.bands.asked[80.0][mine], one.level)
        assert np.ptp(one.level) > 10


def test_a_window_that_stands_still_is_not_sure_of_everything(model):
    frame = walk()
    frame.iloc[-8:] = frame.iloc[-8].item()
    row = model.predict(data=frame).iloc[0]
    floor = 0.1 * walk()["y"].iloc[:80].diff().abs().mean()
    low, high = (end[0, 0] for end in model.intervals_.conformal.offsets(80))
    assert row["y_pred_hi_80"] - row["y_pred_lo_80"] == pytest.approx(floor * (high - low), rel=1e-5)


def test_a_lookback_of_one_row_is_measured_by_the_usual_change():
    model = Forecaster(**{**CALIBRATED, "lookback": 1}).fit(walk(), quiet=True)
    row = model.predict().iloc[0]
    low, high = (end[0, 0] for end in model.intervals_.conformal.offsets(80))
    wanted = walk()["y"].iloc[:80].diff().abs().mean() * (high - low)
    assert row["y_pred_hi_80"] - row["y_pred_lo_80"] == pytest.approx(wanted, rel=1e-5)


def test_many_series_are_one_pool_that_is_fair_to_dear_and_cheap_ones():
    frame = many(cheap=walk(400, 1, 1.0, 0.01), dear=walk(400, 2, 1e5, 900.0), middle=walk(400, 3))
    model = Forecaster(**CALIBRATED).fit(frame, quiet=True)
    assert model.intervals_.conformal.scores_.shape == (357, 2, 1)
    assert (model.intervals_.windows, model.intervals_.series, model.intervals_.apart) == (357, 3, 180)
    table = model.backtest(levels=80).coverage("series")["coverage"]
    assert table.between(70, 90).all()
    ahead = model.predict(steps=1).set_index("unique_id")
    width = ahead["y_pred_hi_80"] - ahead["y_pred_lo_80"]
    assert 30_000 < width["dear"] / width["cheap"] < 300_000
    alone = model.predict(data=many(dear=walk(400, 2, 1e5, 900.0)))
    np.testing.assert_allclose(alone[ENDS], model.predict().query("unique_id == 'dear'")[ENDS])


def test_a_series_that_was_not_in_training_is_measured_by_its_own_rows(model):
    new = many(new=walk(60, 5, 2000.0, 40.0))
    frame = model.predict(data=new)
    assert frame.attrs["cold"] == ["new"]
    own = model.predict(data=many(series=walk(60, 5, 2000.0, 40.0)))  # under the name of the one it knows
    one, other = ((f["y_pred_hi_80"] - f["y_pred_lo_80"]).to_numpy() for f in (frame, own))
    np.testing.assert_allclose(one, other, rtol=1e-6)
    still = many(new=walk(60, 5, 2000.0, 0.0))
    got = model.predict(data=still).iloc[0]
    low, high = (end[0, 0] for end in model.intervals_.conformal.offsets(80))
    assert got["y_pred_hi_80"] - got["y_pred_lo_80"] == pytest.approx(0.1 * 1e-3 * 2000 * (high - low), rel=1e-5)


def test_a_series_that_was_not_in_training_is_not_measured_by_rows_after_the_cutoff(model):
    quiet = walk(200, 5, 2000.0, 0.0)  # its floor decides
    wild = quiet.copy()
    first = int(model.splits_.rows("test")[0][0])
    wild.iloc[first:] += np.random.default_rng(0).normal(0, 50, (200 - first, 1))
    one, other = (model.backtest(many(new=frame)).bands.scale for frame in (quiet, wild))
    assert one[0] == other[0] == 0.1 * 1e-3 * 2000
    assert other[-1] > 10


def test_a_series_that_never_moves_has_narrow_intervals_that_hold_it():
    model = Forecaster(**CALIBRATED).fit(walk(size=0.0), quiet=True)
    frame = model.backtest().frame()
    assert (frame["y_pred_lo_95"] <= 50).all()
    assert (frame["y_pred_hi_95"] >= 50).all()
    assert (frame["y_pred_hi_95"] - frame["y_pred_lo_95"]).max() < 1


def test_two_targets_have_ends_of_their_own():
    frame = walk().assign(big=walk(seed=4, size=1000.0, level=1e5)["y"])
    model = Forecaster(**CALIBRATED, target=["y", "big"]).fit(frame, quiet=True)
    ahead = model.predict(steps=1).set_index("target")
    width = ahead["y_pred_hi_80"] - ahead["y_pred_lo_80"]
    assert 200 < width["big"] / width["y"] < 5000
    assert model.backtest().coverage(None).index.get_level_values("target").tolist() == ["y", "y", "big", "big"]
    assert str(model.evaluate()).count("Intervals of 80 %") == 2


def test_holes_in_the_calibration_part_are_left_out():
    frame = walk()
    frame.iloc[110:130] = np.nan
    model = Forecaster(**CALIBRATED).fit(frame, quiet=True)
    assert np.isnan(model.intervals_.conformal.scores_).any()
    assert (model.intervals_.conformal.counts_ < 59 - 18).all()
    assert model.predict()[ENDS].notna().all(axis=None)


def test_of_very_many_windows_an_even_share_is_kept(monkeypatch, model):
    monkeypatch.setattr("forecast.uncertainty.NUMBERS", 80)
    monkeypatch.setattr("forecast.uncertainty.FEWEST", 5)
    few = Forecaster(**CALIBRATED).fit(walk(), quiet=True).intervals_
    assert (few.conformal.scores_.shape, few.windows) == ((40, 2, 1), 59)
    past = model.backtest(part="calibration")
    size = fading_mean_change(walk()["y"].astype(np.float32).astype(float)).to_numpy()
    even = np.linspace(0, 58, 40).astype(int)
    scores = (past.y_true - past.y_pred["lstm"])[even] / size[past.index.cutoffs[even], None, None]
    np.testing.assert_allclose(few.conformal.scores_, np.sort(scores, axis=0), rtol=1e-6)


def test_what_intervals_rest_on_and_what_they_cost_is_said_after_training(capsys):
    Forecaster(**{**CALIBRATED, "split": {"calibration": 0.1}}).fit(walk())
    assert (
        "Intervals rest on 19 windows of one series; 10 of them share no row. They are too few for 95 %, which needs "
        "39. Calibration took the latest 20 of 140 training rows (14 %).\n"
    ) in capsys.readouterr().err


def test_where_there_are_too_few_windows_for_a_level_the_others_are_there():
    model = Forecaster(**{**CALIBRATED, "split": {"calibration": 0.1}}).fit(walk(), quiet=True)
    assert model.predict().columns.tolist()[6:] == ENDS[:2]
    with pytest.raises(
        ConfigError,
        match=r"95 % need 39 windows in the calibration part.*Received: 19 at step 1\. Ask for at most 90 %",
    ):
        model.predict(levels=95)
    assert model.predict(levels=90).columns.tolist()[6:] == ["y_pred_lo_90", "y_pred_hi_90"]
    tiny = Forecaster(**{**CALIBRATED, "split": {"calibration": 0.02}}).fit(walk(), quiet=True)
    assert tiny.predict().columns.tolist()[6:] == []


def test_a_calibration_part_without_a_window_is_named_before_training_and_leaves_forecasts_without_ends(capsys):
    model = Forecaster(**{**CALIBRATED, "split": {"calibration": 0.005}}).fit(walk())
    said = capsys.readouterr().err
    why = "No intervals: the calibration part of 1 rows holds no window with a future of 2 rows"
    assert 0 < said.index(why) < said.index("epoch 1/")
    assert model.predict().columns.tolist()[5:] == ["y_pred"]
    with pytest.raises(ConfigError, match=r"Fit with split\.calibration=0\.1 .* or a larger share"):
        model.predict(levels=80)


def test_a_tenth_of_the_rows_is_for_intervals_where_nobody_says_otherwise():
    model = Forecaster(**TINY).fit(walk(), quiet=True)
    assert model.splits_.count("calibration") == 20
    assert model.predict().columns.tolist()[6:] == ENDS[:2]  # 19 windows: too few for 95 %


def test_a_later_fit_brings_its_own_intervals_or_none(model):
    other = Forecaster(**CALIBRATED).fit(walk(), quiet=True)
    with pytest.raises(DataError):
        other.fit(walk(9), quiet=True)
    np.testing.assert_array_equal(other.intervals_.conformal.scores_, model.intervals_.conformal.scores_)
    other.config = other.config.replace(split={"calibration": 0})
    assert other.fit(walk(), quiet=True).intervals_ is None


def test_a_usual_change_is_above_zero_whatever_the_rows_hold():
    rows = np.array(
        [[1, 500, 0, np.nan, np.nan], [3, 500, 0, np.nan, 7], [np.nan, 500, 0, np.nan, np.nan], [4, 500, 0, 0, 9]]
    )
    np.testing.assert_allclose(usual_change(rows.astype(float)), [2.0, 0.5, 1.0, 1.0, 0.008])
    np.testing.assert_array_equal(usual_change(np.empty((0, 2))), [1.0, 1.0])


# --- bundles ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    model.save("walk", folder)
    return folder


def test_a_bundle_brings_its_intervals_back(model, saved):
    loaded = Forecaster.load("walk", saved)
    pd.testing.assert_frame_equal(loaded.predict(data=walk(), levels=(50, 95)), model.predict(levels=(50, 95)))
    pd.testing.assert_frame_equal(loaded.backtest(walk()).coverage(), model.backtest().coverage())
    assert str(loaded.intervals_) == str(model.intervals_)
    manifest = bundle.verify(saved / "walk" / "1")
    assert manifest["files"]["intervals.npz"]["bytes"] == (saved / "walk/1/intervals.npz").stat().st_size
    about = manifest["intervals"]
    assert (about["windows"], about["apart"], about["rows"], about["train"]) == (59, 30, 60, 80)
    assert about["about"] == str(model.intervals_)
    table = pd.DataFrame(about["test"]).set_index(["target", "level"])
    pd.testing.assert_frame_equal(table, model.evaluate().coverage)
    model.save("again", saved)
    assert bundle.verify(saved / "again" / "1")["intervals"] == about


def test_a_bundle_without_calibration_rows_has_nothing_of_it(plain, tmp_path):
    path = plain.save("plain", tmp_path)
    assert not (path / "intervals.npz").exists()
    assert "intervals" not in plain.manifest_
    assert Forecaster.load("plain", tmp_path).intervals_ is None


def test_intervals_that_were_changed_are_refused(saved, tmp_path):
    path = shutil.copytree(saved / "walk" / "1", tmp_path / "walk" / "1")
    (path / "intervals.npz").write_bytes((path / "pipeline.npz").read_bytes())
    with pytest.raises(BundleError, match=r"intervals\.npz must be as it was saved"):
        Forecaster.load("walk", tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"scores": np.zeros((4, 3, 1))},
        {"scores": np.zeros((4, 2, 1), np.float32)},
        {"scores": np.array([[[3.0], [0.0]], [[1.0], [0.0]]])},
        {"scores": np.array([[[np.nan], [0.0]], [[1.0], [0.0]]])},
        {"scores": np.full((4, 2, 1), np.inf)},
        {"scores": None},
        {"scaled": np.array(1)},
        {"ids": np.array(["other"])},
        {"usual": np.zeros((1, 1))},
        {"usual": np.full((1, 1), np.inf)},
        {"usual": np.ones((2, 1))},
        {"about": np.zeros(4)},
        {"scores": np.array([object()])},
    ],
)
def test_forged_intervals_are_refused(model, saved, tmp_path, change):
    with np.load(saved / "walk/1/intervals.npz") as file:
        arrays = {name: file[name] for name in file.files} | change
    np.savez(tmp_path / "intervals.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(BundleError, match=r"intervals\.npz must hold the intervals of this forecaster"):
        Intervals.load(tmp_path, model.pipeline_)


# --- the command and pictures -----------------------------------------------------------------------------------------


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    small = ["--lookback", 8, "--horizon", 2, "--epochs", 1, "--set", "model.units=4", "--quiet"]
    data = "synthetic:sine?rows=200"
    code, out, err = run("train", data, "--calibration", 0.25, "--name", "sine", "--folder", folder, "--json", *small)
    assert code == 0, err
    return folder, json.loads(out)


def test_the_command_trains_with_a_calibration_part_and_says_what_it_holds(trained):
    folder, told = trained
    assert [row["level"] for row in told["coverage"]] == [80, 95]
    assert Forecaster.load("sine", folder).config.split.calibration == 0.25
    for command in ("evaluate", "backtest"):
        code, out, _ = run(command, "sine", "--folder", folder, "--json")
        assert (code, json.loads(out)["coverage"]) == (0, told["coverage"])
    assert "Intervals of 95 % held " in run("evaluate", "sine", "--folder", folder)[1]


def test_the_command_predicts_with_the_levels_asked_for(trained):
    folder, _ = trained
    code, out, err = run("predict", "sine", "--steps", 3, "--levels", "50,95", "--folder", folder, "--json")
    rows = json.loads(out)
    assert code == 0
    assert list(rows[0])[5:] == ["y_pred", "y_pred_lo_50", "y_pred_hi_50", "y_pred_lo_95", "y_pred_hi_95"]
    assert rows[0]["y_pred_lo_95"] < rows[0]["y_pred_hi_95"]
    assert (rows[2]["y_pred_lo_95"], err) == (None, "no intervals beyond the horizon, from step 3 on\n")
    assert list(json.loads(run("predict", "sine", "--folder", folder, "--json")[1])[0])[6:] == ENDS
    assert list(json.loads(run("predict", "sine", "--levels", "", "--folder", folder, "--json")[1])[0])[6:] == []


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ("many", "`--levels` takes numbers with commas between them, such as 80,95. Received: 'many'"),
        ("0.8", "`levels` must be percent, above 1 and below 100, such as 80. Received: 0.8"),
        ("99.9", "Intervals of 99.9 % need 1999 windows in the calibration part"),
    ],
)
def test_wrong_levels_are_config_errors(trained, levels, message):
    code, out, err = run("predict", "sine", "--levels", levels, "--folder", trained[0])
    assert (code, out) == (78, "")
    assert message in err


def test_the_calibration_part_may_start_at_a_date():
    dates = ["--calibration", "2020-04-10", "--set", "split.validation=2020-04-01", "--set", "split.test=2020-06-01"]
    code, out, err = run("train", "synthetic:sine?rows=200", *dates, "--no-save", "--json", "--quiet", "--epochs", 1)
    assert code == 0, err
    assert json.loads(out)["coverage"]


def fans(ax):
    """Returns the shaded areas of a picture by label: the lowest and highest value of each stamp."""
    found = {}
    for area in ax.collections:
        for path in area.get_paths():
            label = area.get_label()
            ends = found.setdefault(label if label.endswith("%") else "bars", {})
            for x, y in path.vertices:
                ends.setdefault(float(x), []).append(float(y))
    return {label: np.array([[min(y), max(y)] for _, y in sorted(ends.items())]) for label, ends in found.items()}


def test_pictures_shade_intervals(model, plain):
    future = model.predict()
    drawn = fans(model.plot(steps=2))
    for level in (80, 95):
        np.testing.assert_allclose(drawn[f"{level} %"], future[[f"y_pred_lo_{level}", f"y_pred_hi_{level}"]])
    last = model.backtest().frame().iloc[-2:]
    drawn = fans(model.plot())
    for level in (80, 95):
        np.testing.assert_allclose(drawn[f"{level} %"], last[[f"y_pred_lo_{level}", f"y_pred_hi_{level}"]])
    labels = [text.get_text() for text in model.plot().get_legend().get_texts()]
    assert labels == ["truth", "lstm", "naive", "95 %", "80 %", "cutoff 2022-07-17"]
    assert fans(plain.plot()) == {}


def test_an_interval_of_one_step_alone_is_seen():
    model = Forecaster(**{**CALIBRATED, "horizon": 1}).fit(walk(), quiet=True)
    future = model.predict(steps=3).iloc[:1]
    bars = fans(model.plot(steps=3))["bars"]
    np.testing.assert_allclose(bars[0], future[["y_pred_lo_95", "y_pred_hi_95"]].iloc[0])
    many_steps = fans(model.plot())
    assert len(many_steps["80 %"]) == len(model.backtest().index)
    assert "bars" not in many_steps


# --- real data --------------------------------------------------------------------------------------------------------


def naive_with_intervals(frame, lookback, horizon, **options):
    """Returns test windows, what happened, the naive forecast, and intervals learned on the tenth of rows before."""
    panel = Panel.from_frame(frame, **options)
    splits = split(panel, SplitSpec(calibration=0.1))
    window = {"lookback": lookback, "horizon": horizon}
    pipeline = DataPipeline(PipelineSpec(targets=("y",), window=window)).fit(panel, splits)
    rows = pipeline.transform(panel)

    def predict(rows, index):
        scaled = np.repeat(rows.inputs[index.cutoffs][:, None, :1], horizon, axis=1)
        return pipeline.inverse(scaled, rows, index.cutoffs, index.series)

    intervals = calibrate(predict, pipeline, rows, calibration_windows(pipeline, rows, splits), splits)
    index = scored_windows(pipeline, rows, splits, "test")
    y_pred = predict(rows, index)
    return index, pipeline.truth(panel, index), y_pred, intervals.bands(rows, index, y_pred, (80.0, 95.0))


def six_tickers(folder):
    frame = pd.read_csv(folder / "stocks/us_daily_6tickers.csv.gz", parse_dates=["Date"])
    return frame.rename(columns={"Date": "ds", "Ticker": "unique_id", "Adj Close": "y"})[["unique_id", "ds", "y"]]


@pytest.mark.shared_data
def test_hourly_series_of_m4_are_held_as_often_as_promised(shared_data):
    wide = pd.read_csv(shared_data / "m4/Hourly-train.csv.gz", index_col=0).iloc[::2]
    parts = [pd.DataFrame({"unique_id": name, "y": row.dropna()}) for name, row in wide.iterrows()]
    frame = pd.concat([part.assign(ds=np.arange(len(part))) for part in parts], ignore_index=True)
    _, y_true, _, bands = naive_with_intervals(frame, 60, 24)
    for level, (low, high) in bands.ends.items():
        assert abs(coverage(y_true, low, high) - level) < 2
        steps = [coverage(y_true[:, h], low[:, h], high[:, h]) for h in range(24)]
        assert max(abs(np.array(steps) - level)) < 5  # step 24 is a season ahead: its errors are few and large
        assert np.mean(abs(np.array(steps) - level)) < 1


@pytest.mark.shared_data
@pytest.mark.parametrize(("lookback", "horizon"), [(20, 1), (20, 5), (60, 1), (60, 5)])
def test_six_stocks_are_held_as_often_as_promised_and_better_where_drift_is_followed(shared_data, lookback, horizon):
    index, y_true, y_pred, bands = naive_with_intervals(six_tickers(shared_data), lookback, horizon, calendar="XNYS")
    for level, (low, high) in bands.ends.items():
        assert abs(coverage(y_true, low, high) - level) < 2
        got = adaptive(bands.conformal, y_true, y_pred, bands.scale, level, cutoffs=index.cutoffs, series=index.series)
        assert abs(coverage(y_true, got.low, got.high) - level) < 0.5


@pytest.mark.shared_data
def test_a_network_s_intervals_hold_on_real_prices(shared_data):
    model = Forecaster(
        {"name": "lstm", "units": 4}, lookback=20, horizon=5, calendar="XNYS", split={"calibration": 0.1}
    ).fit(six_tickers(shared_data), quiet=True, epochs=1, batch_size=512)
    share = model.backtest().coverage(None)["coverage"]
    assert abs(share[("y", 80.0)] - 80) < 2.5
    assert abs(share[("y", 95.0)] - 95) < 2.5
