import doctest
import itertools
import math
from unittest import mock

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from statsmodels.stats.multitest import multipletests

from forecast.evaluation import significance
from forecast.evaluation.significance import diebold_mariano, holm, wilcoxon
from pipelines.errors import ConfigError, DataError

# The example of R's `forecast::dm.test`: one-step errors of ets and auto.arima on WWWusage, rows 81 to 100. The errors
# and R's p-values stand in the tests of Julia's HypothesisTests.jl (MIT), test/diebold_mariano.jl.
R_ETS = """0.002241270 -0.000661906 -1.200002613 -4.000218178 3.799373533 3.401005111 -1.199692125 -0.800490048
    -1.200048999 3.399847229 7.000708948 2.200989241 -4.800165569 -1.201043375 3.400167556 3.000709085 0.400267950
    -6.800169207 -2.401259050 1.200112198"""
R_ARIMA = """0.1209998 8.0622269 -0.9189429 -1.7952436 5.3431277 2.0459823 -0.6073261 0.5516816 -0.7633238 4.1229472
    5.8785333 1.2828331 -3.4854233 1.1971370 3.1709314 2.3408457 0.4962286 -5.9841362 0.1537114 0.4207951"""
ETS, ARIMA = (np.array(errors.split(), float) for errors in (R_ETS, R_ARIMA))

losses = st.integers(0, 100_000).map(lambda n: n / 100)


@st.composite
def pairs(draw, least=3, most=40):
    n = draw(st.integers(least, most))
    return tuple(draw(hnp.arrays(np.float64, n, elements=losses)) for _ in range(2))


def varies(model, naive):
    assume(np.ptp(model - naive) > 0.001)


@pytest.mark.parametrize(
    ("loss", "step", "two", "worse", "better"),
    [
        (np.square, 1, 0.8871, 0.5565, 0.4435),
        (np.square, 10, 0.9362, 0.5319, 0.4681),
        (np.abs, 1, 0.7818, 0.3909, 0.6091),
    ],
)
def test_the_example_of_rs_dm_test_has_rs_p_values(loss, step, two, worse, better):
    found = diebold_mariano(loss(ETS), loss(ARIMA), step)
    assert found.p_value == pytest.approx(two, abs=5e-5)
    assert found.p_better == pytest.approx(better, abs=5e-5)
    assert 1 - found.p_better == pytest.approx(worse, abs=1e-4)
    assert found.n == 20
    assert found.variance == "rectangular"
    assert found.difference == pytest.approx(np.mean(loss(ETS) - loss(ARIMA)))


@pytest.mark.parametrize("n", [20, 60, 250])
def test_fixed_smoothing_measures_the_slowest_waves_written_as_sums(n):
    random = np.random.default_rng(n)
    model, naive = random.normal(size=n).cumsum(), random.normal(size=n)
    d, t = model - naive, np.arange(n)
    waves = int(n ** (1 / 3))
    power = [
        (np.sum(d * np.cos(2 * np.pi * j * t / n)) ** 2 + np.sum(d * np.sin(2 * np.pi * j * t / n)) ** 2) / n
        for j in range(1, waves + 1)
    ]
    expected = 2 * scipy.stats.t.sf(abs(d.mean()) / np.sqrt(np.mean(power) / n), 2 * waves)
    assert diebold_mariano(model, naive, 3).p_fixed == pytest.approx(expected)


def test_fixed_smoothing_is_not_deceived_by_a_memory_that_is_longer_than_the_step():
    """Differences with a mean of zero that remember four fifths of the last one: 5 % of tests should find something."""
    random = np.random.default_rng(0)
    differences = np.zeros((400, 200))
    for t in range(1, 200):
        differences[:, t] = 0.8 * differences[:, t - 1] + random.normal(size=400)
    found = [diebold_mariano(one, np.zeros(200)) for one in differences]
    plain, fixed = ((np.array([getattr(one, name) for one in found]) < 0.05).mean() for name in ("p_value", "p_fixed"))
    assert plain > 0.4
    assert fixed < 0.1


