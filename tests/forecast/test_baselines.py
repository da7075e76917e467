import doctest
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from forecast.evaluation import baselines
from forecast.evaluation.baselines import BASELINES, drift, mean, naive, seasonal_naive
from pipelines.errors import ConfigError, DataError

STEPS = np.arange(1, 8)
NAMES = sorted(BASELINES)

prices = st.floats(-1e6, 1e6, width=32) | st.just(math.nan)
histories = hnp.arrays(np.float64, st.integers(1, 40), elements=prices)
seasons = st.integers(1, 9)


def one_forecast(name: str, history: list[float], step: int, season_length: int) -> float:
    """The rules again, in plain Python: one step after the last row of one history."""
    observed = [row for row, value in enumerate(history) if not math.isnan(value)]
    if not observed:
        return math.nan
    first, last = observed[0], observed[-1]
    if name == "mean":
        return math.fsum(history[row] for row in observed) / len(observed)
    if name == "drift" and last > first:
        return history[last] + step * (history[last] - history[first]) / (last - first)
    if name == "seasonal_naive" and len(history) - first >= season_length:
        wanted = len(history) - 1 + step - season_length * math.ceil(step / season_length)
        return history[max(row for row in observed if row <= wanted)]
    return history[last]


@pytest.mark.parametrize("name", NAMES)
@given(series=histories, season_length=seasons, gap=st.integers(0, 5))
def test_every_cutoff_and_step_agrees_with_the_rule_written_as_a_loop(name, series, season_length, gap):
    cutoffs, steps = np.arange(len(series)), STEPS + gap
    forecast = BASELINES[name](series, cutoffs, steps, season_length)
    loop = [[one_forecast(name, list(series[: c + 1]), int(h), season_length) for h in steps] for c in cutoffs]
    if name in {"naive", "seasonal_naive"}:
        np.testing.assert_array_equal(forecast, loop)
    else:
        np.testing.assert_allclose(forecast, loop, rtol=1e-12, atol=1e-8)  # values reach 1e6


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), series=histories, season_length=seasons)
def test_changing_the_future_does_not_move_a_forecast_by_a_bit(name, data, series, season_length):
    cutoff = data.draw(st.integers(0, len(series) - 1))
    other = series.copy()
    other[cutoff + 1 :] = data.draw(hnp.arrays(np.float64, len(series) - cutoff - 1, elements=prices))
    cutoffs = np.arange(cutoff + 1)
    before = BASELINES[name](series, cutoffs, STEPS, season_length)
    after = BASELINES[name](other, cutoffs, STEPS, season_length)
    cut = BASELINES[name](series[: cutoff + 1], cutoffs, STEPS, season_length)
    assert before.tobytes() == after.tobytes() == cut.tobytes()


@pytest.mark.parametrize("name", NAMES)
@given(series=histories, season_length=seasons)
def test_a_forecast_is_missing_exactly_where_nothing_was_observed_yet(name, series, season_length):
    forecast = BASELINES[name](series, np.arange(len(series)), STEPS, season_length)
    nothing_yet = np.logical_and.accumulate(np.isnan(series))
    np.testing.assert_array_equal(np.isnan(forecast), np.repeat(nothing_yet[:, None], len(STEPS), axis=1))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), series=histories, season_length=seasons)
def test_cutoffs_come_back_in_the_order_they_were_given(name, data, series, season_length):
    cutoffs = np.array(data.draw(st.lists(st.integers(0, len(series) - 1), max_size=10)), dtype=np.int32)
    every = BASELINES[name](series, np.arange(len(series)), STEPS, season_length)
    np.testing.assert_array_equal(BASELINES[name](series, cutoffs, STEPS, season_length), every[cutoffs])


def test_seasonal_naive_repeats_the_last_season_over_and_over():
    rows = np.arange(10.0)  # every value is its own row number
    np.testing.assert_array_equal(
        seasonal_naive(rows, [9, 8], STEPS, 3), [[7, 8, 9, 7, 8, 9, 7], [6, 7, 8, 6, 7, 8, 6]]
    )


def test_a_gap_shifts_the_season_and_lengthens_the_drift():
    rows = np.arange(10.0)
    np.testing.assert_array_equal(seasonal_naive(rows, [9], [3, 4], 3), [[9, 7]])
    np.testing.assert_array_equal(drift(rows, [9], [3, 4]), [[12, 13]])


