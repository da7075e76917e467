"""The statistical forecasts that a network should beat, too: exponential smoothing, Theta and ARIMA.

    row        0 ......... c0   c0+1 ... c1 ... c2
    fitted     [ at most 1000]                       once: on rows up to the FIRST cutoff
    filtered                    [-----------------]  later rows move the state, not the parameters
    forecasts              c0 + 1 2 3    c1 + 1 2 3  c2 + 1 2 3

    name     what it is                                          seconds a series, 1000 rows
    ets      level, damped trend and season, smoothed            0.2
    theta    season taken out, smoothed level, half the trend    0.1
    arima    differences, then ARMA of up to two and two lags    3

They take the same arguments as the functions of `baselines` and follow the same rules: nothing after a cutoff is looked
at, a missing value stands for the last observed one before it, and nothing is random. Fitting at every cutoff would
cost hundreds of times as much; parameters drift slowly, states do not, so they are fitted once and the state follows.
A forecast thus depends on which cutoff is the first, and on no row after its own.

The naive forecast stands in where there is nothing to fit: from cutoffs before the 20th observed row, where all rows to
fit are equal, and, with a warning in the log, where no fit converged.

Of a season at least three must lie in the rows to fit; longer ones are not modelled. For ets and arima it must also be
strong: explain more than 0.64 of what the trend leaves.

Needs statsmodels: pip install 'keras-forecast[baselines]'. Axes: `T` rows, `N` cutoffs, `H` steps, `m` rows a season.
"""

import importlib
import itertools
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ConfigError

from .baselines import Baseline, FloatArray, IntArray, naive

FIT_ROWS = 1000  # parameters are fitted on the last rows up to the first cutoff, at most so many
MIN_ROWS = 20  # fewer are not fitted
STRENGTH = 0.64  # of a season that counts for ets and arima; the threshold of R's `nsdiffs`
WHOLE = 0.9999  # the largest smoothing constant that statsmodels tries: where it ends there, it would be 1
KPSS = 0.463  # the 5 % point of the statistic for a constant mean

log = logging.getLogger(__name__)

# What a fit leaves: (rows after the fitted ones, how many of them each cutoff knows (N,), steps (H,)) -> (N, H).
Filter = Callable[[FloatArray, IntArray, IntArray], FloatArray]


def ets(series: npt.ArrayLike, cutoffs: npt.ArrayLike, steps: npt.ArrayLike, season_length: int) -> FloatArray:
    """Exponential smoothing with additive errors: a level, with or without damped trend, with or without season.

    The trend is chosen by AICc, the season by its strength; smoothing constants by maximum likelihood from heuristic
    first states. Of a random walk it may find that the level is the last value: that is the naive forecast, to
    rounding.

    Args:
        series: Array `(T,)` in any unit, oldest row first, nan where nothing was observed.
        cutoffs: Integers `(N,)` in `[0, T)`: the last known rows, in any order.
        steps: Integers `(H,)` >= 1: rows after the cutoff.
        season_length: `m`, rows per season; 1 where there is none.

    Returns:
        Array `(N, H)` in the unit of `series`; nan from cutoffs before the first observed row.

    Raises:
        DataError: The series is not one row of finite numbers and nan, or a cutoff lies outside it.
        ConfigError: A step or `season_length` is not an integer >= 1, or statsmodels is not installed.

    Example:
        >>> level = 100 + 10 * 0.5 ** np.arange(30.0)  # halves its distance from 100 with every row
        >>> ets(level, cutoffs=[25], steps=[1, 2], season_length=1).round(2)
        array([[100., 100.]])

    Source:
        Hyndman et al. (2002), https://doi.org/10.1016/S0169-2070(01)00110-8
    """
    return _forecast("ets", _fit_ets, series, cutoffs, steps, season_length)


