import doctest
import logging
import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.forecasting.theta import ThetaModel
from statsmodels.tsa.statespace.sarimax import SARIMAX

from forecast.evaluation import statistical
from forecast.evaluation.baselines import naive, seasonal_naive
from forecast.evaluation.direction import directional_accuracy
from forecast.evaluation.metrics import mae, mase, mase_scale, smape
from forecast.evaluation.statistical import STATISTICAL, arima, ets, theta
from pipelines.errors import ConfigError, DataError

STEPS = np.arange(1, 8)
every_method = pytest.mark.parametrize("name", sorted(STATISTICAL))


def walk(rows: int = 120, seed: int = 0) -> np.ndarray:
    return 50 + np.random.default_rng(seed).normal(size=rows).cumsum()


def waves(rows: int = 120, m: int = 6, seed: int = 0) -> np.ndarray:
    """A strong season on a slow trend, with a little noise."""
    t = np.arange(rows)
    return 100 + 0.1 * t + 10 * np.sin(2 * np.pi * t / m) + np.random.default_rng(seed).normal(size=rows)


def reverting(phi: float, rows: int = 400, seed: int = 0) -> np.ndarray:
    values = [0.0]
    for shock in np.random.default_rng(seed).normal(size=rows - 1):
        values.append(phi * values[-1] + shock)
    return np.array(values)


@every_method
@pytest.mark.parametrize(("series", "m"), [(walk(), 1), (waves(), 6), (reverting(0.5, 120), 1)])
def test_changing_the_future_does_not_move_a_forecast_by_a_bit(name, series, m):
    cutoffs = np.array([60, 61, 75])
    other = series.copy()
    other[76:] = np.random.default_rng(9).normal(size=len(series) - 76) * 1e3
    before = STATISTICAL[name](series, cutoffs, STEPS, m)
    assert before.tobytes() == STATISTICAL[name](other, cutoffs, STEPS, m).tobytes()
    assert before.tobytes() == STATISTICAL[name](series[:76], cutoffs, STEPS, m).tobytes()
    assert before[:2].tobytes() == STATISTICAL[name](series, cutoffs[:2], STEPS, m).tobytes()
    other[62:] = 0.0
    assert before[:2].tobytes() == STATISTICAL[name](other, cutoffs, STEPS, m)[:2].tobytes()


@every_method
@pytest.mark.parametrize(("series", "m"), [(walk(), 1), (waves(), 6)])
def test_cutoffs_and_steps_come_back_in_the_order_they_were_given(name, series, m):
    cutoffs, steps = np.array([60, 80, 70, 60]), np.array([9, 2, 30])
    found = STATISTICAL[name](series, cutoffs, steps, m)
    every = STATISTICAL[name](series, np.arange(60, 81), np.arange(1, 31), m)
    np.testing.assert_array_equal(found, every[cutoffs - 60][:, steps - 1])


@every_method
def test_rows_before_the_first_observed_one_are_nan_and_short_histories_are_naive(name):
    series = np.concatenate([np.full(5, math.nan), reverting(0.3, 60)])
    cutoffs = np.arange(30)
    found = STATISTICAL[name](series, cutoffs, STEPS, 1)
    np.testing.assert_array_equal(found[:24], naive(series, cutoffs[:24], STEPS))  # 19 observed rows at cutoff 23
    assert (found[24] != naive(series, [24], STEPS)).all()
    assert np.isnan(found[:5]).all()
    assert np.isfinite(found[5:]).all()
    fitted_there = STATISTICAL[name](series[5:], cutoffs[24:] - 5, STEPS, 1)
    np.testing.assert_array_equal(found[24:], fitted_there)


@every_method
def test_a_missing_value_is_the_last_observed_one_before_it(name):
    series = waves()
    series[[30, 31, 70, 90]] = math.nan
    filled = series.copy()
    filled[[30, 31, 70, 90]] = series[[29, 29, 69, 89]]
    cutoffs = [65, 70, 90, 100]
    np.testing.assert_array_equal(
        STATISTICAL[name](series, cutoffs, STEPS, 6), STATISTICAL[name](filled, cutoffs, STEPS, 6)
    )


