"""Which networks become files, that the files stay true to Keras on two runtimes, and what is refused, in which words.

    models of the project          F inputs x H steps x data, int8 and float32; a new one is tested by being there
    networks of the user's own     layers that the project does not know, and the layout that they get
    what cannot be exported        is named, with the way out
    files that are not true        never leave the house
    options                        quantisations, layouts, who scales, streams, several series

An error is RMSE over the deviation of Keras's own answers; of a forecaster, over that of the moves that it forecasts.
"""

import functools
import json
import textwrap
import warnings

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import forecast
from forecast import edge
from forecast._keras import load_keras
from forecast.export import _child, converter, flatbuffer, runtimes, tflite, to_tflite
from forecast.export.candidates import Candidate, candidates, why_not
from forecast.export.trace import Core, Input
from forecast.models import registry
from forecast.models._shell import input_names
from pipelines.errors import ConfigError, DataError, ExportError, UnknownName
from pipelines.windows import gather

keras = load_keras()
layers = keras.layers

L, F, H = 12, 3, 4  # of small networks: lookback, inputs, outputs
RUNTIMES = [runtimes.LiteRT, *([runtimes.Micro] if runtimes.micro_installed() else [])]


@pytest.fixture
def converter_here(monkeypatch):
    """Does the converter's work in this process: it saves the seconds that TensorFlow takes to start in another."""

    def convert_here(jobs, folder):
        (folder / "jobs.json").write_text(json.dumps(jobs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _child.main(str(folder / "jobs.json"))
        return ""

    monkeypatch.setattr(converter, "_run_child", convert_here)


def error(y, y_keras, about=0.0):
    return float(np.sqrt(np.mean((y - y_keras) ** 2)) / (y_keras - about).std())


# --- every model of the project ---------------------------------------------------------------------------------------


def noisy_sine(features, rows=600):
    """Hourly rows of sines of a day and longer, around 100."""
    random, t = np.random.default_rng(0), np.arange(rows)
    waves = {
        f"c{i}": 100 + 10 * np.sin(2 * np.pi * t / (24 + 7 * i) + i) + random.normal(size=rows) for i in range(features)
    }
    return pd.DataFrame(waves, index=pd.date_range("2024-01-01", periods=rows, freq="h"))


@functools.cache
def trained(name, features, horizon, lookback, folder=None):
    more = {}
    if folder is None:
        frame = noisy_sine(features)
    else:  # the last half year of a motorway's traffic; with weather and the time of day where there are more inputs
        frame = pd.read_csv(folder / "sensor/traffic_volume.csv.gz", index_col="date_time", parse_dates=True)
        frame = frame[["traffic_volume", "temp", "clouds_all"] if features > 1 else ["traffic_volume"]].iloc[-4000:]
        more = {"features": ["time_of_day"]} if features > 1 else {}
    target, *past = frame.columns
    # Fused LSTMs have states of 16 bits inside; those of other cells have 8, and want signals that fill them.
    fused = name in ("lstm", "stacked_lstm", "bidirectional_lstm", "conv1d_lstm")
    more["normalize"] = "last" if fused else "mean_std"
    model = forecast.Forecaster(
        name, target=target, past=past, lookback=lookback, horizon=horizon, training={"epochs": 2}, **more
    )
    model.fit(frame, quiet=True)
    assert len(model.pipeline_.inputs_) == features
    return model


def of_device(model, path, number=0, **loading):
    """Returns forecasts of a file at the last cutoffs of the test part, those of Keras, and the last known values."""
    tested = model.backtest(part="test", cutoffs=25)
    mine = tested.index.series == number
    index, raw = tested.index[mine], model.pipeline_.raw(model.panel_)
    device = edge.load(path, **loading)
    if "known" in input_names(model.network_):
        answers = list(map(device.predict, index.past(raw), index.both(raw[:, -len(model.pipeline_.known_) :])))
    else:
        answers = [device.predict(window) for window in index.past(raw)]
    assert not any(answer.fallback for answer in answers)
    return np.stack([a.values for a in answers]), tested.y_pred[tested.model][mine], tested.last[mine][:, None]


def stays_true(name, features, horizon, lookback, quantize, tmp_path, folder=None):
    model = trained(name, features, horizon, lookback, folder)
    report = model.export(tmp_path / "model.tflite", quantize, quiet=True)
    mine = [one for one in report.compared if one.file.endswith(quantize)]
    assert {one.runtime for one in mine} == {runtime.name for runtime in RUNTIMES}
    for one in mine:
        assert one.core_error <= (0.1 if quantize == "int8" else 1e-3)
        assert one.degradation <= (0.02 if quantize == "int8" else 1e-3)
    assert error(*of_device(model, report.path)) < (0.1 if quantize == "int8" else 1e-3)
    return report


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["int8", "float32"])
@pytest.mark.parametrize("horizon", [1, 12])
@pytest.mark.parametrize("features", [1, 5])
@pytest.mark.parametrize("name", registry.names())
def test_every_model_becomes_a_file_that_stays_true_on_a_noisy_sine(name, features, horizon, quantize, tmp_path):
    stays_true(name, features, horizon, 48, quantize, tmp_path)


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.parametrize("quantize", ["int8", "float32"])
@pytest.mark.parametrize("horizon", [1, 12])
@pytest.mark.parametrize("features", [1, 5])
@pytest.mark.parametrize("name", registry.names())
def test_every_model_becomes_a_file_that_stays_true_on_traffic(
    name, features, horizon, quantize, tmp_path, shared_data
):
    stays_true(name, features, horizon, 48, quantize, tmp_path, shared_data)


@pytest.mark.parametrize(("name", "features", "horizon"), [("bidirectional_lstm", 5, 1), ("conv1d_lstm", 1, 12)])
def test_a_model_with_its_own_options_becomes_a_small_file_that_stays_true(
    name, features, horizon, converter_here, tmp_path
):
    report = stays_true(name, features, horizon, 24, "int8", tmp_path)
    weights = sum(weight.size for weight in trained(name, features, horizon, 24).network_.get_weights())
    assert report.report["cost"]["bytes"] < weights + 8192  # a byte a weight, and the rest


@pytest.mark.parametrize("name", ["lstm", "gru"])  # the file scales, and the host does
def test_quantiles_and_bounds_are_the_same_on_a_device(name, converter_here, tmp_path):
    rows = noisy_sine(1).sub(105).clip(lower=0)  # half of it lies on the bound
    model = forecast.Forecaster(
        {"name": name, "units": 8},
        lookback=12,
        horizon=3,
        quantiles=[0.1, 0.9],
        bounds=[0, 9],
        training={"epochs": 6, "learning_rate": 0.01},
    ).fit(rows.clip(upper=9), quiet=True)
    report = model.export(tmp_path / "device", quiet=True)
    device = edge.load(report.path / "model.tflite" if report.path.is_dir() else report.path)
    tested = model.backtest(part="test", cutoffs=25)
    windows = tested.index.past(model.pipeline_.raw(model.panel_))
    answers = [device.predict(window) for window in windows]
    values = np.stack([answer.values for answer in answers])  # (N, H, K, Q)
    keras = np.stack([tested.quantiles[q] for q in (0.1, 0.5, 0.9)], axis=-1)
    assert error(values, keras) < 0.1
    assert (np.diff(values, axis=-1) >= -1e-6).all()
    ends = np.stack([end for answer in answers for end in answer.intervals.values()])
    assert ends.shape[1:] == (3, 1)
    for array in (values, ends):
        assert array.min() == 0
        assert array.max() <= 9
    header = (tmp_path / "device/metadata.h").read_text(encoding="utf-8")
    assert "kQuantiles = 3;" in header
    assert "kBounded = true;" in header


# --- networks of the user's own ---------------------------------------------------------------------------------------


class MinimalGatedUnit(keras.layers.Layer):
    """Zhou et al. (2016), https://arxiv.org/abs/1603.09420: one gate, which forgets what it lets in."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.state_size = self.output_size = units

    def build(self, shape):
        units = self.state_size
        self.kernel = self.add_weight(shape=(shape[-1], 2 * units), name="kernel")
        self.recurrent = [self.add_weight(shape=(units, units), name=f"recurrent_{n}") for n in range(2)]
        self.bias = self.add_weight(shape=(2 * units,), name="bias")

    def call(self, x, states, training=False):
        (h,) = states
        gate, new = keras.ops.split(keras.ops.matmul(x, self.kernel) + self.bias, 2, axis=-1)  # (B, U) each
        gate = keras.ops.sigmoid(gate + keras.ops.matmul(h, self.recurrent[0]))
        new = keras.ops.tanh(new + keras.ops.matmul(gate * h, self.recurrent[1]))
        h = (1 - gate) * h + gate * new
        return h, [h]


class JoiningCell(MinimalGatedUnit):
    """The same, but for input and state that are joined before one product."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1] + self.state_size, self.state_size), name="kernel")

    def call(self, x, states, training=False):
        h = keras.ops.tanh(keras.ops.matmul(keras.ops.concatenate([x, states[0]], axis=-1), self.kernel))
        return h, [h]


def past():
    return keras.Input((L, F), name="past")


def sequential(*inside):
    return keras.Sequential([past(), *inside, layers.Dense(H)])


def two_branches():
    x = past()
    return keras.Model(x, layers.Dense(H)(layers.Concatenate()([layers.LSTM(8)(x), layers.LSTM(6)(x)])))


def both_ways():
    return sequential(layers.Bidirectional(layers.LSTM(8)), layers.Dense(8, "relu"))


def both_ways_in_sequence():
    return sequential(layers.Bidirectional(layers.LSTM(6, return_sequences=True)), layers.LSTM(6))


def nested():
    encoder, x = keras.Sequential([past(), layers.LSTM(8, return_sequences=True), layers.LSTM(6)]), past()
    return keras.Model(x, layers.Dense(H)(encoder(x)))


def stacked():
    return sequential(layers.LSTM(8, return_sequences=True), layers.LayerNormalization(), layers.LSTM(6))


def dropped_out():
    return sequential(layers.LSTM(8, dropout=0.2, recurrent_dropout=0.1), layers.Dropout(0.1))


def backwards():
    return sequential(layers.LSTM(8, go_backwards=True, use_bias=False))


def lstm():
    return sequential(layers.LSTM(8))


def gru():
    return sequential(layers.GRU(8))


def a_state_for_an_answer():
    return keras.Sequential([past(), layers.GRU(H)])


def simple_rnn():
    return sequential(layers.SimpleRNN(8))


def several_cells():
    return sequential(layers.RNN([layers.LSTMCell(6), layers.GRUCell(5)]))


def own_cell():
    return sequential(layers.RNN(MinimalGatedUnit(8)))


def cell_that_joins():
    return sequential(layers.RNN(JoiningCell(8)))


def residual():
    x = past()
    low = layers.GRU(6, return_sequences=True)(x)
    high = layers.GRU(6, return_sequences=True)(low)
    return keras.Model(x, layers.Dense(H)(layers.GRU(6)(layers.LayerNormalization()(layers.Add()([low, high])))))


def convolved_gru():
    return sequential(layers.Conv1D(8, 3, padding="causal", activation="relu"), layers.MaxPooling1D(4), layers.GRU(6))


def attention():
    x = past()
    h = layers.LSTM(8, return_sequences=True)(x)  # (N, L, 8)
    weights = layers.Softmax(axis=1)(layers.Dense(1)(h))  # (N, L, 1)
    return keras.Model(x, layers.Dense(H)(layers.Flatten()(layers.Dot(axes=1)([weights, h]))))


def repeated():
    x = past()
    h = layers.LSTM(8, return_sequences=True)(layers.RepeatVector(H)(layers.LSTM(6)(x)))
    return keras.Model(x, layers.Flatten()(layers.Dense(1)(h)))


def past_and_known():
    known, x = keras.Input((L + H, 2), name="known"), past()
    y = layers.Dense(H)(layers.Concatenate()([layers.LSTM(8)(x), layers.LSTM(6)(known)]))
    return keras.Model({"past": x, "known": known}, y)


def dense():
    return sequential(layers.Flatten(), layers.Dense(16, "relu"))


def dense_of_past_and_known():
    known, x = keras.Input((L + H, 2), name="known"), past()
    y = layers.Dense(H)(layers.Concatenate()([layers.Flatten()(x), layers.Flatten()(known)]))
    return keras.Model({"past": x, "known": known}, y)


def windows(model, n=150, seed=0):
    """Returns windows of sines in noise for each input of a model."""
    random, t = np.random.default_rng(seed), np.arange(n + L + H)
    rows = np.sin(t[:, None] / 5 + np.arange(F)) + 0.3 * random.normal(size=(len(t), F))
    made = {"past": gather(rows, np.arange(n), L), "known": gather(rows[:, :2], np.arange(n), L + H)}
    made = {one.name: made[one.name].astype(np.float32) for one in model.inputs}
    return made if len(made) > 1 else made["past"]


def by_name(x):
    return x if isinstance(x, dict) else {"past": x}


def network(build):
    keras.utils.set_random_seed(1)
    return build()


@pytest.mark.parametrize(
    ("build", "layout"),
    [
        (two_branches, "fused"),
        (both_ways, "fused"),
        pytest.param(both_ways_in_sequence, "fused", marks=pytest.mark.slow),
        pytest.param(nested, "fused", marks=pytest.mark.slow),
        pytest.param(stacked, "fused", marks=pytest.mark.slow),
        (dropped_out, "fused"),
        pytest.param(backwards, "fused", marks=pytest.mark.slow),
        (attention, "fused"),
        (past_and_known, "fused"),
        (gru, "step"),
        (a_state_for_an_answer, "step"),
        pytest.param(simple_rnn, "step", marks=pytest.mark.slow),
        pytest.param(several_cells, "step", marks=pytest.mark.slow),
        (own_cell, "step"),
        pytest.param(residual, "step", marks=pytest.mark.slow),
        (convolved_gru, "unrolled"),
        pytest.param(cell_that_joins, "unrolled", marks=pytest.mark.slow),
        (dense, "unrolled"),
        (dense_of_past_and_known, "unrolled"),
    ],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_a_network_of_the_users_own_becomes_a_file_that_stays_true(build, layout, converter_here, tmp_path):
    model = network(build)
    report = to_tflite(model, tmp_path / "own.tflite", windows(model))
    assert report.report["file"]["layout"] == layout
    assert report.report["file"]["quantize"] == "int8"
    data, unseen = report.path.read_bytes(), windows(model, 40, seed=9)
    y_keras = np.asarray(model(unseen, training=False))
    for runtime in RUNTIMES:
        runner = runtimes.CoreRunner(runtime(data), data, "step" if layout == "step" else "window")
        assert error(runner.answers(by_name(unseen)).reshape(y_keras.shape), y_keras) < 0.1
    device = edge.load(report.path)
    rows = {name: x[0] for name, x in by_name(unseen).items()}
    by_device = device.predict(rows.pop("past"), **rows)
    assert not by_device.fallback
    np.testing.assert_allclose(by_device.values[:, 0], y_keras[0], atol=0.2 * y_keras.std())


def test_a_network_with_an_operator_that_micro_controllers_lack_becomes_a_file_that_says_so(converter_here, tmp_path):
    model = network(repeated)
    report = to_tflite(model, tmp_path / "own.tflite", windows(model))
    assert {one.runtime for one in report.compared} == {"LiteRT"}
    if runtimes.micro_installed():
        told = [row["result"] for row in report.report["tried"] if "TFLite Micro" in row["result"]]
        assert len(told) == 1
        assert "TILE" in told[0]


# --- what cannot be exported ------------------------------------------------------------------------------------------


def two_outputs():
    x = past()
    return keras.Model(x, [layers.Dense(1)(layers.LSTM(4)(x)), layers.Dense(2)(layers.LSTM(4)(x))])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = layers.LSTM(4), layers.Dense(H)

    def call(self, x):
        return self.head(self.lstm(x))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: keras.Sequential([keras.Input((5, L, F)), layers.TimeDistributed(layers.LSTM(4, name="inner"))]),
            r"one sequence\. Received: layer 'inner' \(LSTM\) inside TimeDistributed '.*'\. Apply it to",
        ),
        (
            lambda: sequential(layers.Masking(name="gaps"), layers.LSTM(4)),
            r"no masks\. Received: layer 'gaps' \(Masking\)\. Leave it out, and fill missing values",
        ),
        (
            lambda: keras.Sequential([keras.Input((L,)), layers.Embedding(9, 4, mask_zero=True, name="words")]),
            r"no masks\. Received: layer 'words' \(Embedding\)\. Leave it out",
        ),
        (
            lambda: keras.Sequential([keras.Input((L, F), batch_size=1), layers.LSTM(4, stateful=True, name="keeps")]),
            r"Received: layer 'keeps' \(LSTM\) with stateful=True\. .*state=\"streaming\"",
        ),
        (
            lambda: keras.Sequential([keras.Input((None, F), name="rows"), layers.LSTM(4)]),
            r"a known length\. Received: 'rows' of shape \(None, None, 3\)\. Build the model again",
        ),
        (two_outputs, r"one output\. Received: 2\. Export each by itself: keras\.Model\("),
        (Subclassed, r"Sequential or functional keras\.Model can be exported\. Received: Subclassed\. Write it with"),
        (
            lambda: keras.Sequential([layers.LSTM(4)], name="empty"),
            r"must be built\. Received: 'empty' without an input shape\. Begin it with keras\.Input",
        ),
    ],
    ids=["time_distributed", "masking", "mask_zero", "stateful", "length", "outputs", "subclassed", "not_built"],
)
def test_a_model_that_no_layout_can_take_is_refused_by_the_name_of_its_layer(build, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        to_tflite(build(), tmp_path / "own.tflite", np.zeros((50, L, F)))
    assert not list(tmp_path.iterdir())


def test_a_layout_that_a_layer_cannot_have_is_refused_with_those_that_it_can(tmp_path):
    model = sequential(layers.GRU(4, name="memory"))
    with pytest.raises(ExportError, match=r"layer 'memory' is a GRU.*Choose layout=\"unrolled\" or \"step\""):
        to_tflite(model, tmp_path / "own.tflite", windows(model), layout="fused")


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (lambda x: x[:36], r"at least 31 windows besides those.*Received: 29\. .*quantize=\"float32\""),
        (
            lambda x: np.where(np.arange(len(x))[:, None, None] == 50, np.nan, x),
            r"Received: 1 of 120 windows of 'past'",
        ),
        (lambda x: x[..., :2], r"windows \(N, 12, 3\) for input 'past'\. Received: \(150, 12, 2\)"),
        (lambda x: {"other": x}, r"for input 'past'\. Received: nothing"),
    ],
    ids=["few", "nan", "shape", "name"],
)
def test_calibration_takes_enough_windows_of_numbers(calibration, message, tmp_path):
    model = network(gru)
    with pytest.raises(DataError, match=message):
        to_tflite(model, tmp_path / "own.tflite", calibration(windows(model)))