def theta(series: npt.ArrayLike, cutoffs: npt.ArrayLike, steps: npt.ArrayLike, season_length: int) -> FloatArray:
    """The Theta method, which won the M3 competition: exponential smoothing plus half the slope of the trend line.

    A season is taken out before and put back after, where rows `m` apart are correlated (M4's test at 90 %): divided by
    where all rows to fit are above zero, else subtracted. Its figure, the slope and the smoothing constant stay as
    fitted. From a single cutoff it is M4's benchmark of this name.

    Arguments, answer and errors as for `ets`.

    Example:
        >>> line = np.arange(100.0)
        >>> theta(line, cutoffs=[50, 60], steps=[1, 10], season_length=1).round(1)
        array([[50.5, 55. ],
               [60.5, 65. ]])

    Source:
        Assimakopoulos & Nikolopoulos (2000), https://doi.org/10.1016/S0169-2070(00)00066-2; as smoothing with drift:
        Hyndman & Billah (2003), https://doi.org/10.1016/S0169-2070(01)00143-1
    """
    return _forecast("theta", _fit_theta, series, cutoffs, steps, season_length)


def arima(series: npt.ArrayLike, cutoffs: npt.ArrayLike, steps: npt.ArrayLike, season_length: int) -> FloatArray:
    """ARIMA with a small automatic order.

    Seasonal differences (`y[t] - y[t - m]`) where the season is strong enough; then first differences where the KPSS
    test rejects a constant mean at 5 %; then the ARMA(p, q) with p and q from 0 to 2 of the least AICc, around the mean
    of the fitted rows where no first differences were taken, around zero where they were.

    Arguments, answer and errors as for `ets`.

    Example:
        >>> walk = np.random.default_rng(0).normal(size=200).cumsum()
        >>> change = arima(walk, cutoffs=[199], steps=[1, 2], season_length=1) - walk[199]
        >>> bool(np.abs(change).max() < 0.5)  # of a random walk nothing but the last value is known
        True

    Source:
        Hyndman & Khandakar (2008), https://doi.org/10.18637/jss.v027.i03, with fewer orders; Kwiatkowski et al. (1992),
        https://doi.org/10.1016/0304-4076(92)90104-Y
    """
    return _forecast("arima", _fit_arima, series, cutoffs, steps, season_length)


STATISTICAL: dict[str, Baseline] = {"ets": ets, "theta": theta, "arima": arima}


def _forecast(
    name: str,
    fit: Callable[[FloatArray, int], Filter | None],
    series: npt.ArrayLike,
    cutoffs: npt.ArrayLike,
    steps: npt.ArrayLike,
    season_length: int,
) -> FloatArray:
    """Returns the forecasts of one method, the naive ones where it has none."""
    result = naive(series, cutoffs, steps, season_length)  # (N, H); refuses what cannot be forecast
    require(name)
    if not result.size:
        return result
    filled = naive(series, np.arange(np.size(np.asarray(series))), [1])[:, 0]  # (T,): nan before the first observed row
    first = int(np.isnan(filled).sum())
    rows, ahead = np.asarray(cutoffs, np.int64), np.asarray(steps, np.int64)
    fitting = rows >= first + MIN_ROWS - 1  # (N,)
    if not fitting.any():
        return result
    end = int(rows[fitting].min()) + 1
    train = filled[max(first, end - FIT_ROWS) : end]
    if not np.ptp(train):
        return result
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what they say is seen in the outcome: not converged, or not finite
        follow = fit(train, season_length)
        found = None if follow is None else follow(filled[end : rows.max() + 1], rows[fitting] - end + 1, ahead)
    if found is None or not np.isfinite(found).all():
        log.warning(
            "%s did not converge on %d rows; the naive forecast stands in for %d cutoffs.", name, len(train), len(rows)
        )
        return result
    result[fitting] = found
    return result


