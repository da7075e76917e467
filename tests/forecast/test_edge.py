"""What runs on the device: the arithmetic around a file, missed rows, state, broken files, the prompt.

The files are made here: a small core, converted by TensorFlow, with metadata put in by flatbuffers. What a forecast
must be is computed a second time, in plain numpy from the contract, or by the pipeline and shell that train a model.
"""

import ast
import copy
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import flatbuffers
import numpy as np
import pandas as pd
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import forecast.edge as edge
from forecast.edge import EdgeError, load

L, H, F, K, Q = 6, 4, 3, 2, 3
Fk, Fs = 1, 2
UNITS = 5


# --- cores: the same numbers for TensorFlow and for numpy -----------------------------------------------------------


def weights(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(0, 0.3, shape).astype(np.float32)


def dense(past, outputs=H * K):
    return past.reshape(-1) @ weights(past.size, outputs) + weights(outputs)


def lstm(past, units=UNITS):
    """An LSTM in Keras's order of gates, and a dense layer on its last output."""
    h = c = np.zeros(units)
    for x in past:
        i, f, g, o = np.split(x @ weights(F, 4 * units) + h @ weights(units, 4 * units) + weights(4 * units), 4)
        sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return (h @ weights(units, H * K)).reshape(H, K)


def cell(past, units=UNITS):
    """The simplest of all recurrent cells, and a dense layer on its last output."""
    h = np.zeros(units)
    for x in past:
        h = 1 / (1 + np.exp(-x @ weights(F, units) - 9 * h @ weights(units, units)))
    return (h @ weights(units, H * K)).reshape(H, K)


# --- files ------------------------------------------------------------------------------------------------------------


def unpacked(data):
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(data), 0))


def packed(model):
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def ordered(data, shapes):
    """Returns a file whose inputs have these shapes in this order, y first among its outputs, and a state one scale."""
    model = unpacked(data)
    graph = model.subgraphs[0]
    where = {tuple(graph.tensors[i].shape): i for i in graph.inputs}
    graph.inputs = np.array([where[shape] for shape in shapes], np.int32)
    graph.outputs = np.array(sorted(graph.outputs, key=lambda i: -len(graph.tensors[i].shape)), np.int32)
    if len(graph.outputs) > 1:
        graph.tensors[graph.inputs[1]].quantization = graph.tensors[graph.outputs[1]].quantization
    return packed(model)


def with_metadata(core, about, name=b"forecast", padding=b""):
    """Returns the file with metadata inside, and in them its sha256."""
    model = unpacked(core)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    text = json.dumps({"digest": "0" * 64, **about}).encode() + padding
    buffer.data, entry.name, entry.buffer = np.frombuffer(text, np.uint8), name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    data = packed(model)
    blank = b'"digest": "' + b"0" * 64
    assert data.count(blank) == 1 or "digest" in about
    return data.replace(blank, b'"digest": "' + hashlib.sha256(data).hexdigest().encode())


@pytest.fixture(scope="session")
def tf():
    from forecast._keras import load_keras

    load_keras()
    import tensorflow

    return tensorflow


@pytest.fixture(scope="session")
def cores(tf, tmp_path_factory):
    """Returns a function that converts one of the cores, once."""
    made = {}

    def spec(*shape):
        return tf.TensorSpec(shape, tf.float32)

    def flat(x):
        return tf.reshape(x, (1, -1))

    def dense_of(outputs, shape):
        return lambda past: tf.reshape(flat(past) @ weights(L * F, outputs) + weights(outputs), shape)

    def all_inputs(known, past, static):
        y = flat(past) @ weights(L * F, H * K) + flat(known) @ weights((L + H) * Fk, H * K)
        return tf.reshape(y + static @ weights(Fs, H * K), (1, H, K))

    def fused(past):
        zeros = tf.zeros((1, UNITS))
        attributes = {"api_implements": "lstm_of_a_test", "api_preferred_device": "CPU"}
        attributes |= {"time_major": False, "go_backwards": False}
        layer = tf.function(whole_lstm, autograph=False, experimental_attributes=attributes)
        last, *_ = layer(past, zeros, zeros, weights(F, 4 * UNITS), weights(UNITS, 4 * UNITS), weights(4 * UNITS))
        return tf.reshape(last @ weights(UNITS, H * K), (1, H, K))

    def whole_lstm(x, h, c, kernel, recurrent, bias):
        outputs = []
        for t in range(x.shape[1]):
            i, f, g, o = tf.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=-1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            h = tf.sigmoid(o) * tf.tanh(c)
            outputs.append(h)
        return h, tf.stack(outputs, axis=1), h, c, tf.constant(1.0)

    def step(row, state):
        state = tf.sigmoid(row @ weights(F, UNITS) + state @ (9 * weights(UNITS, UNITS)))
        return tf.reshape(state @ weights(UNITS, H * K), (1, H, K)), state

    functions = {
        "dense": (dense_of(H * K, (1, H, K)), [spec(1, L, F)]),
        "quantiles": (dense_of(H * K * Q, (1, H, K, Q)), [spec(1, L, F)]),
        "all inputs": (all_inputs, [spec(1, L + H, Fk), spec(1, L, F), spec(1, Fs)]),
        "logarithm": (lambda past: tf.math.log(dense_of(H * K, (1, H, K))(past)), [spec(1, L, F)]),
        "lstm": (fused, [spec(1, L, F)]),
        "streaming": (fused, [spec(1, 1, F)]),
        "streaming logarithm": (lambda past: fused(past) + tf.math.log(past[0, 0, 0]), [spec(1, 1, F)]),
        "step": (step, [spec(1, F), spec(1, UNITS)]),
        "plain": (lambda x: tf.reshape(flat(x) @ weights(L * F, 1), (1, 1)), [spec(1, L, F)]),
    }

    def convert(name, quantize="float32"):
        if (name, quantize) not in made:
            function, specs = functions[name]
            module = tf.Module()
            module.call = tf.function(function, input_signature=specs, autograph=False)
            folder = str(tmp_path_factory.mktemp("core"))
            tf.saved_model.save(module, folder, signatures=module.call.get_concrete_function())
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            if quantize == "int8":
                rng = np.random.default_rng(0)
                names = function.__code__.co_varnames[: len(specs)]
                windows = [
                    {
                        name: rng.uniform(-1, 1, one.shape).astype(np.float32)
                        for name, one in zip(names, specs, strict=True)
                    }
                    for _ in range(50)
                ]
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda: iter(windows)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
                converter.inference_input_type = converter.inference_output_type = tf.int8
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # TensorFlow warns of an interpreter of its own
                made[name, quantize] = ordered(converter.convert(), [tuple(one.shape) for one in specs])
        return made[name, quantize]

    return convert


# --- metadata and data ------------------------------------------------------------------------------------------------

SCALING = {
    **{"where": "host", "clip_low": None, "clip_high": None, "log1p": [False] * F},
    **{"factor": [0.08, 0.5, 0.2], "shift": [-7.5, 0.1, -0.4], "normalize": "last", "levels": [True, True, False]},
    **{
        "epsilon": 1e-5,
        "predict": "level",
        "sigma": [0.02, 0.05],
        "static_low": [1.0, -2.0],
        "static_range": [4.0, 0.5],
    },
}
COLUMNS = [
    {"name": "Close", "kind": "target", "level": True, "means": "Measured: Close."},
    {"name": "Volume", "kind": "target", "level": True, "means": "Measured: Volume."},
    {"name": "Day", "kind": "known", "level": False, "means": "The day of the week, Monday is 0."},
]
INPUTS = {"past": [1, L, F], "known": [1, L + H, Fk], "static": [1, Fs]}


def told(inputs=("past",), scaling=None, **changes):
    """Returns metadata; `scaling` holds what differs from SCALING."""
    about = {
        **{"format": 1, "name": "goog/1", "model": "lstm", "versions": {"keras-forecast": "0.1.0"}, "bundle": None},
        **{"layout": "fused", "quantize": "float32", "io": "float32", "lookback": L, "gap": 0, "horizon": H},
        "state": {"kind": "windowed", "means": "Reset the state before every window."},
        **{"targets": ["Close", "Volume"], "unit": "dollars", "quantiles": [], "series": None, "columns": COLUMNS},
        "dates": {"freq": "min", "calendar": None, "zone": "UTC", "seconds": 60},
        "inputs": [{"name": name, "shape": INPUTS[name]} for name in inputs],
        "outputs": [{"name": "y", "shape": [1, H, K]}],
        **{
            "scaling": SCALING | (scaling or {}),
            "range": None,
            "missing": {"policy": "last", "limit": 2},
            "step": None,
        },
    }
    return about | changes


