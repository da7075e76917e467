"""What TensorFlow's converter gets wrong in silence, shown and put right; and the pieces of the exporter by themselves.

    A  a small cell state      two runtimes, two answers        E  the next window      begins where the last ended
    B  LSTMs joined            state on another scale           F  prices that rise     one scale for all that was
    C  a long memory           calibrated on one endless run    G  a peak in a window   range taken at the window's end
    D  a large cell state      clipped at 10                    H  joined, backwards    copied onto another scale

Each network has weights and windows that make the defect large, and the same file is run with and without the repair,
beside Keras. An error is RMSE over the deviation of Keras's own answers, so 1 is no better than a constant.
"""

import hashlib
import json
import types
import warnings
from dataclasses import dataclass, replace

import flatbuffers
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import forecast
from forecast import edge
from forecast._keras import load_keras
from forecast.export import _child, checks, converter, edges, flatbuffer, graft, repairs, runtimes
from forecast.export.candidates import candidates
from forecast.export.cost import cost
from forecast.export.layouts import fused, unrolled
from forecast.export.of_forecaster import of_forecaster
from forecast.export.options import ExportSpec
from forecast.export.trace import Core, Input, swapped
from forecast.models import Shapes
from forecast.models._shell import core_of, wrap
from pipelines.errors import DataError, ExportError
from pipelines.windows import WindowIndex

keras = load_keras()

BATCH = 97  # windows at once while calibrating
L, F, U = 12, 2, 8

on_both = pytest.mark.parametrize(
    "runtime",
    [
        runtimes.LiteRT,
        pytest.param(
            runtimes.Micro, marks=pytest.mark.skipif(not runtimes.micro_installed(), reason="needs TFLite Micro")
        ),
    ],
    ids=lambda runtime: runtime.name,
)


def answer(model, inputs):
    return np.asarray(model(inputs, training=False))


@dataclass
class Case:
    """A network, windows that it is shown, and what Keras answers."""

    core: Core
    windows: np.ndarray

    @property
    def y(self):
        return answer(self.core.model, self.windows)


def case(layers, weights, windows):
    windows = np.asarray(windows, np.float32)
    model = keras.Sequential([keras.Input(windows.shape[1:]), *layers])
    model.set_weights([np.asarray(w, np.float32).reshape(v.shape) for w, v in zip(weights, model.weights, strict=True)])
    return Case(Core(model, (Input("past", windows.shape[1:]),), {}), windows)


def gates(units, i=0.0, f=0.0, g=0.0, o=0.0):
    """Returns an LSTM's bias: how far its gates are open by themselves."""
    return np.repeat([i, f, g, o], units)


def small_cells():
    random = np.random.default_rng(0)
    weights = random.normal(0, 1, (F, 4 * U)), random.normal(0, 0.5, (U, 4 * U)), gates(U)
    layers = [keras.layers.LSTM(U), keras.layers.Dense(3)]
    return case(layers, [*weights, random.normal(0, 1, (U, 3)), np.zeros(3)], random.normal(0, 0.1, (100, L, F)))


def joined():
    random = np.random.default_rng(0)
    each = [(random.normal(0, 0.5, (F, 4 * U)), random.normal(0, 0.4, (U, 4 * U)), gates(U, f=1)) for _ in range(2)]
    layers = [keras.layers.Bidirectional(keras.layers.LSTM(U)), keras.layers.Dense(3)]
    head = random.normal(0, 1, (2 * U, 3)), np.zeros(3)
    return case(layers, [*each[0], *each[1], *head], random.normal(0, 1, (100, L, F)))


def joined_backwards():
    """Two readings of a window, row by row; what the backward one says is small, and joined to what is large."""
    random = np.random.default_rng(9)
    each = [(random.normal(0, 0.5, (F, 4 * U)), random.normal(0, 0.3, (U, 4 * U)), gates(U, i=i, f=1)) for i in (2, 0)]
    layers = [keras.layers.Bidirectional(keras.layers.LSTM(U, return_sequences=True)), keras.layers.Dense(1)]
    head = np.concatenate([random.normal(0, 0.1, (U, 1)), random.normal(0, 1, (U, 1))]), np.zeros(1)
    return case(layers, [*each[0], *each[1], *head], random.normal(0, 1, (100, L, F)))


