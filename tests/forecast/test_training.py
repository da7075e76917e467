"""Training: the best weights come back, every window is seen once an epoch, and the seed decides the order."""

import io

import numpy as np
import pandas as pd
import pytest

from forecast._keras import load_keras
from forecast.config import TrainingSpec
from forecast.training.data import Batches, Predictor, feed
from forecast.training.fit import fit
from forecast.training.progress import Progress
from pipelines.errors import ConfigError, DataError
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline, PipelineSpec
from pipelines.splits import split
from pipelines.windows import WindowIndex, index_windows

keras = load_keras()
import tensorflow as tf  # noqa: E402  (after its chatter was held aside)

QUIET = Progress(quiet=True)


def dense(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((2, 1)), keras.layers.Flatten(), keras.layers.Dense(1), keras.layers.Reshape((1, 1))]
    )


def pairs(n, seed):
    """Returns `n` pairs of which the answer is the sum of the inputs, and noise."""
    random = np.random.default_rng(seed)
    x = random.normal(0, 1, (n, 2, 1)).astype(np.float32)
    return x, x.sum(axis=1, keepdims=True) + random.normal(0, 0.5, (n, 1, 1)).astype(np.float32)


class Fixed:
    """Batches that are the same in each epoch."""

    def __init__(self, data):
        self.data, self.epoch = data, 0

    def __len__(self):
        return len(self.data)

    def dataset(self, first=0):
        return self.data.skip(first)


def batches(n=64, seed=1):
    return Fixed(tf.data.Dataset.from_tensor_slices(pairs(n, seed)).batch(16))


VALIDATION = pairs(32, 2)


def validation():
    return Fixed(tf.data.Dataset.from_tensor_slices(VALIDATION).batch(32))


def mse(model):
    return float(np.mean((np.asarray(model(VALIDATION[0])) - VALIDATION[1]) ** 2))


class Breaks(Progress):
    """Presses Ctrl-C at the end of an epoch."""

    def __init__(self, at):
        super().__init__(stream=io.StringIO())
        self.at = at

    def epoch(self, epoch, *losses):
        if epoch == self.at:
            raise KeyboardInterrupt
        super().epoch(epoch, *losses)


# --- fit --------------------------------------------------------------------------------------------------------------


def test_the_weights_of_the_lowest_validation_loss_come_back():
    model = dense()
    run = fit(model, batches(), validation(), TrainingSpec(epochs=40, learning_rate=0.3, patience=4), QUIET)
    losses = run.history["val_loss"]
    assert losses.iloc[-1] > losses.min()  # it had gone on beyond the best
    assert run.history["epoch"].tolist() == list(range(len(losses)))
    assert run.best_epoch == losses.idxmin() > 0
    assert len(losses) - 1 == run.best_epoch + 4  # and stopped after so many without a better one
    assert not run.interrupted
    assert mse(model) == pytest.approx(losses.min(), rel=1e-5)


def test_epoch_0_is_the_loss_of_the_untrained_network():
    model = dense()
    untrained = mse(model)
    run = fit(model, batches(), validation(), TrainingSpec(epochs=1), QUIET)
    assert run.history.loc[0, "val_loss"] == pytest.approx(untrained, rel=1e-5)
    assert np.isnan(run.history.loc[0, "loss"])
    assert run.history.loc[1, "val_loss"] != run.history.loc[0, "val_loss"]


def test_training_that_only_makes_it_worse_leaves_the_untrained_network_and_says_so(capsys):
    model = dense()
    perfect = [np.ones((2, 1), np.float32), np.zeros(1, np.float32)]
    model.set_weights(perfect)
    x = np.random.default_rng(0).normal(0, 1, (64, 2, 1)).astype(np.float32)
    wrong = Fixed(tf.data.Dataset.from_tensor_slices((x, -x.sum(axis=1, keepdims=True))).batch(16))
    run = fit(model, wrong, validation(), TrainingSpec(epochs=9, learning_rate=0.5, patience=2), Progress())
    assert (run.best_epoch, len(run.history)) == (0, 3)
    assert "Training never beat the weights it began with, which are kept." in capsys.readouterr().err
    for kept, first in zip(model.get_weights(), perfect, strict=True):
        np.testing.assert_array_equal(kept, first)