STREAMING = {
    **{"state": {"kind": "streaming", "means": "Feed every row."}, "scaling": SCALING | {"normalize": "none"}},
    "inputs": [{"name": "past", "shape": [1, 1, F]}],
}
STEP = {
    **{"layout": "step", "inputs": [{"name": "past", "shape": [1, F]}], "step": {"states": [{"shape": [1, UNITS]}]}},
}
PLAIN = {
    **{
        "name": "",
        "targets": [],
        "columns": [],
        "unit": "",
        "scaling": None,
        "missing": {"policy": "last", "limit": 0},
    },
    "dates": {"freq": None, "calendar": None, "zone": "", "seconds": None},
}


def rows(n=L, seed=1):
    """Returns raw rows: a price near 100, a volume near 5, a day of the week."""
    steps = np.random.default_rng(seed).normal(0, 1, (n, 2))
    return np.column_stack([100 + steps[:, 0].cumsum(), 5 + 0.3 * steps[:, 1].cumsum(), np.arange(n) % 7])


def oracle(scaling, raw, core):
    """The arithmetic of the contract for one window, column by column; `core` answers `x (L, F)`."""
    s, x, back = SCALING | scaling, np.empty(raw.shape), []
    for f in range(F):
        v = raw[:, f].copy()
        if s["clip_low"]:
            v = np.array([min(max(one, s["clip_low"][f]), s["clip_high"][f]) for one in v])
        v = np.log(1 + v) if s["log1p"][f] else v
        a, b = s["factor"][f], s["shift"][f]
        if not s["levels"][f] or s["normalize"] == "none":
            x[:, f] = v * a + b
            back.append(lambda y, a=a, b=b: (y - b) / a)
        elif s["normalize"] == "last":
            x[:, f] = (v - v[-1]) * a
            back.append(lambda y, a=a, last=v[-1]: y / a + last)
        else:
            mean, deviation = v.mean(), np.sqrt(v.var() * a**2 + s["epsilon"])
            x[:, f] = (v - mean) * a / deviation
            back.append(lambda y, a=a, mean=mean, deviation=deviation: y * deviation / a + mean)
    y = core(x)
    result = np.empty(y.shape)
    for k in range(K):
        if s["predict"] == "return":
            result[:, k] = raw[-1, k] * (1 + y[:, k] * s["sigma"][k])
        else:
            result[:, k] = np.exp(back[k](y[:, k])) - 1 if s["log1p"][k] else back[k](y[:, k])
    return result


def dense_core(x):
    return dense(x).reshape(H, K)


@pytest.fixture
def make(cores, tmp_path):
    """Returns a function that loads a core under some metadata."""

    def made(core="dense", about=None, quantize="float32", **loading):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.tflite"
        path.write_bytes(with_metadata(cores(core, quantize), told() if about is None else about))
        return load(path, **loading)

    return made


class Bare:
    """A file on the interpreter alone, to compare with: raw tensors in, raw tensors out."""

    def __init__(self, data):
        self.interpreter = Interpreter(model_content=data)
        self.interpreter.allocate_tensors()
        self.inputs, self.outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()

    def __call__(self, *values):
        for detail, value in zip(self.inputs, values, strict=True):
            self.interpreter.set_tensor(detail["index"], value.reshape(detail["shape"]).astype(detail["dtype"]))
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(detail["index"]) for detail in self.outputs]

    def integers(self, x):
        scale, zero = self.inputs[0]["quantization"]
        return np.clip(np.round(x / scale) + zero, -128, 127)

    def real(self, q):
        scale, zero = self.outputs[0]["quantization"]
        return (q.astype(np.float64).reshape(H, K) - zero) * scale


# --- the arithmetic -----------------------------------------------------------------------------------------------

NORMALIZE = pytest.mark.parametrize("normalize", ["last", "mean_std", "none"])
PREDICT = pytest.mark.parametrize("predict", ["level", "return"])


@NORMALIZE
@PREDICT
@pytest.mark.parametrize("log1p", [[False] * 3, [True, False, False], [True, True, False]], ids=["", "one log", "logs"])
@pytest.mark.parametrize("clip", [None, ([99.5, 4.9, 1.0], [100.5, 5.1, 3.0])], ids=["", "clip"])
def test_the_host_does_the_arithmetic_of_the_contract(make, normalize, predict, log1p, clip):
    low, high = clip or (None, None)
    scaling = {"normalize": normalize, "predict": predict, "log1p": log1p, "clip_low": low, "clip_high": high}
    if log1p[0]:
        scaling |= {"factor": [2.0, 1.5, 0.2]}
    forecast = make(about=told(scaling=scaling)).predict(rows())
    assert not forecast.fallback
    np.testing.assert_allclose(forecast.values, oracle(scaling, rows(), dense_core), rtol=2e-5)


def test_a_bound_that_is_null_or_infinite_clips_nothing(make):
    scaling = {"clip_low": [None, -np.inf, 2.0], "clip_high": [100.0, np.inf, None]}
    same = {"clip_low": [-1e9, -1e9, 2.0], "clip_high": [100.0, 1e9, 1e9]}
    forecast = make(about=told(scaling=scaling)).predict(rows())
    np.testing.assert_array_equal(forecast.values, make(about=told(scaling=same)).predict(rows()).values)
    np.testing.assert_allclose(forecast.values, oracle(same, rows(), dense_core), rtol=2e-5)


@NORMALIZE
@PREDICT
def test_quantiles_are_put_back_each_like_a_forecast(make, normalize, predict):
    scaling = {"normalize": normalize, "predict": predict, "log1p": [False, True, False]}
    about = told(scaling=scaling, quantiles=[0.1, 0.5, 0.9], outputs=[{"name": "y", "shape": [1, H, K, Q]}])
    expected = oracle(scaling, rows(), lambda x: dense(x, H * K * Q).reshape(H, K, Q))
    np.testing.assert_allclose(make("quantiles", about).predict(rows()).values, expected, rtol=2e-5)


def test_what_is_known_ahead_and_what_never_changes_are_scaled_and_given(make):
    scaling = {"log1p": [False, False, True], "clip_low": [0.0, 0.0, 1.0], "clip_high": [200.0, 9.0, 4.0]}
    model = make("all inputs", told(["known", "past", "static"], scaling))
    known, static = np.arange(L + H) % 7.0, np.array([3.0, -1.5])
    ahead = np.log1p(np.clip(known, 1, 4)) * 0.2 - 0.4

    def core(x):
        y = x.reshape(-1) @ weights(L * F, H * K) + ahead @ weights((L + H) * Fk, H * K)
        return (y + (static - [1, -2]) / [4, 0.5] @ weights(Fs, H * K)).reshape(H, K)

    forecast = model.predict(rows(), known=known[:, None], static=static)
    np.testing.assert_allclose(forecast.values, oracle(scaling, rows(), core), rtol=2e-5)
    np.testing.assert_array_equal(forecast.values, model.predict(rows(), known, static).values)  # one column: (L + H,)
    for row in rows():
        pushed = model.push(row, known=known, static=static)
    np.testing.assert_array_equal(pushed.values, forecast.values)


def test_raw_units_go_in_and_come_out_where_the_file_scales(make):
    about = told(scaling={"where": "file"})
    np.testing.assert_allclose(make(about=about).predict(rows()).values, dense_core(rows()), rtol=2e-5)


def test_what_is_known_goes_in_raw_where_the_file_scales(make):
    known, static = np.arange(L + H), np.array([3.0, -1.5])
    forecast = make("all inputs", told(["known", "past", "static"], {"where": "file"})).predict(rows(), known, static)
    expected = rows().reshape(-1) @ weights(L * F, H * K) + known @ weights((L + H) * Fk, H * K)
    expected = (expected + static @ weights(Fs, H * K)).reshape(H, K)
    np.testing.assert_allclose(forecast.values, expected, rtol=2e-5)


def test_a_plain_keras_model_gets_and_gives_what_it_is_given(make):
    model = make("plain", told() | PLAIN | {"horizon": 1})
    np.testing.assert_allclose(model.predict(rows()).values, [rows().reshape(-1) @ weights(L * F, 1)], rtol=2e-5)
    assert model.predict(rows()).values.shape == (1, 1)
    short = model.predict(rows()[1:])
    assert short.fallback
    assert np.isnan(short.values).all()
    assert "so there is no forecast" in short.flags[-1]


@NORMALIZE
def test_integers_are_rounded_as_the_tensors_say(make, cores, normalize):
    scaling = {"normalize": normalize, "factor": [0.1, 0.3, 0.1], "shift": [-10.0, -1.5, -0.3]}
    bare = Bare(cores("dense", "int8"))
    raw = rows() + np.array([0, 4, 0])
    forecast = make("dense", told(scaling=scaling, quantize="int8", io="int8"), "int8").predict(raw)
    expected = oracle(scaling, raw, lambda x: bare.real(bare(bare.integers(x))[0]))
    np.testing.assert_allclose(forecast.values, expected, rtol=1e-12)