@every_method
@pytest.mark.parametrize("level", [0.0, 7.1, -3.0])
def test_a_series_that_never_moved_stays_where_it_is(name, level, caplog):
    series = np.full(60, level)
    series[50:] += 1
    np.testing.assert_array_equal(STATISTICAL[name](series, [40, 55], STEPS, 6), naive(series, [40, 55], STEPS))
    assert not caplog.records


@every_method
@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize(("series", "m"), [(reverting(0.5, 150), 1), (waves(), 6)])
def test_the_unit_of_the_series_is_that_of_the_forecast(name, series, m, scale):
    plain = STATISTICAL[name](series, [100, 119], STEPS, m)
    scaled = STATISTICAL[name](series * scale, [100, 119], STEPS, m)
    np.testing.assert_allclose(scaled / scale, plain, rtol=1e-3, atol=1e-3 * series.std())


@every_method
def test_nothing_is_random(name):
    one, other = (STATISTICAL[name](waves(), [80, 100], STEPS, 6) for _ in range(2))
    assert one.tobytes() == other.tobytes()


@every_method
def test_the_series_is_left_as_it_was(name):
    series = waves()
    STATISTICAL[name](series, [80, 100], STEPS, 6)[:] = -1
    np.testing.assert_array_equal(series, waves())


@every_method
def test_no_cutoffs_give_no_rows_even_for_an_empty_series(name):
    assert STATISTICAL[name](np.arange(50.0), [], [1, 2], 2).shape == (0, 2)
    assert STATISTICAL[name]([], [], [1, 2], 2).shape == (0, 2)
    assert STATISTICAL[name](np.arange(50.0), [30], [], 2).shape == (1, 0)


