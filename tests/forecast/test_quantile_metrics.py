import doctest
import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from forecast.evaluation import quantile_metrics
from forecast.evaluation.metrics import mae, mase, mase_scale
from forecast.evaluation.quantile_metrics import coverage, crps, msis, pinball, width, winkler
from pipelines.errors import ConfigError, DataError

TRUE = [100.0, 102.0, 101.0, 105.0]
LOW = [99.0, 101.0, 102.0, 100.0]
HIGH = [103.0, 104.0, 106.0, 108.0]
QUANTILES = np.stack([LOW, [101.0, 101.0, 103.0, 104.0], HIGH], axis=-1)
LEVELS = [0.1, 0.5, 0.9]

# Every score of this module on the running example, with one argument changed.
SCORES = {
    "pinball": lambda true=TRUE, quantiles=QUANTILES, levels=LEVELS: pinball(true, quantiles, levels),
    "crps": lambda true=TRUE, quantiles=QUANTILES, levels=LEVELS: crps(true, quantiles, levels),
    "coverage": lambda true=TRUE, low=LOW, high=HIGH: coverage(true, low, high),
    "winkler": lambda true=TRUE, low=LOW, high=HIGH, level=0.8: winkler(true, low, high, level),
    "msis": lambda true=TRUE, low=LOW, high=HIGH, level=0.8, scale=2.0: msis(true, low, high, level, scale),
}
of_quantiles = pytest.mark.parametrize("score", [SCORES["pinball"], SCORES["crps"]], ids=["pinball", "crps"])
of_intervals = pytest.mark.parametrize(
    "score", [SCORES[name] for name in ("coverage", "winkler", "msis")], ids=["coverage", "winkler", "msis"]
)
every_score = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)

cents = st.integers(-1_000_000, 1_000_000).map(lambda n: n / 100)
shares = st.floats(0.01, 0.99)


@st.composite
def forecasts(draw):
    """True values of some shape, and sorted quantiles of some levels."""
    levels = draw(st.lists(shares, min_size=1, max_size=7, unique=True).map(sorted))
    shape = draw(hnp.array_shapes(max_dims=3, max_side=5))
    true = draw(hnp.arrays(np.float64, shape, elements=cents))
    quantiles = np.sort(draw(hnp.arrays(np.float64, (*shape, len(levels)), elements=cents)), axis=-1)
    return true, quantiles, levels


@given(forecasts())
def test_pinball_is_the_mean_of_scikit_learns_over_levels(forecast):
    true, quantiles, levels = forecast
    theirs = [
        sklearn.metrics.mean_pinball_loss(true.ravel(), quantiles[..., i].ravel(), alpha=level)
        for i, level in enumerate(levels)
    ]
    assert pinball(true, quantiles, levels) == pytest.approx(np.mean(theirs), rel=1e-9, abs=1e-9)


@given(forecasts())
def test_crps_is_twice_the_pinball_loss(forecast):
    assert crps(*forecast) == pytest.approx(2 * pinball(*forecast), rel=1e-12)


def test_a_value_above_the_ninth_decile_costs_nine_times_what_one_below_does():
    assert pinball([10.0], [[9.0]], [0.9]) == pytest.approx(9 * pinball([8.0], [[9.0]], [0.9]))


@given(true=cents, members=st.lists(cents, min_size=1, max_size=12))
def test_crps_is_exact_for_equally_likely_values_at_midpoint_levels(true, members):
    """Of an ensemble CRPS is `E|X - y| - E|X - X'| / 2`, a formula without quantiles."""
    x = np.sort(members)
    levels = (np.arange(len(x)) + 0.5) / len(x)
    exact = np.abs(x - true).mean() - np.abs(x[:, None] - x).mean() / 2
    assert crps([true], [x], levels) == pytest.approx(exact, rel=1e-9, abs=1e-6)  # values reach 10,000


def test_crps_of_many_levels_nears_that_of_the_normal_distribution():
    z = np.array([-2.0, 0.0, 0.3, 1.7])
    normal = NormalDist()
    density, below = (np.array([f(x) for x in z]) for f in (normal.pdf, normal.cdf))
    exact = z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi)  # Gneiting & Raftery (2007), section 4.2

    def of_levels(count: int) -> float:
        levels = (np.arange(count) + 0.5) / count
        return crps(z, np.tile([normal.inv_cdf(q) for q in levels], (4, 1)), levels)

    assert of_levels(9) == pytest.approx(exact.mean(), rel=0.05)
    assert of_levels(999) == pytest.approx(exact.mean(), rel=1e-4)


@given(hnp.arrays(np.float64, st.integers(1, 20), elements=cents))
def test_the_median_alone_scores_as_a_point_forecast(true):
    pred = np.roll(true, 1)
    assert crps(true, pred[:, None], [0.5]) == pytest.approx(mae(true, pred), rel=1e-12, abs=1e-12)