@given(pair=pairs(least=4), step=st.integers(1, 6))
def test_the_statistic_is_that_of_the_papers_written_as_loops(pair, step):
    model, naive = pair
    n = len(model)
    assume(n > step)
    varies(model, naive)
    d = [a - b for a, b in zip(model, naive, strict=True)]
    mean = sum(d) / n

    def covariance(lag: int) -> float:
        return sum((d[t] - mean) * (d[t - lag] - mean) for t in range(lag, n)) / n

    rectangular = covariance(0) + 2 * sum(covariance(k) for k in range(1, step))
    bartlett = covariance(0) + 2 * sum((1 - k / step) * covariance(k) for k in range(1, step))
    assume(abs(rectangular) > 1e-9 * covariance(0))  # else rounding decides
    variance = rectangular if rectangular > 0 else bartlett
    statistic = mean / math.sqrt(variance / n) * math.sqrt((n + 1 - 2 * step + step * (step - 1) / n) / n)
    found = diebold_mariano(model, naive, step)
    assert found.variance == ("rectangular" if rectangular > 0 else "Bartlett")
    assert found.statistic == pytest.approx(statistic, rel=1e-6, abs=1e-9)
    assert found.p_better == pytest.approx(scipy.stats.t(n - 1).cdf(found.statistic))
    assert found.p_value == pytest.approx(2 * min(found.p_better, 1 - found.p_better))


@given(pairs())
def test_one_step_ahead_it_is_students_paired_test(pair):
    """With one lag the correction turns the variance over n into the one over n - 1."""
    varies(*pair)
    found, student = diebold_mariano(*pair), scipy.stats.ttest_rel(*pair)
    assert found.statistic == pytest.approx(student.statistic, rel=1e-6, abs=1e-9)
    assert found.p_value == pytest.approx(student.pvalue, rel=1e-6)
    assert found.p_better == pytest.approx(scipy.stats.ttest_rel(*pair, alternative="less").pvalue, rel=1e-6)


@given(pair=pairs(least=6), step=st.integers(1, 4))
def test_swapping_the_two_turns_the_sign(pair, step):
    varies(*pair)
    one, other = diebold_mariano(*pair, step), diebold_mariano(*pair[::-1], step)
    assert one.statistic == pytest.approx(-other.statistic, rel=1e-9)
    assert one.difference == pytest.approx(-other.difference)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.p_better == pytest.approx(1 - other.p_better)


@given(pair=pairs(least=6), step=st.integers(1, 4), scale=st.sampled_from([1e-180, 1e-3, 7.0, 1e150]))
def test_the_unit_of_the_loss_and_what_both_share_change_nothing(pair, step, scale):
    varies(*pair)
    plain = diebold_mariano(*pair, step)
    scaled = diebold_mariano(pair[0] * scale, pair[1] * scale, step)
    shifted = diebold_mariano(pair[0] + 512.0, pair[1] + 512.0, step)
    if plain.variance == scaled.variance == shifted.variance:  # a sum near zero may be rounded to either side
        assert scaled.statistic == pytest.approx(plain.statistic, rel=1e-3, abs=1e-6)
        assert shifted.statistic == pytest.approx(plain.statistic, rel=1e-3, abs=1e-6)
        assert scaled.difference == pytest.approx(plain.difference * scale)


def test_a_variance_that_is_not_above_zero_falls_back_to_bartletts_and_says_so():
    to_and_fro = np.tile([0.0, 1.0], 15) + 0.01
    found = diebold_mariano(to_and_fro, np.full(30, 0.6), step=2)
    assert found.variance == "Bartlett"
    assert math.isfinite(found.statistic)
    assert "Bartlett variance of 1 lag)" in str(found)


def test_a_cutoff_without_a_truth_keeps_its_place_in_time():
    rng = np.random.default_rng(0)
    model, naive = rng.random(30), rng.random(30)
    gap = model.copy()
    gap[[0, 11, 12, 29]] = math.nan
    kept = ~np.isnan(gap)
    d = np.where(kept, gap - naive, np.nan)
    x = np.nan_to_num(d - np.nanmean(d))
    variance = ((x * x).sum() + 2 * (x[1:] * x[:-1]).sum()) / 26  # pairs across the gap are none
    statistic = np.nanmean(d) / np.sqrt(variance / 26) * np.sqrt((27 - 4 + 2 / 26) / 26)
    for first, second in ((gap, naive), (np.where(kept, model, 5.0), np.where(kept, naive, np.nan))):
        found = diebold_mariano(first, second, step=2)
        assert found.statistic == pytest.approx(statistic)
        assert found.n == 26
    closed_up = diebold_mariano(model[kept], naive[kept], step=2)
    assert closed_up.statistic != pytest.approx(statistic, rel=1e-3)