def test_integers_out_of_their_range_are_the_nearest_in_it(make, cores):
    bare = Bare(cores("dense", "int8"))
    about = told(scaling={"where": "file"}, quantize="int8", io="int8")
    raw = np.where(np.arange(L * F).reshape(L, F) % 2, 1e9, -1e9)
    expected = bare.real(bare(np.where(raw > 0, 127, -128))[0])
    np.testing.assert_allclose(make("dense", about, "int8").predict(raw).values, expected, rtol=1e-12)


@NORMALIZE
@PREDICT
@pytest.mark.parametrize("method", ["minmax", "log1p"])
def test_the_device_forecasts_what_the_pipeline_and_the_shell_forecast(make, tf, normalize, predict, method):
    import keras

    from forecast.models import Shapes
    from forecast.models._shell import EPSILON, wrap
    from pipelines.cleaning import CleaningSpec
    from pipelines.panel import Panel
    from pipelines.pipeline import DataPipeline, PipelineSpec
    from pipelines.splits import split
    from pipelines.windows import WindowIndex

    frame = pd.DataFrame(rows(300), columns=["Close", "Volume", "Day"], index=pd.date_range("2024-01-01", periods=300))
    frame["Volume"] = np.abs(frame["Volume"]) + 1
    frame.loc[frame.index[293], "Volume"] = 500.0  # an outlier, to be clipped
    panel = Panel.from_frame(frame)
    spec = PipelineSpec(
        targets=("Close", "Volume"), known=("Day",), predict=predict, window={"lookback": L, "horizon": H},
        scaling={"method": method}, cleaning=CleaningSpec(outliers="clip"),
    )  # fmt: skip
    pipeline = DataPipeline(spec).fit(panel, split(panel))
    core = keras.Sequential([keras.Input((L, F)), keras.layers.Flatten(), keras.layers.Dense(H * K)])
    core.add(keras.layers.Reshape((H, K)))
    core.layers[1].set_weights([weights(L * F, H * K), weights(H * K)])
    shell = wrap(
        core, Shapes(lookback=L, horizon=H, features=F, targets=K), normalize, pipeline.levels_, predict == "level"
    )
    transformed, cutoffs, series = pipeline.transform(panel), np.array([250, 295]), np.zeros(2, int)
    inputs, _ = pipeline.batch(transformed, WindowIndex(cutoffs, series, spec.window), future=False)
    expected = pipeline.inverse(np.asarray(shell(inputs["past"])), transformed, cutoffs, series)

    factor, shift = pipeline.scaler_.pair(panel.ids[0])
    low, high = pipeline.bounds_[panel.ids[0]]
    scaling = {
        **{"factor": factor.tolist(), "shift": shift.tolist(), "clip_low": low.tolist(), "clip_high": high.tolist()},
        **{"normalize": normalize, "predict": predict, "levels": pipeline.levels_.tolist(), "epsilon": EPSILON},
        "log1p": (pipeline.levels_ & (method == "log1p")).tolist(),
        "sigma": pipeline.sigma_.get(panel.ids[0], np.ones(K)).tolist(),
    }
    model = make(about=told(scaling=scaling))
    for cutoff, wanted in zip(cutoffs, expected, strict=True):
        found = model.predict(frame.to_numpy()[: cutoff + 1]).values
        np.testing.assert_allclose(found, wanted, rtol=2e-4)


# --- rows that are missed ---------------------------------------------------------------------------------------------


def gaps(raw, *cells):
    """Returns rows with NaN in some cells: (row, column)."""
    raw = raw.copy()
    for cell in cells:
        raw[cell] = np.nan
    return raw


def naive(raw):
    """The last known value of each target, over the horizon."""
    return np.tile([column[~np.isnan(column)][-1] for column in raw[:, :K].T], (H, 1))


def test_a_missed_value_becomes_the_last_known_one_and_is_flagged(make):
    raw, model = rows(), make()
    by_hand = raw.copy()
    by_hand[2:4, 1], by_hand[5] = raw[1, 1], raw[4]
    forecast = model.predict(gaps(raw, (2, 1), (3, 1), (5, slice(None))))
    np.testing.assert_array_equal(forecast.values, model.predict(by_hand).values)
    assert forecast.flags == ("3 missed samples were filled with the last known values",)
    assert not forecast.fallback


def test_a_row_before_the_window_fills_its_first_value(make):
    raw, model = rows(L + 3), make()
    by_hand = raw.copy()
    by_hand[2:4, 0] = raw[1, 0]
    forecast = model.predict(gaps(raw, (2, 0), (3, 0)))
    np.testing.assert_array_equal(forecast.values, model.predict(by_hand).values)
    assert forecast.flags == ("1 missed sample was filled with the last known values",)  # only row 3 is in the window


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_infinite_is_a_missing_one(make, value):
    raw = rows()
    raw[3, 0] = value
    np.testing.assert_array_equal(make().predict(raw).values, make().predict(gaps(raw, (3, 0))).values)


@pytest.mark.parametrize(
    ("cells", "filled", "lost"),
    [
        ([(1, 0), (2, 0), (3, 0)], "2 missed samples were filled with the last known values", "1 missed sample was"),
        ([(0, 2)], "", "1 missed sample was"),
        (
            [(0, 1), (1, slice(None)), (4, 0)],
            "1 missed sample was filled with the last known values",
            "2 missed samples were",
        ),
    ],
    ids=["in the middle", "nothing before", "both"],
)
def test_the_naive_forecast_stands_in_where_too_many_are_missed(make, cells, filled, lost):
    raw = gaps(rows(), *cells)
    forecast = make().predict(raw)
    np.testing.assert_array_equal(forecast.values, naive(raw))
    assert forecast.fallback
    why = f"{lost} more than 2 rows after a known one, so the naive forecast stands in"
    assert forecast.flags == ((filled, why) if filled else (why,))


def test_without_a_limit_nothing_is_filled(make):
    model = make(about=told(missing={"policy": "last", "limit": 0}))
    assert model.predict(gaps(rows(), (3, 0))).fallback
    assert not model.predict(rows()).fallback


def test_the_naive_forecast_stands_in_for_too_few_rows(make):
    forecast = make().predict(rows()[:4])
    np.testing.assert_array_equal(forecast.values, naive(rows()[:4]))
    assert forecast.flags == ("warming up: 4 of 6 rows, so the naive forecast stands in",)


def test_a_naive_forecast_has_the_quantiles_of_a_forecast(make):
    model = make("quantiles", told(quantiles=[0.1, 0.5, 0.9]))
    np.testing.assert_array_equal(model.predict(rows()[:4]).values, np.repeat(naive(rows()[:4])[..., None], Q, axis=2))


@pytest.mark.parametrize("raw", [np.empty((0, F)), gaps(rows(), (slice(None), 1))], ids=["no rows", "no value"])
def test_a_target_without_any_value_is_an_error(make, raw):
    with pytest.raises(EdgeError, match="A forecast needs a known value of Close, Volume") as caught:
        make().predict(raw)
    assert caught.value.exit_code == 65


def test_the_naive_forecast_looks_as_far_back_as_there_are_rows(make):
    raw = gaps(rows(50), (slice(10, 50), 1))
    np.testing.assert_array_equal(make().predict(raw).values, naive(raw))


def test_an_answer_that_is_not_finite_is_none(make):
    forecast = make("logarithm", told(scaling={"where": "file"})).predict(rows())  # of negative numbers, too
    np.testing.assert_array_equal(forecast.values, naive(rows()))
    assert forecast.flags == ("the network's input or answer is not finite, so the naive forecast stands in",)


@pytest.mark.parametrize("quantize", ["float32", "int8"])
@pytest.mark.parametrize("value", [-1.0, -2.0])
def test_a_value_without_a_logarithm_gets_no_answer_of_the_network(make, value, quantize):
    raw = rows()
    raw[2, 1] = value
    model = make("dense", told(scaling={"log1p": [False, True, False]}, io=quantize, quantize=quantize), quantize)
    np.testing.assert_array_equal(model.predict(raw).values, naive(raw))


def test_a_value_without_a_logarithm_gets_no_answer_where_the_file_takes_it(make):
    raw = rows()
    raw[2, 1] = -2
    assert not make(about=told(scaling={"where": "file"})).predict(raw).fallback
    assert make(about=told(scaling={"where": "file", "log1p": [False, True, False]})).predict(raw).fallback


def test_a_value_beyond_float32_is_fine_where_it_is_clipped(make):
    raw, bounds = rows(), {"clip_low": [0.0] * 3, "clip_high": [200.0] * 3}
    raw[2, 2] = 1e300
    by_hand = np.minimum(raw, 200)
    for core, kind in (("dense", {}), ("streaming", STREAMING | {"scaling": SCALING | {"normalize": "none"} | bounds})):
        model = make(core, told(scaling=bounds) | kind)
        np.testing.assert_array_equal(model.predict(raw).values, model.predict(by_hand).values)
        assert not model.predict(raw).fallback