def test_ctrl_c_ends_with_the_best_weights_so_far():
    model, progress = dense(), Breaks(at=4)
    run = fit(model, batches(), validation(), TrainingSpec(epochs=50, learning_rate=0.05), progress)
    assert run.interrupted
    assert run.history["epoch"].iloc[-1] == 4
    assert run.best_epoch == 4  # the loss still fell
    assert mse(model) == pytest.approx(run.history.loc[4, "val_loss"], rel=1e-5)
    assert "Stopped by hand after epoch 4; the weights of epoch 4 are kept." in progress.stream.getvalue()


def test_other_errors_in_training_are_not_swallowed():
    class Fails(Breaks):
        def epoch(self, epoch, *losses):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        fit(dense(), batches(), validation(), TrainingSpec(epochs=2), Fails(1))


@pytest.mark.parametrize(("setting", "attribute"), [("clip_norm", "global_clipnorm"), ("clip_value", "clipvalue")])
def test_clipping_and_the_learning_rate_reach_the_optimizer(setting, attribute):
    model = dense()
    fit(model, batches(16), validation(), TrainingSpec(epochs=1, learning_rate=0.02, **{setting: 0.25}), QUIET)
    assert getattr(model.optimizer, attribute) == 0.25
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    assert type(model.optimizer).__name__ == "Adam"


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("mse", np.square),
        ("mae", np.abs),
        ("huber", lambda e: np.where(abs(e) <= 1, e**2 / 2, abs(e) - 0.5)),
        ("log_cosh", lambda e: np.log(np.cosh(e))),
    ],
)
def test_each_loss_is_what_its_name_says(name, formula):
    model = dense()
    errors = np.asarray(model(VALIDATION[0]), np.float64) - VALIDATION[1]
    run = fit(model, batches(16), validation(), TrainingSpec(epochs=1, loss=name), QUIET)
    assert run.history.loc[0, "val_loss"] == pytest.approx(formula(errors).mean(), rel=1e-5)


@pytest.mark.parametrize("name", ["msee", "", "lstm"])
def test_an_unknown_loss_is_a_config_error(name):
    with pytest.raises(ConfigError, match=rf"`training.loss` must be 'mse', .* Received: '{name}'"):
        fit(dense(), batches(16), validation(), TrainingSpec(epochs=1, loss=name), QUIET)


def test_a_loss_that_is_no_number_is_a_data_error_that_says_what_to_do():
    with pytest.raises(
        DataError, match=r"loss must stay a number\. Received: (nan|inf) in epoch 1\. Lower training\.learning_rate"
    ):
        fit(dense(), batches(), validation(), TrainingSpec(epochs=5, learning_rate=1e30), QUIET)


@pytest.mark.parametrize("where", ["loss", "val_loss"])
def test_a_loss_that_explodes_later_stops_training_and_keeps_the_best(where):
    epoch = iter(range(100))
    x, y = pairs(32, 1)

    def explodes(bad_from):
        bad = next(epoch) >= bad_from
        yield x, (y * np.float32(np.nan) if bad else y)

    shapes = (tf.TensorSpec((None, 2, 1)), tf.TensorSpec((None, 1, 1)))
    data = tf.data.Dataset.from_generator(explodes, args=(2,) if where == "loss" else (3,), output_signature=shapes)
    data = Fixed(data.apply(tf.data.experimental.assert_cardinality(1)))
    progress = Progress(stream=io.StringIO())
    model = dense()
    train, other = (data, validation()) if where == "loss" else (batches(32), data)
    run = fit(model, train, other, TrainingSpec(epochs=9, learning_rate=0.05), progress)
    assert (run.best_epoch, len(run.history)) == (2, 4)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert "became nan in epoch 3; training stopped" in progress.stream.getvalue()


# --- windows to Keras -------------------------------------------------------------------------------------------------


def data(rows=60, series=1):
    """Returns pipeline, rows and all windows of series in which every value is its own row number."""
    days = pd.date_range("2024-01-01", periods=rows)
    values = np.arange(float(rows * series)).reshape(series, rows)
    frames = [pd.DataFrame({"unique_id": f"s{s}", "ds": days, "y": values[s]}) for s in range(series)]
    panel = Panel.from_frame(pd.concat(frames))
    spec = PipelineSpec(targets=("y",), window={"lookback": 2, "horizon": 1}, scaling={"method": "none"})
    pipeline = DataPipeline(spec).fit(panel, split(panel))
    part = panel.offsets[:-1], panel.offsets[1:]
    return pipeline, pipeline.transform(panel), index_windows(panel.offsets, spec.window, part)