def test_windows_of_several_inputs_are_as_many_of_each(tmp_path):
    model = network(past_and_known)
    x = windows(model)
    with pytest.raises(DataError, match=r"Received: (150|100)\b.*\b(100|150)\b"):
        to_tflite(model, tmp_path / "own.tflite", x | {"known": x["known"][:100]})


@pytest.mark.parametrize(
    "y_true",
    [lambda y: y[:70], lambda y: y[:, :1], lambda y: y[:, 0], lambda y: y[..., None].repeat(2, -1)],
    ids=["windows", "steps", "one_step", "targets"],
)
def test_what_happened_has_the_shape_of_the_answers(y_true, tmp_path):
    model = network(gru)
    x = windows(model)
    with pytest.raises(DataError, match=r"`y_true`.*Received: \("):
        to_tflite(model, tmp_path / "own.tflite", x, y_true=y_true(np.asarray(model(x, training=False))))


def untrained(monkeypatch, frame, **settings):
    """A forecaster that has seen its data, with random weights."""
    monkeypatch.setattr("forecast.training.fit.fit", lambda *args, **kwargs: None)
    model = forecast.Forecaster(model={"name": "lstm", "units": 4}, lookback=L, horizon=2, **settings)
    return model.fit(frame, quiet=True)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"state": "streaming"},
            ExportError,
            r"normalize=\"none\"\. Received: normalize=\"last\"\. .*state=\"windowed\"",
        ),
        (
            {"io": "int8", "quantize": "float32"},
            ConfigError,
            r"`quantize` must be \"int8\" or \"int16\"\. Received: 'float",
        ),
        ({"layout": "fuse"}, ConfigError, r"`layout`.*Received: 'fuse'"),
    ],
    ids=["streaming", "io", "layout"],
)
def test_options_that_exclude_each_other_are_refused(monkeypatch, options, kind, message, tmp_path):
    model = untrained(monkeypatch, noisy_sine(1, 400))
    with pytest.raises(kind, match=message):
        model.export(tmp_path / "model.tflite", quiet=True, **options)