def test_a_value_beyond_float32_gets_no_answer_of_the_network(make):
    raw = rows()
    raw[2, 2] = 1e300
    for where in ("host", "file"):
        assert make(about=told(scaling={"where": where})).predict(raw).fallback


# --- what training saw ------------------------------------------------------------------------------------------------


@NORMALIZE
@pytest.mark.parametrize("where", ["host", "file"])
def test_inputs_beyond_what_training_saw_are_flagged_by_column(make, normalize, where):
    scaling = {"normalize": normalize, "where": where}
    seen = []  # what the core sees of the window, by the oracle
    oracle(scaling, rows(), lambda x: seen.append(x) or dense_core(x))
    low, high = seen[0].min(axis=0), seen[0].max(axis=0)
    span = {"low": low.astype(np.float32).tolist(), "high": high.astype(np.float32).tolist()}
    assert make(about=told(scaling=scaling, range=span)).predict(rows()).flags == ()
    middle = np.sort(seen[0], axis=0)
    narrow = {"low": [middle[0, 0] - 1, middle[1, 1] - 1e-3, -9.0], "high": [middle[3, 0] + 1e-3, 9.0, 9.0]}
    forecast = make(about=told(scaling=scaling, range=narrow)).predict(rows())
    assert forecast.flags == ("3 of 18 inputs (16.7%) lie outside of what training saw, in Close, Volume",)
    assert not forecast.fallback


@pytest.mark.parametrize("where", ["host", "file"])
def test_a_last_value_unlike_all_others_is_flagged_alone(make, where):
    raw = rows()
    seen = (raw - raw[-1]) * np.where(SCALING["levels"], SCALING["factor"], 1.0)
    span = {"low": (seen.min(axis=0) - 0.5).tolist(), "high": (seen.max(axis=0) + 0.5).tolist()}
    span["low"][2], span["high"][2] = -9.0, 9.0  # days, which are not normalised
    model = make(about=told(scaling={"where": where}, range=span))
    assert model.predict(raw).flags == ()
    raw[-1, 0] += 1000
    assert model.predict(raw).flags == ("1 of 18 inputs (5.6%) lie outside of what training saw, in Close",)
    raw[-2, 0] += 1000  # two of them are a new level, and the old one is what is strange
    raw[-3, 0] += 1000
    assert model.predict(raw).flags == ("3 of 18 inputs (16.7%) lie outside of what training saw, in Close",)


def test_nobody_says_what_training_saw_where_it_is_unknown(make):
    assert make().predict(1e6 * rows()).flags == ()


# --- intervals --------------------------------------------------------------------------------------------------------

USUAL = [0.7, 9.0]  # so the second target never moves as far as a tenth of that
TABLE = {
    **{"levels": [80.0, 97.5], "fade": 0.9, "quiet": 0.1, "windows": 50},
    "low": (-2 - np.arange(2 * H * K).reshape(2, H, K)).tolist(),
    "high": (1 + np.arange(2 * H * K).reshape(2, H, K) / 2).tolist(),
}


def unsure(scaling=None, **changes):
    return told(scaling={"usual": USUAL} | (scaling or {}), intervals=TABLE) | changes


def unit_by_hand(raw):
    steps = [[abs(b - a) for a, b in itertools.pairwise(raw[-L:, k])] for k in range(K)]
    moved = [np.average(of, weights=[0.9 ** (len(of) - 1 - t) for t in range(len(of))]) for of in steps]
    assert moved[0] > 0.07
    assert moved[1] < 0.9
    return np.array([moved[0], 0.9])


@pytest.mark.parametrize("where", ["host", "file"])
def test_intervals_lie_around_a_forecast_as_far_as_its_window_moves(make, where):
    model = make(about=unsure({"where": where}))
    assert model.levels == (80.0, 97.5)
    forecast = model.predict(rows(20))
    assert list(forecast.intervals) == ["y_pred_lo_80", "y_pred_hi_80", "y_pred_lo_97.5", "y_pred_hi_97.5"]
    tables = [TABLE[side][n] for n in (0, 1) for side in ("low", "high")]
    for ends, offsets in zip(forecast.intervals.values(), tables, strict=True):
        np.testing.assert_allclose(ends, forecast.values + unit_by_hand(rows(20)) * offsets)


def test_a_filled_value_moves_nothing(make):
    model, raw = make(about=unsure()), gaps(rows(20), (16, 0))
    forecast, raw[16] = model.predict(raw), rows(20)[16]
    raw[16, 0] = raw[15, 0]
    wanted = forecast.values + unit_by_hand(raw) * np.array(TABLE["low"][0])
    np.testing.assert_allclose(forecast.intervals["y_pred_lo_80"], wanted)


def test_a_stream_measures_its_last_rows(make):
    about = told() | STREAMING | {"intervals": TABLE}
    model = make("streaming", about | {"scaling": about["scaling"] | {"usual": USUAL}})
    for row in rows(20):
        forecast = model.push(row)
    wanted = forecast.values + unit_by_hand(rows(20)) * np.array(TABLE["high"][1])
    np.testing.assert_allclose(forecast.intervals["y_pred_hi_97.5"], wanted)


def test_a_naive_forecast_has_no_ends_but_their_names(make):
    model = make(about=unsure())
    forecast = model.predict(rows(3))
    assert forecast.fallback
    assert list(forecast.intervals) == list(model.predict(rows()).intervals)
    assert all(np.isnan(ends).all() and ends.shape == (H, K) for ends in forecast.intervals.values())


@pytest.mark.parametrize("about", [told(), told(intervals=None)], ids=["of before", "without"])
def test_a_file_without_intervals_gives_none(make, about):
    model = make(about=about)
    assert (model.levels, model.predict(rows()).intervals) == ((), {})


def test_each_series_has_its_own_usual_change(make):
    own = {name: SCALING[name] for name in ("factor", "shift", "sigma", "clip_low", "clip_high")}
    series = {name: {**own, "usual": [100.0 * n, 1.0]} for n, name in enumerate(("calm", "wild"), 1)}
    ends = {}
    for name in series:
        model = make(about=unsure({"series": series}), series=name)
        forecast = model.predict(rows())
        ends[name] = (forecast.intervals["y_pred_hi_80"] - forecast.values)[:, 0]
    np.testing.assert_allclose(ends["wild"], 2 * ends["calm"])


# --- rows that do not fit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw", [rows()[:, :2], rows()[0], rows()[None], 3.0, "abc", [["a", "b", "c"]], [[1, 2, 3], [4, 5]], None, [1j] * 3]
)
def test_rows_of_another_shape_or_kind_are_an_error(make, raw):
    with pytest.raises(EdgeError, match=r"`rows` must be numbers of shape \(T, 3\)\. Received") as caught:
        make().predict(raw)
    assert caught.value.exit_code == 65
    with pytest.raises(EdgeError, match=r"`row` must be numbers of shape \(3\)\. Received"):
        make().push(rows()[0, :2])


@pytest.mark.parametrize(
    ("given", "says", "code"),
    [
        ({"static": [3, 4]}, "`known` must be given where the file takes it", 78),
        ({"known": np.ones(L + H)}, "`static` must be given where the file takes it", 78),
        ({"known": np.ones(L), "static": [3, 4]}, r"`known` must be numbers of shape \(10, 1\)", 65),
        ({"known": np.ones(L + H), "static": [3]}, r"`static` must be numbers of shape \(2\)", 65),
        ({"known": np.full(L + H, np.nan), "static": [3, 4]}, "`known` must be known everywhere", 65),
        ({"known": np.ones(L + H), "static": [3, np.inf]}, "`static` must be known everywhere", 65),
    ],
)
def test_what_a_file_takes_besides_rows_must_be_whole(make, given, says, code):
    model = make("all inputs", told(["known", "past", "static"]))
    for forecast in (lambda: model.predict(rows(), **given), lambda: model.push(rows()[0], **given)):
        with pytest.raises(EdgeError, match=says) as caught:
            forecast()
        assert caught.value.exit_code == code
    assert model.push(rows()[0], known=np.ones(L + H), static=[3, 4]).flags[-1].startswith("warming up: 1 of 6")


def test_what_a_file_does_not_take_is_an_error(make):
    with pytest.raises(EdgeError, match="`known` must be given where the file takes it, and only there"):
        make().predict(rows(), known=np.ones(L + H))


def test_what_is_known_ahead_must_have_a_logarithm_where_one_is_taken(make):
    model = make("all inputs", told(["known", "past", "static"], {"log1p": [False, False, True]}))
    with pytest.raises(EdgeError, match="`known` must be known everywhere"):
        model.predict(rows(), np.full(L + H, -1.0), [3, 4])


# --- state ------------------------------------------------------------------------------------------------------------

