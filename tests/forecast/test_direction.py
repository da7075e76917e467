import doctest
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from forecast.evaluation import direction
from forecast.evaluation.direction import (
    directional_accuracy,
    directional_interval,
    moved,
    return_correlation,
    up_share,
)
from pipelines.errors import ConfigError, DataError

TRUE = [100.0, 102.0, 101.0, 105.0]
PRED = [101.0, 101.0, 103.0, 104.0]

# Cents, as prices are: no difference is lost in rounding, and none is as small, so signs and zeros are exact.
cents = st.integers(-500_000, 500_000).map(lambda n: n / 100)
prices = st.integers(1, 1_000_000).map(lambda n: n / 100)


shapes = hnp.array_shapes(max_dims=3, max_side=6)


@st.composite
def pairs(draw, elements=cents, shapes=shapes):
    shape = draw(shapes)
    return tuple(draw(hnp.arrays(np.float64, shape, elements=elements)) for _ in range(2))


@given(data=st.data(), pair=pairs())
def test_directions_are_counted_like_a_loop_would_and_beside_the_same_up_moves(data, pair):
    true, pred = pair
    last = data.draw(hnp.arrays(np.float64, true.shape[:1], elements=cents | st.just(math.nan)))
    start = [last[index[0]] for index in np.ndindex(true.shape)]
    moved = [(a - b, f - b) for a, f, b in zip(true.ravel(), pred.ravel(), start, strict=True) if abs(a - b) > 0]
    if not moved:
        with pytest.raises(DataError, match="A direction needs a true move"):
            directional_accuracy(true, pred, last)
        return
    hits = sum((a > 0 and f > 0) or (a < 0 and f < 0) for a, f in moved)
    assert directional_accuracy(true, pred, last) == pytest.approx(100 * hits / len(moved))
    assert up_share(true, pred, last) == pytest.approx(100 * sum(a > 0 for a, _ in moved) / len(moved))
    always_up = np.where(np.isnan(last), 0, last).reshape(-1, *(1,) * (true.ndim - 1)) + np.ones_like(true)
    assert directional_accuracy(true, always_up, last) == pytest.approx(up_share(true, pred, last))


def test_the_naive_forecast_never_hits_a_direction():
    assert directional_accuracy([[1, 2], [4, 3]], [[1.5, 1.5], [3.5, 3.5]], last=[1.5, 3.5]) == 0


@pytest.mark.parametrize("size", [1e-12, 0.3, 500.0, 1e9])
def test_a_forecast_that_equals_naive_to_the_rounding_of_its_arithmetic_hits_no_direction_either(size):
    random = np.random.default_rng(0)
    walk = size * (1 + 0.01 * random.normal(size=1001).cumsum() / 10)
    true, last = walk[1:], walk[:-1]
    low, high = np.float32(walk.min()), np.float32(walk.max())
    scaled = (last.astype(np.float32) - low) / (high - low)
    for rounded in (last + 7 * size - 7 * size, last.astype(np.float32), scaled * (high - low) + low):
        assert (rounded != last).any()
        assert directional_accuracy(true, rounded, last) == directional_interval(true, rounded, last)[0] == 0
        assert directional_interval(true, rounded, last) == directional_interval(true, last, last)
        assert not moved(rounded, true, last).any()
    careful = last + 0.1 * (true - last)  # one in a hundred of these moves is as small as rounding
    assert 95 < directional_accuracy(true, careful, last) < 100


def test_moves_from_zero_are_measured_by_the_true_value():
    assert directional_accuracy([3.0, -2.0], [1e-7, -1e-7], last=0) == 0
    assert directional_accuracy([3.0, -2.0], [1e-5, -1e-5], last=0) == 100
    assert directional_accuracy([3e-9, -2e-9], [1e-9, 1e-9], last=0) == 50
    assert directional_accuracy([0.0, 0.0], [1e-3, -1e-3], last=[1e-3, 1.0]) == 50  # to zero is a move


def test_true_moves_that_are_rounding_have_no_direction():
    true, last = np.array([1e8 + 8, 1e8 + 1000, 1e8 - 1000]), np.full(3, 1e8)  # float32 holds these in steps of 8
    assert up_share(true, true, last) == 50
    with pytest.raises(DataError, match="none of them known to have moved by more than rounding"):
        up_share(true[:1], true[:1], last[:1])