def counter(windows, i, g=1.0):
    """An LSTM that adds up what it sees and forgets nothing; all its weights are a little off zero, as trained ones."""
    random = np.random.default_rng(1)
    kernel, recurrent = random.normal(0, 0.05, (1, 8)), random.normal(0, 0.05, (2, 8))
    kernel[0, 4:6] = g, 1.5 * g  # columns: gates i, f, c, o of both units
    weights = kernel, recurrent, gates(2, i=i, f=7, o=4), [[3.0, 1.0], [2.0, -1.0]], [0.0, 0.0]
    return case([keras.layers.LSTM(2), keras.layers.Dense(2)], weights, windows)


def long_memory():
    random = np.random.default_rng(2)
    falling = np.arange(200) % 4 == 3  # three windows of four rise, so a sum without an end only rises
    each = np.where(falling, -1, 1) * random.uniform(0.3, 1, 200)
    return counter(each[:, None, None] * random.uniform(0.5, 1, (200, 40, 1)), i=-3)


def hills():
    """Windows that rise for half their length and fall again, almost to where they began."""
    random = np.random.default_rng(3)
    rise = np.repeat(np.linspace(0.2, 1, 100), 20).reshape(100, 20, 1)
    return random.permutation(np.concatenate([rise, -rise * random.uniform(0.7, 1.1, (100, 1, 1))], axis=1))


def large_cells():
    return counter(hills(), i=4, g=2.0)


def peaks():
    return counter(hills(), i=4, g=0.2)


def tiny():
    random = np.random.default_rng(4)
    weights = [random.normal(0, 0.5, shape) for shape in ((2, 12), (3, 12), (12,), (3, 4), (4,))]
    return case([keras.layers.LSTM(3), keras.layers.Dense(4)], weights, random.normal(0, 1, (50, 6, 2)))


@pytest.fixture(scope="module")
def cases():
    networks = (small_cells, joined, joined_backwards, long_memory, large_cells, peaks, tiny)
    made = {one.__name__: one() for one in networks}
    return types.SimpleNamespace(**made)


def function(answer, **shapes):
    specs = [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()]
    return tf.function(answer, input_signature=specs, autograph=False)


@pytest.fixture(scope="module")
def files(cases, tmp_path_factory):
    """What the converter writes, untouched: all in one process, as it takes seconds to start."""

    def integers(one, batch=BATCH):
        return fused.graph(one.core, "int8", {"past": one.windows}, batch, False)

    one_by_one = replace(integers(cases.long_memory, 1), samples={"past": cases.long_memory.windows[:199, None]})
    differs = np.arange(BATCH * 3.0, dtype=np.float32).reshape(BATCH, 3)
    graphs = {
        "small_cells": integers(cases.small_cells),
        "joined": integers(cases.joined),
        "long_memory": integers(cases.long_memory, 199),
        "long_memory one by one": one_by_one,
        "large_cells": integers(cases.large_cells),
        "peaks": integers(cases.peaks),
        "joined_backwards": integers(cases.joined_backwards),
        "large_cells float32": fused.graph(cases.large_cells.core, "float32", {}, 1, False),
        "tiny float32": fused.graph(cases.tiny.core, "float32", {}, 1, False),
        "tiny unrolled": unrolled.graph(cases.tiny.core, "float32", {}),
        "differs": converter.Graph("differs", function(lambda x: {"y": x + differs}, x=(BATCH, 3)), []),
        "same": converter.Graph("same", function(lambda x: {"y": x + differs[:1].repeat(BATCH, 0)}, x=(BATCH, 3)), []),
        "first": converter.Graph("first", function(lambda a: {"b": 2 * a, "kept": a[:, -1:]}, a=(1, 3)), []),
        "second": converter.Graph(
            "second", function(lambda b: {"c": tf.constant([1.0, 10.0, 100.0]) + b}, b=(1, 3)), []
        ),
        "third": converter.Graph(
            "third", function(lambda c, kept, d: {"e": c * kept - d}, c=(1, 3), kept=(1, 1), d=(1, 3)), []
        ),
    }
    found = converter.convert(graphs, tmp_path_factory.mktemp("files"))
    assert {name for name, file in found.items() if isinstance(file, ExportError)} == set()
    return found


