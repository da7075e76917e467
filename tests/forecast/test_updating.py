"""An update never makes the guarded score worse, learns from nothing it is judged by, and touches nothing else."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import forecast
from forecast.cli import app
from forecast.updating import fine_tune, update
from pipelines.errors import ConfigError, DataError, UnknownName

DAYS = pd.date_range("2024-01-01", periods=260)


def wave(rows=260, shift=0.0, seed=0, after=200):
    """A sine that changes its period and level after some rows, so that there is something to learn."""
    t = np.arange(rows)
    random = np.random.default_rng(seed)
    phase = np.where(t < after, t / 4, after / 4 + (t - after) / 2)
    return 10 + shift + np.sin(phase) * np.where(t < after, 1, 2) + random.normal(0, 0.1, rows)


def frame(names=("a", "b"), rows=260, integers=False):
    stamps = np.arange(rows) if integers else DAYS[:rows]
    parts = [pd.DataFrame({"unique_id": n, "ds": stamps, "y": wave(rows, 5 * i, i)}) for i, n in enumerate(names)]
    return pd.concat(parts, ignore_index=True)


def first_rows(data, rows):
    return data.groupby("unique_id", group_keys=False).head(rows)


def fitted(data, **settings):
    options = {
        "target": "y",
        "lookback": 12,
        "horizon": 2,
        "season_length": 1,
        "training": {"epochs": 4, "learning_rate": 0.01},
    }
    model = forecast.Forecaster(settings.pop("model", {"name": "mlp", "units": [16]}), **{**options, **settings})
    return model.fit(data, quiet=True)


@pytest.fixture(scope="module")
def data():
    return frame()


@pytest.fixture(scope="module")
def model(data):
    return fitted(first_rows(data, 200))


def guarded_error(model, data, rows):
    """Returns the mean scaled error of all windows whose futures lie in the last rows, in its own arithmetic."""
    errors = []
    for _, one in data.groupby("unique_id"):
        values = one["y"].to_numpy()
        scale = np.abs(np.diff(values[: len(values) - rows].astype(np.float32))).mean()
        for cutoff in range(len(values) - rows - 1, len(values) - 2):
            said = model.predict(data=one.iloc[: cutoff + 1], levels=())["y_pred"].to_numpy()
            errors.append(np.abs(said - values[cutoff + 1 : cutoff + 3]) / scale)
    return float(np.mean(errors))


def test_the_scores_are_those_of_the_windows_after_all_that_was_learned(model, data):
    found = update(model, data, guard=20, quiet=True)
    assert found.accepted
    assert found.guard == 2 * 19
    assert found.old == pytest.approx(guarded_error(model, data, 20), rel=1e-3)
    assert found.new == pytest.approx(guarded_error(found.forecaster, data, 20), rel=1e-3)
    assert found.new < found.old
    assert (found.first, found.last) == (str(DAYS[239]), str(DAYS[257]))


@pytest.mark.parametrize("rate", [1e-4, 0.01, 1.0, 100.0])
def test_no_learning_rate_makes_the_guarded_score_worse(rate, model, data):
    found = update(model, data, learning_rate=rate, quiet=True)
    assert found.accepted == (found.new < found.old)
    if found.accepted:
        assert guarded_error(found.forecaster, data, 20) < guarded_error(model, data, 20)
    else:
        assert found.forecaster is model
        assert "not accepted: the old weights stay" in str(found)


def test_the_forecaster_that_is_given_stays_as_it_is(model, data):
    weights, splits = model.network_.get_weights(), model.splits_.bounds.copy()
    update(model, data, quiet=True)
    for before, after in zip(weights, model.network_.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(model.splits_.bounds, splits)


def test_what_is_guarded_changes_no_step_of_the_training(model, data):
    """The guard may choose the epoch; with one epoch there is nothing to choose but old or new."""
    poisoned = data.copy()
    late = poisoned.groupby("unique_id").cumcount() >= 240
    poisoned.loc[late, "y"] = poisoned.loc[late, "y"] * 1.02 + 0.01
    found = [update(model, rows, epochs=1, guard=20, quiet=True) for rows in (data, poisoned)]
    assert all(one.accepted for one in found)
    for a, b in zip(*(one.forecaster.network_.get_weights() for one in found), strict=True):
        np.testing.assert_array_equal(a, b)


def test_after_an_update_no_row_that_is_known_is_test(model, data):
    found = update(model, data, guard=20, quiet=True)
    updated, parts = found.forecaster, found.forecaster.splits_
    np.testing.assert_array_equal(parts.rows("train")[1] - updated.panel_.offsets[:-1], [240, 240])
    assert parts.count("validation") == 40
    assert parts.count("test") == parts.count("calibration") == 0
    with pytest.raises(DataError, match=r"The test part must hold one window.*Received: 0 test rows"):
        updated.evaluate()
    later = frame(rows=260)
    more = pd.concat(
        [later, pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-09-17", periods=9), "y": wave(269)[260:]})]
    )
    backtest = updated.backtest(more)
    assert backtest.panel.ds[backtest.index.cutoffs].min() >= int(DAYS[259].as_unit("ns").value)


def test_a_second_update_builds_on_the_first_and_both_are_remembered(model, data, tmp_path):
    first = update(model, first_rows(data, 240), quiet=True)
    path = first.forecaster.save("wave", tmp_path)
    loaded = forecast.Forecaster.load(path)
    second = update(loaded, data, quiet=True)
    assert first.accepted
    assert second.accepted
    assert second.forecaster.splits_.rows("train")[1][0] > first.forecaster.splits_.rows("train")[1][0]
    manifest = json.loads((second.forecaster.save("wave", tmp_path) / "manifest.json").read_text())
    assert manifest["version"] == 2
    assert [one["what"] for one in manifest["lineage"]] == ["update", "update"]
    assert manifest["lineage"][1]["from"]["version"] == 1
    assert forecast.Forecaster.load(path).predict(data=data)["y_pred"].tolist() == pytest.approx(
        first.forecaster.predict(data=data)["y_pred"].tolist(), rel=1e-6
    )


@pytest.mark.parametrize("loaded", [False, True])
def test_without_new_rows_it_is_refused(loaded, model, data, tmp_path):
    known = first_rows(data, 200)
    if loaded:
        model = forecast.Forecaster.load(model.save("wave", tmp_path))
    with pytest.raises(
        DataError, match=r"rows after the last that the forecaster knows. Received: none after 2024-07-18"
    ):
        update(model, known, quiet=True)
    with pytest.raises(DataError, match=r"the latest is of 2024-07-08"):
        update(model, first_rows(data, 190), quiet=True)


def test_too_few_rows_that_nobody_learned_from_are_refused(data):
    model = fitted(first_rows(data, 200), split={"validation": 0.05, "calibration": 0.0, "test": 0.0})
    with pytest.raises(
        DataError, match=r"needs 20 rows that the network has not learned from.* Received: 11 such rows"
    ):
        update(model, first_rows(data, 201), quiet=True)


@pytest.mark.parametrize("wrong", [{"guard": 0}, {"guard": 1}, {"recent": -3}, {"epochs": 0}, {"learning_rate": 0.0}])
def test_wrong_settings_are_refused(wrong, model, data):
    with pytest.raises((ConfigError, DataError), match=r"guard|recent|epochs|learning_rate"):
        update(model, data, quiet=True, **wrong)


OTHERS = {
    "an lstm": {"model": {"name": "lstm", "units": 4}},
    "a teacher": {"model": {"name": "encoder_decoder", "units": 4}},
    "an ensemble": {"ensemble": 2},
    "quantiles": {"quantiles": [0.1, 0.9]},
    "returns": {"predict": "return"},
    "a loss per series": {"training": {"epochs": 2, "loss": "mixed"}},
    "no season, features": {"features": ["day_of_week"], "model": "lstm"},
}


@pytest.mark.parametrize("settings", OTHERS.values(), ids=OTHERS)
def test_every_kind_of_forecaster_is_updated(settings, data, tmp_path):
    model = fitted(first_rows(data, 200), **settings)
    loaded = forecast.Forecaster.load(model.save("wave", tmp_path))
    found = [update(one, data, quiet=True) for one in (model, loaded)]
    assert found[0].new == pytest.approx(found[1].new, rel=1e-5)
    assert found[0].accepted == (found[0].new < found[0].old)
    assert len(found[0].forecaster.predict(data=data)) == 4


def test_a_model_of_ones_own_is_updated_from_its_bundle(data, tmp_path):
    import keras

    own = keras.Sequential([keras.Input((12, 1)), keras.layers.GRU(4), keras.layers.Dense(2)])
    path = fitted(first_rows(data, 200), model=own).save("own", tmp_path)
    found = update(forecast.Forecaster.load(path), data, quiet=True)
    assert found.accepted == (found.new < found.old)


def test_integer_stamps_and_new_series_are_updated(tmp_path):
    data = frame(integers=True)
    model = forecast.Forecaster.load(fitted(first_rows(data, 200)).save("wave", tmp_path))
    with pytest.raises(DataError, match="none after 199"):
        update(model, first_rows(data, 200), quiet=True)
    found = update(model, frame(names=("a", "b", "new"), integers=True), quiet=True)
    assert found.guard == 3 * (found.forecaster.splits_.count("validation") // 3 - 1)
    assert found.forecaster.splits_.count("test") == 0


# --- fine-tuning ------------------------------------------------------------------------------------------------------


def test_fine_tuning_learns_from_one_series_alone(model, data):
    known = first_rows(data, 200)
    found = fine_tune(model, "a", quiet=True)
    assert found.learned == model.splits_.bounds[0, 1] - 12 - 2 + 1
    other = known.copy()
    other.loc[other["unique_id"] == "b", "y"] = 7.0
    same = fine_tune(model, "a", other, quiet=True)
    assert (found.old, found.new) == (same.old, same.new)
    assert found.accepted == (found.new < found.old)
    if found.accepted:
        assert found.forecaster.panel_.ids == ("a",)
        assert found.forecaster.evaluate() is not None


def test_an_unknown_series_is_named(model):
    with pytest.raises(UnknownName, match=r"No series is called 'c'. Choose from: a, b"):
        fine_tune(model, "c", quiet=True)


# --- the command ------------------------------------------------------------------------------------------------------


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def test_the_command_saves_a_new_version_where_it_is_better(model, data, tmp_path):
    model.save("wave", tmp_path)
    data.to_csv(tmp_path / "rows.csv", index=False)
    done = run("update", "wave", tmp_path / "rows.csv", "--folder", tmp_path, "--quiet")
    assert done.exit_code == 0, done.output
    assert "update, accepted: the error falls by" in done.output
    assert (tmp_path / "wave/2/manifest.json").is_file()
    worse = run("update", "wave/1", tmp_path / "rows.csv", "--folder", tmp_path, "-q", "--learning-rate", "100")
    assert worse.exit_code == 0, worse.output
    assert "not accepted" in worse.output
    assert "none new" in worse.output
    assert not (tmp_path / "wave/3").exists()
    tuned = run("update", "wave/1", tmp_path / "rows.csv", "--folder", tmp_path, "-q", "--json", "--series", "a")
    about = json.loads(tuned.output)
    assert about["accepted"] == (tmp_path / "wave-a/1").is_dir()
    again = run("update", "wave/2", tmp_path / "rows.csv", "--folder", tmp_path, "-q")
    assert isinstance(again.exception, DataError)