SERIES = ("big", "mid", "tiny")


def three_series(levels=(1000, 100, 1), rows=400):
    random, t = np.random.default_rng(0), np.arange(rows)
    frames = [
        pd.DataFrame(
            {
                "unique_id": name,
                "ds": pd.date_range("2024-01-01", periods=rows, freq="h"),
                "y": level * (1 + 0.1 * np.sin(2 * np.pi * t / 12 + phase) + 0.01 * random.normal(size=rows)),
            }
        )
        for phase, (name, level) in enumerate(zip(SERIES, levels, strict=True))
    ]
    return pd.concat(frames)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({}, ConfigError, r"Each of 3 series has a scaling.*Name the series \(--series big\).*shared=true.*--io int8"),
        ({"series": "huge"}, UnknownName, r"called 'huge'.*Choose from: big, mid, tiny"),
    ],
    ids=["none", "unknown"],
)
def test_a_file_holds_one_scaling_so_the_series_must_be_named(monkeypatch, options, kind, message, tmp_path):
    model = untrained(monkeypatch, three_series())
    with pytest.raises(kind, match=message):
        model.export(tmp_path / "model.tflite", quiet=True, **options)


def test_the_series_of_a_file_must_be_among_the_rows_that_it_is_calibrated_with(monkeypatch, tmp_path):
    frame = three_series()
    model = untrained(monkeypatch, frame)
    with pytest.raises((DataError, UnknownName), match="mid"):
        model.export(tmp_path / "model.tflite", series="mid", data=frame[frame["unique_id"] == "big"], quiet=True)


