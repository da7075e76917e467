"""Exports from end to end, as a user asks for them, and the bars that they keep."""

import json

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast import ConfigError, DataError, ExportError
from forecast.export import runtimes

KB = 1000


def hours(rows=1200, series="y", level=100.0, seed=0):
    """A noisy daily cycle, so that a network has something to learn."""
    t = np.arange(rows)
    values = level + 10 * np.sin(2 * np.pi * t / 24 + seed) + np.random.default_rng(seed).normal(size=rows)
    days = pd.date_range("2024-01-01", periods=rows, freq="h")
    return pd.DataFrame({"unique_id": series, "ds": days, "y": values})


def trained(data, **settings):
    settings = {"model": {"name": "lstm", "units": 16}, "lookback": 24, "horizon": 3, **settings}
    return forecast.Forecaster(training={"epochs": 3}, **settings).fit(data, quiet=True)


@pytest.fixture(scope="module")
def three():
    """A model of three series on levels of their own."""
    return trained(pd.concat([hours(600, name, 100.0 * (n + 1), n) for n, name in enumerate("abc")]))


def comparison(report, file, runtime):
    (found,) = (one for one in report.compared if (one.file, one.runtime) == (file, runtime))
    return found


# --- the bars -------------------------------------------------------------------------------------------------------


def test_an_lstm_of_32_units_and_48_steps_is_small_and_true(tmp_path):
    model = trained(hours(), model={"name": "lstm", "units": 32}, lookback=48, horizon=12)
    report = model.export(tmp_path / "m.tflite", io="int8", quiet=True)
    cost = report.report["cost"]
    assert cost["bytes"] <= 10 * KB
    assert comparison(report, "fused int8", "LiteRT").degradation <= 0.01
    if runtimes.micro_installed():
        assert comparison(report, "fused int8", "TFLite Micro").degradation <= 0.01
        assert cost["arena"] <= 5 * KB
    about = forecast.edge.load(report.path)
    window = hours()["y"].to_numpy()[-48:]
    np.testing.assert_allclose(about.predict(window).values[:, 0], model.predict()["y_pred"], atol=0.5)


@pytest.mark.slow
def test_two_layers_are_small_in_both_layouts(tmp_path):
    columns = hours().assign(**{f"x{n}": hours(seed=n)["y"] for n in range(1, 5)})
    model = trained(columns, model="stacked_lstm", target="y", past=["x1", "x2", "x3", "x4"], lookback=60, horizon=1)
    fused = model.export(tmp_path / "f.tflite", layout="fused", io="int8", quiet=True)
    unrolled = model.export(tmp_path / "u.tflite", layout="unrolled", io="int8", quiet=True)
    assert fused.report["cost"]["bytes"] <= 38 * KB
    assert unrolled.report["cost"]["bytes"] <= 711 * KB / 3


# --- whose scaling --------------------------------------------------------------------------------------------------


def test_a_global_model_asks_whose_scaling_goes_into_the_file(three, tmp_path):
    with pytest.raises(ConfigError, match=r"3 series.*--series a.*--io int8"):
        three.export(tmp_path / "m.tflite", quiet=True)
    with pytest.raises(forecast.UnknownName, match="'z'"):
        three.export(tmp_path / "m.tflite", series="z", quiet=True)
    assert not list(tmp_path.iterdir())


def test_the_named_series_gets_a_file_of_its_own(three, tmp_path):
    three.export(tmp_path / "m.tflite", series="b", quiet=True)
    model = forecast.edge.load(tmp_path / "m.tflite")
    assert model.about["series"] == "b"
    expected = three.predict().query("unique_id == 'b'")["y_pred"]
    np.testing.assert_allclose(model.predict(hours(600, "b", 200.0, 1)["y"]).values[:, 0], expected, atol=0.5)
    with pytest.raises(forecast.edge.EdgeError, match="it is for 'b'"):
        forecast.edge.load(tmp_path / "m.tflite", series="a")


def test_one_integer_core_serves_every_series_where_the_host_scales(three, tmp_path):
    three.export(tmp_path / "m.tflite", io="int8", quiet=True)
    with pytest.raises(forecast.edge.EdgeError, match="'a', 'b', 'c'"):
        forecast.edge.load(tmp_path / "m.tflite")
    for n, name in enumerate("abc"):
        model = forecast.edge.load(tmp_path / "m.tflite", series=name)
        expected = three.predict().query(f"unique_id == '{name}'")["y_pred"]
        rows = hours(600, name, 100.0 * (n + 1), n)["y"]
        np.testing.assert_allclose(model.predict(rows).values[:, 0], expected, atol=0.5)


# --- streams --------------------------------------------------------------------------------------------------------


def test_a_gru_streams_row_by_row_as_it_answers_a_window(tmp_path):
    import keras

    past = keras.Input((24, 1))
    own = keras.Model(past, keras.layers.Dense(3)(keras.layers.GRU(16)(past)))
    model = trained(hours(600), model=own, normalize="none")
    model.export(tmp_path / "m.tflite", "float32", state="streaming", quiet=True)
    device, rows = forecast.edge.load(tmp_path / "m.tflite"), hours(600)["y"].to_numpy()[-24:]
    assert (device.about["layout"], device.streaming) == ("step", True)
    pushed = [device.push([row]) for row in rows]
    assert [one.fallback for one in pushed] == [True] * 23 + [False]
    np.testing.assert_allclose(pushed[-1].values[:, 0], model.predict()["y_pred"], rtol=1e-5)
    after = device.push([rows[-1]])  # the state goes on
    fresh = forecast.edge.load(tmp_path / "m.tflite")
    again = [fresh.push([row]) for row in [*rows, rows[-1]]][-1]
    np.testing.assert_array_equal(after.values, again.values)
    assert not np.array_equal(after.values, fresh.predict([*rows[1:], rows[-1]]).values)


def test_a_stream_without_a_window_cannot_normalise_by_one(three, tmp_path):
    with pytest.raises(ExportError, match='normalize="last"'):
        three.export(tmp_path / "m.tflite", series="a", state="streaming", quiet=True)


# --- what is said ---------------------------------------------------------------------------------------------------


def test_the_file_tells_what_the_host_must_compute(tmp_path):
    model = trained(hours(600), features=["rolling_mean(5)", "time_of_day"])
    model.export(tmp_path / "m.tflite", quantize="float32", quiet=True)
    columns = forecast.edge.load(tmp_path / "m.tflite").about["columns"]
    assert [one["name"] for one in columns] == list(model.pipeline_.inputs_)
    assert [one["kind"] for one in columns] == ["target", "feature", "known", "known"]
    assert columns[1]["means"] == model.pipeline_.features_[0].means
    assert json.loads((tmp_path / "m.report.json").read_text())["file"]["quantize"] == "float32"


def test_a_plain_keras_model_is_refused_by_the_name_of_its_layer(tmp_path):
    import keras
    import tensorflow as tf

    class Odd(keras.layers.Layer):
        def call(self, x):
            return tf.math.erfinv(0.5 * tf.tanh(x))

    windows = np.random.default_rng(0).normal(size=(100, 8, 1)).astype(np.float32)
    model = keras.Sequential([keras.Input((8, 1)), keras.layers.LSTM(4), Odd(name="odd_one"), keras.layers.Dense(1)])
    with pytest.raises(ExportError, match=r"Erfinv in layer 'odd_one"):
        forecast.export.to_tflite(model, tmp_path / "m.tflite", windows)
    with pytest.raises(DataError, match="31 windows"):
        forecast.export.to_tflite(model, tmp_path / "m.tflite", windows[:30])
    assert not list(tmp_path.iterdir())