@pytest.mark.parametrize(("hits", "misses"), [(1, 2), (0, 7), (12, 0), (130, 120)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_the_interval_of_an_accuracy_is_wilsons(hits, misses, level):
    true = np.ones(hits + misses)
    pred = np.repeat([1.0, -1.0], [hits, misses])
    wilson = scipy.stats.binomtest(hits, hits + misses).proportion_ci(level, method="wilson")
    found = directional_interval(true, pred, 0.0, level)
    np.testing.assert_allclose(found, [100 * wilson.low, 100 * wilson.high], rtol=1e-12, atol=1e-12)
    assert found[0] <= directional_accuracy(true, pred, 0.0) <= found[1]


def test_the_interval_counts_the_moves_that_the_accuracy_counts():
    padded = [[*TRUE, math.nan, 101], [*PRED, 7, 99]]  # the last one did not move away from 101
    assert directional_interval(*padded, last=101) == directional_interval(TRUE, PRED, last=101)
    with pytest.raises(DataError, match="A direction needs a true move"):
        directional_interval([5.0], [6.0], last=5.0)


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, math.nan])
def test_the_level_of_an_interval_is_a_share(level):
    with pytest.raises(ConfigError, match=rf"above 0 and below 1. Received: {level}. Give 0.95"):
        directional_interval(TRUE, PRED, 101, level)


@given(data=st.data(), pair=pairs(prices, st.tuples(st.integers(2, 30))))
def test_the_correlation_of_returns_is_that_of_numpy(data, pair):
    true, pred = pair
    last = data.draw(hnp.arrays(np.float64, true.shape, elements=prices))
    realised, predicted = true / last - 1, pred / last - 1
    assume(min(np.ptp(realised), np.ptp(predicted)) > 1e-9)
    assert return_correlation(true, pred, last) == pytest.approx(np.corrcoef(realised, predicted)[0, 1], abs=1e-6)


def test_levels_that_follow_the_last_price_know_nothing_of_the_next_return():
    walk = 100 * np.exp(np.random.default_rng(0).normal(0, 0.01, 2001).cumsum())
    true, last = walk[1:], walk[:-1]
    pred = last * (1 + np.random.default_rng(1).normal(0, 0.001, 2000))
    assert np.corrcoef(true, pred)[0, 1] > 0.99
    assert abs(return_correlation(true, pred, last)) < 0.05


@given(scale=st.floats(0.01, 100), shrink=st.floats(0.01, 1))
def test_neither_the_currency_nor_the_size_of_predicted_moves_counts(scale, shrink):
    true, pred, last = np.array(TRUE), np.array(PRED), np.array([99.0, 101, 100, 104])
    expected = return_correlation(true, pred, last)
    assert return_correlation(scale * true, scale * pred, scale * last) == pytest.approx(expected, abs=1e-9)
    assert return_correlation(true, last + shrink * (pred - last), last) == pytest.approx(expected, abs=1e-9)
    assert return_correlation(true, last - shrink * (pred - last), last) == pytest.approx(-expected, abs=1e-9)


def test_a_last_price_may_stand_for_all_steps_of_a_row_and_a_missing_one_is_left_out():
    true = np.array([[101.0, 103.0], [50.0, 49.0], [7.0, 8.0]])
    pred = np.array([[102.0, 103.0], [51.0, 49.0], [7.0, 9.0]])
    kept = return_correlation(true[:2], pred[:2], [[100.0, 100.0], [50.0, 50.0]])
    assert return_correlation(true, pred, [100.0, 50.0, math.nan]) == kept
    assert return_correlation([*true[0], math.nan], [*pred[0], 1e9], 100.0) == pytest.approx(1)


@pytest.mark.parametrize(
    ("true", "pred", "last", "sentence"),
    [
        (TRUE, PRED, [100.0, 0.0, 1.0, -2.0], r"a `last` above zero. Received: 2 of 4"),
        (TRUE, [50.0] * 4, 50.0, r"needs predicted changes that vary. Received: 4 .* the naive one"),
        (TRUE, 1.1 * np.array([99.0, 101, 100, 104]), [99.0, 101, 100, 104], r"needs predicted changes that vary"),
        ([7.0, 7.0], [8.0, 9.0], 7.0, r"needs realised changes that vary. Received: 2"),
        ([7.0], [8.0], 7.5, r"needs realised changes that vary. Received: 1"),
        (TRUE, PRED, math.nan, r"needs realised changes that vary. Received: 0"),
        (TRUE, [*PRED[:3], math.nan], 101.0, r"`y_pred` must be finite"),
        (TRUE, PRED, [1.0, 2.0], r"leading axes of `y_true`"),
    ],
)
def test_a_correlation_that_is_not_defined_is_refused_in_words(true, pred, last, sentence):
    with pytest.raises(DataError, match=sentence):
        return_correlation(true, pred, last)


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(direction).failed == 0