# --- the converter is another process ---------------------------------------------------------------------------------


def three_jobs():
    """Three graphs; the second is told by its quantisation."""
    function = tf.function(lambda x: {"y": x + 1.0}, input_signature=[tf.TensorSpec([1, 2], tf.float32, name="x")])
    samples = {"x": np.zeros((1, 1, 2), np.float32)}
    return {
        "first": converter.Graph("first", function, []),
        "second": converter.Graph("second int8", function, [], "int8", samples),
        "third": converter.Graph("third", function, []),
    }


@pytest.fixture
def converter_that(monkeypatch, tmp_path):
    """Puts a short program in the converter's place, which does something else at some jobs."""

    def put(does, when='job["quantize"] == "int8"'):
        program = f"""
            import json, os, pathlib, signal, sys, time
            for job in json.loads(pathlib.Path(sys.argv[1]).read_text()):
                if {when}:
                    {does}
                pathlib.Path(job["out"]).write_bytes(b"done")
        """
        (tmp_path / "program.py").write_text(textwrap.dedent(program))
        monkeypatch.setattr(converter, "CHILD", tmp_path / "program.py")

    return put


@pytest.mark.parametrize(
    ("does", "message"),
    [
        (
            "os.kill(os.getpid(), signal.SIGSEGV)",
            "take the second int8 network. Received: its process died of SIGSEGV.",
        ),
        ("sys.exit('no memory')", "Received: its process exited 1, after 'no memory'."),
        ("time.sleep(60)", "Received: its process was stopped after "),
    ],
    ids=["dies", "exits", "hangs"],
)
def test_a_converter_that_dies_is_a_sentence_and_other_graphs_are_converted(
    converter_that, monkeypatch, tmp_path, does, message
):
    converter_that(does)
    monkeypatch.setattr(converter, "TIMEOUT", 2)
    found = converter.convert(three_jobs(), tmp_path)
    assert (found["first"], found["third"]) == (b"done", b"done")
    assert isinstance(found["second"], ExportError)
    assert message in str(found["second"])


