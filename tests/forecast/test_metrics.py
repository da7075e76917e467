import doctest
import math

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from forecast.evaluation import metrics
from forecast.evaluation.metrics import (
    METRICS,
    mae,
    mape,
    mase,
    mase_scale,
    mse,
    owa,
    rmse,
    rmsse,
    rmsse_scale,
    smape,
    wape,
)
from pipelines.errors import ConfigError, DataError

TRUE = [100.0, 102.0, 101.0, 105.0]
PRED = [101.0, 101.0, 103.0, 104.0]
EXTRA = {"mase_scale": 2.0, "rmsse_scale": 2.0, "last": 101.0}

shapes = hnp.array_shapes(max_dims=3, max_side=6)
# Cents, as prices are: no difference is lost in rounding, so signs and zeros are exact.
cents = st.integers(-1_000_000, 1_000_000).map(lambda n: n / 100)


def score(name: str, y_true, y_pred, **changed) -> float:
    metric = METRICS[name]
    return metric.function(y_true, y_pred, *((EXTRA | changed)[need] for need in metric.needs))


@st.composite
def pairs(draw, elements=cents):
    shape = draw(shapes)
    return tuple(draw(hnp.arrays(np.float64, shape, elements=elements)) for _ in range(2))


every_metric = pytest.mark.parametrize("name", METRICS)
errors_only = pytest.mark.parametrize("name", sorted(METRICS.keys() - {"directional_accuracy", "up_share"}))


@given(pairs())
def test_absolute_and_squared_errors_are_those_of_scikit_learn(pair):
    true, pred = (part.ravel() for part in pair)
    assert mae(*pair) == pytest.approx(sklearn.metrics.mean_absolute_error(true, pred), rel=1e-12)
    assert mse(*pair) == pytest.approx(sklearn.metrics.mean_squared_error(true, pred), rel=1e-12)
    assert rmse(*pair) == pytest.approx(sklearn.metrics.root_mean_squared_error(true, pred), rel=1e-12)


@given(pairs(cents.filter(bool)))
def test_mape_is_a_hundred_times_that_of_scikit_learn(pair):
    true, pred = (part.ravel() for part in pair)
    theirs = sklearn.metrics.mean_absolute_percentage_error(true, pred)
    assert mape(*pair) == pytest.approx(100 * theirs, rel=1e-12)


@given(pairs())
def test_smape_follows_its_formula_and_stays_between_0_and_200(pair):
    terms = [
        0.0 if a == f == 0 else 200 * abs(a - f) / (abs(a) + abs(f))
        for a, f in zip(*(part.ravel() for part in pair), strict=True)
    ]
    assert smape(*pair) == pytest.approx(math.fsum(terms) / len(terms), rel=1e-12)
    assert 0 <= smape(*pair) <= 200 * (1 + 1e-12)
    assert smape(*pair) == smape(*pair[::-1])


def test_the_percentages_are_those_computed_by_hand():
    assert mape([10, 20], [11, 16]) == pytest.approx((10 + 20) / 2)
    assert smape([10, 30], [30, 10]) == pytest.approx(100)
    assert smape([0, 5], [0, -5]) == pytest.approx(100)  # 0 for the first, 200 for the second
    assert wape([10, 0, -30], [11, 1, -32]) == pytest.approx(100 * 4 / 40)


@given(pair=pairs(), scale=st.floats(0.01, 1000))
def test_scaled_errors_are_plain_errors_over_the_scale(pair, scale):
    assert mase(*pair, scale) == pytest.approx(mae(*pair) / scale, rel=1e-12)
    assert rmsse(*pair, scale) == pytest.approx(rmse(*pair) / scale, rel=1e-12)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 1, 1)])
def test_each_row_may_have_its_own_scale_even_where_rows_and_steps_are_equally_many(shape):
    error = np.array([[3.0, 3.0, 3.0], [10.0, 10.0, 10.0], [8.0, 8.0, 8.0]])[..., None]  # (N, H, K) with N = H
    scale = np.reshape([1.0, 2.0, 4.0], shape)
    assert mase(error, 0 * error, scale) == pytest.approx((3 + 5 + 2) / 3)
    assert rmsse(error, 0 * error, scale) == pytest.approx(math.sqrt((9 + 25 + 4) / 3))