def test_the_same_losses_are_not_significant_and_the_sentence_says_why():
    found = diebold_mariano(np.arange(9.0), np.arange(9.0), step=3)
    assert (found.statistic, found.p_value, found.p_better, found.difference) == (0, 1, 1, 0)
    assert str(found) == "The same losses as naive on all 9 cutoffs: nothing to test, p = 1."


@pytest.mark.parametrize(
    ("model", "naive", "step", "error", "sentence"),
    [
        ([1.0], [2.0], 1, DataError, r"at step 1 needs losses from more than 1 cutoffs. Received: 1"),
        ([1.0, math.nan], [2.0, 1.0], 1, DataError, r"more than 1 cutoffs. Received: 1"),
        ([], [], 1, DataError, r"more than 1 cutoffs. Received: 0"),
        ([1.0, 2, 4], [2.0, 1, 1], 3, DataError, r"at step 3 needs .* more than 3 cutoffs. Received: 3"),
        ([1.5, 2.5, 4.5], [1.0, 2.0, 4.0], 1, DataError, r"must vary. Received: 3 cutoffs, .* difference, 0.5"),
        ([0.1 + 0.2, 0.6], [0.2, 0.5], 1, DataError, r"must vary"),  # the same but for rounding
        ([1.0, math.inf], [2.0, 1.0], 1, DataError, r"`loss_model` must be finite"),
        ([1.0, 3.0], [2.0, -math.inf], 1, DataError, r"`loss_naive` must be finite"),
        ([1.0, 2.0], [2.0], 1, DataError, r"same length. Received: shapes \(2,\) and \(1,\)"),
        ([[1.0, 2.0]], [[2.0, 1.0]], 1, DataError, r"Received: shapes \(1, 2\) .* one step at a time"),
        ([1.0, 2.0], [2.0, 1.5], 0, ConfigError, r"`step` must be an integer >= 1, .* Received: 0"),
        ([1.0, 2.0], [2.0, 1.5], 1.0, ConfigError, r"Received: 1.0"),
    ],
)
def test_what_cannot_be_tested_is_refused_in_words(model, naive, step, error, sentence):
    with pytest.raises(error, match=sentence):
        diebold_mariano(model, naive, step)


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(-0.5, "Better than naive"), (0.0, "No difference to naive shown"), (0.5, "Worse than naive")],
)
def test_the_sentence_gives_verdict_numbers_and_method(shift, verdict):
    rng = np.random.default_rng(1)
    naive = rng.random(100)
    found = diebold_mariano(naive + shift + 0.1 * rng.normal(size=100), naive, step=5)
    assert str(found).startswith(f"{verdict}: mean loss ")
    assert ("lower" if found.difference < 0 else "higher") + " on 100 cutoffs, p = " in str(found)
    assert str(found).endswith("(one-sided Diebold-Mariano at step 5, rectangular variance of 4 lags).")
    assert found.enough


def test_few_cutoffs_for_many_steps_are_called_a_hint():
    rng = np.random.default_rng(1)
    few = diebold_mariano(rng.random(49), rng.random(49), step=5)
    assert not few.enough
    assert str(few).endswith("Fewer than 10 cutoffs for each step: a hint, no proof.")


def walk_tests(step: int, walks: int = 120) -> dict[str, int]:
    """Counts "better than naive" on random walks, where nothing is better. benchmarks/honesty.py has more of it."""
    counts = dict.fromkeys(["noise", "drift so far", "drift of training rows", "momentum"], 0)
    for seed in range(walks):
        random = np.random.default_rng(seed)
        moves = random.normal(size=800) if seed % 2 else random.standard_t(4, 800)
        walk = moves.cumsum()
        at = 499 + np.arange(250)
        last, true = walk[at], walk[at + step]
        forecasts = {
            "noise": last + 0.1 * np.sqrt(step) * random.normal(size=250),
            "drift so far": last + step * (last - walk[0]) / at,
            "drift of training rows": last + step * (walk[499] - walk[0]) / 499,
            "momentum": last + 0.1 * (last - walk[at - 1]),
        }
        for name, forecast in forecasts.items():
            counts[name] += diebold_mariano(np.abs(true - forecast), np.abs(true - last), step).p_better < 0.05
    return counts