def test_an_export_whose_converter_dies_is_refused_and_this_process_lives(converter_that, tmp_path):
    converter_that("os.kill(os.getpid(), signal.SIGSEGV)", when="True")
    model = network(two_branches)
    with pytest.raises(ExportError, match=r"the fused (int8|float32) network\. Received: its process died of SIGSEGV"):
        to_tflite(model, tmp_path / "own.tflite", windows(model), layout="fused")
    assert not (tmp_path / "own.tflite").exists()


@pytest.mark.slow
def test_a_loop_that_reaches_the_integers_kills_tensorflows_converter_and_not_this_process(tmp_path):
    model = network(two_branches)
    core = Core(model, (Input("past", (L, F)),), {})
    function = tf.function(lambda x: {"y": core.call(x)}, input_signature=core.signature(1), autograph=False)
    samples = {"past": windows(model)[:, None]}
    found = converter.convert(
        {
            "loop": converter.Graph("loop int8", function, core.variables, "int8", samples),
            "float": converter.Graph("loop", function, core.variables),
        },
        tmp_path,
    )
    assert "its process died of SIGSEGV" in str(found["loop"])
    assert "WHILE" in flatbuffer.operators(flatbuffer.read(found["float"]))


# --- files that are not true ------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(monkeypatch, converter_here):
    """Turns the sign of all weights of some layouts, after they were converted."""
    convert = tflite.candidates

    def damage(*layouts):
        def candidates(*args, **options):
            made, ends = convert(*args, **options)
            for (layout, quantize), one in made.items():
                if layout in layouts and quantize == "int8" and isinstance(one, Candidate):
                    tensors = one.model.subgraphs[0].tensors
                    weights = {t.buffer for t in tensors if flatbuffer.dtype(t) == "int8"}
                    for buffer in (one.model.buffers[number] for number in weights):
                        if buffer.data is not None and len(buffer.data):
                            buffer.data = (-np.asarray(buffer.data, np.uint8).view(np.int8)).view(np.uint8)
            return made, ends

        monkeypatch.setattr(tflite, "candidates", candidates)

    return damage


