"""A training that is killed at any moment, and taken up again, ends with the very weights of one that was not."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import forecast
from forecast import bundle
from forecast.resuming import place
from forecast.training.checkpoint import Checkpoint
from pipelines.errors import ConfigError, Locked, Stopped

SETTINGS = {"target": "Close", "lookback": 10, "model": {"name": "stacked_lstm", "units": [6, 4], "dropout": 0.2}}
EPOCHS = {"epochs": 4, "patience": 9}


def fitted(keep=None, resume=False, training=None, **settings):
    options = {**SETTINGS, **settings}
    model = forecast.Forecaster(**options, training={**EPOCHS, **(training or {})})
    return model.fit("sample:goog", quiet=True, keep=keep, resume=resume)


def same(a, b):
    for one, other in zip(a.network_.get_weights(), b.network_.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(a.run_.history, b.run_.history)
    assert (a.run_.best_epoch, a.run_.interrupted) == (b.run_.best_epoch, b.run_.interrupted)


@pytest.fixture(scope="module")
def plain():
    return fitted()


def stop_after(monkeypatch, batches):
    """Makes the next training stop after so many looks; a look is eight batches, or the end of an epoch."""
    looks = iter(range(batches))
    stop = property(lambda _: next(looks, None) is None, lambda *_: None)
    monkeypatch.setattr(Checkpoint, "stop", stop, raising=False)
    monkeypatch.setattr(Checkpoint, "due", lambda _: False)


OPTIONS = {
    "plain": {},
    "cosine and average": {"training": {"schedule": {"name": "cosine", "warmup": 0.5}, "average": 0.9}},
    "plateau, jitter, adversarial": {
        "training": {"schedule": {"name": "plateau", "every": 1}, "augment": {"jitter": 0.3}, "adversarial": 0.1}
    },
    "gradients, batch normalisation": {
        "training": {"monitor": True, "clip_norm": 0.1},
        "model": {"name": "lstm", "units": 4, "batch_norm": True, "recurrent_dropout": 0.2},
    },
    "a loss per series": {"training": {"loss": "mixed"}, "model": {"name": "gru", "units": 4}},
    "a teacher": {"model": {"name": "encoder_decoder", "units": 4, "teacher_epochs": 2}, "horizon": 3},
    "an ensemble": {"ensemble": 2, "model": {"name": "mlp", "units": [4]}},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_training_that_stops_goes_on_to_the_same_bits(options, tmp_path, monkeypatch):
    whole = fitted(**options)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Stopped, match=r"Its state is kept: the same command with --resume goes on"):
            fitted(tmp_path, **options)
    again = fitted(tmp_path, resume=True, **options)
    same(again, whole)
    if whole.run_.gradients is not None:
        np.testing.assert_array_equal(again.run_.gradients["norm"], whole.run_.gradients["norm"])


def test_stopping_again_and_again_ends_the_same(plain, tmp_path, monkeypatch):
    stops = 0
    while True:
        with monkeypatch.context() as patch:
            stop_after(patch, 5)
            try:
                model = fitted(tmp_path, resume=True)
                break
            except Stopped:
                stops += 1
    assert stops > 1
    same(model, plain)


def test_a_kept_training_is_the_plain_one_and_leaves_nothing_behind(plain, tmp_path):
    model = fitted(place("goog", tmp_path))
    same(model, plain)
    assert list(place("goog", tmp_path).glob("*/network-1/state-*.npz"))
    model.save("goog", tmp_path)
    assert sorted(os.listdir(tmp_path / "goog")) == ["1"]


def test_a_damaged_state_is_left_for_the_one_before(plain, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        patch.setattr(Checkpoint, "due", lambda _: True)
        with pytest.raises(Stopped):
            fitted(tmp_path)
    states = sorted(tmp_path.glob("*/network-1/state-*.npz"), key=lambda path: path.stat().st_mtime_ns)
    assert len(states) == 2
    states[1].write_bytes(states[1].read_bytes()[:-1000])
    same(fitted(tmp_path, resume=True), plain)


def test_no_state_holds_pickled_objects(tmp_path):
    fitted(tmp_path)
    for path in tmp_path.glob("*/*/*.npz"):
        with np.load(path, allow_pickle=False) as file:
            assert all(file[name].dtype.kind in "fiub" for name in file.files)


def test_without_an_unfinished_training_resume_begins(plain, tmp_path, capsys):
    model = forecast.Forecaster(**SETTINGS, training=EPOCHS).fit("sample:goog", keep=tmp_path, resume=True)
    assert f"There is no unfinished training in {tmp_path}; this one begins." in capsys.readouterr().err
    same(model, plain)


def test_without_resume_an_unfinished_training_begins_anew_and_says_so(plain, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Stopped):
            fitted(tmp_path)
    model = forecast.Forecaster(**SETTINGS, training=EPOCHS).fit("sample:goog", keep=tmp_path)
    said = capsys.readouterr().err
    assert "begins anew; --resume goes on with one" in said
    assert "Going on after" not in said
    same(model, plain)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"training": {"learning_rate": 0.01}}, r"training\.learning_rate 0\.001, now 0\.01"),
        ({"seed": 1}, r"seed 0, now 1"),
        ({"model": {"name": "stacked_lstm", "units": [6, 5]}}, r"model\.options\.units \[6, 4\], now \[6, 5\]"),
        ({"split": {"test": 0.3}}, r"split\.test 0\.2, now 0\.3"),
    ],
)
def test_other_settings_are_refused_and_named(other, named, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Stopped):
            fitted(tmp_path)
    with pytest.raises(ConfigError, match=rf"Received, beside the unfinished one in .*{named}.* leave out `resume`"):
        fitted(tmp_path, resume=True, **other)


def test_other_rows_are_refused_and_named(tmp_path, monkeypatch):
    rows = forecast.load("sample:goog")
    model = forecast.Forecaster(**SETTINGS, training=EPOCHS)
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Stopped):
            model.fit(rows.iloc[:-5], quiet=True, keep=tmp_path)
    with pytest.raises(ConfigError, match=r"other rows or splits, 1,0\d\d up to .*, now 1,0\d\d up to"):
        model.fit(rows, quiet=True, keep=tmp_path, resume=True)
    changed = rows.iloc[:-5].copy()
    changed.iloc[7, changed.columns.get_loc("Close")] += 1
    with pytest.raises(ConfigError, match=r"other rows or splits"):
        model.fit(changed, quiet=True, keep=tmp_path, resume=True)


def test_resume_needs_a_folder():
    with pytest.raises(ConfigError, match="`resume` goes on with the state in a folder"):
        fitted(resume=True)


def test_one_process_trains_the_same_at_a_time(tmp_path):
    model = fitted(tmp_path)
    with pytest.raises(Locked, match=r"is in use\. Wait for it, or give another name"):
        fitted(tmp_path)
    fitted(tmp_path, seed=1)  # another training beside it
    model._unfinished.close(done=False)
    fitted(tmp_path, resume=True)


def test_a_failed_fit_leaves_the_forecaster_and_frees_the_lock(tmp_path, monkeypatch):
    model = fitted()
    before = model.network_
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Stopped):
            model.fit("sample:goog", quiet=True, keep=tmp_path)
    assert model.network_ is before
    model.fit("sample:goog", quiet=True, keep=tmp_path, resume=True)


# --- processes that are really killed ---------------------------------------------------------------------------------

COMMAND = "train sample:goog -t Close --lookback 10 -m lstm --set model.units=8 --set model.dropout=0.2 --epochs 8"
WORDS = [*COMMAND.split(), "--set", "training.patience=50", "--name", "goog", "--quiet", "--resume"]

# Kills the process from within: in the middle of writing a state, before and after it is put in its place, or when the
# bundle has just been renamed. Which of these, and the how manieth time, come from the command line.
DIES = """
import os, sys
import numpy as np
from forecast.cli import main
where, after = sys.argv[1], int(sys.argv[2])
count = [0]
def dies(name):
    if name == where:
        count[0] += 1
        if count[0] > after:
            os._exit(9)