def convert_here(jobs, folder):
    """Does the converter's work in this process: it saves the seconds that TensorFlow takes to start in another."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _child.main(str(folder / "jobs.json"))
    return ""


@pytest.fixture(scope="module")
def exported(cases, tmp_path_factory):
    """Integer cores with all repairs, as they are exported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(converter, "_run_child", convert_here)
        made = {}
        for name, layout in (
            ("large_cells", "fused"),
            ("peaks", "fused"),
            ("joined_backwards", "fused"),
            ("joined_backwards", "unrolled"),
        ):
            one, folder = getattr(cases, name), tmp_path_factory.mktemp(name)
            wanted = [(layout, "int8"), (layout, "float32")]
            found, _ = candidates(one.core, wanted, {"past": one.windows}, folder)
            made[name, layout] = found[layout, "int8"].data()
    return made


def repaired(file, *done, batch=1):
    """Returns a core with some repairs alone."""
    model = flatbuffer.read(file)
    if model.signatureDefs:
        graft.set_ends(model, *graft.named(model))
    if batch > 1:
        repairs.batch(model, batch)
    for repair in done:
        repair(model)
    return flatbuffer.write(model)


def answers(runtime, file, windows):
    return runtimes.CoreRunner(runtime(file), file).answers({"past": windows})


def error(y, y_keras):
    return float(np.sqrt(np.mean((y - y_keras) ** 2)) / y_keras.std())


# --- A to H: wrong without the repair, right with it ------------------------------------------------------------------


def test_a_small_cell_state_is_misread_by_litert_until_its_scale_is_one_that_it_computes(cases, files):
    one, file = cases.small_cells, files["small_cells"]
    before, after = (repaired(file, *done, batch=BATCH) for done in ([], [repairs.cell_scale]))
    assert error(answers(runtimes.LiteRT, before, one.windows), one.y) > 1
    assert error(answers(runtimes.LiteRT, after, one.windows), one.y) < 0.03


@pytest.mark.skipif(not runtimes.micro_installed(), reason="needs TFLite Micro")
def test_one_file_gives_two_answers_on_two_runtimes_until_its_cell_scale_is_one_that_both_compute(cases, files):
    one, file = cases.small_cells, files["small_cells"]
    before, after = (repaired(file, *done, batch=BATCH) for done in ([], [repairs.cell_scale]))
    assert error(answers(runtimes.Micro, before, one.windows), one.y) < 0.03  # right all the time
    for data, low, high in ((before, 1, np.inf), (after, 0, 0.03)):
        litert, micro = (answers(runtime, data, one.windows) for runtime in (runtimes.LiteRT, runtimes.Micro))
        assert low < error(litert, micro) < high


@on_both
def test_lstms_that_are_joined_misread_their_own_state_until_it_has_the_scale_of_their_output(cases, files, runtime):
    one, file = cases.joined, files["joined"]
    before, after = (repaired(file, *done, batch=BATCH) for done in ([], [repairs.state_scale]))
    assert error(answers(runtime, before, one.windows), one.y) > 0.15
    assert error(answers(runtime, after, one.windows), one.y) < 0.03


@on_both
def test_a_long_memory_is_calibrated_on_windows_that_begin_at_zero_not_on_one_run_without_an_end(cases, files, runtime):
    one, rest = cases.long_memory, (repairs.cell_clip, repairs.cell_scale, repairs.state_scale)
    one_by_one = repaired(files["long_memory one by one"], *rest)
    at_once = repaired(files["long_memory"], *rest, batch=199)
    assert error(answers(runtime, one_by_one, one.windows), one.y) > 0.5
    assert error(answers(runtime, at_once, one.windows), one.y) < 0.03


def clipped_at(limit):
    def clip(model):
        for op in model.subgraphs[0].operators:
            if isinstance(op.builtinOptions, schema.UnidirectionalSequenceLSTMOptionsT):
                op.builtinOptions.cellClip = limit

    return clip