def test_a_file_that_drifts_from_keras_is_not_written_and_the_error_says_what_to_try(damaged, tmp_path):
    damaged("fused")
    model = network(both_ways)
    with pytest.raises(ExportError, match=r"core's error .* \(at most 0\.1\)\. Try .*") as refused:
        to_tflite(model, tmp_path / "own.tflite", windows(model), layout="fused")
    assert refused.value.exit_code == 70
    for way_out in ('layout="unrolled"', 'quantize="dynamic"', "max_core_error"):
        assert way_out in str(refused.value).partition("Try ")[2]
    assert not list(tmp_path.iterdir())


def test_a_file_whose_forecasts_are_worse_is_not_written_however_its_core_does(damaged, tmp_path):
    damaged("fused")
    model = network(both_ways)
    x = windows(model)
    y_true = np.asarray(model(x, training=False)) + np.random.default_rng(0).normal(0, 0.05, (len(x), H))
    options = {"y_true": y_true, "layout": "fused", "max_core_error": 100.0}
    with pytest.raises(ExportError, match=r"its MAE on LiteRT is [\d.]+ against [\d.]+ of Keras, \+.*%"):
        to_tflite(model, tmp_path / "own.tflite", x, **options)
    assert not list(tmp_path.iterdir())
    to_tflite(model, tmp_path / "own.tflite", x, **options, max_degradation=1000.0)
    assert (tmp_path / "own.tflite").exists()