def _fit_ets(train: FloatArray, m: int) -> Filter | None:
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    center, spread = train.mean(), train.std()
    scaled = (train - center) / spread
    m = m if _is_strong(scaled, m) else 1
    season = {"seasonal": "add", "seasonal_periods": m} if m > 1 else {}
    fits = []
    for trend in ({}, {"trend": "add", "damped_trend": True}):
        model = ETSModel(scaled, error="add", **trend, **season, initialization_method="heuristic")
        fits.append(_attempt(model, lambda fitted: fitted.mle_retvals["converged"], disp=False))
    best = _least_aicc(fits)
    if best is None:
        return None
    constant = dict(zip(best.param_names, best.params, strict=True))
    damping = constant.get("damping_trend", 0.0)
    gains = [constant.get(f"smoothing_{part}", 0.0) for part in ("level", "trend", "seasonal")]
    states = np.asarray(best.states)  # (rows, states): level, trend if any, season if any
    level, slope = states[-1, 0], states[-1, 1] if damping else 0.0
    if gains[0] >= WHOLE and not damping and m == 1:  # the level is the last value itself
        gains[0], level = 1.0, scaled[-1]
    seasons = states[-m:, -1] if m > 1 else np.zeros(1)  # of the last rows, oldest first

    def follow(later: FloatArray, known: IntArray, ahead: IntArray) -> FloatArray:
        levels, trends, figure = [level], [slope], list(seasons)
        for i, value in enumerate((later - center) / spread):
            expected = levels[-1] + damping * trends[-1]
            error = value - expected - figure[i]
            levels.append(expected + gains[0] * error)
            trends.append(damping * trends[-1] + gains[1] * error)
            figure.append(figure[i] + gains[2] * error)
        run = np.cumsum(damping ** np.arange(1, ahead.max() + 1))[ahead - 1]  # (H,): what a trend of 1 adds up to
        point = np.array(levels)[known][:, None] + np.array(trends)[known][:, None] * run  # (N, H)
        return center + spread * (point + np.array(figure)[known[:, None] + (ahead - 1) % m])

    return follow


def _fit_theta(train: FloatArray, m: int) -> Filter | None:
    from statsmodels.tsa.forecasting.theta import ThetaModel
    from statsmodels.tsa.seasonal import seasonal_decompose

    size, n = np.abs(train).mean(), len(train)
    scaled = train / size
    multiplied = bool((train > 0).all())
    figure = np.array([float(multiplied)])  # of no season
    if _is_repeated(scaled, m):
        model = "multiplicative" if multiplied else "additive"
        figure = seasonal_decompose(scaled, model=model, period=m).seasonal[:m]
    phase = np.arange(n) % len(figure)
    plain = scaled / figure[phase] if multiplied else scaled - figure[phase]
    fitted = _attempt(ThetaModel(plain, deseasonalize=False), lambda fitted: np.isfinite(fitted.params).all())
    if fitted is None:
        return None
    slope, gain = fitted.params["b0"], fitted.params["alpha"]
    level = float(fitted.forecast_components(1)["ses"].iloc[0])

    def follow(later: FloatArray, known: IntArray, ahead: IntArray) -> FloatArray:
        season = figure[(n + np.arange(len(later))) % len(figure)]
        levels = [level]
        for value in later / size / season if multiplied else later / size - season:
            levels.append(levels[-1] + gain * (value - levels[-1]))
        rows = (n + known)[:, None]  # (N, 1): rows up to each cutoff
        drift = slope / 2 * (ahead - 1 + (1 - (1 - gain) ** rows) / gain)  # (N, H)
        point = np.array(levels)[known][:, None] + drift
        season = figure[(rows + ahead - 1) % len(figure)]
        return size * (point * season if multiplied else point + season)

    return follow


