"""Every option of training does what it says, and what is off changes nothing."""

import io
import sys

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast._keras import load_keras
from forecast.config import TrainingSpec
from forecast.training.adversarial import Adversarial
from forecast.training.augment import augment
from forecast.training.data import Batches, Extras
from forecast.training.fit import compile_model, fit
from forecast.training.gradients import Gradients, layers_of, unusual
from forecast.training.losses import PerSeries, with_units
from forecast.training.progress import Progress
from forecast.training.spec import AugmentSpec
from pipelines.errors import ConfigError
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline, PipelineSpec
from pipelines.splits import split
from pipelines.windows import index_windows

keras = load_keras()
import tensorflow as tf  # noqa: E402  (after its chatter was held aside)

QUIET = Progress(quiet=True)
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(0, 1, (16, 2, 1)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


class Fixed:
    """One batch, the same in each epoch."""

    def __init__(self, x, y, size=None):
        self.data, self.epoch = tf.data.Dataset.from_tensor_slices((x, y)).batch(size or len(x)), 0

    def __len__(self):
        return len(self.data)

    def dataset(self, first=0):
        return self.data.skip(first)


def dense(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((2, 1)), keras.layers.Flatten(), keras.layers.Dense(1), keras.layers.Reshape((1, 1))]
    )


def steps(size=None, y=Y, scored=Y, **spec):
    """Returns the weights that would forecast after each epoch, and the run; an epoch is one step of a batch."""
    model, found = dense(), []
    found.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    spec = TrainingSpec(**{"epochs": 6, "patience": 50, "learning_rate": 0.01, **spec})
    run = fit(
        model,
        Fixed(X, y, size),
        Fixed(X, scored),
        spec,
        QUIET,
        watch=lambda epoch: found.append(np.concatenate([w.ravel() for w in model.get_weights()])),
    )
    return np.array(found), run


def moved(**spec):
    """Returns how far Adam moves each weight in its first step: by the learning rate, whatever the gradient is."""
    weights, _ = steps(epochs=spec.pop("epochs", 1), **spec)
    return np.abs(weights[1] - weights[0])


# --- how long ---------------------------------------------------------------------------------------------------------


def windows(rows=300, **training):
    model = forecast.Forecaster(
        {"name": "linear"}, lookback=8, horizon=2, target="y", training={"epochs": 3, "batch_size": 16, **training}
    )
    frame = pd.DataFrame({"y": np.sin(np.arange(rows) / 3)}, index=pd.date_range("2024-01-01", periods=rows, freq="h"))
    return model, frame


def test_an_epoch_of_some_steps_draws_other_windows_each_time_and_as_many_only(monkeypatch):
    seen = []
    real = Batches.batch

    def noted(self, which, random, epoch=0):
        if self.seed is not None and len(which) > 1:
            seen.append((epoch, set(which.tolist())))
        return real(self, which, random, epoch)

    monkeypatch.setattr(Batches, "batch", noted)
    model, frame = windows(steps=4)
    model.fit(frame, quiet=True)
    epochs = [set().union(*(which for e, which in seen if e == epoch)) for epoch in range(3)]
    assert [len(one) for one in epochs] == [64, 64, 64]
    assert epochs[0] != epochs[1] != epochs[2]