def test_where_the_smallest_layout_drifts_the_next_one_is_taken(damaged, tmp_path):
    damaged("fused")
    model = network(two_branches)
    report = to_tflite(model, tmp_path / "own.tflite", windows(model)).report
    rows = {row["layout"]: row for row in report["tried"]}
    assert report["file"]["layout"] == "step"
    assert rows["fused"]["bytes"] < rows["step"]["bytes"]
    assert rows["fused"]["core_error"] > 0.1 > rows["step"]["core_error"]
    assert rows["fused"]["result"] == "drifts from Keras"


def test_a_layout_that_a_runtime_refuses_leaves_those_that_it_takes(converter_here, tmp_path):
    # In windows of one row no state is ever other than zero, and LiteRT refuses a step with such a scale.
    model = keras.Sequential([keras.Input((1, F)), layers.LSTM(4), layers.Dense(H)])
    report = to_tflite(model, tmp_path / "own.tflite", windows(network(gru))[:, -1:]).report
    assert report["file"]["layout"] == "fused"
    assert {row["layout"] for row in report["tried"]} == {"fused", "step"}


# --- options ----------------------------------------------------------------------------------------------------------

WORST = {"float32": 1e-5, "float16": 2e-3, "int16": 0.02, "dynamic": 0.03, "int8": 0.1}


@pytest.mark.parametrize(
    ("build", "layout", "count"),
    [
        (lstm, "fused", 4),  # no int16
        (gru, "fused", 0),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(lstm, "step", 5), (lstm, "unrolled", 5)]),
        pytest.param(gru, "step", 5, marks=pytest.mark.slow),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(gru, "unrolled", 5), (nested, "unrolled", 5)]),
    ],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
def test_every_quantisation_of_a_layout_that_applies_runs_and_stays_true(
    build, layout, count, converter_here, tmp_path
):
    model = network(build)
    core, x = Core(model, (Input("past", (L, F)),), {}), windows(model)
    wanted = [(layout, quantize) for quantize in WORST if not why_not(layout, core, quantize, False)]
    assert len(wanted) == count
    made, _ = candidates(core, wanted, {"past": x[:100]}, tmp_path)
    y_keras = np.asarray(model(x[100:], training=False))
    errors = {}
    for key, one in made.items():
        assert isinstance(one, Candidate), one
        runner = runtimes.CoreRunner(runtimes.LiteRT(one.data()), one.data(), one.kind)
        errors[key] = error(runner.answers({"past": x[100:]}), y_keras)
    assert {key: found for key, found in errors.items() if not found < WORST[key[1]]} == {}


def small(frame, epochs=4, **settings):
    return forecast.Forecaster(
        model={"name": "lstm", "units": 8},
        lookback=L,
        horizon=2,
        training={"epochs": epochs, "learning_rate": 0.02},
        split={"calibration": 0},  # what intervals are learned from is of use to no test here
        **settings,
    ).fit(frame, quiet=True)


@pytest.fixture(scope="module")
def sine():
    return small(noisy_sine(1, 500), normalize="none")