AS_IT_IS = {"scaling": SCALING | {"where": "file", "normalize": "none"}}


def recurrent(core):
    """Returns metadata for a core under which raw rows go in and answers come out."""
    return told() | {"lstm": {}, "step": STEP, "streaming": STREAMING}[core] | AS_IT_IS


def small(n=L, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, (n, F))


@pytest.mark.parametrize(("core", "formula"), [("lstm", lstm), ("step", cell)])
def test_every_window_starts_from_nothing(make, core, formula):
    model = make(core, recurrent(core))
    for seed in (1, 2, 1):
        window = small(seed=seed)
        np.testing.assert_allclose(model.predict(window).values, formula(window), atol=1e-6)


def test_an_integer_window_starts_from_nothing_too(make, cores):
    model = make("lstm", recurrent("lstm") | {"quantize": "int8", "io": "int8"}, "int8")
    bare = Bare(cores("lstm", "int8"))
    for seed in (1, 2, 1):
        bare.interpreter.reset_all_variables()
        expected = bare.real(bare(bare.integers(small(seed=seed)))[0])
        np.testing.assert_allclose(model.predict(small(seed=seed)).values, expected, rtol=1e-12)
    assert abs(expected - lstm(small())).max() < 0.05


def test_the_states_of_an_integer_step_file_start_at_zero_and_go_back_as_they_come(make, cores):
    model = make("step", recurrent("step") | {"quantize": "int8", "io": "int8"}, "int8")
    bare = Bare(cores("step", "int8"))
    for seed in (1, 2, 1):
        state = np.full(UNITS, bare.inputs[1]["quantization"][1])
        for row in bare.integers(small(seed=seed)):
            y, state = bare(row, state)
        np.testing.assert_allclose(model.predict(small(seed=seed)).values, bare.real(y), rtol=1e-12)
    assert abs(bare.real(y) - cell(small())).max() < 0.05


@pytest.mark.parametrize("normalize", ["last", "mean_std"])
def test_the_host_normalises_the_whole_window_of_a_step_file(make, normalize):
    scaling = {"normalize": normalize}
    found = make("step", told(scaling=scaling) | STEP).predict(rows()).values
    np.testing.assert_allclose(found, oracle(scaling, rows(), cell), rtol=1e-5)


@pytest.mark.parametrize("core", ["dense", "lstm", "step"])
def test_pushing_rows_one_by_one_is_predicting_from_them(make, core):
    model = make(core, told() | (STEP if core == "step" else {}))
    raw = gaps(rows(30), (3, 0), (7, 1), (8, 1), (15, slice(None)), (16, 0), (17, 0), (29, 2))
    for n, row in enumerate(raw, 1):
        pushed = model.push(row)
        predicted = model.predict(raw[:n])  # between two pushes
        np.testing.assert_array_equal(pushed.values, predicted.values)
        assert (pushed.fallback, pushed.flags) == (predicted.fallback, predicted.flags)


def test_the_first_rows_only_warm_up(make):
    model = make()
    for n, row in enumerate(rows(L + 2), 1):
        forecast = model.push(row)
        assert forecast.fallback == (n < L)
        if n < L:
            np.testing.assert_array_equal(forecast.values, naive(rows(L + 2)[:n]))
            assert forecast.flags == (f"warming up: {n} of 6 rows, so the naive forecast stands in",)
        else:
            assert forecast.flags == ()


def test_a_forecast_that_was_given_does_not_change_later(make):
    model = make("lstm", recurrent("lstm"))
    first = model.predict(small(seed=1))
    kept = first.values.copy()
    model.predict(small(seed=2))
    np.testing.assert_array_equal(first.values, kept)


def test_a_streaming_file_knows_every_row_since_the_first(make):
    model, raw = make("streaming", recurrent("streaming")), small(20)
    for n, row in enumerate(raw, 1):
        forecast = model.push(row)
        if n < L:
            assert forecast.flags == (f"warming up: {n} of 6 rows, so the naive forecast stands in",)
            np.testing.assert_array_equal(forecast.values, naive(raw[:n]))
        else:
            assert not forecast.fallback
            np.testing.assert_allclose(forecast.values, lstm(raw[:n]), atol=1e-6)


def test_a_streaming_file_says_what_a_windowed_one_says_after_one_window(make):
    windowed = make("lstm", told(scaling={"normalize": "none"})).predict(rows())
    streaming = make("streaming", told() | STREAMING)
    for row in rows():
        pushed = streaming.push(row)
    np.testing.assert_allclose(pushed.values, windowed.values, rtol=1e-6)
    np.testing.assert_allclose(streaming.predict(rows()).values, windowed.values, rtol=1e-6)


def test_predicting_from_a_streaming_file_begins_anew_and_pushing_goes_on_from_there(make):
    model, raw = make("streaming", recurrent("streaming")), small(20)
    for row in small(9, seed=3):
        model.push(row)
    np.testing.assert_allclose(model.predict(raw[:10]).values, lstm(raw[:10]), atol=1e-6)
    np.testing.assert_allclose(model.push(raw[10]).values, lstm(raw[:11]), atol=1e-6)
    assert model.predict(raw[: L - 1]).flags == ("warming up: 5 of 6 rows, so the naive forecast stands in",)


def test_a_streaming_file_is_shown_filled_rows(make):
    model, raw = make("streaming", recurrent("streaming")), small(10)
    by_hand = raw.copy()
    by_hand[4:6], by_hand[8, 1] = raw[3], raw[7, 1]
    forecast = model.predict(gaps(raw, (slice(4, 6), slice(None)), (8, 1)))
    np.testing.assert_allclose(forecast.values, lstm(by_hand), atol=1e-6)
    assert forecast.flags == ("3 missed samples were filled with the last known values",)


@pytest.mark.parametrize("broken", [np.nan, 1e300])
def test_a_streaming_file_warms_up_again_after_rows_that_it_cannot_be_shown(make, broken):
    model, raw = make("streaming", recurrent("streaming")), small(30)
    raw[10:13] = broken
    said = [model.push(row) for row in raw]
    assert not said[9].fallback
    lost = 12 if np.isnan(broken) else 10  # two NaN are filled
    assert any("before it are forgotten" in flag for flag in said[lost].flags)
    assert [one.fallback for one in said[lost:20]] == [n < 13 + L - 1 for n in range(lost, 20)]
    assert any("warming up: 2 of 6" in flag for flag in said[14].flags)
    np.testing.assert_allclose(said[-1].values, lstm(raw[13:]), atol=1e-6)


def test_a_streaming_file_warms_up_again_after_an_answer_that_is_no_number(make):
    model, raw = make("streaming logarithm", recurrent("streaming")), abs(small(20))
    raw[10, 0] = -1  # which has no logarithm
    said = [model.push(row) for row in raw]
    assert [one.fallback for one in said] == [n < L - 1 or 10 <= n < 10 + L for n in range(20)]
    assert said[10].flags[0] == "a row without usable values came, so the 10 before it are forgotten"
    np.testing.assert_allclose(said[-1].values, lstm(raw[11:]) + np.log(raw[-1, 0]), atol=1e-5)


def test_reset_forgets_all(make):
    for core in ("lstm", "streaming"):
        model = make(core, recurrent(core))
        for n, row in enumerate(small(L + 1)):
            model.push(row, at=60 * n)
        model.reset()
        with pytest.raises(EdgeError, match="A forecast needs a known value"):
            model.push([np.nan] * F, at=0)
        model.reset()
        for n, row in enumerate(small(L, seed=4)):
            forecast = model.push(row, at=60 * n)
            assert forecast.fallback == (n < L - 1)
        np.testing.assert_allclose(forecast.values, lstm(small(L, seed=4)), atol=1e-6)


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [14, -14])
@pytest.mark.parametrize("core", ["lstm", "streaming"])
def test_rows_missed_between_two_times_are_filled(make, core, late):
    model, raw = make(core, recurrent(core)), small(8)
    for n, row in enumerate(raw):
        forecast = model.push(row, at=1e9 + 60 * (n + 2 * (n > 6)) + late * (n % 2))  # two rows are missed
    by_hand = np.concatenate([raw[:7], raw[6:7], raw[6:7], raw[7:]])
    np.testing.assert_allclose(forecast.values, lstm(by_hand if core == "streaming" else by_hand[-L:]), atol=1e-6)
    assert forecast.flags == ("2 missed samples were filled with the last known values",)


@pytest.mark.parametrize("core", ["lstm", "streaming"])
def test_after_too_long_a_gap_a_model_warms_up_again(make, core):
    model, raw = make(core, recurrent(core)), small(L + 8)
    for n, row in enumerate(raw):
        forecast = model.push(row, at=60 * (n + 3 * (n >= 8)))
        if n == 8:
            assert forecast.flags == (
                "3 missed samples were more than the 2 that can be filled, so all before is forgotten",
                "warming up: 1 of 6 rows, so the naive forecast stands in",
            )
            np.testing.assert_array_equal(forecast.values, naive(raw[:9]))
    assert not forecast.fallback
    np.testing.assert_allclose(forecast.values, lstm(raw[8:]), atol=1e-6)


