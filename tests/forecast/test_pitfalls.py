import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from forecast.evaluation import pitfalls
from forecast.evaluation.pitfalls import lag_one_copy, outside_training_range
from pipelines.errors import DataError


def random_walk(seed: int, rows: int = 401) -> tuple[np.ndarray, np.ndarray]:
    """Returns the truth and the last value before it."""
    walk = 100 + np.random.default_rng(seed).normal(size=rows).cumsum()
    return walk[1:], walk[:-1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 0.9])
def test_the_last_value_with_noise_is_a_copy(seed, noise):
    true, last = random_walk(seed)
    found = lag_one_copy(true, last + noise * np.random.default_rng(100 + seed).normal(size=len(last)), last)
    assert found.is_copy
    assert str(found).startswith("A copy of the last value: ")
    assert found.share == pytest.approx(noise, rel=0.2)


@pytest.mark.parametrize("offset", [-0.5, 0.3])
def test_the_last_value_with_a_constant_offset_is_a_copy(offset):
    true, last = random_walk(0)
    found = lag_one_copy(true, last + offset, last)
    assert found.is_copy
    assert found.correlation == 0
    assert found.to_last == pytest.approx(abs(offset))


def test_a_picture_of_a_copy_follows_the_truth_closely_and_is_found_out():
    true, last = random_walk(1)
    assert np.corrcoef(true, last)[0, 1] > 0.95
    assert lag_one_copy(true, last, last).is_copy


@pytest.mark.parametrize("seed", range(5))
def test_a_forecast_that_moves_little_but_rightly_is_no_copy(seed):
    true, last = random_walk(seed)
    seen = 0.1 * (true - last + 3 * np.random.default_rng(100 + seed).normal(size=len(last)))
    found = lag_one_copy(true, last + seen, last)
    assert found.to_last < found.to_true / 2
    assert not found.is_copy
    assert str(found).startswith("No copy of the last value: ")


@pytest.mark.parametrize("seed", range(5))
def test_the_right_forecast_of_a_series_that_reverts_is_no_copy(seed):
    random = np.random.default_rng(seed)
    values = [0.0]
    for shock in random.normal(size=600):
        values.append(0.7 * values[-1] + shock)
    true, last = np.array(values[1:]), np.array(values[:-1])
    assert not lag_one_copy(true, 0.7 * last, last).is_copy


def test_a_bad_forecast_far_from_both_is_no_copy():
    true, last = random_walk(2)
    wild = lag_one_copy(true, last + 1.5 * np.random.default_rng(102).normal(size=len(last)), last)
    assert 0.75 < wild.to_last / wild.to_true < 1
    assert not wild.is_copy
    assert not lag_one_copy(true, np.full_like(true, 60.0), last).is_copy
    assert not lag_one_copy(true, true, last).is_copy


def test_random_forecasts_with_moves_of_a_tenth_are_taken_for_skill_in_few_cases_of_a_hundred():
    innocent = 0
    for seed in range(200):
        true, last = random_walk(seed)
        innocent += not lag_one_copy(
            true, last + 0.1 * np.random.default_rng(1000 + seed).normal(size=400), last
        ).is_copy
    assert innocent <= 12  # 2.3 % are expected