@on_both
def test_a_cell_state_beyond_ten_is_clipped_until_the_limit_is_taken_off(cases, files, runtime):
    one, file = cases.large_cells, files["large_cells float32"]
    clipped, free = repaired(file, clipped_at(10.0)), repaired(file, repairs.cell_clip)
    assert error(answers(runtime, clipped, one.windows), one.y) > 0.5
    assert error(answers(runtime, free, one.windows), one.y) < 1e-5


@on_both
def test_a_cell_state_beyond_ten_is_clipped_neither_in_integers_nor_while_they_are_calibrated(
    cases, files, exported, runtime
):
    one = cases.large_cells
    clipped_while_calibrated = repaired(files["large_cells"], repairs.cell_clip, batch=BATCH)
    clipped_in_integers = repaired(exported["large_cells", "fused"], clipped_at(10.0))
    assert error(answers(runtime, clipped_while_calibrated, one.windows), one.y) > 0.5
    assert error(answers(runtime, clipped_in_integers, one.windows), one.y) > 0.5
    assert error(answers(runtime, exported["large_cells", "fused"], one.windows), one.y) < 0.1


@on_both
def test_a_cell_state_that_peaks_inside_a_window_keeps_the_range_of_its_peak(cases, files, exported, runtime):
    one, rest = cases.peaks, (repairs.cell_clip, repairs.cell_scale, repairs.state_scale)
    assert error(answers(runtime, repaired(files["peaks"], *rest, batch=BATCH), one.windows), one.y) > 1
    assert error(answers(runtime, exported["peaks", "fused"], one.windows), one.y) < 0.1


@on_both
def test_a_sequence_that_is_read_backwards_and_joined_keeps_its_scale(cases, files, exported, runtime):
    one, rest = cases.joined_backwards, (repairs.cell_clip, repairs.cell_scale, repairs.state_scale)
    assert error(answers(runtime, repaired(files["joined_backwards"], *rest, batch=BATCH), one.windows), one.y) > 1
    for layout in ("fused", "unrolled"):
        assert error(answers(runtime, exported["joined_backwards", layout], one.windows), one.y) < 0.1


@on_both
def test_a_window_is_answered_by_itself_only_after_a_reset(cases, files, runtime):
    one = cases.long_memory
    data = repaired(files["long_memory"], repairs.cell_clip, repairs.cell_scale, repairs.state_scale, batch=199)
    runner, loaded = runtimes.CoreRunner(runtime(data), data), runtime(data)
    alone = runner.answers({"past": one.windows[:20]})
    on_and_on = np.concatenate(
        [runner.outputs[0].real(loaded([runner.inputs[0].quantised(window[None])])[0]) for window in one.windows[:20]]
    )
    np.testing.assert_array_equal(on_and_on[0], alone[0])
    assert error(on_and_on, one.y[:20]) > 0.5
    assert error(alone, one.y[:20]) < 0.03
    np.testing.assert_array_equal(runner.answers({"past": one.windows[:20]}), alone)


def test_allocating_the_tensors_again_is_no_reset(cases, files):
    one = cases.large_cells
    interpreter = Interpreter(model_content=repaired(files["large_cells float32"], repairs.cell_clip))

    def run(between):
        between()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], one.windows[:1])
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    first = run(interpreter.allocate_tensors)
    assert abs(run(interpreter.allocate_tensors) - first).max() > 0.1
    np.testing.assert_array_equal(run(interpreter.reset_all_variables), first)