@pytest.mark.parametrize("step", [1, 5, 12])
def test_noise_and_drift_on_random_walks_are_called_better_in_at_most_5_percent(step):
    allowed = scipy.stats.binom.ppf(0.999, 120, 0.05)
    assert max(walk_tests(step).values()) <= allowed


def test_a_forecast_that_sees_a_tenth_of_the_next_move_is_found():
    found = 0
    for seed in range(50):
        random = np.random.default_rng(seed)
        move = random.normal(size=250)
        seen = 0.1 * (move + 3 * random.normal(size=250))
        found += diebold_mariano(np.square(move - seen), np.square(move)).p_better < 0.05
    assert found >= 30


@given(pairs(least=2, most=9))
def test_wilcoxon_agrees_with_counting_all_signs(pair):
    difference = pair[0] - pair[1]
    difference = difference[difference != 0]
    assume(len(np.unique(np.abs(difference))) == len(difference) > 0)  # ties have a normal approximation of their own
    ranks = scipy.stats.rankdata(np.abs(difference))
    observed = ranks[difference > 0].sum()
    sums = [
        sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in itertools.product([0, 1], repeat=len(ranks))
    ]
    found = wilcoxon(*pair)
    assert found.statistic == observed
    if len(difference) == len(pair[0]):  # scipy counts all signs only where no series is level
        assert found.p_better == pytest.approx(np.mean(np.array(sums) <= observed))
    assert found.better == (difference < 0).sum()
    assert found.difference == pytest.approx(np.median(pair[0] - pair[1]))


@given(pair=pairs(least=2, most=80), scale=st.sampled_from([0.5, 4.0, 1024.0]))
def test_wilcoxon_turns_its_sign_with_the_order_and_ignores_the_unit(pair, scale):
    assume((pair[0] != pair[1]).any())
    one, other = wilcoxon(*pair), wilcoxon(*pair[::-1])
    assert one.p_value == pytest.approx(other.p_value)
    assert one.difference == pytest.approx(-other.difference)
    scaled = wilcoxon(pair[0] * scale, pair[1] * scale)
    assert scaled.p_better == pytest.approx(one.p_better)
    assert scaled.n == len(pair[0])


def test_wilcoxon_leaves_out_series_without_a_score_and_says_who_is_better():
    model, naive = np.arange(1.0, 13), np.arange(1.0, 13) + np.linspace(0.1, 1, 12)
    model[3] = naive[5] = math.nan
    found = wilcoxon(model, naive)
    assert (found.n, found.better) == (10, 10)
    assert found.p_better == pytest.approx(1 / 2**10)
    assert str(found).startswith("Better than naive: median score ")
    assert str(found).endswith("on 10 series, p = 0.000977 (one-sided Wilcoxon, better on 10).")
    assert str(wilcoxon(naive, model)).startswith("Worse than naive")


def test_wilcoxon_of_the_same_scores_is_not_significant_and_of_one_series_refused():
    found = wilcoxon([1.0, 2.0, math.nan], [1.0, 2.0, 3.0])
    assert (found.p_value, found.p_better) == (1, 1)
    assert str(found) == "The same scores as naive on all 2 series: nothing to test, p = 1."
    with pytest.raises(DataError, match=r"needs at least two series. Received: 1 .* Use diebold_mariano"):
        wilcoxon([1.0], [2.0])
    with pytest.raises(DataError, match=r"`scores_model` must be finite"):
        wilcoxon([1.0, math.inf], [2.0, 1.0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holms_values_are_those_of_statsmodels(p):
    with mock.patch("gc.collect"):  # `multipletests` collects all garbage of the process in each call
        expected = multipletests(p, method="holm")[1]
    np.testing.assert_allclose(holm(p), expected, rtol=1e-12)


def test_holm_leaves_one_p_value_as_it_is_and_none_to_none():
    assert holm([0.03]) == [0.03]
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("p", [[0.5, math.nan], [-0.1], [1.1], 0.5, [[0.5]]])
def test_a_p_value_lies_between_0_and_1(p):
    with pytest.raises(DataError, match=r"`p_values` must be a list of numbers from 0 to 1. Received: "):
        holm(p)


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(significance, optionflags=doctest.ELLIPSIS).failed == 0