@given(train=hnp.arrays(np.float64, st.integers(0, 30), elements=cents | st.just(math.nan)), m=st.integers(1, 8))
def test_a_scale_is_the_mean_seasonal_difference_of_the_observed_rows(train, m):
    differences = [abs(b - a) for a, b in zip(train, train[m:], strict=False) if not math.isnan(b - a)]
    if any(differences):
        assert mase_scale(train, m) == pytest.approx(np.mean(differences), rel=1e-12)
        assert rmsse_scale(train, m) == pytest.approx(np.sqrt(np.mean(np.square(differences))), rel=1e-12)
    else:
        assert math.isnan(mase_scale(train, m))
        assert math.isnan(rmsse_scale(train, m))


@given(train=hnp.arrays(np.float64, st.integers(10, 30), elements=cents, unique=True), m=st.integers(1, 8))
def test_the_seasonal_naive_scores_exactly_1_on_the_rows_that_made_the_scale(train, m):
    assert mase(train[m:], train[:-m], mase_scale(train, m)) == pytest.approx(1, rel=1e-12)
    assert rmsse(train[m:], train[:-m], rmsse_scale(train, m)) == pytest.approx(1, rel=1e-12)


def test_a_constant_series_has_no_scale_and_does_not_spoil_the_score_of_the_others():
    scale = [mase_scale(np.full(50, 7.1), 24), mase_scale(np.arange(10), 1)]
    assert math.isnan(scale[0])
    assert mase([[7.0, 7.0], [10.0, 12.0]], [[9.0, 9.0], [11.0, 11.0]], scale) == 1.0
    with pytest.raises(DataError, match=r"MASE needs at least one series with a scale. Received: none"):
        mase([7.0], [9.0], scale[:1])
    with pytest.raises(DataError, match=r"RMSSE needs at least one series with a scale"):
        rmsse([7.0], [9.0], math.nan)


@pytest.mark.parametrize("scale", [0.0, -1.0, [2.0, 2.0, 0.0, 2.0]])
def test_a_scale_of_zero_or_below_is_refused(scale):
    with pytest.raises(DataError, match=r"`scale` must be above zero, .* Received: \d of 4"):
        mase(TRUE, PRED, scale)


@pytest.mark.parametrize("train", [[[1.0, 2.0]], [1.0, math.inf]])
def test_a_scale_comes_from_one_series_of_finite_numbers(train):
    with pytest.raises(DataError, match="`train` must be"):
        mase_scale(train, 1)


@pytest.mark.parametrize("season_length", [0, -1, 1.5, None])
def test_a_season_has_at_least_one_row(season_length):
    with pytest.raises(ConfigError, match=f"`season_length` must be an integer >= 1. Received: {season_length}"):
        rmsse_scale([1.0, 2.0], season_length)


@errors_only
@given(pair=pairs(st.integers(1, 10**6).map(lambda n: n / 100)))
def test_a_perfect_forecast_has_an_error_of_zero(name, pair):
    assert score(name, pair[0], pair[0]) == 0


@every_metric
def test_rows_that_were_not_observed_are_left_out(name):
    nan = math.nan
    padded = score(name, [[*TRUE, nan], [nan] * 5], [[*PRED, 1e9], [nan] * 5])
    assert padded == score(name, TRUE, PRED)


@every_metric
@pytest.mark.parametrize("shape", [(4,), (2, 2), (4, 1, 1)])
def test_shape_and_number_type_make_no_difference(name, shape):
    true, pred = (np.reshape(part, shape).astype(np.float32) for part in (TRUE, PRED))
    assert score(name, true, pred) == score(name, TRUE, PRED)
    assert type(score(name, true, pred)) is float


@every_metric
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_forecast_that_is_not_finite_where_the_truth_is_known_is_an_error(name, bad):
    with pytest.raises(DataError, match=r"`y_pred` must be finite .* Received: 2 of 4 forecasts"):
        score(name, TRUE, [bad, *PRED[1:3], bad])