def seen(dataset):
    """Returns the last row of each window of one epoch, in order, and the sizes of batches."""
    parts = [(np.asarray(x)[:, -1, 0], np.asarray(y)[:, 0, 0]) for x, y in dataset]
    for past, answers in parts:
        np.testing.assert_array_equal(answers, past + 1)  # the answer is the row after the window
    return np.concatenate([past for past, _ in parts]), [len(past) for past, _ in parts]


def at(feed, epoch):
    feed.epoch = epoch
    return feed


def test_each_epoch_sees_every_window_once_in_an_order_of_seed_and_epoch():
    pipeline, rows, index = data(series=2)
    feeds = [Batches(dense(), pipeline, rows, index, 32, seed) for seed in (7, 7, 8)]
    epochs = [[seen(at(one, epoch).dataset())[0] for epoch in range(3)] for one in feeds]
    for of_feed in epochs:
        for order in of_feed:
            np.testing.assert_array_equal(np.sort(order), index.cutoffs)
    for epoch in range(3):
        expected = index.cutoffs[np.random.default_rng((7, epoch)).permutation(len(index))]
        np.testing.assert_array_equal(epochs[0][epoch], expected)
        np.testing.assert_array_equal(epochs[1][epoch], expected)
        assert (epochs[2][epoch] != expected).any()
    assert (epochs[0][0] != epochs[0][1]).any()


def test_without_a_seed_windows_come_in_their_own_order_and_the_last_batch_may_be_smaller():
    pipeline, rows, index = data()
    dataset = Batches(dense(), pipeline, rows, index, 25).dataset()
    order, sizes = seen(dataset)
    np.testing.assert_array_equal(order, index.cutoffs)
    assert sizes == [25, 25, 8]
    assert len(dataset) == 3


def test_keras_asks_for_each_window_once_an_epoch(monkeypatch):
    pipeline, rows, index = data()
    asked = []
    batch = DataPipeline.batch
    monkeypatch.setattr(
        DataPipeline,
        "batch",
        lambda self, rows, which, **kw: asked.append(which.cutoffs) or batch(self, rows, which, **kw),
    )
    model = dense()
    feeds = Batches(model, pipeline, rows, index, 20, seed=5), Batches(model, pipeline, rows, index[:4], 4)
    asked.clear()
    fit(model, *feeds, TrainingSpec(epochs=2), QUIET)
    trained = np.concatenate([one for one in asked if len(one) not in (1, 4)])  # 1: an example
    orders = [index.cutoffs[np.random.default_rng((5, epoch)).permutation(len(index))] for epoch in range(2)]
    np.testing.assert_array_equal(trained, np.concatenate(orders))


def test_one_input_is_fed_as_an_array_and_several_as_a_mapping():
    inputs = {"past": np.zeros(1), "known": np.ones(1), "series": np.zeros(1)}
    assert feed(inputs, ("past",)) is inputs["past"]
    assert list(feed(inputs, ("past", "known"))) == ["past", "known"]


# --- Predictor --------------------------------------------------------------------------------------------------------


def test_predictions_are_those_of_keras_and_one_trace_serves_all_sizes():
    pipeline, rows, index = data(rows=1300)
    model = dense()
    predictor = Predictor(model)
    for size in (1, 7, 1290, 3):
        some = index[:size]
        expected = model.predict(pipeline.batch(rows, some)[0]["past"], verbose=0)
        np.testing.assert_allclose(predictor(pipeline, rows, some), expected, rtol=1e-6)
    assert [function.experimental_get_tracing_count() for function in predictor._functions.values()] == [1]


def test_no_windows_have_no_predictions():
    pipeline, rows, index = data()
    assert Predictor(dense())(pipeline, rows, index[:0]).shape == (0, 1, 1)
    assert isinstance(index[:0], WindowIndex)


# --- progress ---------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_one_line_an_epoch():
    stream = io.StringIO()
    run = fit(dense(), batches(), validation(), TrainingSpec(epochs=3, learning_rate=0.05), Progress(stream=stream))
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert f"val {run.history.loc[2, 'val_loss']:.5g}" in lines[1]
    assert f"best {run.history['val_loss'].min():.5g} (epoch 3)" in lines[2]


def test_a_terminal_gets_one_live_line():
    stream = Terminal()
    fit(dense(), batches(), validation(), TrainingSpec(epochs=2), Progress(stream=stream))
    assert "epoch 2/2" in stream.getvalue()
    assert "at most" in stream.getvalue()


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_quiet_says_nothing(kind):
    stream = kind()
    progress = Progress(quiet=True, stream=stream)
    fit(dense(), batches(16), validation(), TrainingSpec(epochs=1), progress)
    progress.say("anything")
    assert stream.getvalue() == ""