@given(data=st.data(), shape=hnp.array_shapes(max_dims=3, max_side=5), level=shares)
def test_intervals_are_scored_like_a_loop_over_the_written_rule_would(data, shape, level):
    true, a, b = (data.draw(hnp.arrays(np.float64, shape, elements=cents)) for _ in range(3))
    low, high = np.minimum(a, b), np.maximum(a, b)
    rule, held = [], 0
    for y, below, above in zip(true.ravel(), low.ravel(), high.ravel(), strict=True):
        score = above - below
        if y < below:
            score += 2 / (1 - level) * (below - y)
        if y > above:
            score += 2 / (1 - level) * (y - above)
        held += below <= y <= above
        rule.append(score)
    assert winkler(true, low, high, level) == pytest.approx(np.mean(rule), rel=1e-9, abs=1e-9)
    assert coverage(true, low, high) == pytest.approx(100 * held / true.size)
    assert width(low, high) == pytest.approx(np.mean(high - low), rel=1e-9, abs=1e-9)


@given(data=st.data(), shape=hnp.array_shapes(max_dims=3, max_side=5), level=shares)
def test_winklers_score_is_that_of_the_two_quantiles_at_its_ends(data, shape, level):
    true, a, b = (data.draw(hnp.arrays(np.float64, shape, elements=cents)) for _ in range(3))
    low, high = np.minimum(a, b), np.maximum(a, b)
    tail = (1 - level) / 2
    both = 2 * pinball(true, np.stack([low, high], axis=-1), [tail, 1 - tail])  # the sum, not the mean
    assert winkler(true, low, high, level) == pytest.approx(both / tail, rel=1e-6, abs=1e-6)


@given(scale=st.floats(0.01, 1000), shift=st.floats(-1000, 1000))
def test_a_change_of_currency_scales_the_units_and_a_shift_changes_nothing(scale, shift):
    true, low, high, quantiles = (np.asarray(part) * scale + shift for part in (TRUE, LOW, HIGH, QUANTILES))
    for found, plain in (
        (pinball(true, quantiles, LEVELS), pinball(TRUE, QUANTILES, LEVELS)),
        (crps(true, quantiles, LEVELS), crps(TRUE, QUANTILES, LEVELS)),
        (winkler(true, low, high, 0.8), winkler(TRUE, LOW, HIGH, 0.8)),
        (width(low, high), width(LOW, HIGH)),
    ):
        assert found == pytest.approx(scale * plain, abs=1e-8)
    assert msis(true, low, high, 0.8, 2 * scale) == pytest.approx(msis(TRUE, LOW, HIGH, 0.8, 2), abs=1e-6)


def test_the_ends_of_an_interval_belong_to_it():
    assert coverage([1.0, 2.0, 2.1], [1.0, 1.0, 1.0], [2.0, 2.0, 2.0]) == pytest.approx(200 / 3)
    assert winkler([1.0], [1.0], [2.0], 0.95) == 1
    assert coverage([5.0], [5.0], [5.0]) == 100


def test_who_says_what_he_believes_scores_best():
    """Proper scores: among intervals of a normal distribution the true quantiles win, wider and narrower ones lose."""
    true = np.random.default_rng(0).normal(size=20_000)
    z = NormalDist().inv_cdf(0.9)
    scores = {k: winkler(true, np.full_like(true, -k * z), np.full_like(true, k * z), 0.8) for k in (0.7, 1.0, 1.4)}
    assert min(scores, key=scores.get) == 1.0


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 1, 1)])
def test_msis_takes_a_scale_for_each_row_and_leaves_out_series_that_have_none(shape):
    true = np.zeros((3, 2, 2))
    low, high = np.full_like(true, -1.0), np.full_like(true, 2.0)
    assert msis(true, low, high, 0.9, np.reshape([1.0, 2.0, 4.0], shape)) == pytest.approx((3 + 1.5 + 0.75) / 3)
    assert msis(true, low, high, 0.9, np.reshape([1.0, math.nan, 4.0], shape)) == pytest.approx((3 + 0.75) / 2)


def test_an_interval_of_no_width_scores_forty_times_the_mase_at_95_percent():
    pred, scale = [101.0, 101.0, 103.0, 104.0], 2.0
    assert msis(TRUE, pred, pred, 0.95, scale) == pytest.approx(40 * mase(TRUE, pred, scale))


@every_score
def test_rows_that_were_not_observed_are_left_out(score):
    def padded(array):
        return np.concatenate([array, np.full_like(np.asarray(array)[:1], math.nan)])

    if "quantiles" in score.__code__.co_varnames:
        assert score(true=padded(TRUE), quantiles=padded(QUANTILES)) == score()
    else:
        assert score(true=padded(TRUE), low=padded(LOW), high=padded(HIGH)) == score()


@every_score
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_forecast_that_is_not_finite_where_the_truth_is_known_is_an_error(score, bad):
    if "quantiles" in score.__code__.co_varnames:
        quantiles = QUANTILES.copy()
        quantiles[1, 2] = bad
        with pytest.raises(DataError, match=r"`y_quantiles` must be finite .* Received: 1 of 12 forecasts"):
            score(quantiles=quantiles)
    else:
        for name, end in (("low", LOW), ("high", HIGH)):
            with pytest.raises(DataError, match=rf"`{name}` must be finite .* Received: 1 of 4 forecasts"):
                score(**{name: [bad, *end[1:]]})