savez, replace, rename = np.savez, os.replace, os.rename
def half(file, **arrays):
    first = {name: arrays[name] for name in list(arrays)[:5]}
    if where == "half" and count[0] >= after:
        savez(file, **first); file.flush()
    dies("half")
    savez(file, **arrays)
def replaced(a, b):
    if str(b).endswith(".npz"): dies("before")
    replace(a, b)
    if str(b).endswith(".npz"): dies("after")
def renamed(a, b, *rest):
    rename(a, b, *rest)
    dies("saved")
np.savez, os.replace, os.rename = half, replaced, renamed
from forecast.training.checkpoint import Checkpoint
Checkpoint.due = lambda self: True
main(sys.argv[3:])
"""


def weights(version):
    """Returns all weights of a saved network."""
    import h5py

    found = []
    with (
        zipfile.ZipFile(version / "model.keras") as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        file.visititems(lambda _, item: found.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    return found


def same_bundles(a, b):
    for one, other in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (a / "history.csv").read_text() == (b / "history.csv").read_text()


def run(folder, *start):
    words = start or ("-m", "forecast")
    command = [sys.executable, *words, *WORDS, "--folder", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(process, timeout=None):
    """Waits for a process; returns its code and what it said."""
    _, said = process.communicate(timeout=timeout)
    return process.returncode, said


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    """The version of a run that nobody killed, and how long it took."""
    folder = tmp_path_factory.mktemp("unkilled")
    started = time.monotonic()
    code, said = ended(run(folder))
    assert code == 0, said
    return folder / "goog/1", time.monotonic() - started


@pytest.mark.parametrize(("where", "after"), [("half", 2), ("before", 0), ("saved", 0)])
def test_a_kill_in_the_middle_of_saving_loses_nothing(where, after, unkilled, tmp_path):
    code, said = ended(run(tmp_path, "-c", DIES, where, str(after)))
    assert code == 9, said
    code, said = ended(run(tmp_path))
    assert code == 0, said
    assert sorted(os.listdir(tmp_path / "goog")) == ["1"]  # neither a second version nor a state is left
    same_bundles(tmp_path / "goog/1", unkilled[0])


def killed_at_random(seed, unkilled, folder):
    """Kills a training at random moments until one run ends; returns how often."""
    chance, kills = random.Random(seed), 0  # noqa: S311
    while True:
        process = run(folder)
        try:
            code, _ = ended(process, chance.uniform(0.3, 1.0) * unkilled[1])
        except subprocess.TimeoutExpired:
            sent = chance.choice([signal.SIGKILL, signal.SIGTERM])
            process.send_signal(sent)
            code, _ = ended(process)
            assert code in (-sent, 75, 0)
            kills += 1
        if code == 0:
            same_bundles(folder / "goog/1", unkilled[0])
            return kills
        assert kills < 50


@pytest.mark.parametrize("seed", range(1))
def test_kills_at_random_moments_end_the_same(seed, unkilled, tmp_path):
    killed_at_random(seed, unkilled, tmp_path)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_end_the_same(unkilled, tmp_path):
    kills, seed = 0, 100
    while kills < 20:
        kills += killed_at_random(seed, unkilled, tmp_path / str(seed))
        seed += 1


def test_sigterm_saves_and_exits_75(unkilled, tmp_path):
    process = run(tmp_path, "-c", "import sys; from forecast.cli import main; main(sys.argv[1:])")
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("goog/.training/*/network-1/state-*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert code == 75
    assert "Stopped: Training was asked to stop" in said
    assert "Traceback" not in said
    about = json.loads(next(tmp_path.glob("goog/.training/*/about.json")).read_text())
    assert about["settings"]["training"]["epochs"] == 8
    assert ended(run(tmp_path))[0] == 0
    same_bundles(tmp_path / "goog/1", unkilled[0])


def test_an_unfinished_training_is_no_version(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Stopped):
            fitted(place("goog", tmp_path))
    assert not bundle.exists("goog", tmp_path)
    assert bundle.list_bundles(tmp_path) == []
    assert Path(place("goog", tmp_path)).is_dir()