def test_time_means_nothing_where_the_rows_have_no_fixed_distance(make):
    model = make(about=told(dates={"freq": None, "calendar": "XNYS", "zone": "America/New_York", "seconds": None}))
    for n, row in enumerate(rows()):
        forecast = model.push(row, at=1e6 * n)
    np.testing.assert_array_equal(forecast.values, model.predict(rows()).values)


@pytest.mark.parametrize("at", [300, 299.5, -1, np.nan, np.inf])
def test_a_time_that_is_not_later_is_an_error_and_leaves_all_as_it_is(make, at):
    model = make()
    for n, row in enumerate(rows()):
        model.push(row, at=60 * n)
    with pytest.raises(EdgeError, match="`at` must be seconds since 1970, after 300") as caught:
        model.push(rows()[0], at=at)
    assert caught.value.exit_code == 65
    raw = rows(L + 1)
    np.testing.assert_array_equal(model.push(raw[-1], at=360).values, model.predict(raw).values)


def test_a_first_time_may_be_any_time(make):
    assert make().push(rows()[0], at=-5).flags == ("warming up: 1 of 6 rows, so the naive forecast stands in",)
    with pytest.raises(EdgeError, match="`at` must be"):
        make().push(rows()[0], at=np.nan)


# --- files that are broken, or others ---------------------------------------------------------------------------------


@pytest.fixture
def whole(cores):
    return with_metadata(cores("dense"), told(), padding=b"   ")


@pytest.fixture
def untouched(monkeypatch):
    """The interpreter must not see a file that was changed."""

    def refuse(*args, **kwargs):
        raise AssertionError("the interpreter was shown the file")

    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", refuse)


def refused(path, data, says=None):
    path.write_bytes(data)
    with pytest.raises(EdgeError, match=says) as caught:
        load(path)
    assert str(caught.value).startswith("A model must be a whole .tflite file that keras-forecast exported. Received: ")
    assert caught.value.exit_code == 78


def test_a_whole_file_loads(tmp_path, whole):
    (tmp_path / "m.tflite").write_bytes(whole)
    assert load(tmp_path / "m.tflite").about["digest"] == load(str(tmp_path / "m.tflite")).about["digest"]


def test_a_file_that_was_cut_off_is_refused(tmp_path, whole, untouched):
    for length in {*range(0, 200), *range(0, len(whole), 7), len(whole) - 1}:
        refused(tmp_path / "m", whole[:length])


def test_a_file_with_any_other_byte_is_refused(tmp_path, whole, untouched):
    places = {*range(0, 100), *range(0, len(whole), 5), *range(len(whole) - 100, len(whole))}
    places |= set(range(whole.index(b'"digest"'), whole.index(b'"digest"') + 80))
    for at in places:
        for bits in (0x20, 0xFF, 0x80):
            refused(tmp_path / "m", whole[:at] + bytes([whole[at] ^ bits]) + whole[at + 1 :])


def test_a_file_with_more_bytes_is_refused(tmp_path, whole, untouched):
    refused(tmp_path / "m", whole + b"\0", "its sha256 is not the one inside")


def test_a_flatbuffer_that_points_anywhere_is_refused(tmp_path, untouched):
    rng = np.random.default_rng(0)
    for n in range(500):
        words = rng.integers(0, [2**32, 64, 300][n % 3], 60, dtype=np.uint32)
        refused(tmp_path / "m", words[:1].tobytes() + b"TFL3" + words[1:].tobytes())


def test_what_is_no_file_of_ours_is_refused(tmp_path, cores):
    refused(tmp_path / "m", b"", "it is no .tflite file")
    refused(tmp_path / "m", b"time,Close\n1,2\n", "it is no .tflite file")
    refused(tmp_path / "m", cores("dense"), "it has no metadata of ours")
    refused(tmp_path / "m", with_metadata(cores("dense"), told(), name=b"forecasts"), "it has no metadata of ours")
    for path in (tmp_path, tmp_path / "none.tflite", "a\0b"):
        with pytest.raises(EdgeError, match="A model must be a whole"):
            load(path)


@pytest.mark.parametrize("text", ["", "[]", "null", "3", "{", '{"format": 1}', "[" * 100_000, '"digest"'])
def test_metadata_that_are_no_metadata_are_refused(tmp_path, cores, text, untouched):
    model = unpacked(cores("dense"))
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data, entry.name, entry.buffer = np.frombuffer(text.encode(), np.uint8), b"forecast", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [entry]
    refused(tmp_path / "m", packed(model))


def test_a_digest_of_something_else_is_refused(tmp_path, cores, untouched):
    for digest in ("", "a" * 64, "f" * 63, None, 5):
        refused(tmp_path / "m", with_metadata(cores("dense"), told(digest=digest)))


def changed(about, path, value):
    about = copy.deepcopy(about)
    *groups, key = path.split(".")
    group = about
    for name in groups:
        group = group[int(name) if isinstance(group, list) else name]
    if value is KeyError:
        del group[key]
    else:
        group[int(key) if isinstance(group, list) else key] = value
    return about


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("format", [2, 0, True, "1", None, KeyError]),
        ("lookback", [0, -6, 6.0, "6", True, 10**9, None, KeyError]),
        ("horizon", [0, -4, [4], KeyError]),
        ("gap", [-1, 0.5, KeyError]),
        ("layout", ["folded", None, ["fused"]]),
        ("io", ["float64", {}]),
        ("state", [None, {"kind": "steady", "means": ""}, {"kind": "windowed"}]),
        ("targets", ["Close", [1, 2], None]),
        ("quantiles", [None, ["0.5"], [float("nan")]]),
        ("unit", [["dollars"], 3]),
        ("columns", [None, ["Close", "Volume", "Day"], [{"name": 1}] * 3]),
        ("inputs", [None, [["past", [1, L, F]]], [{"name": "past", "shape": "1,6,3"}]]),
        ("dates.seconds", ["60", True, float("inf")]),
        ("missing", [None, {"policy": "linear", "limit": 3}, {"policy": "last", "limit": -1}, {"policy": "last"}]),
        ("range", [[0, 1], {"low": [0, 0, 0]}, {"low": [None] * 3, "high": [1] * 3}]),
        ("scaling", ["minmax", [], {"where": "host"}]),
        ("scaling.where", ["cloud", KeyError]),
        ("scaling.normalize", ["first", None]),
        ("scaling.factor", [None, 2.0, ["1"] * 3, [1, 2, float("nan")]]),
        ("scaling.levels", [[1, 1, 0], None]),
        ("scaling.clip_low", [["0"] * 3, [float("nan")] * 3, 0.0]),
        ("scaling.epsilon", [None, "0"]),
        ("scaling.usual", [0.5, ["1", "2"], [None, 1.0]]),
        (
            "intervals",
            [[], {}, {"levels": [80.0]}, {**TABLE, "low": [[1.0]]}, {**TABLE, "quiet": None}, {**TABLE, "fade": "x"}],
        ),
    ],
)
def test_metadata_of_another_kind_are_refused_before_the_file_is_run(tmp_path, cores, untouched, path, values):
    for value in values:
        data = with_metadata(cores("dense"), changed(told(range={"low": [0] * 3, "high": [1] * 3}), path, value))
        refused(tmp_path / "m", data, f"does not understand '{path.split('.')[0]}'")


@pytest.mark.parametrize(
    ("core", "about"),
    [
        ("dense", told(lookback=7)),
        ("dense", told(lookback=3)),
        ("dense", told(horizon=5)),
        ("dense", told(targets=["Close"])),
        ("dense", told(targets=["Close", "Volume", "Day", "Night"], horizon=2)),
        ("dense", told(quantiles=[0.1, 0.9])),
        ("dense", told(columns=COLUMNS[:2])),
        ("dense", told(io="int8")),
        ("dense", told(layout="step")),
        ("dense", told(inputs=["past", "static"])),
        ("dense", told(inputs=["static"])),
        ("dense", told() | {"state": STREAMING["state"]}),
        ("dense", told(range={"low": [0] * 2, "high": [1] * 2})),
        ("dense", told(scaling={"factor": [1.0, 2.0]})),
        ("dense", told(scaling={"factor": [1.0, 0.0, 2.0]})),
        ("dense", told(scaling={"sigma": [1.0]})),
        ("dense", told(scaling={"usual": [1.0]})),
        ("dense", told(intervals={**TABLE, "high": TABLE["low"][:1]})),
        ("dense", told(intervals={**TABLE, "high": [one[:-1] for one in TABLE["high"]]})),
        ("dense", told(intervals={**TABLE, "levels": [80.0]})),
        ("quantiles", told(quantiles=[0.1, 0.4, 0.9], intervals=TABLE)),  # around which one?
        ("dense", told(scaling={"clip_low": [1.0]})),
        ("streaming", told() | STREAMING | {"scaling": SCALING}),
        ("step", told() | STEP | {"layout": "fused"}),
        ("step", told() | STEP | {"columns": COLUMNS[:2]}),
        ("all inputs", told()),
        ("all inputs", told(["known", "past", "static"], horizon=3)),
        ("all inputs", told(["known", "past", "static"], {"static_low": [0.0]})),
        ("all inputs", told(["known", "past", "static"], {"static_range": [1.0, 0.0]})),
    ],
)
def test_metadata_that_contradict_the_tensors_are_refused(tmp_path, cores, core, about):
    refused(tmp_path / "m", with_metadata(cores(core), about))


