"""Scaling agrees with scikit-learn, is undone exactly, and knows nothing of rows that it was not fitted on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import preprocessing
from sklearn.pipeline import make_pipeline

from pipelines.errors import ConfigError, DataError, NotFitted
from pipelines.scaling import Scaler, ScalingSpec

METHODS = ["minmax", "standard", "robust", "log1p", "none"]
FLOAT32 = float(np.finfo(np.float32).eps)

# Thousandths: no two values differ by so little that it is a matter of taste whether a column is constant.
measured = st.integers(-900, 10_000_000).map(lambda n: n / 1000) | st.just(np.nan)
tables = hnp.arrays(np.float64, st.tuples(st.integers(2, 30), st.integers(1, 4)), elements=measured)


def sibling(method, low, high):
    """The same by scikit-learn."""
    minmax = preprocessing.MinMaxScaler((low, high))
    return {
        "minmax": minmax,
        "standard": preprocessing.StandardScaler(),
        "robust": preprocessing.RobustScaler(),
        "log1p": make_pipeline(preprocessing.FunctionTransformer(np.log1p), minmax),
        "none": preprocessing.FunctionTransformer(),
    }[method]


def known_columns(table):
    """scikit-learn warns of columns that are NaN throughout; what happens to those is tested by itself."""
    return table[:, ~np.isnan(table).all(axis=0)]


@pytest.mark.parametrize("method", METHODS)
@given(table=tables, low=st.integers(-2, 0), width=st.integers(1, 3))
def test_values_are_those_of_scikit_learn(method, table, low, width):
    train = known_columns(table)
    if not train.size:
        return
    later = np.vstack([train, np.nanmax(train, axis=0) * 1.5 + 1])  # beyond what was seen in training
    theirs = sibling(method, low, low + width).fit(train).transform(later)
    spec = ScalingSpec(method=method, low=low, high=low + width)
    ours = Scaler(spec).fit([("a", train)]).transform(later, "a")
    assert ours.dtype == np.float32
    # float32, relative to the largest value of the column; 1e-9 is for what scikit-learn rounds where a mean is large.
    size = np.nanmax(abs(theirs), axis=0)
    assert (abs(ours - theirs) <= FLOAT32 * size + 1e-9 * (1 + abs(np.nanmax(train, axis=0))))[~np.isnan(theirs)].all()
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, 123456.789])
def test_a_constant_column_is_scaled_as_scikit_learn_does_and_comes_back(method, value):
    train = np.full((7, 1), value)
    later = np.array([[value], [value + 1]])
    scaler = Scaler(ScalingSpec(method=method)).fit([("a", train)])
    theirs = sibling(method, 0, 1).fit(train).transform(later)
    np.testing.assert_allclose(scaler.transform(later, "a"), theirs, rtol=1e-6, atol=1e-9)
    back = scaler.inverse(scaler.forward(later) * scaler.factor_[0] + scaler.shift_[0], scaler.factor_, scaler.shift_)
    np.testing.assert_allclose(back, later, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@given(table=tables)
def test_the_inverse_gives_the_values_back(method, table):
    table = known_columns(table)
    if not table.size:
        return
    scaler = Scaler(ScalingSpec(method=method)).fit([("a", table)])
    factor, shift = scaler.pair("a")
    back = scaler.inverse(scaler.forward(table) * factor + shift, factor, shift)
    np.testing.assert_allclose(back, table, rtol=1e-9, atol=1e-9)  # thousandths up to ten thousand


@pytest.mark.parametrize("method", METHODS)
def test_a_column_that_is_nowhere_measured_stays_missing_and_harms_no_other(method):
    train = np.column_stack([np.full(5, np.nan), np.arange(5.0)])
    scaler = Scaler(ScalingSpec(method=method)).fit([("a", train)])
    alone = Scaler(ScalingSpec(method=method)).fit([("a", train[:, 1:])])
    scaled = scaler.transform(train, "a")
    assert np.isnan(scaled[:, 0]).all()
    np.testing.assert_array_equal(scaled[:, 1:], alone.transform(train[:, 1:], "a"))


def test_each_series_has_a_scale_of_its_own_unless_it_is_shared():
    rows = [("small", np.array([[0.0], [1.0]])), ("large", np.array([[0.0], [1000.0]]))]
    own = Scaler(ScalingSpec()).fit(rows)
    assert [own.transform(np.array([[1.0]]), name).item() for name, _ in rows] == [1.0, np.float32(0.001)]
    shared = Scaler(ScalingSpec(shared=True)).fit(rows)
    assert [shared.transform(np.array([[1.0]]), name).item() for name in ("small", "never seen")] == [
        np.float32(0.001)
    ] * 2


def test_a_cold_series_is_scaled_by_its_own_rows_up_to_the_cutoff():
    scaler = Scaler(ScalingSpec()).fit([("known", np.array([[0.0], [1.0]]))])
    before = np.array([[10.0], [30.0]])
    assert not scaler.knows("cold")
    assert scaler.transform(np.array([[10.0], [20.0], [50.0]]), "cold", before).ravel().tolist() == [0.0, 0.5, 2.0]
    with pytest.raises(NotFitted, match="Series 'cold' was not in the training rows"):
        scaler.transform(before, "cold")


def test_a_series_without_training_rows_is_cold():
    scaler = Scaler(ScalingSpec()).fit([("empty", np.empty((0, 1))), ("full", np.array([[0.0], [2.0]]))])
    assert (scaler.knows("empty"), scaler.knows("full"), scaler.ids_) == (False, True, ("full",))


def test_a_scaler_that_learned_nothing_says_so():
    with pytest.raises(NotFitted, match="must be fitted before"):
        Scaler(ScalingSpec()).transform(np.zeros((1, 1)), "a")


def test_the_logarithm_is_taken_of_the_columns_it_was_asked_for():
    table = np.column_stack([np.geomspace(1, 1000, 5), np.linspace(-5, 5, 5)])
    scaler = Scaler(ScalingSpec(method="log1p"), logged=np.array([True, False])).fit([("a", table)])
    scaled = scaler.transform(table, "a")
    expected = np.log((1 + table[:, 0]) / 2) / np.log(1001 / 2)
    np.testing.assert_allclose(scaled[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(scaled[:, 1], np.linspace(0, 1, 5), rtol=1e-6)


def test_the_logarithm_of_minus_one_is_refused_with_what_was_found():
    with pytest.raises(DataError, match=r"above -1. Received: -36.98"):
        Scaler(ScalingSpec(method="log1p")).fit([("oil", np.array([[20.0], [-36.98]]))])


def test_a_range_upside_down_is_refused():
    with pytest.raises(ConfigError, match=r"`low` must be below `high`. Received: low=1, high=1"):
        ScalingSpec(low=1, high=1)