@given(scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_neither_unit_nor_level_changes_what_a_copy_is(scale, shift):
    true, last = random_walk(3, rows=60)
    pred = last + 0.3 * np.sin(np.arange(59))
    plain = lag_one_copy(true, pred, last)
    other = lag_one_copy(true * scale + shift, pred * scale + shift, last * scale + shift)
    assert other.share == pytest.approx(plain.share, rel=1e-6)
    assert other.correlation == pytest.approx(plain.correlation, abs=1e-6)
    assert other.to_true == pytest.approx(scale * plain.to_true, rel=1e-6)
    assert other.is_copy == plain.is_copy


def test_the_numbers_are_those_computed_by_hand_and_what_is_missing_is_left_out():
    true, pred, last = [12.0, math.nan, 9.0, 11.0], [11.0, 5.0, 10.0, 10.0], [10.0, 10.0, 10.0, math.nan]
    found = lag_one_copy(true, pred, last)
    assert (found.to_last, found.to_true, found.typical_move, found.n) == (0.5, 1.0, 1.5, 2)
    assert found.share == pytest.approx(1 / 3)
    assert found.correlation == pytest.approx(1)


@pytest.mark.parametrize(
    ("true", "pred", "last", "sentence"),
    [
        ([[1.0, 2.0], [2.0, 3.0]], [[1.0, 2.0], [2.0, 3.0]], 1.0, r"one step .* Received: shape \(2, 2\) with 4"),
        ([1.0], [2.0], 1.5, r"at least two cutoffs, .* Received: shape \(1,\) with 1 known"),
        ([1.0, 2.0], [2.0, 1.0], math.nan, r"with 0 known"),
        ([1.0, 2.0], [2.0, 1.0], [1.0, 2.0], r"only where the truth moves. Received: 2 true values"),
        ([1.0, 2.0], [2.0, math.nan], 1.5, r"`y_pred` must be finite"),
        ([1.0, 2.0, 3.0], [2.0, 1.0], 1.5, r"must have the same shape"),
    ],
)
def test_what_cannot_be_told_from_a_copy_is_refused_in_words(true, pred, last, sentence):
    with pytest.raises(DataError, match=sentence):
        lag_one_copy(true, pred, last)


@given(data=st.data(), shape=hnp.array_shapes(max_dims=2, max_side=8))
def test_values_outside_the_range_are_counted_like_a_loop_would(data, shape):
    cents = st.integers(-10_000, 10_000).map(lambda n: n / 100)
    values = data.draw(hnp.arrays(np.float64, shape, elements=cents))
    low = data.draw(hnp.arrays(np.float64, shape[:1], elements=cents))
    high = low + data.draw(hnp.arrays(np.float64, shape[:1], elements=st.integers(1, 1000).map(lambda n: n / 100)))
    far = [max(low[i[0]] - values[i], values[i] - high[i[0]], 0) for i in np.ndindex(shape)]
    widths = [max(low[i[0]] - values[i], values[i] - high[i[0]], 0) / (high - low)[i[0]] for i in np.ndindex(shape)]
    found = outside_training_range(values, low, high)
    assert found.share == pytest.approx(100 * np.mean([f > 0 for f in far]))
    assert found.excess == pytest.approx(max(far))
    assert found.widths == pytest.approx(max(widths))
    assert found.n == values.size


def test_the_training_rows_themselves_lie_in_their_range():
    rows = np.random.default_rng(0).normal(size=50)
    found = outside_training_range(rows, rows.min(), rows.max())
    assert (found.share, found.excess, found.widths) == (0, 0, 0)
    assert str(found) == "All 50 values lie in the training range."


def test_a_range_without_width_has_an_excess_in_units_only():
    found = outside_training_range([1.0, 3.0], low=1.0, high=1.0)
    assert (found.share, found.excess, found.widths) == (50, 2, math.inf)
    assert str(found) == "50.0 % of 2 values lie outside the training range, the farthest 2.000 beyond it."


def test_values_and_series_of_which_nothing_is_known_are_left_out():
    found = outside_training_range([[1.0, math.nan], [9.0, 9.0]], low=[0.0, math.nan], high=[0.5, 1.0])
    assert (found.share, found.n) == (100, 1)


@pytest.mark.parametrize(
    ("values", "low", "high", "sentence"),
    [
        ([1.0, 2.0], 3.0, 1.0, r"Received: 2 of 2 values with a range, 2 of them upside down"),
        ([1.0, 2.0], math.nan, 1.0, r"Received: 0 of 2 values with a range"),
        ([math.nan], 0.0, 1.0, r"at least one observed"),
        ([1.0, math.inf], 0.0, 1.0, r"must be finite"),
        ([1.0, 2.0], [0.0, 0.0, 0.0], 1.0, r"`low` must be one number, or have the leading axes"),
    ],
)
def test_a_range_that_is_none_is_refused_in_words(values, low, high, sentence):
    with pytest.raises(DataError, match=sentence):
        outside_training_range(values, low, high)


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(pitfalls, extraglobs={"np": np}, optionflags=doctest.ELLIPSIS).failed == 0