@every_method
@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (([1, 2, 3], [3], [1], 1), DataError, r">= 0 and < 3. Received: 1 of 1 outside"),
        (([[1, 2, 3]], [0], [1], 1), DataError, r"one series of shape \(T,\)"),
        (([1, np.inf, 3], [0], [1], 1), DataError, r"Received: 1 of 3 values are infinite"),
        (([1, 2, 3], [0.5], [1], 1), ConfigError, r"`cutoffs` must be a list of integers"),
        (([1, 2, 3], [0], [0, 1], 1), ConfigError, r"`steps` must be integers >= 1"),
        (([1, 2, 3], [0], [1], 0), ConfigError, r"`season_length` must be an integer >= 1"),
    ],
)
def test_what_cannot_be_forecast_is_refused_as_the_simple_baselines_do(name, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        STATISTICAL[name](*arguments)


@every_method
def test_without_statsmodels_the_error_names_the_extra(name, monkeypatch):
    for module in [module for module in sys.modules if module.partition(".")[0] == "statsmodels"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"`{name}` needs statsmodels, .* 'keras-forecast\[baselines\]'"):
        STATISTICAL[name](walk(), [100], [1], 1)


@every_method
def test_a_fit_that_does_not_converge_leaves_the_naive_forecast_and_a_line_in_the_log(name, monkeypatch, caplog):
    monkeypatch.setattr(statistical, "_attempt", lambda *_, **__: None)
    found = STATISTICAL[name](walk(), [90, 100], STEPS, 1)
    np.testing.assert_array_equal(found, naive(walk(), [90, 100], STEPS))
    assert caplog.messages == [f"{name} did not converge on 91 rows; the naive forecast stands in for 2 cutoffs."]
    assert caplog.records[0].levelno == logging.WARNING


def test_candidates_that_fail_or_run_out_of_time_are_no_fits():
    class Model:
        def __init__(self, outcome):
            self.outcome = outcome

        def fit(self):
            if isinstance(self.outcome, Exception):
                raise self.outcome
            return self.outcome

    for error in (ValueError("degenerate"), ZeroDivisionError(), np.linalg.LinAlgError("singular")):
        assert statistical._attempt(Model(error), bool) is None
    assert statistical._attempt(Model("fit"), lambda fitted: False) is None
    assert statistical._attempt(Model("fit"), lambda fitted: True) == "fit"
    with pytest.raises(KeyError):
        statistical._attempt(Model(KeyError("a mistake of ours")), bool)


@every_method
def test_no_warning_comes_out_and_no_filter_is_left_behind(name, recwarn):
    before = list(warnings.filters)
    STATISTICAL[name](np.arange(60.0), [40], STEPS, 6)  # statsmodels warns of so straight a line
    assert warnings.filters == before
    assert not recwarn.list


def test_importing_statsmodels_leaves_the_filters_of_warnings_alone():
    """It shows its own warnings always, from its first import on; that is not for us to decide for a whole program."""
    program = (
        "import warnings, numpy as np; from forecast.evaluation.statistical import ets;"
        "before = list(warnings.filters);"
        "ets(np.arange(30.0) % 7, [25], [1], 1); import sys;"
        "assert 'statsmodels' in sys.modules and warnings.filters == before, warnings.filters"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, cwd=Path(__file__).parents[2])


@every_method
def test_the_parameters_come_from_rows_up_to_the_first_cutoff_only(name):
    """An early first cutoff, before the series changes its nature, shows in all later forecasts."""
    series = np.concatenate([reverting(0.95, 150, seed=1), reverting(-0.8, 150, seed=2)])
    early = STATISTICAL[name](series, [140, 299], STEPS, 1)[1]
    late = STATISTICAL[name](series, [298, 299], STEPS, 1)[1]
    assert not np.allclose(early, late, rtol=1e-3)


@every_method
def test_only_the_last_thousand_rows_are_fitted(name):
    series = reverting(0.6, 1300)
    other = series.copy()
    other[:200] += 100
    np.testing.assert_array_equal(
        STATISTICAL[name](series, [1199, 1299], STEPS, 1), STATISTICAL[name](other, [1199, 1299], STEPS, 1)
    )


# --- ets


def ets_of_statsmodels(series: np.ndarray, first: int, cutoff: int, damped: bool, m: int) -> np.ndarray:
    """Fits up to the first cutoff, and filters up to another with the same parameters and first states."""
    center, spread = series[: first + 1].mean(), series[: first + 1].std()
    scaled = (series - center) / spread
    how = {"trend": "add" if damped else None, "damped_trend": damped}
    how |= {"seasonal": "add", "seasonal_periods": m} if m > 1 else {}
    fitted = ETSModel(scaled[: first + 1], initialization_method="heuristic", **how).fit(disp=False)
    known = {"initial_level": fitted.initial_level}
    known |= {"initial_trend": fitted.initial_trend} if damped else {}
    known |= {"initial_seasonal": fitted.initial_seasonal} if m > 1 else {}
    longer = ETSModel(scaled[: cutoff + 1], initialization_method="known", **known, **how)
    return center + spread * longer.smooth(fitted.params).forecast(len(STEPS))


@pytest.mark.parametrize(
    ("series", "damped", "m"),
    [
        (walk() + reverting(0.0, 120, seed=1), False, 1),
        (np.cumsum(reverting(0.9, 120)), True, 1),
        (waves(), False, 6),
        (waves() + np.cumsum(reverting(0.9, 120)), True, 6),
    ],
    ids=["level", "trend", "season", "trend and season"],
)
def test_ets_filters_forward_as_statsmodels_does(series, damped, m):
    found = ets(series, [80, 81, 97, 119], STEPS, m)
    for cutoff, forecast in zip([80, 81, 97, 119], found, strict=True):
        expected = ets_of_statsmodels(series, 80, cutoff, damped, m)
        np.testing.assert_allclose(forecast, expected, rtol=1e-9)


def test_ets_chooses_between_level_and_trend_by_aicc():
    assert np.ptp(ets(walk(), [119], STEPS, 1)) == 0
    assert np.ptp(ets(np.cumsum(reverting(0.9, 120)), [119], STEPS, 1)) > 0


def test_ets_of_a_random_walk_is_naive_and_says_no_direction_as_naive_does():
    series, cutoffs = walk(), np.arange(80, 112)
    true, last = series[cutoffs[:, None] + STEPS], series[cutoffs]
    found = ets(series, cutoffs, STEPS, 1)
    np.testing.assert_allclose(found, naive(series, cutoffs, STEPS), rtol=1e-12)
    assert (
        directional_accuracy(true, found, last) == directional_accuracy(true, naive(series, cutoffs, STEPS), last) == 0
    )


def test_ets_beats_the_naive_forecasts_on_a_season_with_a_trend():
    series, cutoffs = waves(300, m=12), np.arange(200, 290)
    true = series[cutoffs[:, None] + STEPS]
    assert mae(true, ets(series, cutoffs, STEPS, 12)) < 0.8 * mae(true, seasonal_naive(series, cutoffs, STEPS, 12))
    assert mae(true, ets(series, cutoffs, STEPS, 1)) > mae(true, ets(series, cutoffs, STEPS, 12))


# --- theta


@pytest.mark.parametrize(
    ("series", "m", "method"),
    [
        (walk() + 500, 1, None),
        (100 + np.random.default_rng(0).normal(size=120), 1, None),
        (waves(), 6, "mul"),
        (waves() - 100, 6, "add"),
    ],
    ids=["no season", "no season, hardly smoothed", "multiplied season", "added season"],
)
def test_theta_is_that_of_statsmodels_at_the_first_cutoff_and_follows_its_recursion_later(series, m, method):
    train = series[:81]
    model = ThetaModel(train, period=m, deseasonalize=method is not None, use_test=False, method=method or "auto")
    fitted = model.fit()
    found = theta(series, [80, 95], STEPS, m)
    np.testing.assert_allclose(found[0], fitted.forecast(len(STEPS)), rtol=1e-5)

    parts = fitted.forecast_components(m)
    figure = {None: np.zeros(1)}.get(method, parts["seasonal"].to_numpy())  # of rows 81, 82, ...
    put, take = (np.multiply, np.divide) if method == "mul" else (np.add, np.subtract)
    level, alpha, slope = parts["ses"].iloc[0], fitted.params["alpha"], fitted.params["b0"]
    for row in range(81, 96):
        level += alpha * (take(series[row], figure[(row - 81) % len(figure)]) - level)
    drift = slope / 2 * (STEPS - 1 + (1 - (1 - alpha) ** 96) / alpha)
    expected = put(level + drift, figure[(95 + STEPS - 81) % len(figure)])
    np.testing.assert_allclose(found[1], expected, rtol=1e-5)


def test_theta_is_half_the_trend_line_and_half_the_smoothed_line_of_twice_the_curvature():
    """The method as first published, with the smoothing constant of the fit."""
    y = walk() + 0.5 * np.arange(120)
    t = np.arange(120.0)
    slope, start = np.polyfit(t, y, 1)
    alpha = ThetaModel(y, deseasonalize=False).fit().params["alpha"]
    line_two = 2 * y - (start + slope * t)
    level = line_two[0]
    for value in line_two:
        level += alpha * (value - level)
    expected = ((start + slope * (119 + STEPS)) + level) / 2
    np.testing.assert_allclose(theta(y, [119], STEPS, 1)[0], expected, rtol=1e-3)


def test_a_season_that_only_seems_to_be_one_is_not_taken_out():
    noise = np.random.default_rng(5).normal(size=120)
    assert not statistical._is_repeated(noise, 6)
    assert not statistical._is_strong(walk(), 5)
    assert statistical._is_repeated(waves(), 6)
    assert statistical._is_strong(waves(), 6)
    assert not statistical._is_strong(waves(17), 6)  # not three seasons
    assert not statistical._is_repeated(waves(17), 6)


@pytest.mark.slow
@pytest.mark.shared_data
def test_theta_has_the_scores_that_the_m4_organisers_published(shared_data):
    train = pd.read_csv(shared_data / "m4/Hourly-train.csv.gz", index_col=0)
    test = pd.read_csv(shared_data / "m4/Hourly-test.csv", index_col=0)
    official = pd.read_csv(shared_data / "published/m4_official_scores.csv", index_col="id").loc["Theta"]
    series = [row.dropna().to_numpy() for _, row in train.iterrows()]
    pred = np.array([theta(y, [len(y) - 1], np.arange(1, 49), 24)[0] for y in series])
    scale = [mase_scale(y, 24) for y in series]
    # R and statsmodels find smoothing constants that differ in the fourth digit.
    assert smape(test.to_numpy(), pred) == pytest.approx(float(official["sMAPE_Hourly"]), abs=0.005)
    assert mase(test.to_numpy(), pred, scale) == pytest.approx(float(official["MASE_Hourly"]), abs=0.002)


# --- arima


@pytest.mark.parametrize("phi", [0.8, -0.5])
def test_arima_learns_how_fast_a_series_reverts(phi):
    series = 30 + reverting(phi, 900)
    found = arima(series, [890, 899], STEPS, 1) - 30
    expected = (series[[890, 899], None] - 30) * phi ** np.arange(1, 8)
    np.testing.assert_allclose(found, expected, atol=0.35)  # shocks are of size 1, forecasts of up to 2


def test_arima_of_a_random_walk_is_nearly_the_naive_forecast():
    found = arima(walk(500), np.arange(400, 500), STEPS, 5)
    assert np.abs(found - naive(walk(500), np.arange(400, 500), STEPS)).max() < 0.5


def test_arima_takes_seasonal_differences_of_a_strong_season():
    series = 20 * np.random.default_rng(3).normal(size=12)[np.arange(300) % 12] + walk(300) * 0.2
    cutoffs = np.arange(200, 290)
    true = series[cutoffs[:, None] + STEPS]
    assert mae(true, arima(series, cutoffs, STEPS, 12)) < mae(true, seasonal_naive(series, cutoffs, STEPS, 12))
    assert mae(true, arima(series, cutoffs, STEPS, 1)) > 3 * mae(true, arima(series, cutoffs, STEPS, 12))


@pytest.mark.parametrize(
    ("series", "m", "first_differences", "season"),
    [
        (reverting(0.6, 200) + 40, 1, False, 0),
        (walk(200), 1, True, 0),
        (waves(200), 6, False, 6),
        (waves(200) + 0.05 * np.cumsum(walk(200) - 50), 6, True, 6),
    ],
    ids=["none", "first", "seasonal", "both"],
)
def test_arima_filters_forward_as_statsmodels_does_and_undoes_its_differences(
    series, m, first_differences, season, monkeypatch
):
    fits = []
    choose = statistical._least_aicc
    monkeypatch.setattr(statistical, "_least_aicc", lambda candidates: fits.append(choose(candidates)) or fits[0])
    cutoffs, first = [150, 151, 170, 199], 150
    found = arima(series, cutoffs, STEPS, m)
    lost = season + first_differences
    steady = series[season:] - series[:-season] if season else series
    mean = 0.0 if first_differences else steady[: first + 1 - lost].mean()
    changes = np.diff(steady) if first_differences else steady - mean
    result = ARIMA(changes[: first + 1 - lost], order=fits[0].model.order, trend="n").smooth(fits[0].params)
    for cutoff, forecast in zip(cutoffs, found, strict=True):
        new = changes[first + 1 - lost : cutoff + 1 - lost]
        path = list(series[: cutoff + 1])
        for change in (result.append(new) if len(new) else result).forecast(len(STEPS)):
            level = path[-1] - (path[-1 - season] if season else 0.0) if first_differences else mean
            path.append(change + level + (path[-season] if season else 0.0))
        np.testing.assert_allclose(forecast, path[-len(STEPS) :], rtol=1e-6, atol=1e-6)


def test_arima_finds_as_good_a_fit_as_a_search_through_all_orders_with_another_optimiser():
    series = reverting(0.7, 300)
    scaled = (series - series.mean()) / series.std()
    aicc = {
        (p, q): SARIMAX(scaled, order=(p, 0, q)).fit(disp=False, maxiter=200).aicc for p in range(3) for q in range(2)
    }
    best = min(aicc, key=aicc.get)
    expected = SARIMAX(scaled, order=(best[0], 0, best[1])).fit(disp=False, maxiter=200).forecast(len(STEPS))
    np.testing.assert_allclose(arima(series, [299], STEPS, 1)[0], series.mean() + series.std() * expected, atol=0.02)


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(statistical, extraglobs={"np": np}).failed == 0
