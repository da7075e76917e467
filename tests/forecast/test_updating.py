"""An update never makes the guarded score worse, learns from nothing it is judged by, and touches nothing else."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import forecast
from forecast.cli import app, main
from forecast.fitting import train_network
from forecast.updating import fine_tune, update
from pipelines.errors import ConfigError, DataError, SeriesTooShort, Stopped, UnknownName

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
    assert (found.first, found.last) == (str(DAYS[240].date()), str(DAYS[259].date()))


@pytest.mark.parametrize("rate", [1e-4, 0.01, 1.0, 10.0, 100.0])
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


def test_too_few_rows_that_nobody_saw_are_refused_and_the_advice_can_be_followed(data):
    model = fitted(first_rows(data, 200), split={"validation": 0.1, "calibration": 0.0, "test": 0.0})
    needs = r"needs 20 rows that the weights have neither learned from nor were chosen by\. Received: 1 such rows\. "
    with pytest.raises(DataError, match=needs + r"Give 19 more, or choose guard=20, which takes rows"):
        update(model, first_rows(data, 201), quiet=True)
    with pytest.raises(DataError, match=r"needs 22 rows.* not learned from\. Received: 21.* Give 1 more, or a smaller"):
        update(model, first_rows(data, 201), guard=22, quiet=True)
    for found, chose in (
        (update(model, first_rows(data, 201), guard=20, quiet=True), 19),
        (update(model, first_rows(data, 220), quiet=True), 0),
    ):
        assert (found.guard, found.chose) == (2 * 19, chose)
        assert ("19 of them chose the old weights" in str(found)) == bool(chose)


@pytest.mark.parametrize("wrong", [{"guard": 0}, {"guard": 1}, {"recent": -3}, {"epochs": 0}, {"learning_rate": 0.0}])
def test_wrong_settings_are_refused(wrong, model, data):
    with pytest.raises((ConfigError, DataError), match=r"guard|recent|epochs|learning_rate"):
        update(model, data, quiet=True, **wrong)


# --- which rows are new, and where they are cut -----------------------------------------------------------------------


def grown(rows, integers=False):
    """Returns series `a`, `b`, ... of these many rows."""
    whole = frame([*"abc"][: len(rows)], max(rows), integers)
    return whole[whole.groupby("unique_id").cumcount() < whole["unique_id"].map(dict(zip("abc", rows, strict=False)))]


@pytest.fixture(scope="module", params=[False, True], ids=["dates", "integers"])
def short(request):
    """Two series of 100 rows; 60 taught the weights, 10 chose them."""
    return request.param, fitted(grown([100, 100], request.param), training={"epochs": 1})


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    a=st.integers(101, 150),
    b=st.integers(95, 150),
    c=st.integers(30, 60),
    guard=st.none() | st.integers(2, 30),
    recent=st.none() | st.integers(2, 99),
)
def test_what_decides_was_never_seen_and_no_future_is_on_both_sides(short, a, b, c, guard, recent):
    integers, model = short
    seen = {}

    def noted(network, lesson, *others):
        seen["lesson"] = lesson
        raise DataError("enough")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forecast.updating.train_network", noted)
        found = update(model, grown([a, b, c], integers), guard=guard, recent=recent, quiet=True)
    assert (found.accepted, found.why, found.forecaster) == (False, "enough", model)
    rows, taught, decides = seen["lesson"].rows.panel, seen["lesson"].training, seen["lesson"].validation
    futures = [index.cutoffs[:, None] + [1, 2] for index in (taught, decides)]
    assert not np.intersect1d(*futures).size
    known = 60 if guard else 70  # asked for, the guard may take rows that chose the weights
    own = decides.series < 2  # the third series is new
    assert (futures[1] - rows.offsets[decides.series][:, None])[own].min() >= known or not own.any()
    for index, future in zip((taught, decides), futures, strict=True):
        assert (future < rows.offsets[1:][index.series][:, None]).all()
    for s in np.unique(taught.series):
        late = rows.offsets[s + 1] - (futures[0][taught.series == s].min())
        assert late <= (recent or 1000) + (guard or 1000)


def test_series_without_new_rows_are_not_judged_by_old_ones(tmp_path):
    model = fitted(grown([100, 100], integers=True))
    first = update(model, grown([160, 130], integers=True), epochs=9, learning_rate=0.01, quiet=True)
    assert first.accepted
    path = first.forecaster.save("wave", tmp_path)
    for more, windows in (([200, 130], 19), ([200, 133], 19 + 2)):  # the last 20 of the one, what is new of the other
        second = update(forecast.Forecaster.load(path), grown(more, integers=True), quiet=True)
        assert second.guard == windows


def test_a_series_that_is_not_handed_in_keeps_its_parts(tmp_path):
    model = forecast.Forecaster.load(fitted(grown([100, 100], integers=True)).save("wave", tmp_path))
    alone = update(model, grown([160], integers=True), epochs=9, learning_rate=0.01, quiet=True)
    assert alone.accepted
    later = forecast.Forecaster.load(alone.forecaster.save("wave", tmp_path))
    parts = later.attach(grown([170, 110], integers=True)).splits_
    assert parts.bounds.tolist() == [[0, 140, 160, 160, 170], [170, 230, 240, 250, 280]]


def test_series_that_were_cut_at_a_stamp_are_cut_at_one_after_an_update(tmp_path):
    model = fitted(grown([100, 90], integers=True), split={"validation": "60", "test": "70"})
    found = update(model, grown([160, 150], integers=True), epochs=9, learning_rate=0.01, quiet=True)
    assert found.accepted
    later = forecast.Forecaster.load(found.forecaster.save("wave", tmp_path)).attach(grown([170, 165], integers=True))
    assert later.splits_.starts == {"validation": 140, "calibration": 160, "test": 160}
    assert later.splits_.count("test") == 10 + 5


def test_rows_that_are_shown_are_not_yet_learned_from(model, data, tmp_path):
    loaded = forecast.Forecaster.load(model.save("wave", tmp_path)).attach(data)
    assert update(loaded, data, quiet=True).learned > 0
    del loaded.manifest_["data"]["until"]  # as an older version saved it
    assert update(loaded, data, quiet=True).learned > 0
    with pytest.raises(DataError, match=r"none after 2024-07-18; the latest is of 2024-07-18"):
        update(loaded, first_rows(data, 200), quiet=True)


def test_new_rows_need_enough_before_them(model, data):
    new = data[data.groupby("unique_id").cumcount() >= 230]
    with pytest.raises(SeriesTooShort, match=r"One window needs 14 rows.*Received: 10 rows.*Give 4 more"):
        update(model, new, guard=20, quiet=True)
    with pytest.raises(DataError, match=r"future of 2 rows in the recent ones\. Received: 1 recent rows\. Raise"):
        update(model, data, recent=1, quiet=True)
    gone = data.copy()
    gone.loc[gone.groupby("unique_id").cumcount() % 2 == 0, "y"] = np.where(gone.index[::2] % 260 >= 236, np.nan, 1.0)
    with pytest.raises(DataError, match=r"The guard must hold a future of 2 rows without missing values"):
        update(fitted(first_rows(data, 200), cleaning={"gaps": "keep"}), gone, guard=20, quiet=True)


# --- whatever happens, the old one stays ------------------------------------------------------------------------------


def everything(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_loss_that_is_no_number_leaves_the_old_weights(model, data):
    steep = data.assign(y=data["y"].where(data.groupby("unique_id").cumcount() < 205, 3e38))
    found = update(model, steep, quiet=True)
    assert not found.accepted
    assert found.forecaster is model
    assert "loss must stay a number" in found.why


def test_after_a_stop_by_hand_the_guard_decides_over_what_there_is(model, data, monkeypatch):
    monkeypatch.setattr("forecast.updating.train_network", lambda *all: replace(train_network(*all), interrupted=True))
    found = update(model, data, epochs=1, quiet=True)
    assert found.accepted
    assert found.why == "epoch 1 of 1 was the best, stopped by hand"


def broken(how):
    """Returns a training that moves all weights, and then does not come back."""

    def train(network, *others):
        network.set_weights([weight + 1 for weight in network.get_weights()])
        how()

    return train


def interrupt():
    raise KeyboardInterrupt


def test_a_stop_by_hand_or_by_a_scheduler_leaves_the_old_one_intact(model, data, tmp_path, monkeypatch):
    model.save("wave", tmp_path)
    data.to_csv(tmp_path / "rows.csv", index=False)
    before, said = everything(tmp_path), model.predict(data=data)
    words = ("update", "wave", tmp_path / "rows.csv", "--folder", tmp_path, "--quiet")
    monkeypatch.setattr("forecast.updating.train_network", broken(interrupt))
    with pytest.raises(KeyboardInterrupt):
        update(model, data, quiet=True)
    run(*words)
    monkeypatch.setattr("forecast.updating.train_network", broken(lambda: os.kill(os.getpid(), signal.SIGTERM)))
    stopped = run(*words)
    assert isinstance(stopped.exception, Stopped)
    assert "Nothing was changed; give the same command again" in str(stopped.exception)
    monkeypatch.setattr("forecast.updating.train_network", train_network)
    pd.testing.assert_frame_equal(model.predict(data=data), said)
    assert everything(tmp_path) == before
    assert run(*words).exit_code == 0
    assert before.items() <= everything(tmp_path).items()  # version 1 is as it was, beside the new one


# --- every kind -------------------------------------------------------------------------------------------------------


OTHERS = {
    "an lstm": {"model": {"name": "lstm", "units": 4}},
    "a teacher, known ahead": {"model": {"name": "encoder_decoder", "units": 4}, "known": ["promo"]},
    "an ensemble": {"ensemble": 2},
    "quantiles": {"quantiles": [0.1, 0.9]},
    "returns": {"predict": "return"},
    "a loss per series": {"training": {"epochs": 2, "loss": "mixed"}},
    "no season, features": {"features": ["day_of_week"], "model": "lstm"},
    "a gap": {"gap": 3, "split": {"test": 0.3}},
    "members that differ": {"ensemble": ["mlp", {"model": "lstm", "lookback": 6}]},
    "seasons, and two targets": {"season_length": None, "target": ["y", "promo"], "static": ["size"]},
}


@pytest.mark.parametrize("settings", OTHERS.values(), ids=OTHERS)
def test_every_kind_of_forecaster_is_updated(settings, data, tmp_path):
    data = data.assign(promo=data.groupby("unique_id").cumcount() % 7, size=data["unique_id"].map({"a": 1.0, "b": 2.0}))
    model = fitted(first_rows(data, 200), **settings)
    loaded = forecast.Forecaster.load(model.save("wave", tmp_path))
    found = [update(one, data, quiet=True) for one in (model, loaded)]
    assert found[0].new == pytest.approx(found[1].new, rel=1e-5)
    assert found[0].accepted == (found[0].new < found[0].old)
    if "known" not in settings:
        assert len(found[0].forecaster.predict(data=data)) == 4 * len(model.target)


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


def test_fine_tuning_never_makes_the_validation_part_worse_and_leaves_test_alone(model, data):
    known = first_rows(data, 200)
    for rate in (0.003, 10.0):
        found = fine_tune(model, ["a", "b", "a"], learning_rate=rate, quiet=True)
        assert found.accepted == (found.new < found.old)
        assert found.forecaster.panel_.ids == ("a", "b")
    test = known.groupby("unique_id").cumcount() >= 160
    poisoned = known.assign(y=known["y"].where(~test, 99.0))
    found = [fine_tune(model, "a", rows, learning_rate=0.003, quiet=True) for rows in (known, poisoned)]
    assert found[0].accepted
    for a, b in zip(*(one.forecaster.network_.get_weights() for one in found), strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[0].forecaster.splits_.starts == model.splits_.starts


def test_a_series_that_was_not_in_training_is_learned_from_its_own_rows(model, data):
    found = fine_tune(model, "new", first_rows(data, 200).replace({"unique_id": {"a": "new"}}), quiet=True)
    assert found.what == "fine-tuning on new"
    assert found.accepted == (found.new < found.old)


def test_no_series_is_none_to_learn_from(model):
    with pytest.raises(ConfigError, match=r"needs the name of a series\. Received: none\. Name one"):
        fine_tune(model, [], quiet=True)


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


def test_the_new_version_lies_beside_the_path_that_was_given_and_waits_for_rows_to_test(model, data, tmp_path, capsys):
    path = model.save("wave", tmp_path / "elsewhere")
    data.to_csv(tmp_path / "rows.csv", index=False)
    assert run("update", path, tmp_path / "rows.csv", "-q").exit_code == 0
    new = forecast.Forecaster.load(tmp_path / "elsewhere/wave/2")
    assert new.source_ == str(tmp_path / "rows.csv")
    assert new.manifest_["lineage"][0]["from"]["digest"] == json.loads((path / "manifest.json").read_text())["digest"]
    capsys.readouterr()
    for words, code, message in [
        (
            ("evaluate", new.path_),
            65,
            "Received: 0 test rows in the longest of 2 series. Give later rows, which the weights do not know; "
            "or raise",
        ),
        (("update", new.path_), 65, "none after 2024-09-16; the latest is of 2024-09-16. Give newer rows"),
        (("update", new.path_, "--series", "x"), 78, "No series is called 'x'. Choose from: a, b"),
        (("update", new.path_, "--series", "a", "--guard", "9"), 78, "--guard` and `--recent` are for new rows"),
        (("update", new.path_, "--learning-rate", "0"), 78, "learning_rate"),
    ]:
        with pytest.raises(SystemExit) as end:
            main([*map(str, words)])
        out, err = capsys.readouterr()
        assert (end.value.code, out) == (code, "")
        assert message in err
        assert "Traceback" not in err
    assert sorted(p.name for p in (tmp_path / "elsewhere/wave").iterdir()) == ["1", "2"]


def test_fine_tuning_is_saved_under_a_name_of_its_own(model, data, tmp_path):
    path = model.save("wave", tmp_path)
    first_rows(data, 200).to_csv(tmp_path / "rows.csv", index=False)
    words = ("update", path, tmp_path / "rows.csv", "--series", "a", "--learning-rate", "0.003", "-q")
    assert "fine-tuning on a, accepted" in run(*words, "--name", "mine").output
    tuned = forecast.Forecaster.load("mine", tmp_path)
    assert (tuned.manifest_["data"]["series"], tuned.manifest_["lineage"][0]["what"]) == (1, "fine-tuning on a")
    assert tuned.evaluate(tmp_path / "rows.csv").verdict
    assert [p.name for p in (tmp_path / "wave").iterdir()] == ["1"]