@every_metric
@pytest.mark.parametrize("nothing", [[], [[]], [math.nan, math.nan]])
def test_nothing_to_score_is_an_error(name, nothing):
    with pytest.raises(DataError, match="needs at least one observed true value"):
        score(name, nothing, nothing)


@every_metric
def test_arrays_that_would_only_broadcast_are_refused(name):
    with pytest.raises(DataError, match=r"must have the same shape. Received: \(4,\) and \(4, 1\)"):
        score(name, TRUE, np.reshape(PRED, (4, 1)))


@every_metric
def test_an_infinite_true_value_is_refused(name):
    with pytest.raises(DataError, match=r"`y_true` must be finite, .* 1 of 4 values are infinite"):
        score(name, [*TRUE[:3], math.inf], PRED)


@pytest.mark.parametrize("name", ["mase", "rmsse", "directional_accuracy", "up_share"])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 3, 1), (0,)])
def test_values_per_row_belong_to_the_leading_axis(name, shape):
    true = np.arange(1.0, 7.0).reshape(2, 3)
    if shape == (1, 3):  # the same axes as the truth: one per step
        assert score(name, true, true, **dict.fromkeys(EXTRA, np.ones(shape))) >= 0
        return
    with pytest.raises(DataError, match=r"leading axes of `y_true`. Received: shape .* Give one value per row, \(2,\)"):
        score(name, true, true, **dict.fromkeys(EXTRA, np.ones(shape)))


def test_mape_says_how_many_zeros_stand_in_its_way_and_what_to_use():
    with pytest.raises(DataError, match=r"Received: 2 of 3 are zero. Use smape or mae"):
        mape([0, 5, 0, math.nan], [1, 5, 1, 1])
    with pytest.raises(DataError, match=r"Received: 1 of 1 is zero"):
        mape([-0.0], [1])


def test_wape_needs_one_true_value_other_than_zero():
    with pytest.raises(DataError, match=r"Received: 2 true values, all of them zero. Use mae"):
        wape([0, 0], [1, 1])


@pytest.mark.parametrize("benchmark", [(0, 1), (1, 0), (math.nan, 1)])
def test_owa_needs_a_benchmark_that_errs(benchmark):
    with pytest.raises(DataError, match="OWA divides by Naive2's scores"):
        owa(1.0, 1.0, *benchmark)


def test_the_unit_of_each_metric_tells_how_it_answers_to_a_change_of_currency():
    factor = {"units": 8.0, "squared units": 64.0, "percent": 1.0, "ratio": 1.0}
    dearer = {need: 8 * value for need, value in EXTRA.items()}
    for name, metric in METRICS.items():
        scaled = score(name, 8 * np.array(TRUE), 8 * np.array(PRED), **dearer)
        assert scaled == pytest.approx(factor[metric.unit] * score(name, TRUE, PRED)), name


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(metrics).failed == 0


@pytest.fixture(scope="module")
def m4(shared_data) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return (
        pd.read_csv(shared_data / "m4/Hourly-train.csv.gz", index_col=0),
        pd.read_csv(shared_data / "m4/Hourly-test.csv", index_col=0),
        pd.read_csv(shared_data / "published/m4_hourly_benchmark_forecasts.csv.gz").set_index(["method", "id"]),
        pd.read_csv(shared_data / "published/m4_official_scores.csv", index_col="id"),
    )


@pytest.mark.shared_data
@pytest.mark.parametrize("method", ["Naive", "sNaive", "Naive2", "SES"])
def test_the_scores_are_those_of_the_m4_organisers_to_three_decimals(m4, method):
    train, test, forecasts, official = m4
    scale = [mase_scale(series, 24) for series in train.to_numpy()]  # the padding at the end is nan

    def scores(method: str) -> tuple[float, float]:
        pred = forecasts.loc[method].loc[test.index].to_numpy()
        return smape(test.to_numpy(), pred), mase(test.to_numpy(), pred, scale)

    ours = [*scores(method), owa(*scores(method), *scores("Naive2"))]
    published = official.loc[method, ["sMAPE_Hourly", "MASE_Hourly", "OWA_Hourly"]].astype(float)
    np.testing.assert_allclose(ours, published, rtol=0, atol=0.0005)