# --- F: prices that rise far beyond what training saw -----------------------------------------------------------------


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """A forecaster of prices that rise by 2 dollars a day; its exported file; and the same network quantised whole."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("prices")
    close = 100 + 2 * np.arange(500) + 5 * np.sin(np.arange(500) / 5) + random.normal(size=500)
    frame = pd.DataFrame({"Close": close}, index=pd.date_range("2020-01-01", periods=500))
    model = forecast.Forecaster(
        model={"name": "lstm", "units": U}, lookback=L, horizon=3, training={"epochs": 6, "learning_rate": 0.01}
    )
    model.fit(frame, quiet=True)
    tested = model.backtest(part="test")
    windows = np.lib.stride_tricks.sliding_window_view(close, L)[..., None].astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(converter, "_run_child", convert_here)
        report = model.export(folder / "prices.tflite", layout="fused", quiet=True)
        scaling = edge.load(report.path).about["scaling"]
        core = Core(core_of(model.network_, "last"), (Input("past", (L, 1)),), {})

        def whole(past):
            seen = edges.before(scaling, {"past": past})
            return {"y": edges.after(scaling, core.call(seen["x_past"]), seen["carry"], None)}

        graph = converter.Graph(
            "whole int8",
            function(whole, past=(BATCH, L, 1)),
            core.variables,
            "int8",
            {"past": random.permutation(windows[:330])[None, :BATCH]},  # of training rows
        )
        with swapped(core.model, fused.inner_loop):
            graph.function.get_concrete_function()
        file = converter.convert({"whole": graph}, folder)["whole"]
    return types.SimpleNamespace(
        whole=repaired(file, repairs.cell_clip, repairs.cell_scale, repairs.state_scale, batch=BATCH),
        exported=report.path,
        windows=windows[tested.index.cutoffs - L + 1],
        y_true=tested.y_true,
        y_keras=tested.y_pred["lstm"],
    )


def test_a_network_quantised_with_its_normalisation_loses_rising_prices_and_an_exported_file_keeps_them(prices):
    device = edge.load(prices.exported)
    forecasts = {
        "keras": prices.y_keras,
        "exported": np.stack([device.predict(window).values for window in prices.windows]),
        "whole": answers(runtimes.LiteRT, prices.whole, prices.windows),
    }
    mae = {name: abs(y - prices.y_true).mean() for name, y in forecasts.items()}
    assert mae["whole"] > 10 * mae["keras"]
    assert mae["exported"] < 1.02 * mae["keras"]


def test_a_network_quantised_with_its_normalisation_has_good_operators_and_is_refused_for_their_order(prices):
    whole, exported = flatbuffer.read(prices.whole), flatbuffer.read(prices.exported.read_bytes())
    for model in (whole, exported):
        checks.operators(model)
        checks.integers(model, "float32")
    with pytest.raises(ExportError, match=r"Raw values must be scaled before QUANTIZE\. Received: an input"):
        checks.normalised_first(whole)
    checks.normalised_first(exported)


# --- what is refused before anything runs -----------------------------------------------------------------------------


def test_numbers_that_go_through_floats_between_integers_are_refused(cases, files):
    core = flatbuffer.read(repaired(files["small_cells"], batch=BATCH))
    ((x, y),) = zip(core.subgraphs[0].inputs.tolist(), core.subgraphs[0].outputs.tolist(), strict=True)
    checks.integers(core, "float32")
    twice = graft.joined([(core, {"x": x}, {"y": y}), (core, {"y": x}, {"z": y})], ["x"], ["z"])
    with pytest.raises(ExportError, match="A file quantises once"):
        checks.integers(twice, "float32")
    with pytest.raises(ExportError, match="Received: none of them"):
        checks.integers(flatbuffer.read(files["tiny float32"]), "float32")


def test_an_integer_core_has_integer_ends(files):
    core = flatbuffer.read(repaired(files["small_cells"], batch=BATCH))
    with pytest.raises(ExportError, match="a float one inside"):
        checks.integers(core, "int8")
    bare = graft.integer_ends(core)
    flatbuffer.drop_unused(bare)
    checks.integers(bare, "int8")
    graph = bare.subgraphs[0]
    assert {flatbuffer.dtype(graph.tensors[n]) for n in (*graph.inputs, *graph.outputs)} == {"int8"}


def converted_as_users_do(convert):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return flatbuffer.read(convert.convert())


def test_a_loop_in_a_file_is_refused():
    lstm = keras.Sequential([keras.Input((L, F), batch_size=1), keras.layers.LSTM(4), keras.layers.Dense(1)])
    model = converted_as_users_do(tf.lite.TFLiteConverter.from_keras_model(lstm))
    with pytest.raises(ExportError, match=r'Received: WHILE\. .*choose layout="unrolled"'):
        checks.operators(model)


@pytest.mark.parametrize(("flex", "name"), [(True, "CUSTOM:FlexMatrixInverse"), (False, "CUSTOM:MatrixInverse")])
def test_an_operator_that_is_not_built_in_is_refused(flex, name):
    module = tf.Module()
    module.inverse = function(tf.linalg.inv, x=(3, 3))
    convert = tf.lite.TFLiteConverter.from_concrete_functions([module.inverse.get_concrete_function()], module)
    convert.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS] + flex * [tf.lite.OpsSet.SELECT_TF_OPS]
    convert.allow_custom_ops = not flex
    with pytest.raises(ExportError, match=f"Received: {name}"):
        checks.operators(converted_as_users_do(convert))


# --- the batch becomes one window -------------------------------------------------------------------------------------


def test_a_constant_that_differs_between_the_windows_of_a_batch_is_refused(files):
    with pytest.raises(ExportError, match=r"Received: \(97, 3\), which differs along the batch\. Choose layout"):
        repaired(files["differs"], batch=BATCH)


def test_a_constant_that_is_the_same_for_all_windows_of_a_batch_becomes_that_of_one(files):
    litert = runtimes.LiteRT(repaired(files["same"], batch=BATCH))
    np.testing.assert_array_equal(litert([np.ones((1, 3), np.float32)])[0], [[1.0, 2.0, 3.0]])


def test_the_batch_is_a_prime_that_no_size_of_the_network_is_a_multiple_of(cases):
    assert fused.batch_size(cases.tiny.core, 300) == 251
    assert fused.batch_size(cases.tiny.core, 31) == 31
    wide = keras.Sequential([keras.Input((L, F)), keras.layers.LSTM(251), keras.layers.Dense(31 * 7)])
    core = Core(wide, (Input("past", (L, F)),), {})
    assert fused.batch_size(core, 300) == 241
    with pytest.raises(DataError, match=r"at least 31 windows of training rows\. Received: 36"):
        fused.batch_size(core, 36)


# --- the file ---------------------------------------------------------------------------------------------------------


def as_written(file):
    return flatbuffer.write(flatbuffer.read(file))


@pytest.mark.parametrize("name", ["tiny float32", "tiny unrolled", "large_cells"])
def test_a_file_read_and_written_gives_the_same_answers_to_the_last_bit_from_fewer_bytes(cases, files, name):
    windows = cases.large_cells.windows[:BATCH] if name == "large_cells" else cases.tiny.windows[:1]
    before, after = files[name], as_written(files[name])
    assert len(after) < len(before)
    (old,), (new,) = (runtimes.LiteRT(data)([windows]) for data in (before, after))
    np.testing.assert_array_equal(old, new)


def buffers(file):
    """Returns where the data of each buffer begins in a file, and the data."""
    data = bytearray(file)
    start = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    model = schema.Model.GetRootAsModel(data, 0)
    found = [model.Buffers(n).DataAsNumpy() for n in range(model.BuffersLength())]
    return [(b.__array_interface__["data"][0] - start, b.tobytes()) for b in found if isinstance(b, np.ndarray)]


def test_weights_lie_at_multiples_of_16_bytes(files):
    for name in ("tiny unrolled", "large_cells", "small_cells"):
        found = buffers(as_written(files[name]))
        assert len(found) > 5
        assert {start % 16 for start, _ in found} == {0}


def test_equal_constants_are_stored_once(files):
    model = flatbuffer.read(files["same"])
    (x,), (y,) = (ends.values() for ends in graft.named(model))
    twice = graft.joined([(model, {"x": x}, {"y": y}), (model, {"y": x}, {"z": y})], ["x"], ["z"])
    before = flatbuffer.write(twice)
    flatbuffer.slim(twice)
    after = flatbuffer.write(twice)
    assert [len(data) for _, data in buffers(after)] == [4 * BATCH * 3]
    assert len(after) < len(before) - 4 * BATCH * 3
    ones = np.ones((BATCH, 3), np.float32)
    np.testing.assert_array_equal(runtimes.LiteRT(after)([ones])[0], ones + 2 * np.arange(3))


def test_equal_records_are_stored_once(files):
    plain = flatbuffers.Builder(1024)
    plain.Finish(flatbuffer.read(files["tiny unrolled"]).Pack(plain), b"TFL3")
    data = as_written(files["tiny unrolled"])
    assert len(data) < 0.95 * len(plain.Output())
    graph = schema.Model.GetRootAsModel(data, 0).Subgraphs(0)
    options = [graph.Operators(n).BuiltinOptions() for n in range(graph.OperatorsLength())]
    assert len({one.Pos for one in options if one}) < len(options) / 4


def test_the_digest_is_that_of_the_file_with_zeros_in_its_place(files):
    model = flatbuffer.read(files["tiny float32"])
    data, about = flatbuffer.with_metadata(model, {"format": 1, "digest": "", "name": "Größe", "unit": "€"})
    inside = next(text for _, text in buffers(data) if text.startswith(b"{"))
    assert json.loads(inside) == about
    assert about["name"] == "Größe"
    digest = about["digest"].encode()
    assert data.count(digest) == 1
    assert hashlib.sha256(data.replace(digest, b"0" * 64)).hexdigest() == about["digest"]


def test_graphs_are_joined_by_the_names_of_their_ends(files):
    parts = [
        (model, *graft.named(model)) for model in map(flatbuffer.read, (files[n] for n in ("first", "second", "third")))
    ]
    whole = graft.joined(parts, ["d", "a"], ["e", "b"])
    flatbuffer.slim(whole)
    litert = runtimes.LiteRT(flatbuffer.write(whole))
    a, d = np.array([[1.0, 2.0, 3.0]], np.float32), np.array([[0.5, 0.25, 0.125]], np.float32)
    e, b = litert([d, a])
    np.testing.assert_array_equal(b, 2 * a)
    np.testing.assert_array_equal(e, (2 * a + [1, 10, 100]) * 3 - d)


def test_the_cost_is_counted_by_hand(files):
    # LSTM, its last row, Dense. In each of 6 steps 4 gates of 3 units read 2 inputs and 3 states, and a unit multiplies
    # gates 3 times.
    one_operator = cost(flatbuffer.read(files["tiny float32"]))
    assert one_operator == {"macs": 6 * (4 * 3 * (2 + 3) + 3 * 3) + 3 * 4, "operators": 3}
    # Written out, the first step has no state to multiply: neither 12 x 3 weights nor 3 units to forget.
    model = flatbuffer.read(files["tiny unrolled"])
    spent = cost(model)
    assert spent["macs"] == one_operator["macs"] - 12 * 3 - 3
    assert spent["operators"] == len(model.subgraphs[0].operators)


# --- the arithmetic around a core, beside the pipeline and the shell that trained it ----------------------------------

NAMES = ("past", "known", "static")


def measured():
    """Hourly rows: two targets, another column, one that is known ahead, one that never changes."""
    random, t = np.random.default_rng(0), np.arange(200)
    levels = 300 + np.cumsum(random.normal(0, 3, (200, 3)), axis=0) + 40 * np.sin(t / 9)[:, None]
    frame = pd.DataFrame(levels, columns=["a", "b", "c"], index=pd.date_range("2024-01-01", periods=200, freq="h"))
    frame.iloc[[50, 120, 170]] *= 3  # outliers, in training and after it
    return frame.assign(planned=np.round(5 * np.cos(t / 5)), size=42.0)


def untrained(monkeypatch, **settings):
    """A forecaster that has seen its data, with random weights."""
    monkeypatch.setattr("forecast.training.fit.fit", lambda *args, **kwargs: None)
    inputs = {
        name: keras.Input(shape, name=name) for name, shape in (("past", (6, 9)), ("known", (9, 3)), ("static", (1,)))
    }
    flat = [keras.layers.Flatten()(one) for one in inputs.values()]
    y = keras.layers.Dense(6, kernel_initializer=keras.initializers.RandomNormal(0, 0.2, seed=1))(
        keras.layers.Concatenate()(flat)
    )
    features = ["rolling_mean(4)", "diff(2)", "returns(1)", "time_of_day"]
    model = forecast.Forecaster(
        model=keras.Model(inputs, y),
        target=["a", "b"],
        past=["c"],
        known=["planned"],
        static=["size"],
        features=features,
        lookback=6,
        horizon=3,
        **settings,
    )
    return model.fit(measured(), quiet=True)


@pytest.mark.parametrize("normalize", ["last", "mean_std", "none"])
@pytest.mark.parametrize("predict", ["level", "return"])
@pytest.mark.parametrize(
    ("scaling", "outliers"),
    [("minmax", "report"), ("standard", "report"), ("none", "report"), ("robust", "clip"), ("log1p", "clip")],
)
def test_the_arithmetic_around_a_core_is_that_of_the_pipeline_and_the_shell(
    monkeypatch, normalize, predict, scaling, outliers
):
    model = untrained(
        monkeypatch,
        normalize=normalize,
        predict=predict,
        scaling=scaling,
        cleaning={"outliers": outliers, "outlier_factor": 1.0},
    )
    pipeline, panel, core = model.pipeline_, model.panel_, core_of(model.network_, normalize)
    assert pipeline.levels_.tolist() == 4 * [True] + 5 * [False]
    cutoffs = np.arange(30, 190, 3)
    index = WindowIndex(cutoffs, np.zeros(len(cutoffs), int), pipeline.spec.window)
    rows = pipeline.transform(panel)
    inputs, _ = pipeline.batch(rows, index, future=False)
    inputs = {name: inputs[name] for name in NAMES}
    expected = pipeline.inverse(answer(model.network_, inputs), rows, cutoffs, index.series)
    mirror = keras.Sequential([keras.Input((6, 9)), keras.layers.Activation("linear")])  # answers what it is shown
    shapes = Shapes(lookback=6, horizon=6, features=9, targets=9)
    seen = answer(wrap(mirror, shapes, normalize, pipeline.levels_, put_back=False), inputs["past"])

    scaling = of_forecaster(model, ExportSpec()).scaling
    values = pipeline.raw(panel)
    np.testing.assert_allclose(values[:, :3], measured()[["a", "b", "c"]], rtol=1e-6)
    raw = {"past": index.past(values), "known": index.both(values[:, 6:]), "static": np.full((len(cutoffs), 1), 42.0)}
    found = edges.before(scaling, {name: tf.constant(raw[name], tf.float32) for name in NAMES})
    # A clipped column may stand still: then the last bit of its mean is divided by sqrt(epsilon).
    for name, x in {**inputs, "past": seen}.items():
        np.testing.assert_allclose(found[f"x_{name}"], x, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(edges.normalised(inputs["past"], scaling), seen, rtol=1e-4, atol=1e-3)
    y = answer(core, {name: found[f"x_{name}"] for name in NAMES})
    after = edges.after(scaling, tf.constant(y), found.get("carry"), found.get("deviation"))
    np.testing.assert_allclose(after, expected, atol=0.02)
    np.testing.assert_allclose(edges.forecasts(scaling, y, raw["past"]), expected, atol=0.02)


@pytest.mark.parametrize("normalize", ["last", "mean_std", "none"])
@pytest.mark.parametrize("predict", ["level", "return"])
def test_quantiles_are_put_back_each_like_the_only_one(monkeypatch, normalize, predict):
    model = untrained(monkeypatch, normalize=normalize, predict=predict, scaling="log1p")
    scaling = of_forecaster(model, ExportSpec()).scaling
    random = np.random.default_rng(0)
    past, y = random.uniform(200, 400, (5, 6, 9)), random.normal(0, 1, (5, 3, 2, 4)).astype(np.float32)
    found = edges.before(scaling, {"past": tf.constant(past, tf.float32)})
    ends = found.get("carry"), found.get("deviation")
    for q in range(4):
        for all_of_them, one in (
            (edges.after(scaling, tf.constant(y), *ends), edges.after(scaling, tf.constant(y[..., q]), *ends)),
            (edges.forecasts(scaling, y, past), edges.forecasts(scaling, y[..., q], past)),
        ):
            np.testing.assert_allclose(all_of_them[..., q], one, rtol=1e-6)