def test_a_file_with_integer_ends_answers_like_one_that_scales_by_itself(sine, converter_here, tmp_path):
    paths = {
        io: sine.export(tmp_path / f"{io}.tflite", layout="fused", io=io, quiet=True).path for io in ("float32", "int8")
    }
    about = {io: edge.load(path).about for io, path in paths.items()}
    assert {io: (one["io"], one["scaling"]["where"]) for io, one in about.items()} == {
        "float32": ("float32", "file"),
        "int8": ("int8", "host"),
    }
    data = paths["int8"].read_bytes()
    one_step = runtimes.CoreRunner(runtimes.LiteRT(data), data).outputs[0].scale / about["int8"]["scaling"]["factor"][0]
    by_file, by_host = (of_device(sine, path)[0] for path in paths.values())
    np.testing.assert_allclose(by_host, by_file, atol=1.01 * one_step)


@pytest.mark.parametrize("quantize", ["float32", pytest.param("int8", marks=pytest.mark.slow)])
def test_a_stream_answers_like_a_window_once_it_has_seen_as_many_rows(sine, converter_here, tmp_path, quantize):
    streaming, windowed = (
        edge.load(sine.export(tmp_path / f"{state}.tflite", quantize, layout="fused", state=state, quiet=True).path)
        for state in ("streaming", "windowed")
    )
    assert streaming.about["inputs"] == [{"name": "past", "shape": [1, 1, 1]}]
    rows = sine.pipeline_.raw(sine.panel_)[-60:]
    spread = rows.std() * (1e-5 if quantize == "float32" else 0.05)
    for first in range(0, 40, 8):
        streaming.reset()
        for row in rows[first : first + L]:
            pushed = streaming.push(row)
        assert not pushed.fallback
        np.testing.assert_allclose(pushed.values, windowed.predict(rows[first : first + L]).values, atol=spread)
        goes_on = streaming.push(rows[first + L])
        np.testing.assert_array_equal(goes_on.values, streaming.predict(rows[first : first + L + 1]).values)


@pytest.mark.slow
@pytest.mark.parametrize("build", [gru, nested])
def test_a_stream_of_steps_answers_like_a_window(build, converter_here, tmp_path):
    model = network(build)
    report = to_tflite(model, tmp_path / "own.tflite", windows(model), layout="step", state="streaming")
    device, x = edge.load(report.path), windows(model, 10, seed=9)
    y_keras = np.asarray(model(x, training=False))
    y = np.stack([device.predict(window).values[:, 0] for window in x])
    assert error(y, y_keras) < 0.1


def test_a_file_for_one_series_holds_the_scaling_of_that_series(converter_here, tmp_path):
    model = small(three_series())
    path = model.export(tmp_path / "mid.tflite", layout="fused", series="mid", quiet=True).path
    about = edge.load(path).about
    assert about["series"] == "mid"
    factor, shift = model.pipeline_.scaler_.pair("mid")
    assert (about["scaling"]["factor"], about["scaling"]["shift"]) == (factor.tolist(), shift.tolist())
    assert error(*of_device(model, path, 1)) < 0.1
    host = model.export(tmp_path / "all.tflite", layout="fused", io="int8", quiet=True).path
    assert set(edge.load(host, series="mid").about["scaling"]["series"]) == set(SERIES)
    for number, name in enumerate(SERIES):
        assert error(*of_device(model, host, number, series=name)) < 0.1


def test_one_scaling_for_all_series_is_one_file_for_all(converter_here, tmp_path):
    model = small(three_series(levels=(110, 100, 90)), scaling={"method": "minmax", "shared": True})
    path = model.export(tmp_path / "all.tflite", layout="fused", quiet=True).path
    assert edge.load(path).about["series"] is None
    for number in range(3):
        assert error(*of_device(model, path, number)) < 0.1


CLIPPED = {"cleaning": {"outliers": "clip", "outlier_factor": 1.0}}


@pytest.mark.parametrize(
    "settings",
    [{"predict": "return"}, pytest.param(CLIPPED, marks=pytest.mark.slow)],
    ids=["return", "clip"],
)
def test_what_differs_between_series_is_the_hosts_though_their_scaling_is_one(converter_here, tmp_path, settings):
    frame = three_series(levels=(110, 100, 90))
    frame["y"] += np.where(frame["unique_id"] == "tiny", np.random.default_rng(0).normal(0, 10, len(frame)), 0)
    model = small(frame, scaling={"method": "minmax", "shared": True}, **settings)
    path = model.export(tmp_path / "all.tflite", layout="fused", io="int8", max_core_error=0.2, quiet=True).path
    for number, name in enumerate(SERIES):
        assert error(*of_device(model, path, number, series=name)) < 0.2
