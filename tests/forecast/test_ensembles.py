"""Several networks forecast as one: their median or mean, in one bundle, one file, and everywhere a network goes."""

import numpy as np
import pytest
from typer.testing import CliRunner

import forecast
from forecast.cli import app
from forecast.ensembles import ensemble_of, median
from pipelines.errors import ConfigError

WAVE = "synthetic:sine?rows=600&season_length=12&freq=h"
FEW = {"lookback": 24, "horizon": 3, "training": {"epochs": 2}}


def fitted(*model, **settings):
    return forecast.Forecaster(*model, **{**FEW, **settings}).fit(WAVE, quiet=True)


@pytest.mark.parametrize("count", range(2, 8))
def test_the_median_of_networks_is_that_of_numpy(count):
    import keras

    values = np.random.default_rng(count).normal(size=(count, 50, 3)).astype(np.float32)
    inputs = [keras.Input((3,)) for _ in range(count)]
    found = keras.Model(inputs, median(inputs))(list(values))
    np.testing.assert_allclose(found, np.median(values, axis=0), rtol=1e-6)


@pytest.mark.parametrize("combine", ["median", "mean"])
def test_an_ensemble_forecasts_what_its_members_would_alone(combine):
    members = [{"seed": 3}, {"model": {"name": "gru", "units": 8}}, {"model": "linear"}]
    together = fitted("mlp", ensemble={"members": members, "combine": combine})
    alone = [fitted(one.pop("model", "mlp"), **one) for one in map(dict, members)]
    each = [one.backtest(levels=()).frame()["y_pred"] for one in alone]
    found = together.backtest(levels=()).frame()
    expected = getattr(np, combine)(each, axis=0)
    np.testing.assert_allclose(found["y_pred"], expected, rtol=1e-5)
    assert together.config.label == "ensemble"


@pytest.mark.parametrize("settings", [{"normalize": "none"}, {"normalize": "mean_std"}, {"predict": "return"}, {}])
def test_members_of_one_shell_or_of_their_own_agree(settings):
    """A member that normalises in its own way takes the shell away from the others; forecasts stay the same."""
    shared = fitted("mlp", ensemble=2, **settings)
    alone = [fitted("mlp", seed=seed, **settings).backtest(levels=()).frame()["y_pred"] for seed in (0, 1)]
    np.testing.assert_allclose(shared.backtest(levels=()).frame()["y_pred"], np.mean(alone, axis=0), rtol=1e-4)
    other = "last" if settings.get("normalize") != "last" else "none"
    mixed = fitted("mlp", ensemble={"members": [{}, {"normalize": other, "seed": 0}]}, **settings)
    assert np.isfinite(mixed.predict()["y_pred"]).all()


def test_a_bundle_of_many_seeds_is_one_bundle(tmp_path):
    model = fitted("mlp", ensemble=3)
    loaded = forecast.Forecaster.load(model.save("three", tmp_path))
    np.testing.assert_allclose(loaded.predict(data=WAVE)["y_pred"], model.predict()["y_pred"], rtol=1e-6)
    assert loaded.manifest_["model"] == "ensemble"
    assert "ensemble" in model.evaluate().table.index.get_level_values("model")
    again = loaded.backtest(WAVE, refit=20, cutoffs=20)  # settings hold all that is needed to fit again
    assert "ensemble" in again.y_pred


def test_an_ensemble_becomes_one_integer_file(tmp_path):
    model = fitted({"name": "lstm", "units": 8}, ensemble=3, training={"epochs": 6})
    report = model.export(tmp_path / "three.tflite", quiet=True)
    assert report.path.stat().st_size < 40_000
    assert report.report["network"]["model"] == "ensemble"


def test_members_of_different_shells_are_no_single_file(tmp_path):
    model = fitted("mlp", ensemble=["mlp", {"model": "linear", "normalize": "mean_std"}])
    with pytest.raises(ConfigError, match=r"One shell .* an ensemble of 2 that normalise their windows in different"):
        model.export(tmp_path / "two.tflite", quiet=True)


def test_quantiles_of_an_ensemble_do_not_cross():
    model = fitted("mlp", ensemble=3, quantiles=[0.1, 0.9])
    frame = model.backtest().frame()
    assert (frame["y_pred_q10"] <= frame["y_pred"]).all()
    assert (frame["y_pred"] <= frame["y_pred_q90"]).all()


@pytest.mark.parametrize(
    ("ensemble", "message"),
    [
        (1, "must have at least two networks. Received: one"),
        ({"members": ["lstm"], "size": 1}, "must have at least two networks"),
        (["lstm", {"lookback": 25}], "must be at most `lookback`, 24, which all share. Received: 25"),
        (["lstm", {"horizon": 2}], "horizon` must be the same for all members of an ensemble.* Received: 2"),
        ({"size": 2, "combine": "mode"}, "must be one of 'median' or 'mean'"),
        (["lstm", {"training": {"epochs": 0}}], "`training.epochs` must be an integer >= 1"),
    ],
)
def test_ensembles_that_cannot_be_are_refused(ensemble, message):
    with pytest.raises(ConfigError, match=message):
        forecast.Forecaster(ensemble=ensemble, **FEW)


# --- of bundles -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def members():
    return [fitted("mlp"), fitted("linear", lookback=12), fitted("gru", seed=1)]


def test_forecasters_that_are_trained_become_one(members):
    found = ensemble_of(members).backtest(levels=()).frame()
    one = [model.backtest(levels=()).frame().set_index(["cutoff", "step"])["y_pred"] for model in members]
    each = np.stack([frame.loc[list(zip(found["cutoff"], found["step"], strict=True))] for frame in one])
    np.testing.assert_allclose(found["y_pred"], np.median(each, axis=0), rtol=1e-5)
    assert ensemble_of(members).intervals_ is not None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"horizon": 2}, r"Received: horizon 3 and 2 in the first and member 2"),
        ({"split": {"test": 0.3}}, r"Received: another (split|scaling) in member 2"),
        ({"features": ["day_of_week"]}, r"Received: features \(\) and \('day_of_week',\)"),
        ({"ensemble": 2}, r"Received: an ensemble as member 2"),
    ],
)
def test_forecasters_that_do_not_go_together_are_refused(other, message, members):
    with pytest.raises(ConfigError, match=message):
        ensemble_of([members[0], fitted("mlp", **other)])
    with pytest.raises(ConfigError, match=r"at least two members\. Received: 1"):
        ensemble_of(members[:1])


def test_the_command_makes_one_bundle_of_several(members, tmp_path):
    for number, model in enumerate(members[:2]):
        model.save(f"m{number}", tmp_path)
    found = CliRunner().invoke(app, ["ensemble", "both", "m0", "m1", "--folder", str(tmp_path)])
    assert found.exit_code == 0, found.output
    assert "ensemble" in found.output
    assert "naive" in found.output
    assert forecast.Forecaster.load("both", tmp_path).config.ensemble.combine == "median"