def test_a_state_that_comes_back_in_another_scale_is_refused(tmp_path, cores):
    model = unpacked(cores("step", "int8"))
    graph = model.subgraphs[0]
    state = graph.tensors[graph.inputs[1]]
    state.quantization = copy.deepcopy(state.quantization)
    state.quantization.scale = state.quantization.scale * np.float32(2)
    about = recurrent("step") | {"io": "int8"}
    refused(tmp_path / "m", with_metadata(packed(model), about), "contradict each other in 'step'")


def test_a_file_that_litert_does_not_run_is_refused(tmp_path, cores):
    model = unpacked(cores("dense"))
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = 32  # a custom operator
    model.operatorCodes[0].customCode = b"FlexReshape"
    refused(tmp_path / "m", with_metadata(packed(model), told()))


def test_threads_must_be_some(tmp_path, whole):
    (tmp_path / "m").write_bytes(whole)
    assert load(tmp_path / "m", threads=2).threads == 2
    with pytest.raises(EdgeError, match="`threads` must be an integer >= 1"):
        load(tmp_path / "m", threads=0)


def test_without_litert_an_error_says_what_to_install(tmp_path, whole, monkeypatch):
    (tmp_path / "m").write_bytes(whole)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(EdgeError, match="Run: pip install ai-edge-litert"):
        load(tmp_path / "m")


# --- what it says of itself -------------------------------------------------------------------------------------------


def test_a_model_explains_itself(make):
    model = make(about=told(gap=2))
    assert repr(model) == (
        "goog/1 (fused, float32): 6 rows of Close, Volume, Day give the next 4, after a gap of 2, of Close, Volume in "
        "dollars. Reset the state before every window."
    )
    assert (model.lookback, model.horizon, model.unit, model.streaming) == (L, H, "dollars", False)
    assert (model.targets, model.columns) == (("Close", "Volume"), ("Close", "Volume", "Day"))
    assert model.about["versions"] == {"keras-forecast": "0.1.0"}


def test_a_forecast_is_an_array(make):
    forecast = make().predict(rows())
    np.testing.assert_array_equal(np.asarray(forecast), forecast.values)
    assert np.asarray(forecast, np.float32).dtype == np.float32
    assert forecast.values.dtype == np.float64
    twin = np.array(forecast)
    twin[:] = 0
    assert forecast.values.all()


@pytest.mark.parametrize(("core", "quantize"), [("dense", "float32"), ("streaming", "float32"), ("lstm", "int8")])
def test_a_benchmark_says_how_long_of_how_many_and_where(make, monkeypatch, core, quantize):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    kind = recurrent(core) if core != "dense" else told(layout="unrolled")
    model = make(core, kind | {"quantize": quantize, "io": quantize}, quantize)
    found = edge.bench(model, number=20)
    assert 0 < found["p50"] <= found["p95"] <= found["p99"]
    assert found["mean"] > 0
    assert (found["runs"], found["threads"]) == (20, 1)
    assert (found["machine"], found["layout"], found["quantize"]) == ("x86_64", kind["layout"], quantize)
    assert ("NEON on Arm" in found.get("note", "")) == (quantize == "int8")
    assert model.push(small()[0]).flags == ("warming up: 1 of 6 rows, so the naive forecast stands in",)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert "note" not in edge.bench(model, seconds=0)


def test_a_benchmark_gives_all_inputs(make):
    assert edge.bench(make("all inputs", told(["known", "past", "static"])), seconds=0.01)["runs"] >= 1


# --- at a prompt ------------------------------------------------------------------------------------------------------


def csv_of(raw, header="Close,Volume,Day"):
    return (
        "\n".join([header, *(",".join("" if np.isnan(one) else repr(float(one)) for one in row) for row in raw)]) + "\n"
    )


@pytest.fixture
def folder(tmp_path, cores):
    """A folder as an export leaves it on a device."""
    folder = tmp_path / "device"
    folder.mkdir()
    shutil.copy(edge.__file__, folder / "run.py")
    (folder / "model.tflite").write_bytes(with_metadata(cores("dense"), told()))
    return folder