def test_more_steps_than_there_are_batches_are_all_batches():
    plain, frame = windows()
    many, _ = windows(steps=10_000)
    for a, b in zip(
        plain.fit(frame, quiet=True).network_.get_weights(),
        many.fit(frame, quiet=True).network_.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_limit_of_seconds_shortens_the_run_and_its_schedule(monkeypatch):
    """A clock that goes ten seconds forward at each look: so a run of 100 epochs has time for some only."""
    from forecast.training import course

    now = [0.0]

    class Clock:
        @staticmethod
        def monotonic():
            now[0] += 1.0
            return now[0]

    monkeypatch.setattr(course, "time", Clock)
    weights, run = steps(epochs=100, seconds=60, schedule="cosine")
    done = len(run.history) - 1
    assert 3 < done < 60
    assert now[0] < 100
    rates = run.history["learning_rate"].iloc[1:]
    assert rates.iloc[-1] < 0.2 * rates.iloc[0]  # the half wave ends with the run
    assert len(weights) == done + 1


def test_a_limit_that_is_never_reached_changes_no_bit():
    np.testing.assert_array_equal(steps(seconds=1e6)[0], steps()[0])


def test_without_early_stopping_the_last_weights_are_kept_however_they_validate():
    away = -Y  # every step towards the truth is one away from these
    weights, run = steps(scored=away, patience=1, early_stopping=False)
    assert len(run.history) == 7
    assert run.best_epoch == 6
    stopped = steps(scored=away, patience=1)[1]
    assert (len(stopped.history), stopped.best_epoch) == (2, 0)
    np.testing.assert_array_equal(weights, steps(patience=50)[0])


def test_without_early_stopping_validation_rows_are_learned_from_and_test_rows_are_not():
    def weights(frame, **training):
        model, _ = windows(**training)
        return np.concatenate([w.ravel() for w in model.fit(frame, quiet=True).network_.get_weights()])

    _, frame = windows()
    validated, tested = frame.copy(), frame.copy()
    validated.iloc[200:205] += 0.01  # 300 rows: 60 % train, then validation, calibration, test
    tested.iloc[250:255] += 0.01
    for other, moved_by in ((validated, True), (tested, False)):
        same = np.array_equal(weights(frame, early_stopping=False), weights(other, early_stopping=False))
        assert same != moved_by


def test_a_forecaster_that_learned_from_validation_rows_says_so_where_they_would_decide():
    model, frame = windows(early_stopping=False)
    model.fit(frame, quiet=True)
    with pytest.raises(
        ConfigError, match=r"Fine-tuning decides by validation rows. Received: a forecaster that learned"
    ):
        model.fine_tune("series")
    with pytest.raises(ConfigError, match=r"must be the same for all members.*Received: True"):
        forecast.ForecastConfig(
            training={"early_stopping": False},
            ensemble=[{"model": "lstm", "training": {"early_stopping": True}}, "gru"],
        )


def test_a_network_without_weights_is_scored_and_not_trained():
    model = forecast.Forecaster("repeat", lookback=8, horizon=2, target="y")
    _, frame = windows()
    model.fit(frame, quiet=True)
    assert model.run_.history["epoch"].tolist() == [0]
    assert model.run_.history["val_loss"].iloc[0] > 0
    scores = model.evaluate()
    assert scores["repeat"]["mae"] == pytest.approx(scores["naive"]["mae"], rel=1e-5)


# --- learning rate ----------------------------------------------------------------------------------------------------


def test_a_constant_rate_is_the_rate_of_every_step():
    _, run = steps()
    np.testing.assert_allclose(run.history["learning_rate"][1:], 0.01, rtol=1e-6)
    np.testing.assert_allclose(moved(), 0.01, rtol=1e-3)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("cosine", [0.01 * 0.5 * (1 + np.cos(np.pi * e / 6)) for e in range(1, 7)]),
        ({"name": "cosine", "floor": 0.2}, [0.01 * max(0.5 * (1 + np.cos(np.pi * e / 6)), 0.2) for e in range(1, 7)]),
        ("step", [0.01 * 0.9 ** (e // 3) for e in range(1, 7)]),
        ({"name": "step", "factor": 0.5, "every": 2}, [0.01 * 0.5 ** (e // 2) for e in range(1, 7)]),
    ],
)
def test_a_schedule_is_its_formula(schedule, rates):
    _, run = steps(schedule=schedule)
    np.testing.assert_allclose(run.history["learning_rate"][1:], rates, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", ["constant", "cosine", "plateau"])
def test_warm_up_starts_with_small_steps(name):
    np.testing.assert_allclose(moved(epochs=8, schedule={"name": name, "warmup": 4}), 0.01 / 4, rtol=1e-3)


def test_cosine_ends_in_steps_that_hardly_move():
    weights, _ = steps(epochs=20, schedule="cosine")
    moves = np.abs(np.diff(weights, axis=0)).max(axis=1)
    assert moves[-1] < 0.05 * moves[0]
    constant = np.abs(np.diff(steps(epochs=20)[0], axis=0)).max(axis=1)
    assert constant[-1] > 0.3 * constant[0]


def test_a_plateau_halves_the_rate_where_the_loss_does_not_fall():
    _, falls = steps(schedule="plateau")
    np.testing.assert_allclose(falls.history["learning_rate"][1:], 0.01, rtol=1e-6)
    _, rises = steps(schedule="plateau", scored=-10 * Y)  # what is learned is wrong for validation
    assert (np.diff(rises.history["val_loss"]) > 0).all()
    np.testing.assert_allclose(
        rises.history["learning_rate"][1:], 0.01 * np.array([1, 1, 0.5, 0.5, 0.25, 0.25]), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"epochs": 3, "schedule": {"warmup": 3}}, r"`schedule.warmup` must be shorter than the run of 3 epochs"),
        ({"epochs": 3, "schedule": "step"}, r"`schedule.every` must be shorter than the run of 3 epochs. Received: 3"),
        ({"patience": 2, "schedule": "plateau"}, r"`schedule.every` must be below `patience`, 2"),
        ({"schedule": {"name": "cosine", "every": 2}}, r"`every` belongs to the schedules 'step'"),
        ({"schedule": "cosinus"}, r"`schedule.name` must be one of 'constant', 'cosine'"),
        ({"average": 1.0}, r"`average` must be a number < 1"),
        ({"augment": {"jitters": 1}}, r"`AugmentSpec` has no setting 'jitters'. Did you mean 'jitter'"),
    ],
)
def test_settings_that_cannot_work_are_refused(spec, message):
    with pytest.raises(ConfigError, match=message):
        TrainingSpec(**spec)


def test_slicing_needs_windows_without_a_gap():
    with pytest.raises(ConfigError, match=r"`training.augment.slicing` must be 0 where windows have a gap"):
        forecast.ForecastConfig(gap=1, training={"augment": {"slicing": 0.1}})


# --- averages ---------------------------------------------------------------------------------------------------------


def test_the_average_is_that_of_the_weights_after_each_step():
    plain, _ = steps()
    averaged, run = steps(average=0.8)
    expected = [plain[1]]  # the first step is all there is
    for weights in plain[2:]:
        expected.append(0.8 * expected[-1] + 0.2 * weights)
    np.testing.assert_allclose(averaged[1:], expected, rtol=1e-5)
    errors = X[:, :, 0] @ averaged[-1][:2] + averaged[-1][2] - Y[:, 0, 0]
    assert run.history["val_loss"].iloc[-1] == pytest.approx(np.mean(errors**2), rel=1e-5)


def test_what_is_averaged_trains_as_without():
    np.testing.assert_array_equal(steps()[1].history["loss"], steps(average=0.9)[1].history["loss"])


# --- losses in units of series ----------------------------------------------------------------------------------------


def two_series():
    """A small and a large series, in one frame."""
    days = pd.date_range("2024-01-01", periods=80)
    values = 5 + np.sin(np.arange(80) / 3) + RANDOM.normal(0, 0.1, 80)
    return pd.concat(
        [
            pd.DataFrame({"unique_id": "small", "ds": days, "y": values}),
            pd.DataFrame({"unique_id": "large", "ds": days, "y": 1000 * values[::-1]}),
        ]
    )


@pytest.mark.parametrize("settings", [{}, {"scaling": "log1p"}, {"predict": "return"}, {"scaling": {"shared": True}}])
@pytest.mark.parametrize("loss", ["mase", "smape", "mixed"])
def test_a_loss_per_series_is_its_formula_in_original_units(loss, settings):
    model = forecast.Forecaster(
        "mlp", target="y", lookback=6, horizon=2, training={"epochs": 1, "loss": loss}, season_length=1, **settings
    )
    model.fit(two_series(), quiet=True)
    best = model.run_.history["val_loss"].min()
    backtest = model.backtest(part="validation", levels=())
    truth, answer, scale = backtest.y_true, backtest.y_pred["mlp"], []
    train, usual = (model.panel_.values[:, 0], model.splits_.rows("train")), {}
    for s in backtest.index.series:
        rows = train[0][train[1][0][s] : train[1][1][s]].astype(np.float64)
        scale.append(np.abs(np.diff(rows)).mean())
        usual[s] = scale[-1] / rows[5:-2].mean()  # over the size of the series, at the cutoffs that trained
    error = np.abs(truth - answer)
    mase, smape = error / np.array(scale)[:, None, None], 2 * error / (np.abs(truth) + np.abs(answer))
    expected = {"mase": mase, "smape": smape, "mixed": (mase + smape / np.mean(list(usual.values()))) / 2}[loss].mean()
    assert best == pytest.approx(expected, rel=1e-3)


def test_series_of_any_size_weigh_the_same_where_one_scaler_serves_all():
    """With one scaler the small series is all but invisible to a squared error; per series it is not."""

    def error_of_small(loss):
        settings = {"scaling": {"shared": True}, "normalize": "none", "seed": 3}
        model = forecast.Forecaster(
            "linear", target="y", lookback=6, training={"epochs": 30, "loss": loss, "learning_rate": 0.01}, **settings
        )
        backtest = model.fit(two_series(), quiet=True).backtest(part="validation", levels=())
        small = backtest.index.series == backtest.panel.ids.index("small")
        return np.abs(backtest.y_true - backtest.y_pred["linear"])[small].mean()

    assert error_of_small("mixed") < 0.5 * error_of_small("mse")


# --- augmentation -----------------------------------------------------------------------------------------------------

ALL = {"levels": np.array([True]), "relative": False}


def changed(spec, past, y, known=None, **options):
    inputs = {"past": past} if known is None else {"past": past, "known": known}
    return augment(AugmentSpec(**spec), np.random.default_rng(1), inputs, [y], **{**ALL, **options})


def test_jitter_is_noise_of_a_share_of_each_inputs_deviation_and_leaves_the_answer():
    past = np.random.default_rng(2).normal(0, 1, (2000, 30, 1)) * np.where(np.arange(2000) % 2, 100, 1)[:, None, None]
    y = np.zeros((2000, 2, 1))
    given, (answer,) = changed({"jitter": 0.1}, past, y)
    share = (given["past"] - past).std(axis=1) / past.std(axis=1)
    assert np.sqrt((share**2).mean()) == pytest.approx(0.1, rel=0.03)
    np.testing.assert_array_equal(answer, y)


def test_slicing_makes_time_slower_in_past_and_future_alike():
    rows = np.arange(40.0)
    windows = np.tile(rows[None, :, None], (50, 1, 1))
    past, y, known = windows[:, :30], windows[:, 30:], windows
    given, (answer,) = changed({"slicing": 0.3}, past, y, known)
    slopes = np.diff(given["past"][:, :, 0], axis=1)  # a straight line stays one, less steep
    np.testing.assert_allclose(slopes, slopes[:, :1].repeat(29, axis=1), atol=1e-9)
    assert 0.7 <= slopes.min() < 0.75
    assert 0.95 < slopes.max() <= 1
    np.testing.assert_allclose(given["past"][:, -1, 0], 29)  # the cutoff stays where it was
    np.testing.assert_allclose(answer[:, :, 0], 29 + slopes[:, :1] * np.arange(1, 11), rtol=1e-6)
    np.testing.assert_allclose(given["known"][:, :30], given["past"], rtol=1e-9)
    np.testing.assert_allclose(given["known"][:, 30:, 0], answer[:, :, 0], rtol=1e-6)


def test_scaling_makes_moves_larger_or_smaller_but_not_what_is_no_level():
    past, y = RANDOM.normal(0, 1, (100, 8, 2)), RANDOM.normal(0, 1, (100, 3, 1))
    given, (answer,) = changed({"scaling": 0.5}, past, y, levels=np.array([True, False]))
    factor = (given["past"][:, 0, 0] - past[:, -1, 0]) / (past[:, 0, 0] - past[:, -1, 0])
    assert factor.std() == pytest.approx(0.5, rel=0.2)
    np.testing.assert_array_equal(given["past"][..., 1], past[..., 1])
    np.testing.assert_allclose(
        answer[:, :, 0], past[:, -1:, 0] + (y[:, :, 0] - past[:, -1:, 0]) * factor[:, None], rtol=1e-4, atol=1e-6
    )
    _, (relative,) = changed({"scaling": 0.5}, past, y, levels=np.array([True, False]), relative=True)
    np.testing.assert_allclose(relative[:, :, 0], y[:, :, 0] * factor[:, None], rtol=1e-4, atol=1e-6)


def feeds(extras):
    days = pd.date_range("2024-01-01", periods=60)
    panel = Panel.from_frame(pd.DataFrame({"y": np.arange(60.0)}, index=days))
    spec = PipelineSpec(targets=("y",), window={"lookback": 2}, scaling={"method": "none"})
    pipeline = DataPipeline(spec).fit(panel, split(panel))
    index = index_windows(panel.offsets, spec.window, (panel.offsets[:-1], panel.offsets[1:]))
    return Batches(dense(), pipeline, pipeline.transform(panel), index, 25, 3, extras)


def test_each_epoch_has_other_windows_and_the_same_ones_again_in_the_middle():
    feed = feeds(Extras(AugmentSpec(jitter=0.5)))
    first = [np.asarray(x) for x, _ in feed.dataset()]
    np.testing.assert_array_equal(first[2], next(np.asarray(x) for x, _ in feed.dataset(2)))
    feed.epoch = 1
    assert not np.array_equal(
        np.sort(np.concatenate(first), axis=0), np.sort(np.concatenate([x for x, _ in feed.dataset()]), axis=0)
    )


def test_only_training_windows_are_augmented():
    def losses(**training):
        model = forecast.Forecaster(target="Close", lookback=10, training={"epochs": 1, **training})
        return model.fit("sample:goog", quiet=True).run_.history

    plain, changed = losses(), losses(augment={"jitter": 0.5, "scaling": 0.5, "slicing": 0.5})
    assert plain["val_loss"][0] == changed["val_loss"][0]
    assert plain["loss"][1] != changed["loss"][1]


# --- adversarial ------------------------------------------------------------------------------------------------------


def test_an_adversarial_step_is_the_mean_of_both_gradients():
    model = dense()
    w, b = (array.astype(np.float64) for array in model.get_weights())
    learner = Adversarial(model, 0.5)
    learner.compile(keras.optimizers.SGD(1.0), "mse")
    learner.fit(X, Y, batch_size=len(X), epochs=1, shuffle=False, verbose=0)
    x, y = X[:, :, 0].astype(np.float64), Y[:, 0].astype(np.float64)

    def gradient(x):
        error = x @ w + b - y  # (N, 1)
        return 2 * x.T @ error / len(x), 2 * error.mean(axis=0), error

    _, _, error = gradient(x)
    worse = x + 0.5 * x.std(axis=1, keepdims=True) * np.sign(2 * error / len(x) * w[:, 0])
    (clean_w, clean_b, _), (adversarial_w, adversarial_b, _) = gradient(x), gradient(worse)
    new_w, new_b = model.get_weights()
    np.testing.assert_allclose(new_w, w - (clean_w + adversarial_w) / 2, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(new_b, b - (clean_b + adversarial_b) / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"known": ["day"], "model": "mlp"}, {"quantiles": [0.1, 0.9]}])
def test_adversarial_training_trains_and_its_network_is_the_plain_one(settings, tmp_path):
    days = pd.date_range("2024-01-01", periods=300)
    frame = pd.DataFrame({"y": np.sin(np.arange(300) / 5), "day": np.arange(300) % 7}, index=days)
    options = {"target": "y", "lookback": 12, "horizon": 2, "training": {"epochs": 3, "adversarial": 0.1}}
    model = forecast.Forecaster(**{**options, **settings}).fit(frame, quiet=True)
    assert model.run_.best_epoch > 0
    loaded = forecast.Forecaster.load(model.save("adversarial", tmp_path))
    assert "adversarial" not in str(loaded.network_.get_config())


# --- clipping, dropout, L2 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "largest"), [({"clip_norm": 0.01}, 0.001), ({"clip_value": 0.01}, 0.001 * 3**0.5)])
def test_clipping_bounds_what_a_step_learns_from(option, largest):
    """Adam's first momentum is a tenth of the gradient, which is large here."""

    def momentum(**spec):
        model = dense()
        compile_model(model, TrainingSpec(**spec))
        model.fit(X, 100 * Y, batch_size=16, epochs=1, shuffle=False, verbose=0)
        found = [v.numpy() for v in model.optimizer.variables if "momentum" in v.path]
        return np.sqrt(sum((one**2).sum() for one in found))

    assert momentum() > 1
    assert momentum(**option) == pytest.approx(largest, rel=1e-3)


def small_lstm(**options):
    model = forecast.Forecaster(
        {"name": "lstm", "units": 4, **options}, target="Close", lookback=10, training={"epochs": 2}
    )
    return model.fit("sample:goog", quiet=True)


def test_l2_keeps_kernels_smaller_and_counts_in_the_loss():
    plain, held = small_lstm(), small_lstm(l2=0.1)

    def size(model):
        return sum(float((w**2).sum()) for w in model.network_.get_weights() if w.ndim == 2 and w.shape[1] == 16)

    assert size(held) < 0.8 * size(plain)
    assert held.run_.history["loss"][1] > plain.run_.history["loss"][1] + 0.05


@pytest.mark.parametrize("option", ["dropout", "recurrent_dropout"])
def test_dropout_leaves_out_in_training_and_nothing_in_a_forecast(option):
    model = small_lstm(**{option: 0.5})
    x = RANDOM.normal(0, 1, (4, 10, 1)).astype(np.float32)
    network = model.network_
    forecasts = [np.asarray(network(x, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*forecasts)
    trained = [np.asarray(network(x, training=True)) for _ in range(2)]
    assert (trained[0] != trained[1]).any()
    assert model.run_.history["loss"][1] != small_lstm().run_.history["loss"][1]


# --- gradients --------------------------------------------------------------------------------------------------------


def test_the_monitor_measures_the_gradient_of_the_loss_by_each_layer():
    feed = feeds(Extras())
    model = keras.Sequential(
        [
            keras.Input((2, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="lower"),
            keras.layers.Dense(1, name="top"),
        ]
    )
    model = keras.Sequential([model, keras.layers.Reshape((1, 1))])
    compile_model(model, TrainingSpec())
    monitor = Gradients(model, feed)
    monitor.set_model(model)
    monitor.on_epoch_end(0)
    assert list(layers_of(model)) == ["lower", "top"]
    x, y = feed.batch(np.arange(len(feed.index)), np.random.default_rng(0))
    (w1, b1), (w2, b2) = (model.layers[0].get_layer(name).get_weights() for name in ("lower", "top"))
    x, y = x[:, :, 0].astype(np.float64), y[:, 0].astype(np.float64)
    parts = np.array_split(np.arange(len(x)), len(x) // 25)
    expected = []
    for part in parts:
        h = x[part] @ w1 + b1
        error = 2 * (h @ w2 + b2 - y[part]) / len(part)
        top = np.sqrt(((h.T @ error) ** 2).sum() + (error.sum(axis=0) ** 2).sum())
        back = error @ w2.T
        lower = np.sqrt(((x[part].T @ back) ** 2).sum() + (back.sum(axis=0) ** 2).sum())
        expected.append((lower, top))
    np.testing.assert_allclose(monitor.frame()["norm"], np.mean(expected, axis=0), rtol=1e-4)
    assert monitor.frame()["epoch"].tolist() == [1, 1]


def test_the_monitor_changes_no_bit_of_the_training():
    settings = {"target": "Close", "lookback": 10, "model": {"name": "lstm", "units": 4, "dropout": 0.2}}
    plain, watched = (
        forecast.Forecaster(**settings, training={"epochs": 2, "monitor": on}).fit("sample:goog", quiet=True)
        for on in (False, True)
    )
    for a, b in zip(plain.network_.get_weights(), watched.network_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert plain.run_.gradients is None
    assert watched.run_.gradients["layer"].unique().tolist() == ["lstm", "head"]
    assert len(watched.run_.gradients) == 2 * len(watched.run_.history[1:])


@pytest.mark.parametrize(("norm", "said"), [(1e-5, "below 0.001 in 3 of 3"), (5.0, "above 0.1 in 3 of 3"), (0.01, "")])
def test_a_layer_outside_the_usual_is_named(norm, said):
    frame = pd.DataFrame(
        {"epoch": [1, 2, 3, 1, 2, 3], "layer": ["fine"] * 3 + ["odd"] * 3, "norm": [0.01] * 3 + [norm] * 3}
    )
    found = unusual(frame)
    assert len(found) == bool(said)
    assert all(f"layer 'odd' was {said}" in sentence for sentence in found)


def test_a_warning_names_the_layer_while_training():
    stream = io.StringIO()
    model = keras.Sequential(
        [keras.Input((2, 1)), keras.layers.Flatten(), keras.layers.Dense(1, name="loud"), keras.layers.Reshape((1, 1))]
    )
    feed = Fixed(X, 1000 * Y)
    feed.index, feed.batch_size = np.arange(16), 16
    feed.batch = lambda which, random, epoch: (X[which], 1000 * Y[which])
    run = fit(model, feed, Fixed(X, 1000 * Y), TrainingSpec(epochs=2, monitor=True), Progress(stream=stream))
    assert "The gradient of layer 'loud' was above 0.1 in 2 of 2 epochs" in stream.getvalue()
    assert run.gradients["norm"].min() > 0.1


def test_gradients_are_saved_and_drawn(tmp_path):
    model = forecast.Forecaster(target="Close", lookback=10, training={"epochs": 2, "monitor": True})
    path = model.fit("sample:goog", quiet=True).save("watched", tmp_path)
    loaded = forecast.Forecaster.load(path)
    pd.testing.assert_frame_equal(loaded.run_.gradients, model.run_.gradients)
    axes = loaded.plot("gradients", data="sample:goog")
    assert [line.get_label() for line in axes.get_lines()][:2] == ["lstm", "head"]
    assert axes.get_yscale() == "log"


def test_gradients_that_nobody_watched_cannot_be_drawn():
    model = small_lstm()
    with pytest.raises(ConfigError, match=r"training.monitor=true"):
        model.plot("gradients")


# --- 16 bits, TensorBoard ---------------------------------------------------------------------------------------------


def test_without_a_gpu_16_bits_are_refused_with_a_sentence_and_training_goes_on(capsys):
    model = forecast.Forecaster(target="Close", lookback=10, training={"epochs": 1, "precision": "mixed"})
    model.fit("sample:goog")
    assert "training.precision: mixed needs a GPU with tensor cores, and there is no GPU" in capsys.readouterr().err


def test_in_16_bits_the_weights_and_the_saved_network_stay_in_32(monkeypatch, tmp_path):
    monkeypatch.setattr("forecast.training.precision.in_sixteen_bits", lambda *_: "mixed_float16")
    model = forecast.Forecaster(
        {"name": "lstm", "units": 8}, target="Close", lookback=10, training={"epochs": 2, "precision": "mixed"}
    )
    model.fit("sample:goog", quiet=True)
    loaded = forecast.Forecaster.load(model.save("sixteen", tmp_path))
    assert {layer.compute_dtype for layer in loaded.network_._flatten_layers()} == {"float32"}
    assert model.run_.best_epoch > 0
    full = forecast.Forecaster({"name": "lstm", "units": 8}, target="Close", lookback=10, training={"epochs": 2})
    losses = full.fit("sample:goog", quiet=True).run_.history["val_loss"], model.run_.history["val_loss"]
    np.testing.assert_allclose(*losses, rtol=0.05)
    assert (losses[0] != losses[1]).any()


def test_tensorboard_gets_losses_gradients_and_gates(tmp_path):
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs the extra")
    settings = {"epochs": 3, "patience": 9, "tensorboard": str(tmp_path / "logs")}
    model = forecast.Forecaster(target="Close", lookback=10, training=settings).fit("sample:goog", quiet=True)
    board = loading.EventAccumulator(str(tmp_path / "logs"))
    board.Reload()
    tags = set(board.Tags()["tensors"])
    assert {"loss/training", "loss/validation", "learning_rate", "gradient/lstm", "gradient/head"} <= tags
    assert {"lstm/forget gate", "lstm/cell state"} <= {
        tag.replace("lstm_", "lstm").translate({ord(d): None for d in "0123456789"}) for tag in tags
    }
    points = [float(tf.make_ndarray(event.tensor_proto)) for event in board.Tensors("loss/validation")]
    np.testing.assert_allclose(points, model.run_.history["val_loss"][1:], rtol=1e-6)


def test_without_tensorboard_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    model = forecast.Forecaster(target="Close", lookback=10, training={"epochs": 1, "tensorboard": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"pip install 'keras-forecast\[tensorboard\]'"):
        model.fit("sample:goog", quiet=True)


def test_both_halves_of_the_mixed_loss_weigh_the_same_for_a_naive_forecast():
    """Whatever the size of a series: the naive forecast's MASE is 1, and its sMAPE over the usual one as well."""
    for level in (10.0, 1000.0):
        y = level + np.array([[[1.0], [-1.0], [1.0], [-1.0]]], np.float32)  # naive errs by 2
        naive = level - np.array([[[1.0], [-1.0], [1.0], [-1.0]]], np.float32)
        told = with_units(y, slope=[[1.0]], intercept=[[0.0]], scale=[[2.0]])
        loss = PerSeries("mixed", usual=2 / level)
        assert float(loss(told, naive)) == pytest.approx(1.0, rel=0.02)


def test_the_usual_smape_is_that_of_the_naive_forecast():
    from forecast.fitting import lesson_of, usual_smape

    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(["a", "b"], 400),
            "ds": np.tile(np.arange(400), 2),
            "y": np.concatenate([100 + random.normal(0, 5, 400), 5000 + random.normal(0, 50, 400)]),
        }
    )
    panel = Panel.from_frame(frame)
    splits = split(panel)
    config = forecast.ForecastConfig(target="y", lookback=4, horizon=1, training={"loss": "mixed"})
    pipeline = DataPipeline(config.pipeline(("y",))).fit(panel, splits)
    lesson = lesson_of(pipeline, pipeline.transform(panel), splits, config)
    first, end = splits.rows("train")
    expected = []
    for s in range(2):
        y = panel.values[first[s] : end[s], 0].astype(float)
        expected.append(np.mean(2 * np.abs(np.diff(y)) / (np.abs(y[1:]) + np.abs(y[:-1]))))
    assert usual_smape(lesson) == pytest.approx(np.mean(expected), rel=0.02)