def _fit_arima(train: FloatArray, m: int) -> Filter | None:
    from statsmodels.tsa.arima.model import ARIMA
    from statsmodels.tsa.stattools import kpss

    center, spread = train.mean(), train.std()
    scaled = (train - center) / spread
    m = m if _is_strong(scaled, m) else 0
    steady = scaled[m:] - scaled[:-m] if m else scaled
    differenced = bool(kpss(steady, regression="c", nlags="auto")[0] > KPSS)
    mean = 0.0 if differenced else steady.mean()
    changes = np.diff(steady) if differenced else steady - mean
    size = np.sqrt(np.square(changes).mean()) or 1.0
    fits = []
    for p, q in itertools.product(range(3), range(3)):
        model = ARIMA(changes / size, order=(p, 0, q), trend="n")
        fits.append(_attempt(model, _settled, method="innovations_mle", cov_type="none"))
    best = _least_aicc(fits)
    if best is None:
        return None

    def follow(later: FloatArray, known: IntArray, ahead: IntArray) -> FloatArray:
        values = (np.concatenate([train, later]) - center) / spread
        steady = values[m:] - values[:-m] if m else values
        changes = np.diff(steady) if differenced else steady - mean
        model = ARIMA(changes / size, order=best.model.order, trend="n")
        states = model.filter(best.params).predicted_state  # (states, rows + 1): of the row after each
        state = states[:, len(changes) - len(later) + known]  # (states, N)
        point = np.empty((len(known), ahead.max()))
        for h in range(point.shape[1]):
            point[:, h] = size * (model.ssm["design"] @ state)[0]
            state = model.ssm["transition"] @ state
        at = len(train) - 1 + known  # (N,): row of each cutoff
        if differenced:
            point = steady[at - m][:, None] + np.cumsum(point, axis=1)
        else:
            point += mean
        for h in range(point.shape[1] if m else 0):  # undo the seasonal differences, step by step
            point[:, h] += values[at + 1 + h - m] if h < m else point[:, h - m]
        return center + spread * point[:, ahead - 1]

    return follow


def _is_strong(values: FloatArray, m: int) -> bool:
    """True where a season of `m` rows explains most of what the trend leaves, by classical decomposition."""
    from statsmodels.tsa.seasonal import seasonal_decompose

    if m == 1 or len(values) < 3 * m:
        return False
    parts = seasonal_decompose(values, period=m)
    inside = ~np.isnan(parts.resid)
    return bool(1 - parts.resid[inside].var() / (parts.resid + parts.seasonal)[inside].var() > STRENGTH)


def _is_repeated(values: FloatArray, m: int) -> bool:
    """True where rows `m` apart are correlated, by the 90 % test of M4's organisers."""
    if m == 1 or len(values) < 3 * m:
        return False
    x = values - values.mean()
    r = np.array([x[k:] @ x[:-k] for k in range(1, m + 1)]) / (x @ x)  # (m,)
    return bool(abs(r[-1]) > 1.645 * np.sqrt((1 + 2 * np.square(r[:-1]).sum()) / len(x)))


def _attempt(model: Any, converged: Callable[[Any], bool], **how: Any) -> Any:
    """Returns a fitted model, None where the fit failed or did not converge."""
    try:
        fitted = model.fit(**how)
    except (ArithmeticError, ValueError, np.linalg.LinAlgError):  # of degenerate rows
        return None
    return fitted if converged(fitted) else None


def _settled(fitted: Any) -> bool:
    """True where the search found a place (0), if only within rounding (2), and did not run out of time or numbers."""
    return fitted.fit_details.minimize_results.status in (0, 2)


def _least_aicc(fits: list[Any]) -> Any:
    usable = [fitted for fitted in fits if fitted is not None and not np.isnan(fitted.aicc)]
    return min(usable, key=lambda fitted: fitted.aicc, default=None)


def require(name: str) -> None:
    """Imports what the fits import; statsmodels sets filters for its warnings then, which must not outlive it.

    Raises:
        ConfigError: It is not installed; the error names the extra, and `name`.
    """
    try:
        with warnings.catch_warnings():
            for module in ("arima.model", "exponential_smoothing.ets", "forecasting.theta", "seasonal", "stattools"):
                importlib.import_module(f"statsmodels.tsa.{module}")
    except ImportError:
        raise ConfigError(
            f"`{name}` needs statsmodels, which is not installed. Run: pip install 'keras-forecast[baselines]'"
        ) from None