def test_a_history_shorter_than_one_season_falls_back_to_the_naive_forecast():
    rows = np.arange(10.0)
    np.testing.assert_array_equal(seasonal_naive(rows, [1, 2], [1, 2, 3], 3), [[1, 1, 1], [0, 1, 2]])
    rows[:4] = np.nan  # the history starts with the first observed row
    np.testing.assert_array_equal(seasonal_naive(rows, [5, 6], [1, 2, 3], 3), [[5, 5, 5], [4, 5, 6]])


def test_a_missing_value_is_the_last_observed_one_before_it():
    series = [1.0, 2.0, np.nan, 4.0, np.nan]
    np.testing.assert_array_equal(naive(series, [2, 4], [1, 2]), [[2, 2], [4, 4]])
    np.testing.assert_array_equal(seasonal_naive(series, [4], [1, 2, 3], 3), [[2, 4, 4]])
    np.testing.assert_array_equal(drift(series, [4], [1, 2]), [[5, 6]])
    np.testing.assert_allclose(mean(series, [4], [1, 2]), [[7 / 3, 7 / 3]], rtol=1e-15)


def test_float32_prices_give_float64_forecasts_without_losing_the_mean():
    series = np.full(48_000, 16_777_217.0, dtype=np.float32) + np.float32(2)  # sums far beyond what float32 can count
    forecast = mean(series, [len(series) - 1], [1])
    assert forecast.dtype == np.float64
    assert forecast[0, 0] == float(series[0])


def test_the_forecast_is_an_array_of_its_own():
    series = np.arange(5.0)
    for name in NAMES:
        BASELINES[name](series, [4], [1, 2], 2)[:] = -1
    np.testing.assert_array_equal(series, np.arange(5.0))


@pytest.mark.parametrize("name", NAMES)
def test_no_cutoffs_give_no_rows_even_for_an_empty_series(name):
    assert BASELINES[name](np.arange(5.0), [], [1, 2], 2).shape == (0, 2)
    assert BASELINES[name]([], [], [1, 2], 2).shape == (0, 2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (([1, 2, 3], [3], [1], 1), DataError, r">= 0 and < 3. Received: 1 of 1 outside, the lowest 3, the highest 3"),
        (([1, 2, 3], [0, -1], [1], 1), DataError, r"Received: 1 of 2 outside, the lowest -1, the highest 0"),
        (([], [0], [1], 1), DataError, r">= 0 and < 0"),
        (([[1, 2, 3]], [0], [1], 1), DataError, r"one series of shape \(T,\). Received: shape \(1, 3\)"),
        (([1, np.inf, 3], [0], [1], 1), DataError, r"Received: 1 of 3 values are infinite"),
        (([1, 2, 3], [0.5], [1], 1), ConfigError, r"`cutoffs` must be a list of integers. Received: .* float64"),
        (([1, 2, 3], 0, [1], 1), ConfigError, r"`cutoffs` must be a list of integers. Received: shape \(\)"),
        (([1, 2, 3], [0], [0, 1], 1), ConfigError, r"`steps` must be integers >= 1, .* Received: 0"),
        (([1, 2, 3], [0], [1], 0), ConfigError, r"`season_length` must be an integer >= 1. Received: 0"),
        (([1, 2, 3], [0], [1], 24.0), ConfigError, r"`season_length` must be an integer >= 1. Received: 24.0"),
    ],
)
def test_what_cannot_be_forecast_is_refused_in_words(name, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        BASELINES[name](*arguments)


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(baselines).failed == 0


@pytest.mark.shared_data
@pytest.mark.parametrize(("name", "method"), [("naive", "Naive"), ("seasonal_naive", "sNaive")])
def test_the_forecasts_are_those_that_the_m4_organisers_published(shared_data, name, method):
    train = pd.read_csv(shared_data / "m4/Hourly-train.csv.gz", index_col=0)
    published = (
        pd.read_csv(shared_data / "published/m4_hourly_benchmark_forecasts.csv.gz")
        .set_index(["method", "id"])
        .loc[method]
    )
    assert len(train) == len(published) == 414
    for series_id, row in train.iterrows():
        series = row.dropna().to_numpy()
        forecast = BASELINES[name](series, [len(series) - 1], np.arange(1, 49), 24)
        np.testing.assert_array_equal(forecast[0], published.loc[series_id])
