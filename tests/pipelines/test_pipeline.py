"""The pipeline learns from training rows only, changes nothing about the past, and is undone exactly."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cleaning import CleaningReport, clean
from pipelines.errors import ConfigError, DataError, NotFitted, UnknownName
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline, PipelineSpec
from pipelines.sources import load
from pipelines.splits import SplitSpec, split
from pipelines.windows import WindowIndex, WindowSpec, index_windows, make_windows

NAN = float("nan")
METHODS = ["minmax", "standard", "robust", "log1p", "none"]
FEATURES = ("rolling_mean(5)", "RSI(3)", "day_of_week", "elapsed")
SPLIT = SplitSpec(validation="2024-04-01", test="2024-05-01")

# Everything that a pipeline can learn, at once.
FULL = PipelineSpec(
    targets=("y", "z"),
    past=("volume",),
    known=("holiday",),
    static=("size",),
    features=FEATURES,
    window=WindowSpec(lookback=6, horizon=3, gap=1),
    cleaning={"outliers": "clip", "outlier_factor": 2.0},
)


def make(rows=150, series=("a", "b"), seed=0, firsts=None, holes=0):
    """Returns daily series of random walks well above zero, with covariates."""
    days = pd.date_range("2024-01-01", periods=300)
    frames = []
    for s, name in enumerate(series):
        random = np.random.default_rng([seed, ord(name)])  # a series does not depend on the others
        first = firsts[s] if firsts else 0
        y = 100 * np.exp(np.cumsum(random.normal(0, 0.02, rows)))
        y[random.permutation(rows)[:holes]] = NAN
        frames.append(
            pd.DataFrame(
                {
                    "unique_id": name,
                    "ds": days[first : first + rows],
                    "y": y,
                    "z": 50 + random.normal(0, 1, rows),
                    "volume": random.lognormal(5, 1, rows),
                    "holiday": (random.random(rows) < 0.1).astype(float),
                    "size": float(ord(name)),
                }
            )
        )
    return Panel.from_frame(pd.concat(frames, ignore_index=True), freq="D")


def poisoned(panel, rows):
    """Returns the panel with other values in some rows, stamps as they are."""
    values = panel.values.copy()
    values[rows] = values[rows] * -7 + 1e6
    return replace(panel, values=values)


def fitted(spec, panel, splits=None):
    return DataPipeline(spec).fit(panel, splits or split(panel, SPLIT))


def state(pipeline, folder):
    """Returns the bytes of what is saved."""
    folder.mkdir()
    pipeline.save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def all_windows(panel, spec, part=None):
    part = part or (panel.offsets[:-1], panel.offsets[1:])
    return index_windows(panel.offsets, spec.window, part)


# Only training rows are looked at


@pytest.mark.parametrize("predict", ["level", "return"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shared", [False, True])
def test_other_values_after_training_do_not_move_the_saved_state_by_a_bit(tmp_path, predict, method, shared):
    panel = make(series=("a", "b", "c"), firsts=[0, 20, 100])  # c begins after training
    spec = FULL.replace(predict=predict, scaling={"method": method, "shared": shared})
    splits = split(panel, SPLIT)
    later = np.ones(len(panel), bool)
    for first, end in zip(*splits.rows("train"), strict=True):
        later[first:end] = False
    assert later.sum() == 59 + 79 + 150
    honest = state(fitted(spec, panel, splits), tmp_path / "honest")
    assert state(fitted(spec, poisoned(panel, later), splits), tmp_path / "poisoned") == honest
    first_row = np.arange(len(panel)) == 0
    assert state(fitted(spec, poisoned(panel, first_row), splits), tmp_path / "other") != honest


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("predict", ["level", "return"])
@given(cutoff=st.integers(110, 148), holes=st.integers(0, 20))
@settings(max_examples=10)
def test_a_changed_future_leaves_earlier_rows_unchanged_to_the_bit(method, predict, cutoff, holes):
    panel = make(holes=holes)
    pipeline = fitted(FULL.replace(predict=predict, scaling={"method": method}), panel)
    later = np.arange(len(panel)) % 150 > cutoff
    honest = pipeline.transform(panel)
    values = panel.values.copy()
    values[later] = abs(values[later]) * 3 + 1
    changed = pipeline.transform(replace(panel, values=values))
    for name in ("inputs", "known", "last"):
        np.testing.assert_array_equal(getattr(changed, name)[~later], getattr(honest, name)[~later])
    assert not np.array_equal(changed.inputs[later], honest.inputs[later], equal_nan=True)
    for name in ("factor", "shift", "sigma", "static", "codes"):
        np.testing.assert_array_equal(getattr(changed, name), getattr(honest, name))


def test_rows_that_are_added_leave_earlier_rows_unchanged_to_the_bit():
    whole = make(rows=200)
    short = whole.until(whole.offsets[:-1] + 150)
    pipeline = fitted(FULL, short)
    longer, shorter = pipeline.transform(whole), pipeline.transform(short)
    for s in range(2):
        span = slice(200 * s, 200 * s + 150)
        np.testing.assert_array_equal(longer.inputs[span], shorter.inputs[short.rows(s)])


def test_a_cold_series_is_scaled_by_its_rows_before_the_cutoff_alone():
    pipeline = fitted(FULL, make())
    cold = make(series=("q",))
    cutoff = np.array([60])
    rows = pipeline.transform(cold, known_until=cutoff)
    later = pipeline.transform(poisoned(cold, np.arange(60, 150)), known_until=cutoff)
    assert (rows.cold, rows.codes.tolist()) == (("q",), [2])
    np.testing.assert_array_equal(later.factor, rows.factor)
    np.testing.assert_array_equal(later.inputs[:60], rows.inputs[:60])
    own = fitted(FULL.replace(cleaning={}), cold, split(cold, SplitSpec(validation=0.0, test=0.6)))
    np.testing.assert_allclose(own.transform(cold).factor, rows.factor, rtol=1e-12)


# What windows hold


def test_columns_are_targets_past_features_and_known_in_this_order():
    pipeline = fitted(FULL, make())
    assert pipeline.inputs_ == (
        *("y", "z", "volume", "rolling_mean(5)", "RSI(3)"),
        *("holiday", "day_of_week.sin", "day_of_week.cos", "elapsed"),
    )
    assert pipeline.known_ == ("holiday", "day_of_week.sin", "day_of_week.cos", "elapsed")
    assert pipeline.levels_.tolist() == [True, True, True, True, False, False, False, False, False]
    assert pipeline.columns_ == ("y", "z", "volume", "holiday", "size")


def test_batches_have_the_shapes_they_say():
    panel = make(series=("a", "b", "c"))
    pipeline = fitted(FULL, panel)
    rows = pipeline.transform(panel)
    index = all_windows(panel, FULL)[np.array([3, 150, 400, 10])]
    inputs, y = pipeline.batch(rows, index)
    shapes = {name: array.shape for name, array in inputs.items()}
    assert shapes == {"past": (4, 6, 9), "known": (4, 9, 4), "static": (4, 1), "series": (4,)}
    assert inputs["series"].tolist() == [0, 1, 2, 0]
    assert inputs["static"].ravel().tolist() == [0, 0.5, 1, 0]
    assert y.shape == (4, 3, 2)
    assert {array.dtype for name, array in inputs.items() if name != "series"} | {y.dtype} == {np.dtype(np.float32)}
    assert pipeline.batch(rows, index, future=False)[1] is None


def test_a_pipeline_of_one_column_gives_the_windows_of_the_scaled_rows():
    panel = make(series=("a",))
    spec = PipelineSpec(targets=("y",), window=WindowSpec(lookback=6, horizon=3))
    pipeline = fitted(spec, panel)
    inputs, y = pipeline.batch(pipeline.transform(panel), all_windows(panel, spec))
    train = panel.values[:91, :1].astype(float)  # January to March
    scaled = (panel.values[:, :1] - train.min()) / (train.max() - train.min())
    x, future = make_windows(scaled, spec.window)
    np.testing.assert_allclose(inputs["past"], x, atol=1e-6)
    np.testing.assert_allclose(y, future, atol=1e-6)
    assert sorted(inputs) == ["past", "series"]


def test_known_covariates_reach_over_past_and_future_without_the_gap():
    panel = make(series=("a",))
    pipeline = fitted(FULL, panel)
    inputs, _ = pipeline.batch(pipeline.transform(panel), WindowIndex(np.array([50]), np.array([0]), FULL.window))
    rows = [*range(45, 51), *range(52, 55)]  # the gap is row 51
    np.testing.assert_array_equal(inputs["known"][0, :, 0], panel.values[rows, panel.column("holiday")])
    angle = 2 * np.pi * panel.stamps_of(panel.ds)[rows].day_of_week.to_numpy() / 7
    scaled = pipeline.transform(panel).inputs[:, pipeline.inputs_.index("day_of_week.sin")]
    np.testing.assert_array_equal(inputs["known"][0, :, 1], scaled[rows])
    assert np.corrcoef(inputs["known"][0, :, 1], np.sin(angle))[0, 1] == pytest.approx(1, abs=1e-5)


def test_inputs_are_filled_over_short_gaps_and_answers_are_never_made_up():
    frame = pd.DataFrame({"y": np.arange(1.0, 101)}, index=pd.date_range("2024-01-01", periods=100))
    panel, _ = clean(Panel.from_frame(frame.drop(frame.index[[40, 41, 42, 60]]), freq="D"))
    spec = PipelineSpec(
        targets=("y",), window=WindowSpec(lookback=2), scaling={"method": "none"}, cleaning={"fill_limit": 2}
    )
    pipeline = DataPipeline(spec).fit(panel, split(panel))
    rows = pipeline.transform(panel)
    assert rows.inputs[38:44, 0].tolist()[:4] == [39, 40, 40, 40]
    assert np.flatnonzero(rows.missing()).tolist() == [42]
    index = WindowIndex(np.array([39, 40, 58, 59]), np.zeros(4, int), spec.window)
    inputs, y = pipeline.batch(rows, index)
    assert inputs["past"][:, :, 0].tolist() == [[39, 40], [40, 40], [58, 59], [59, 60]]
    np.testing.assert_array_equal(y[:, 0, 0], [NAN, NAN, 60, NAN])
    np.testing.assert_array_equal(pipeline.truth(panel, index)[:, 0, 0], [NAN, NAN, 60, NAN])


def test_features_need_their_warm_up_rows_and_no_more():
    whole = make(rows=300, series=("a",))
    spec = FULL.replace(features=("rolling_mean(5)", "RSI(3)", "EMA(4)", "diff(9)", "day_of_week", "elapsed"))
    pipeline = fitted(spec, whole)
    tail = pipeline.transform(whole.tail(pipeline.warmup + spec.window.lookback))
    every = pipeline.transform(whole)
    last = slice(-spec.window.lookback, None)
    assert not np.isnan(tail.inputs[last]).any()
    np.testing.assert_allclose(tail.inputs[last], every.inputs[last], atol=1e-6)
    assert np.isnan(pipeline.transform(whole.tail(pipeline.warmup)).inputs).any(axis=1).all()


def test_outliers_are_clipped_in_inputs_and_never_in_answers():
    panel = make(series=("a",))
    values = panel.values.copy()
    values[40, 0], values[120, 0] = 1e6, -1e6  # in training, and in test
    panel = replace(panel, values=values)
    spec = PipelineSpec(targets=("y",), window=WindowSpec(lookback=2), scaling={"method": "none"})
    for outliers, done in {"clip": "clipped in the inputs", "report": "left as they are"}.items():
        pipeline = DataPipeline(spec.replace(cleaning={"outliers": outliers}))
        report = CleaningReport()
        pipeline.fit(panel, split(panel, SPLIT), report)
        assert str(report) == f"a: 1 outlier in training rows (such as y 1e+06): {done}."
        low, high = pipeline.bounds_["a"][:, 0]
        rows = pipeline.transform(panel)
        expected = [np.float32(high), np.float32(low)] if outliers == "clip" else [1e6, -1e6]
        assert rows.inputs[[40, 120], 0].tolist() == expected
        _, y = pipeline.batch(rows, WindowIndex(np.array([39, 119]), np.zeros(2, int), spec.window))
        assert y.ravel().tolist() == [1e6, -1e6]


# Back to original units


@pytest.mark.parametrize("predict", ["level", "return"])
@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 1000), gap=st.integers(0, 3), shared=st.booleans())
@settings(max_examples=10)
def test_the_inverse_of_what_the_network_should_answer_is_the_truth(predict, method, seed, gap, shared):
    spec = FULL.replace(
        predict=predict,
        window=WindowSpec(lookback=4, horizon=3, gap=gap),
        scaling={"method": method, "shared": shared},
    )
    panel = make(seed=seed, series=("a", "b"))
    pipeline = fitted(spec, panel)
    others = make(seed=seed + 1, series=("b", "q"))  # b is known, q is cold
    for data in (panel, others):
        rows, index = pipeline.transform(data), all_windows(data, spec)
        _, y = pipeline.batch(rows, index)
        back = pipeline.inverse(y, rows, index.cutoffs, index.series)
        # Prices of 10 to 1000, answers in float32.
        np.testing.assert_allclose(back, pipeline.truth(data, index), rtol=2e-5)


def test_a_return_is_the_change_since_the_cutoff_in_deviations_of_training():
    values = np.array([1.0, 2.0, 1.0, 2.0, 1.0, 3.0])
    panel = Panel.from_frame(pd.DataFrame({"y": values}, index=pd.date_range("2024-01-01", periods=6)))
    spec = PipelineSpec(targets=("y",), predict="return", window=WindowSpec(lookback=1, horizon=2))
    pipeline = DataPipeline(spec).fit(panel, split(panel, SplitSpec(validation="2024-01-06", test="2024-01-07")))
    sigma = np.sqrt((1 + 0.25 + 1 + 0.25) / 4)  # returns of +100 % and -50 %
    assert pipeline.sigma_["series"] == pytest.approx(sigma)
    rows = pipeline.transform(panel)
    _, y = pipeline.batch(rows, WindowIndex(np.array([3]), np.array([0]), spec.window))
    np.testing.assert_allclose(y[0, :, 0], np.array([1 / 2 - 1, 3 / 2 - 1]) / sigma, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, -36.98])
def test_returns_of_prices_at_or_below_zero_are_refused(value):
    panel = make(series=("a",))
    values = panel.values.copy()
    values[5, 0] = value
    with pytest.raises(DataError, match=rf"Returns need targets above zero. Received: {value:g} in series 'a'"):
        fitted(FULL.replace(predict="return"), replace(panel, values=values))


# Saved and mapped


@pytest.mark.parametrize("predict", ["level", "return"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shared", [False, True])
def test_a_loaded_pipeline_gives_the_same_batches_to_the_bit(tmp_path, predict, method, shared):
    panel = make(series=("a", "b"))
    spec = FULL.replace(predict=predict, scaling={"method": method, "shared": shared})
    pipeline = fitted(spec, panel)
    before = state(pipeline, tmp_path / "saved")
    loaded = DataPipeline.load(tmp_path / "saved")
    assert loaded.spec == spec
    assert state(loaded, tmp_path / "again") == before
    data = make(series=("b", "q"), seed=1)
    rows = [each.transform(data) for each in (pipeline, loaded)]
    index = all_windows(data, spec)
    (inputs, y), (other_inputs, other_y) = (p.batch(r, index) for p, r in zip((pipeline, loaded), rows, strict=True))
    assert {name: array.tobytes() for name, array in inputs.items()} == {
        name: array.tobytes() for name, array in other_inputs.items()
    }
    assert y.tobytes() == other_y.tobytes()
    back = [p.inverse(y, r, index.cutoffs, index.series) for p, r in zip((pipeline, loaded), rows, strict=True)]
    np.testing.assert_array_equal(*back)


def test_a_panel_on_disk_is_transformed_on_disk_and_equal(tmp_path):
    panel = make()
    pipeline = fitted(FULL, panel)
    mapped = Panel.open(panel.save(tmp_path / "panel"))
    in_memory, on_disk = pipeline.transform(panel), pipeline.transform(mapped)
    assert [isinstance(rows.inputs, np.memmap) for rows in (in_memory, on_disk)] == [False, True]
    assert isinstance(on_disk.known, np.memmap)
    for name in ("inputs", "known", "last", "factor"):
        np.testing.assert_array_equal(getattr(on_disk, name), getattr(in_memory, name))
    assert state(fitted(FULL, mapped), tmp_path / "mapped") == state(pipeline, tmp_path / "memory")


# What is refused


def test_transform_inverse_and_save_before_fit_say_so(tmp_path):
    pipeline = DataPipeline(FULL)
    panel = make()
    rows = fitted(FULL, panel).transform(panel)
    calls = [
        lambda: pipeline.transform(panel),
        lambda: pipeline.inverse(np.zeros((1, 3, 2)), rows, np.array([9]), np.array([0])),
        lambda: pipeline.save(tmp_path),
    ]
    for call in calls:
        with pytest.raises(NotFitted, match=r"must be fitted before it .*Call fit on training rows first"):
            call()


def test_a_column_may_have_one_role():
    with pytest.raises(ConfigError, match=r"name different columns. Received: y, z, y, holiday"):
        fitted(FULL.replace(past=("y",)), make())


@pytest.mark.parametrize("role", ["targets", "past", "known", "static"])
def test_a_column_that_does_not_exist_is_named_with_its_neighbours(role):
    with pytest.raises(UnknownName, match=r"No column is called 'volumes'. Did you mean 'volume'"):
        fitted(FULL.replace(**{role: ("volumes",)}), make())


@pytest.mark.shared_data
def test_many_stocks_go_through_and_come_back_in_dollars(shared_data):
    frame = load(str(shared_data / "stocks/us_daily_6tickers.csv.gz"))
    panel = Panel.from_frame(frame, columns=["Adj Close", "Volume"], calendar="XNYS")
    spec = PipelineSpec(targets=("Adj Close",), past=("Volume",), window=WindowSpec(lookback=60, horizon=5))
    splits = split(panel)
    pipeline = DataPipeline(spec).fit(panel, splits)
    rows = pipeline.transform(panel)
    index = index_windows(panel.offsets, spec.window, splits.rows("test"), rows.missing())
    assert len(index) == splits.count("test") - 6 * (spec.window.horizon - 1)  # each series' last ones are incomplete
    train = np.zeros(len(panel), bool)
    for s, (first, end) in enumerate(zip(*splits.rows("train"), strict=True)):
        train[first:end] = True
        scaled = rows.inputs[first:end]
        np.testing.assert_allclose([scaled.min(axis=0), scaled.max(axis=0)], [[0, 0], [1, 1]], atol=1e-6)
        assert panel.ids[s] in pipeline.ids_
    assert rows.inputs[~train].max() > 1  # a third of later closes lie above the training maximum
    _, y = pipeline.batch(rows, index)
    dollars = pipeline.inverse(y, rows, index.cutoffs, index.series)
    np.testing.assert_allclose(dollars, pipeline.truth(panel, index), atol=0.001)  # a tenth of a cent