@every_score
def test_every_score_is_a_plain_number(score):
    assert type(score()) is float
    assert type(width(LOW, HIGH)) is float


@of_quantiles
@pytest.mark.parametrize(
    "levels", [[0.5, 0.1, 0.9], [0.1, 0.1, 0.9], [0.0, 0.5, 0.9], [0.1, 0.5, 1.0], [10, 50, 90], [0.1, math.nan, 0.9]]
)
def test_levels_ascend_between_0_and_1(score, levels):
    with pytest.raises(ConfigError, match=r"`levels` must be .* in ascending order and each once. Received: \["):
        score(levels=levels)


@of_quantiles
@pytest.mark.parametrize("levels", [[], 0.5, [[0.1, 0.5, 0.9]]])
def test_levels_are_a_list_and_not_missing(score, levels):
    with pytest.raises(ConfigError, match="`levels` must be a list"):
        score(levels=levels)


@of_quantiles
def test_each_level_has_a_quantile_for_each_true_value(score):
    with pytest.raises(DataError, match=r"a last one of 2 levels, \(4, 2\). Received: \(4, 3\)"):
        score(levels=[0.1, 0.9])
    with pytest.raises(DataError, match=r"a last one of 3 levels, \(2, 3\). Received: \(4, 3\)"):
        score(true=TRUE[:2])


def test_crossed_quantiles_have_a_pinball_loss_and_no_crps():
    crossed = QUANTILES.copy()
    crossed[2] = crossed[2, ::-1]
    assert pinball(TRUE, crossed, LEVELS) > pinball(TRUE, QUANTILES, LEVELS)
    with pytest.raises(DataError, match=r"must not fall as their level rises. Received: 1 of 4 .* Sort them"):
        crps(TRUE, crossed, LEVELS)


@of_intervals
def test_an_interval_that_ends_below_its_start_is_refused(score):
    with pytest.raises(DataError, match=r"must not end below its start. Received: 2 of 4 with `high` below `low`"):
        score(high=[*HIGH[:2], 101.0, 99.0])


def test_a_width_needs_intervals_that_are_whole_and_upright():
    with pytest.raises(DataError, match=r"same shape .* Received: \(2,\) and \(3,\)"):
        width([1, 2], [1, 2, 3])
    with pytest.raises(DataError, match=r"at least one interval. Received: \(0,\)"):
        width([], [])
    with pytest.raises(DataError, match=r"must be finite. Received: 2 of 3 intervals"):
        width([1, math.nan, 3], [2, 3, math.inf])
    with pytest.raises(DataError, match=r"must not end below its start. Received: 1 of 2"):
        width([1, 5], [2, 4])


@pytest.mark.parametrize("score", [SCORES["winkler"], SCORES["msis"]], ids=["winkler", "msis"])
@pytest.mark.parametrize("level", [0, 1, 80, 95.0, -0.1, math.nan])
def test_the_level_of_an_interval_is_a_share(score, level):
    with pytest.raises(ConfigError, match=rf"`level` must be a share .* Received: {level}. Give 0.95"):
        score(level=level)


@of_intervals
def test_both_ends_have_the_shape_of_the_truth(score):
    for end in ("low", "high"):
        with pytest.raises(DataError, match=rf"`y_true` and `{end}` must have the same shape"):
            score(**{end: [1.0]})


def test_a_scale_of_zero_is_refused_and_none_at_all_is_said():
    with pytest.raises(DataError, match=r"`scale` must be above zero, .* Take it from mase_scale"):
        msis(TRUE, LOW, HIGH, 0.95, 0.0)
    with pytest.raises(DataError, match="MSIS needs at least one series with a scale"):
        msis(TRUE, LOW, HIGH, 0.95, math.nan)


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(quantile_metrics).failed == 0


@pytest.mark.shared_data
def test_naive_intervals_of_m4_score_as_its_guide_for_competitors_writes_the_formula(shared_data):
    """MSIS summed over the horizon first and divided once a series; intervals as R's `naive` makes them."""
    train = pd.read_csv(shared_data / "m4/Hourly-train.csv.gz", index_col=0)
    test = pd.read_csv(shared_data / "m4/Hourly-test.csv", index_col=0)
    low, high, guide, scale = [], [], [], []
    for series_id, row in train.iterrows():
        y, future = row.dropna().to_numpy(), test.loc[series_id].to_numpy()
        half = NormalDist().inv_cdf(0.975) * np.sqrt(np.square(np.diff(y)).mean() * np.arange(1, 49))
        low.append(y[-1] - half)
        high.append(y[-1] + half)
        fine = 2 / 0.05 * ((low[-1] - future) * (future < low[-1]) + (future - high[-1]) * (future > high[-1]))
        guide.append((2 * half + fine).sum() / 48 / (np.abs(y[24:] - y[:-24]).sum() / (len(y) - 24)))
        scale.append(mase_scale(row.to_numpy(), 24))
    ours = msis(test.to_numpy(), low, high, 0.95, scale)
    assert ours == pytest.approx(np.mean(guide), rel=1e-12)