@pytest.fixture
def prompt(folder, monkeypatch, capsys):
    """Returns a function that runs the command line in this process: exit code, standard output, standard error."""

    def run(*arguments, rows=None):
        monkeypatch.setattr("sys.stdin", io.StringIO(rows))
        code = edge.main(["--model", str(folder / "model.tflite"), *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def on_device(folder, *arguments, rows=None, program=("run.py",)):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-I", *program, *arguments],
        cwd=folder, env=environment, input=rows, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_the_file_alone_forecasts_without_tensorflow_and_without_us(folder):
    (folder / "rows.csv").write_text(csv_of(rows()))
    run = on_device(folder, "rows.csv", "--json")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    np.testing.assert_array_equal(said["values"], load(folder / "model.tflite").predict(rows()).values)
    assert (said["targets"], said["unit"], said["name"]) == (["Close", "Volume"], "dollars", "goog/1")
    assert (said["fallback"], said["flags"]) == (False, [])
    watch = "import atexit, runpy, sys; atexit.register(lambda: print('LOADED', *sys.modules)); sys.argv[:1] = []; "
    run = on_device(
        folder, "run.py", "rows.csv", program=["-c", watch + "runpy.run_path('run.py', run_name='__main__')"]
    )
    loaded = {name.partition(".")[0] for name in run.stdout.rpartition("LOADED")[2].split()}
    assert "ai_edge_litert" in loaded
    assert not loaded & {"tensorflow", "keras", "forecast", "pipelines", "pandas"}


def test_it_imports_only_numpy_and_litert_and_what_python_has():
    tree = ast.parse(Path(edge.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not any(node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) == {"numpy", "ai_edge_litert"}


def test_rows_from_standard_input_become_a_table(folder):
    run = on_device(folder, rows=csv_of(gaps(rows(), (2, 0))))
    assert run.returncode == 0, run.stderr
    head, *lines = run.stdout.splitlines()
    assert head.split("  ")[-2:] == ["Close (dollars)", "Volume (dollars)"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    expected = load(folder / "model.tflite").predict(gaps(rows(), (2, 0))).values
    np.testing.assert_allclose([[float(one) for one in line.split()[1:]] for line in lines], expected, rtol=1e-6)
    assert len({len(line) for line in (head, *lines)}) == 1
    assert run.stderr.splitlines()[-1] == "1 missed sample was filled with the last known values"


def test_intervals_have_columns_beside_the_forecasts_and_names_in_json(prompt, folder, cores):
    (folder / "model.tflite").write_bytes(with_metadata(cores("dense"), unsure()))
    forecast = load(folder / "model.tflite").predict(rows())
    code, out, _ = prompt(rows=csv_of(rows()))
    head, *lines = out.splitlines()
    ends = ["lo 80", "hi 80", "lo 97.5", "hi 97.5"]
    wanted = [
        "step",
        "Close (dollars)",
        "Volume (dollars)",
        *(f"{name} {end}" for name in ("Close", "Volume") for end in ends),
    ]
    assert (code, re.split(r"  +", head.strip())) == (0, wanted)
    columns = [forecast.values, *(np.stack(list(forecast.intervals.values()), 1)[:, :, k] for k in range(K))]
    shown = [[float(cell) for cell in line.split()[1:]] for line in lines]
    np.testing.assert_allclose(shown, np.concatenate(columns, axis=1), rtol=1e-6)
    said = json.loads(prompt("--json", rows=csv_of(rows()))[1])
    assert {name: said[name] for name in forecast.intervals} == {n: e.tolist() for n, e in forecast.intervals.items()}
    said = json.loads(prompt("--json", rows=csv_of(rows(3)))[1])
    assert (said["fallback"], said["y_pred_lo_80"]) == (True, None)


def test_a_stream_is_answered_line_by_line(folder):
    command = [sys.executable, "-I", "run.py", "--stream", "--json"]
    model = load(folder / "model.tflite")
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        stop = threading.Timer(30, run.kill)  # instead of waiting for ever for a line that is not there
        stop.start()
        header, *lines = csv_of(rows(L + 2)).splitlines(keepends=True)
        run.stdin.write(header)
        for n, (line, row) in enumerate(zip(lines, rows(L + 2), strict=True), 1):
            run.stdin.write(line)
            run.stdin.flush()
            said = json.loads(run.stdout.readline())  # before the next line is written
            expected = model.push(row)
            assert (said["row"], said["fallback"], tuple(said["flags"])) == (n, expected.fallback, expected.flags)
            np.testing.assert_array_equal(said["values"], expected.values)
        run.stdin.close()
        assert run.wait(timeout=60) == 0
        stop.cancel()


def test_a_stream_may_begin_with_rows_that_hold_nothing(prompt):
    code, out, err = prompt("--stream", rows=csv_of(gaps(rows(3), (0, 0))))
    assert code == 65
    assert [line.split()[0] for line in out.splitlines()] == ["2", "3"]
    assert "row 1: A forecast needs a known value of Close, Volume" in err
    assert "row 3: warming up: 3 of 6 rows" in err


def test_columns_are_found_by_name_and_others_left_alone(prompt):
    raw = rows()
    plain = prompt(rows=csv_of(raw))
    mixed = np.column_stack([raw[:, 2], np.zeros(L), raw[:, 1], raw[:, 0]])
    assert prompt("-", rows=csv_of(mixed, " Day ,Weather,Volume,Close")) == plain
    text = csv_of(mixed, "Day,Weather,Volume,Close").replace(",0.0,", ",sunny,")
    assert prompt("-", rows=text.replace("\n", "\r\n\r\n")) == plain
    assert plain[0] == 0


def test_a_file_of_a_spreadsheet_may_begin_with_a_mark(prompt, tmp_path):
    (tmp_path / "rows.csv").write_text(csv_of(rows()), encoding="utf-8-sig")
    assert prompt(tmp_path / "rows.csv") == prompt(rows=csv_of(rows()))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            csv_of(rows()[:, :2], "Close,Day"),
            "Rows must be CSV with a header and 3 columns. Received: Close, Day; not Volume. Give these:\n"
            "  Close: Measured: Close.\n  Volume: Measured: Volume.\n  Day: The day of the week, Monday is 0.",
        ),
        ("", "Received: nothing; not Close, Volume, Day"),
        ("Close,Volume,Day\n1,2,3\n4,x,6\n", "Received in line 3: could not convert string to float: 'x'"),
        ("Close,Volume,Day\n1,2,3\n4,5\n", "Received in line 3: 2 cells below a header of 3"),
        ("Close,Volume,Day\n", "A forecast needs a known value"),
        ("Close,Volume,Day\n" + "9" * 200_000, "Received in line 2: field larger than field limit"),
    ],
    ids=["column", "empty", "word", "short line", "no rows", "long field"],
)
def test_bad_rows_end_with_code_65_and_a_sentence(prompt, text, says):
    code, out, err = prompt(rows=text)
    assert (code, out) == (65, "")
    assert says in err


def test_rows_that_are_no_text_end_with_code_65(prompt, tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"Close,Volume,Day\n\xff\xfe,1,2\n")
    code, _, err = prompt(tmp_path / "rows.csv")
    assert code == 65
    assert "Rows must be CSV of numbers" in err


def test_a_bad_file_or_argument_ends_with_code_78_and_no_traceback(folder, prompt, tmp_path):
    assert prompt("--model", tmp_path / "none.tflite", rows="")[0] == 78
    assert prompt(tmp_path / "none.csv")[0] == 78
    assert prompt("--threads", "0", rows="")[0] == 78
    assert prompt("--static", "1,2", rows=csv_of(rows()))[0] == 78
    shutil.copy(folder / "model.tflite", folder / "other.tflite")
    run = on_device(folder, rows=csv_of(rows()))
    assert run.returncode == 78
    assert "One .tflite file must lie in" in run.stderr
    assert "Received: 2. Name it with --model." in run.stderr
    assert "Traceback" not in run.stderr
    run = on_device(folder, "--model", "run.py", rows=csv_of(rows()))
    assert (run.returncode, run.stdout) == (78, "")
    assert "Traceback" not in run.stderr


def test_what_is_known_ahead_and_what_never_changes_come_from_arguments(folder, prompt, cores, tmp_path):
    data = with_metadata(cores("all inputs"), told(["known", "past", "static"]))
    (folder / "model.tflite").write_bytes(data)
    known = np.arange(L + H) % 7
    (tmp_path / "known.csv").write_text("ds,Day\n" + "".join(f"x,{day}\n" for day in known))
    arguments = ["--known", tmp_path / "known.csv", "--static", "3,-1.5", "--json"]
    code, out, _ = prompt(*arguments, rows=csv_of(rows()))
    assert code == 0
    expected = load(folder / "model.tflite").predict(rows(), known, [3, -1.5]).values
    np.testing.assert_array_equal(json.loads(out)["values"], expected)
    assert prompt("--known", tmp_path / "known.csv", "--static", "3,x", rows=csv_of(rows()))[0] == 65
    code, _, err = prompt("--static", "3,-1.5", rows=csv_of(rows()))
    assert code == 78
    assert "`known` must be given" in err
    (tmp_path / "known.csv").write_text("ds\n1\n")
    code, _, err = prompt(*arguments, rows=csv_of(rows()))
    assert code == 65
    assert "Day: The day of the week, Monday is 0." in err
    assert prompt(*arguments, "--stream", rows=csv_of(rows()))[0] == 78
    code, _, err = prompt("--static", "3,-1.5", "--stream", rows=csv_of(rows()))
    assert (code, err.count("`known` must be given")) == (78, 1)


def test_quantiles_have_a_column_each(folder, prompt, cores):
    (folder / "model.tflite").write_bytes(with_metadata(cores("quantiles"), told(quantiles=[0.1, 0.5, 0.9])))
    code, out, _ = prompt(rows=csv_of(rows()))
    assert code == 0
    head, *lines = out.splitlines()
    assert [one.strip() for one in head.split("  ") if one][1:4] == [f"Close {q} (dollars)" for q in (0.1, 0.5, 0.9)]
    values = load(folder / "model.tflite").predict(rows()).values
    np.testing.assert_allclose([float(one) for one in lines[2].split()[1:]], values[2].ravel(), rtol=1e-6)


def test_a_plain_model_takes_all_columns_in_their_order(folder, prompt, cores):
    (folder / "model.tflite").write_bytes(with_metadata(cores("plain"), told() | PLAIN | {"horizon": 1}))
    code, out, _ = prompt("--json", rows=csv_of(rows(), "a,b,c"))
    assert code == 0
    np.testing.assert_array_equal(json.loads(out)["values"], load(folder / "model.tflite").predict(rows()).values)
    code, out, _ = prompt("--json", rows=csv_of(rows()[1:], "a,b,c"))
    assert (code, json.loads(out)["values"], json.loads(out)["fallback"]) == (0, None, True)
    assert prompt(rows=csv_of(rows()[:, :2], "a,b"))[0] == 65
    assert prompt(rows=csv_of(rows(), "a,b,c"))[1].split()[:3] == ["step", "output", "1"]


def test_a_model_describes_itself_at_the_prompt(prompt, folder):
    code, out, err = prompt("--describe")
    assert (code, err) == (0, "")
    assert out.startswith(repr(load(folder / "model.tflite")))
    assert "One row every 60 seconds" in out
    assert "  Day (known): The day of the week, Monday is 0." in out
    assert load(folder / "model.tflite").about["digest"] in out
    assert json.loads(prompt("--describe", "--json")[1]) == load(folder / "model.tflite").about


def test_a_benchmark_is_printed(prompt, monkeypatch):
    monkeypatch.setattr(edge, "bench", lambda model: {"p50": 12.34, "runs": 3, "layout": model.about["layout"]})
    assert prompt("--bench") == (0, "p50        12.3\nruns       3\nlayout     fused\n", "")
    assert json.loads(prompt("--bench", "--json")[1]) == {"p50": 12.3, "runs": 3, "layout": "fused"}


def test_a_reader_that_goes_away_is_no_error(folder):
    with subprocess.Popen(
        [sys.executable, "-I", "run.py", "--stream"],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        run.stdout.close()
        run.stdin.write(csv_of(rows()))
        run.stdin.close()
        assert "Traceback" not in run.stderr.read()
        assert run.wait(timeout=60) == 0


# --- scalings of several series -------------------------------------------------------------------------------------


@pytest.mark.parametrize("series", [{"a": 3}, ["a"], "abc", {"a": {"factor": [None]}}, {"a": {}}])
def test_scalings_of_series_that_are_none_are_refused(series):
    about = {"series": None, "scaling": {"series": series}}
    with pytest.raises(ValueError, match="scalings of its series"):
        edge._of_series(about, "a")
