"""Bundles: complete or not there, unchanged or refused, and never a way to run somebody else's code."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from forecast import bundle
from pipelines.errors import BundleError, ConfigError, UnknownName

FILES = ("model.keras", "pipeline.json", "pipeline.npz", "golden.npz", "history.csv", "forecast.png")
CORES = ("lstm", "stacked_lstm", "conv1d_lstm", "bidirectional_lstm")
ABOUT = {
    "config": {"model": {"name": "lstm", "options": {}}, "target": ["Close"]},
    "metrics": {
        "validation": {"lstm": {"mae": 9.0}, "naive": {"mae": 9.0}},
        "test": {"lstm": {"mae": 1.25, "mape": float("nan")}, "naive": {"mae": np.float32(1.5), "mape": None}},
    },
}


def network(name="lstm", normalize="mean_std"):
    """Returns a small network with random weights, `(N, 8, 3) -> (N, 2, 1)`."""
    import keras

    from forecast.models import Shapes, _shell, build_core

    keras.utils.set_random_seed(7)
    shapes = Shapes(lookback=8, horizon=2, features=3)
    options = {"units": (4, 4)} if name == "stacked_lstm" else {"units": 4}
    core = build_core(name, shapes, {**options, "l2": 0.01})
    return _shell.wrap(core, shapes, normalize, np.array([True, True, False]), put_back=True)


def fill_with(model):
    def fill(folder):
        past = np.random.default_rng(0).random((4, 8, 3), np.float32)
        model.save(folder / "model.keras")
        np.savez(folder / "golden.npz", past=past, series=np.zeros(4, np.int32), y=bundle.answers(model, past))
        small_files(folder)

    return fill


def small_files(folder):
    (folder / "pipeline.json").write_text("{}\n")
    np.savez_compressed(folder / "pipeline.npz", factor=np.arange(3.0), names=np.array(["a", "b"]))
    (folder / "history.csv").write_text("epoch,loss\n0,1.0\n")
    (folder / "forecast.png").write_bytes(b"\x89PNG\r\n")


def fill_without_keras(folder):
    (folder / "model.keras").write_bytes(b"not looked into by `write`")
    np.savez(folder / "golden.npz", past=np.zeros(1))
    small_files(folder)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of bundles with "goog", version 1, of a real network."""
    folder = tmp_path_factory.mktemp("project") / "saved_models"
    model = network()
    model.compile("adam", "mse", metrics=["mae"])
    bundle.write("goog", fill_with(model), ABOUT, folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of it to do harm to."""
    return Path(shutil.copytree(saved, tmp_path / "saved_models"))


@pytest.fixture
def version(folder):
    return folder / "goog" / "1"


@pytest.fixture
def keras_untouched(monkeypatch):
    """Fails where a file comes as far as Keras."""
    import keras

    monkeypatch.setattr(keras.models, "load_model", lambda *_, **__: pytest.fail("Keras was given this file"))


def forge(version, **changes):
    """Writes a manifest that fits the files, as a forger would; in another way than the program does."""
    about = json.loads((version / "manifest.json").read_text())
    about["files"] = {
        path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
        for path in version.iterdir()
        if path.name != "manifest.json"
    }
    about |= changes
    del about["digest"]
    canonical = json.dumps(about, sort_keys=True, separators=(",", ":"))
    about["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    (version / "manifest.json").write_text(json.dumps(about))


def rezip(path, compression=zipfile.ZIP_STORED, drop=(), **changed):
    """Writes a .keras file anew; `config_json=...` replaces config.json, and so on."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist() if name not in drop}
    entries |= {name.replace("_", "."): data for name, data in changed.items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def config_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


# --- saving ---------------------------------------------------------------------------------------------------------


def test_a_bundle_comes_back_with_its_network_and_the_same_answers(saved):
    path, about = bundle.open_bundle("goog", saved)
    model = bundle.load_network(path / "model.keras")
    bundle.smoke(model, path / "golden.npz")
    with np.load(path / "golden.npz") as golden:
        np.testing.assert_allclose(bundle.answers(model, golden["past"]), golden["y"], rtol=1e-6)
    assert not model.compiled
    assert about["config"] == ABOUT["config"]
    assert about["metrics"]["test"]["lstm"] == {
        "mae": 1.25,
        "mape": None,
    }  # what is not finite is null: JSON has no NaN
    assert about["metrics"]["test"]["naive"]["mae"] == 1.5


@pytest.mark.parametrize("normalize", ["last", "mean_std", "none"])
@pytest.mark.parametrize("name", CORES)
def test_every_model_loads_under_the_allow_list(name, normalize, tmp_path):
    model = network(name, normalize)
    model.save(tmp_path / "model.keras")
    past = np.random.default_rng(0).random((4, 8, 3), np.float32)
    loaded = bundle.load_network(tmp_path / "model.keras")
    np.testing.assert_allclose(bundle.answers(loaded, past), bundle.answers(model, past), rtol=1e-6)


def test_a_network_of_the_users_with_many_stock_parts_loads(tmp_path):
    import keras
    from keras import ops

    past = keras.Input((8, 3), name="past")
    x = keras.layers.Dense(4, activation=keras.layers.LeakyReLU(), kernel_constraint="max_norm")(past)
    x = keras.layers.RNN([keras.layers.LSTMCell(4), keras.layers.GRUCell(4)], return_sequences=True)(x)
    x = keras.layers.TimeDistributed(keras.layers.Dense(4, activation=keras.activations.gelu))(x)
    x = ops.where(x > 0, ops.relu(x) * 2 / 3, -x)[..., :2]
    model = keras.Model(past, keras.layers.Flatten()(x))
    rate = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)
    model.compile(keras.optimizers.AdamW(rate), keras.losses.huber, [keras.metrics.mean_absolute_error])
    model.save(tmp_path / "model.keras")
    bundle.load_network(tmp_path / "model.keras")


def test_the_manifest_names_every_file_with_its_sha256_and_size(saved):
    version = saved / "goog" / "1"
    about = json.loads((version / "manifest.json").read_text())
    assert (about["format"], about["name"], about["version"]) == (1, "goog", 1)
    assert set(about["versions"]) == {"python", "keras-forecast", "keras", "tensorflow", "numpy", "pandas"}
    assert about["created"].endswith("+00:00")
    assert set(about["files"]) == set(FILES) == {p.name for p in version.iterdir()} - {"manifest.json"}
    for name, entry in about["files"].items():
        data = (version / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def test_each_save_gets_the_next_number(tmp_path):
    for number in (1, 2, 3):
        assert bundle.write("goog", fill_without_keras, {}, tmp_path) == tmp_path / "goog" / str(number)
    shutil.rmtree(tmp_path / "goog" / "2")
    assert bundle.write("goog", fill_without_keras, {}, tmp_path).name == "4"


def test_bundles_lie_in_the_project_or_where_forecast_home_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORECAST_HOME", raising=False)
    assert bundle.write("goog", fill_without_keras, {}).resolve() == tmp_path / "saved_models" / "goog" / "1"
    monkeypatch.setenv("FORECAST_HOME", str(tmp_path / "home"))
    assert bundle.write("goog", fill_without_keras, {}) == tmp_path / "home" / "saved_models" / "goog" / "1"
    assert bundle.root("elsewhere") == Path("elsewhere")


@pytest.mark.parametrize(
    "name", ["", ".goog", "-goog", "2024", "a/b", "../goog", "a b", "goog\n", "über", "a" * 101, "a:1"]
)
def test_a_name_must_be_a_plain_one(name, tmp_path):
    with pytest.raises(ConfigError, match="must be letters, digits"):
        bundle.write(name, fill_without_keras, {}, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_a_setting_to_repair(tmp_path):
    (tmp_path / "README.md").write_text("a file")
    with pytest.raises(ConfigError, match=r"must go into a folder that can be written. Received: .*FORECAST_HOME"):
        bundle.write("README.md", fill_without_keras, {}, tmp_path)


def out_of_disk(folder):
    fill_without_keras(folder)
    raise OSError(28, "No space left on device")


def interrupted(folder):
    fill_without_keras(folder)
    raise KeyboardInterrupt


def with_a_pickle(folder):
    fill_without_keras(folder)
    (folder / "scaler.pkl").write_bytes(b"")


def with_a_folder(folder):
    fill_without_keras(folder)
    (folder / "assets").mkdir()


def without_a_network(folder):
    fill_without_keras(folder)
    (folder / "model.keras").unlink()


@pytest.mark.parametrize(
    ("fill", "error"),
    [
        (out_of_disk, OSError),
        (interrupted, KeyboardInterrupt),
        (with_a_pickle, BundleError),
        (with_a_folder, BundleError),
        (without_a_network, BundleError),
    ],
)
def test_a_save_that_fails_leaves_nothing(fill, error, tmp_path):
    with pytest.raises(error):
        bundle.write("goog", fill, {}, tmp_path)
    assert not any(tmp_path.iterdir())
    bundle.write("goog", fill_without_keras, {}, tmp_path)
    with pytest.raises(error):
        bundle.write("goog", fill, {}, tmp_path)
    assert [p.name for p in (tmp_path / "goog").iterdir()] == ["1"]


SAVE = """
import os, sys, time
from pathlib import Path
import numpy as np
from forecast import bundle

def say(*_):
    print("here", flush=True)
    sys.stdin.readline()

def fill(folder):
    (folder / "model.keras").write_bytes(b"half")
    if sys.argv[2] == "fill":
        say()
    for name in ("pipeline.npz", "golden.npz"):
        np.savez(folder / name, x=np.arange(3))
    (folder / "pipeline.json").write_text("{}")

if sys.argv[2] == "rename":
    rename = os.rename
    os.rename = lambda *pair: (say(), rename(*pair))
print(bundle.write("goog", fill, {}, sys.argv[1]).name, flush=True)
"""


def save_elsewhere(folder, pause):
    """Starts a save in another process; it stops at `pause` until it gets a line."""
    return subprocess.Popen(
        [sys.executable, "-c", SAVE, str(folder), pause],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.parametrize("moment", ["fill", "rename"])
def test_a_killed_save_leaves_no_version_and_the_next_one_works(moment, tmp_path):
    with save_elsewhere(tmp_path, moment) as process:
        assert process.stdout.readline() == "here\n"
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert bundle.list_bundles(tmp_path) == []
    with pytest.raises(UnknownName):
        bundle.find("goog", tmp_path)
    path = bundle.write("goog", fill_without_keras, {}, tmp_path)
    assert path.name == "1"
    bundle.verify(path)
    (left,) = (tmp_path / "goog").glob(".tmp-*")  # it might still be alive
    os.utime(left, (time.time() - 90_000,) * 2)
    bundle.write("goog", fill_without_keras, {}, tmp_path)
    assert sorted(p.name for p in (tmp_path / "goog").iterdir()) == ["1", "2"]


def test_two_that_save_at_the_same_time_get_two_versions(tmp_path):
    with save_elsewhere(tmp_path, "rename") as one, save_elsewhere(tmp_path, "rename") as two:
        for process in (one, two):
            assert process.stdout.readline() == "here\n"  # both have counted, and mean to become version 1
        said = [process.communicate("\n" * 9)[0].split()[-1] for process in (one, two)]
    assert sorted(said) == ["1", "2"]
    for number in (1, 2):
        assert bundle.open_bundle(f"goog/{number}", tmp_path)[1]["version"] == number
    assert len(list((tmp_path / "goog").iterdir())) == 2


# --- finding --------------------------------------------------------------------------------------------------------


def test_a_name_means_the_newest_version(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "saved_models" / "goog"
    for number in ("2", "9", "10", ".tmp-11", "notes"):
        (home / number).mkdir(parents=True)
    for text in ("goog", "goog/", home, "saved_models/goog", home / "10", str(home / "10"), "saved_models/goog/10"):
        assert bundle.find(text).resolve() == home / "10"
    for text in ("goog/2", "goog:2", home / "2", "saved_models/goog/2"):
        assert bundle.find(text).resolve() == home / "2"


def test_an_unknown_name_says_which_there_are(saved):
    with pytest.raises(
        UnknownName, match=r"No bundle is called 'gog'. Did you mean 'goog'\? Choose from: goog\. Looked in"
    ):
        bundle.find("gog", saved)
    with pytest.raises(UnknownName, match=r"No version of 'goog' is called '7'. Choose from: 1$"):
        bundle.find("goog/7", saved)
    with pytest.raises(UnknownName, match=r"Choose from: \(none\)\. Looked in .*nowhere; save one"):
        bundle.find("goog", saved / "nowhere")
    with pytest.raises(UnknownName, match=r"No bundle is called 'saved_models/gone/3'"):
        bundle.find("saved_models/gone/3", saved)


def test_the_list_shows_scores_beside_naive_and_what_is_broken(folder):
    shutil.copytree(folder / "goog" / "1", folder / "goog" / "2")
    (folder / "goog" / "2" / "history.csv").unlink()
    (folder / "README.md").write_text("not a bundle")
    (folder / "empty").mkdir()
    good, bad = bundle.list_bundles(folder)
    size = sum(path.stat().st_size for path in (folder / "goog" / "1").iterdir())
    created = json.loads((folder / "goog" / "1" / "manifest.json").read_text())["created"]
    assert good == {
        "name": "goog",
        "version": 1,
        "created": created,
        "model": "lstm",
        "target": "Close",
        "score": 1.25,
        "naive": 1.5,
        "bytes": size,
        "aliases": [],
        "state": "ok",
    }
    assert list(bad) == list(good)
    assert bad["version"] == 2
    assert bad["state"].startswith("broken: A version must hold every file")
    assert bundle.list_bundles(folder / "nowhere") == []


# --- changed on disk ------------------------------------------------------------------------------------------------


def refused(version, match):
    """Opening must fail with a message of three parts; returns it."""
    with pytest.raises(BundleError, match=match) as caught:
        bundle.open_bundle(version)
    text = str(caught.value)
    assert " must " in text or " may " in text
    assert "eceived" in text or "Missing" in text
    return text


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_one_changed_byte_is_found(version, name):
    data = bytearray((version / name).read_bytes())
    data[len(data) // 2] ^= 1
    (version / name).write_bytes(data)
    assert name in refused(version, "must be as it was saved|must be JSON") or name == "manifest.json"


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_or_cut_file_is_found(version, name):
    (version / name).write_bytes((version / name).read_bytes()[:-1])
    if name != "manifest.json":  # JSON does not miss its last line break
        refused(version, rf"{name} must be as it was saved: [\d,]+ bytes. Received: [\d,]+ bytes")
    (version / name).unlink()
    refused(version, "must hold")


@pytest.mark.parametrize("name", ["notes.txt", "model.pkl", ".DS_Store", "model.h5", "extra.json"])
def test_an_extra_file_is_refused(version, name):
    (version / name).write_text("")
    assert name in refused(version, "must hold only the files that its manifest names")


def test_links_folders_and_pipes_are_refused(version, tmp_path):
    real = shutil.move(version / "history.csv", tmp_path / "history.csv")
    (version / "history.csv").symlink_to(real)
    refused(version, r"plain files only. Received: history.csv, a link")
    (version / "history.csv").unlink()
    (version / "history.csv").mkdir()
    refused(version, r"plain files only. Received: history.csv, a folder")
    (version / "history.csv").rmdir()
    os.mkfifo(version / "history.csv")
    refused(version, r"plain files only. Received: history.csv, a device or pipe")


def test_a_version_that_is_a_link_is_refused(folder, tmp_path):
    moved = shutil.move(folder / "goog" / "1", tmp_path / "elsewhere")
    (folder / "goog" / "1").symlink_to(moved)
    with pytest.raises(BundleError, match=r"must be a folder of its own. Received: .*, a link to .*elsewhere. Copy"):
        bundle.open_bundle("goog", folder)


def test_what_is_no_version_at_all_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="must be a folder that can be read"):
        bundle.verify(tmp_path / "file")
    refused(tmp_path, "must hold only|must hold manifest.json")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"format": 1', "must be JSON"),
        ("[" * 100_000, "must be JSON"),
        ("[]", r"must be a JSON object. Received: a list"),
        ("{}", r"must say format: 1. Received: None"),
        ('{"format": true}', r"must say format: 1. Received: True"),
        ('{"format": "1"}', r"must say format: 1. Received: '1'"),
        (
            '{"format": 2, "versions": {"keras-forecast": "9.1"}}',
            r"format 2 .* keras-forecast 9.1. Upgrade: pip install",
        ),
        ('{"format": 2, "versions": 3}', "of a later version. Upgrade: pip install"),
        ('{"format": 1}', "an edited one"),
    ],
)
def test_another_manifest_is_refused(version, text, match):
    (version / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=match):
        bundle.verify(version)


def test_a_giant_manifest_is_not_read(version):
    with open(version / "manifest.json", "r+b") as file:
        file.truncate(2**40)  # a sparse file
    refused(version, r"may have 67,108,864 bytes. Received: 1,099,511,627,776")


def test_an_edited_setting_is_found(version):
    text = (version / "manifest.json").read_text()
    (version / "manifest.json").write_text(text.replace("1.25", "0.25"))
    refused(version, "an edited one")


@pytest.mark.parametrize(
    ("files", "match"),
    [
        (None, "`files` in a manifest must be"),
        ({"model.keras": {}}, "`files` in a manifest must be"),
        ({"model.keras": {"sha256": "0" * 64, "bytes": -1}}, "`files` in a manifest must be"),
        ({"../../secret.json": {"sha256": "0" * 64, "bytes": 1}}, "may hold files that end in"),
        ({"/etc/passwd.json": {"sha256": "0" * 64, "bytes": 1}}, "may hold files that end in"),
        ({"scaler.pkl": {"sha256": "0" * 64, "bytes": 1}}, "no pickle"),
        ({"model.h5": {"sha256": "0" * 64, "bytes": 1}}, "no HDF5"),
        ({}, "must hold model.keras"),
    ],
)
def test_a_forged_list_of_files_is_refused(version, files, match):
    forge(version, files=files)
    refused(version, match)


def test_a_manifest_that_fits_is_accepted_whoever_wrote_it(version):
    (version / "pipeline.json").write_text('{"another": 1}')
    forge(version)
    assert bundle.verify(version)["name"] == "goog"  # so nothing in it may be trusted with code


def test_pickled_objects_in_arrays_are_refused(version):
    np.savez(version / "pipeline.npz", factor=np.array([print], dtype=object), allow_pickle=True)
    forge(version)
    refused(version, r"pipeline.npz must hold numbers and text only. Received: factor.npy with pickled Python objects")


def npy(array, shape=None):
    """Returns the bytes of an npy file that claims another shape."""
    file = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape or array.shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + array.tobytes()


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ([("x.npy", npy(np.zeros(2), (10**12,)))], "as large as they claim"),
        ([("x.npy", b"\0" * 2**29)], "at most 268,435,456 bytes of arrays"),
        ([("x.npy", npy(np.zeros(2))), ("x.npy", npy(np.ones(2)))], "every array once"),
        ([("x.npy", b"\x80\x04cos\nsystem\n.")], "arrays in numpy's npz format"),
        (None, "arrays in numpy's npz format"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # the attack itself
def test_arrays_that_lie_are_refused(version, entries, match):
    if entries is None:
        (version / "golden.npz").write_bytes(b"\x80\x04cos\nsystem\n.")
    else:
        with zipfile.ZipFile(version / "golden.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in entries:
                archive.writestr(name, data)
    forge(version)
    refused(version, match)


# --- networks from anywhere -----------------------------------------------------------------------------------------


def entry(module, class_name, config=None, **more):
    return {"module": module, "class_name": class_name, "config": config or {}, "registered_name": None, **more}


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": "function"}


LAMBDA = entry("keras.layers", "Lambda", {"function": {"class_name": "__lambda__", "config": {"value": "4wEA"}}})

ATTACKS = {
    "a Lambda layer": (LAMBDA, "keras.layers.Lambda .*can run any code"),
    "a Lambda in a wrapper": (entry("keras.layers", "TimeDistributed", {"layer": LAMBDA}), "keras.layers.Lambda"),
    "a Lambda in a cell": (entry("keras.layers", "RNN", {"cell": [LAMBDA]}), "keras.layers.Lambda"),
    "a bare lambda": (entry("keras.layers", "Activation", {"activation": {"class_name": "__lambda__"}}), "__lambda__"),
    "a function by module path": (
        entry("keras.layers", "Activation", {"activation": function("os", "system")}),
        "os.system .*Do not load this file; if",
    ),
    "a built-in function": (
        entry("keras.layers", "Activation", {"activation": function("builtins", "eval")}),
        "builtins.eval",
    ),
    "a class of the standard library": (entry("subprocess", "Popen", {"args": "id"}), "subprocess.Popen"),
    "switching safe mode off": (
        function("keras.config", "enable_unsafe_deserialization"),
        "keras.config.enable_unsafe",
    ),
    "loading another file": (function("keras.models", "load_model"), "keras.models.load_model"),
    "a download": (
        entry("keras.layers", "Activation", {"activation": function("keras.utils", "get_file")}),
        "keras.utils.get_file",
    ),
    "a constructor as function": (function("keras.layers", "TFSMLayer"), "keras.layers.TFSMLayer"),
    "a SavedModel": (entry("keras.layers", "TFSMLayer", {"filepath": "/srv/evil"}), "keras.layers.TFSMLayer"),
    "a pickled torch module": (entry("keras.layers", "TorchModuleWrapper"), "keras.layers.TorchModuleWrapper"),
    "a JAX function": (entry("keras.layers", "JaxLayer"), "keras.layers.JaxLayer"),
    "a Flax module": (entry("keras.layers", "FlaxLayer"), "keras.layers.FlaxLayer"),
    "a vocabulary from a file": (entry("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}), "StringLookup"),
    "an operation on functions": (entry("keras.src.ops.core", "Map", registered_name="Map"), "keras.src.ops.core.Map"),
    "a private class of Keras": (entry("keras.src.layers.core.lambda_layer", "Lambda"), "lambda_layer.Lambda"),
    "no module, for the legacy reader": ({"class_name": "Lambda", "config": {}}, "Lambda, without a module"),
    "no module, harmless": ({"class_name": "Dense", "config": {"units": 1}}, "Dense, without a module"),
    "another registered name": (
        entry("keras.layers", "Dense", {"units": 1}, registered_name="evil>Layer"),
        "keras.layers.Dense, registered as evil>Layer",
    ),
    "a type specification": (
        {
            "class_name": "__typespec__",
            "spec_name": "Popen",
            "module": "subprocess",
            "config": [],
            "registered_name": None,
        },
        "subprocess.__typespec__",
    ),
    "a class name that is none": (
        {"module": "keras.layers", "class_name": ["Dense"], "config": {}},
        "Received: keras.layers",
    ),
    "somebody's own layer": (entry("evil", "Gate"), r"custom_objects=\{'Gate': ...\}; otherwise do not load"),
}


@pytest.mark.parametrize("place", ["layers", "build_config", "compile_config", "inbound_nodes"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_class_outside_the_allow_list_is_refused_wherever_it_lies(saved, tmp_path, keras_untouched, attack, place):
    path = Path(shutil.copy(saved / "goog" / "1" / "model.keras", tmp_path))
    bad, match = ATTACKS[attack]
    config = config_of(path)
    layers = config["config"]["layers"]
    if place == "layers":
        layers.append({**bad, "name": "bad", "inbound_nodes": []})
    elif place == "inbound_nodes":
        layers[-1]["inbound_nodes"][0]["kwargs"]["mask"] = [{"deep": [bad]}]
    elif place == "build_config":
        layers[-1]["build_config"]["input_shape"] = bad
    else:
        config["compile_config"]["loss"] = bad
    rezip(path, config_json=json.dumps(config))
    with pytest.raises(BundleError, match=match) as caught:
        bundle.load_network(path)
    assert "A network may hold Keras's own layers" in str(caught.value)


def test_a_real_lambda_is_refused(tmp_path, keras_untouched):
    import keras

    layers = [keras.Input((8, 3)), keras.layers.Lambda(keras.ops.tanh, output_shape=(8, 3))]
    keras.Sequential(layers).save(tmp_path / "model.keras")
    with pytest.raises(BundleError, match=r"keras.layers.Lambda in sequential.* > lambda.*can run any code"):
        bundle.load_network(tmp_path / "model.keras")
    with pytest.raises(BundleError, match="Lambda"):
        bundle.check_network(tmp_path / "model.keras")


def test_layers_of_the_users_own_need_custom_objects(tmp_path):
    import keras

    class Gate(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    keras.Sequential([keras.Input((8, 3)), Gate()]).save(tmp_path / "model.keras")
    with pytest.raises(
        BundleError, match=r"Received: .*Gate in .* > gate, in .* load with custom_objects=\{'Gate': ...\}"
    ):
        bundle.load_network(tmp_path / "model.keras")
    model = bundle.load_network(tmp_path / "model.keras", {"Gate": Gate})
    np.testing.assert_array_equal(bundle.answers(model, np.ones((1, 8, 3))), np.full((1, 8, 3), 2))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"assets/x_json": b""}, "'assets/x.json'"),
        ({"../../evil_py": b""}, "'../../evil.py'|'......evil.py'"),
        ({"/etc/evil": b""}, "'/etc/evil'"),
        ({"drop": ["model.weights.h5"]}, "must be a zip of"),
        ({"drop": ["model.weights.h5"], "model_weights_npz": b""}, "'model.weights.npz'"),
        ({"compression": zipfile.ZIP_DEFLATED, "config_json": b" " * 2**20}, "compressed or encrypted"),
        ({"config_json": b" " * (16 * 2**20 + 1)}, r"may have 16,777,216 bytes. Received in .*: 16,777,217"),
        ({"config_json": b"{"}, "config.json in .* must be JSON"),
        ({"config_json": b"[" * 100_000}, "config.json in .* must be JSON"),
        ({"config_json": b"[]"}, "must be a JSON object"),
        ({"config_json": b"{}"}, "Keras must be able to build the network"),
        ({"config_json": json.dumps(entry("keras.layers", "Dense", {"units": 1})).encode()}, "must hold a keras.Model"),
        ({"metadata_json": b"7"}, "metadata.json in .* must be a JSON object"),
        ({"model_weights_h5": b"not HDF5"}, "model.weights.h5 must hold plain arrays"),
    ],
)
def test_a_zip_with_anything_else_in_it_is_refused(saved, tmp_path, change, match):
    path = Path(shutil.copy(saved / "goog" / "1" / "model.keras", tmp_path))
    rezip(path, **change)
    with pytest.raises(BundleError, match=match):
        bundle.load_network(path)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # the attack itself
def test_two_entries_of_one_name_are_refused(saved, tmp_path, keras_untouched):
    path = Path(shutil.copy(saved / "goog" / "1" / "model.keras", tmp_path))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", json.dumps(LAMBDA))
    with pytest.raises(BundleError, match="each once"):
        bundle.load_network(path)


def test_an_entry_whose_name_ends_early_is_refused(saved, tmp_path, keras_untouched):
    path = Path(shutil.copy(saved / "goog" / "1" / "model.keras", tmp_path))
    rezip(path, drop=["metadata.json"], **{"metadata.json!": b"{}"})
    path.write_bytes(path.read_bytes().replace(b"metadata.json!", b"metadata.json\0"))
    with pytest.raises(BundleError, match="must be a zip of"):
        bundle.load_network(path)


def test_an_entry_that_claims_more_than_it_stores_is_refused(saved, tmp_path, keras_untouched):
    path = Path(shutil.copy(saved / "goog" / "1" / "model.keras", tmp_path))
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"PK\x01\x02", 0, data.rindex(b"config.json"))  # 24 bytes on: the size it claims
    data[directory + 24 : directory + 28] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(
        BundleError, match=r"config.json, which claims 2,147,483,648 bytes and stores [\d,]+\. Do not load"
    ):
        bundle.load_network(path)


def test_what_is_no_zip_is_refused(tmp_path, keras_untouched):
    for name, data in {"model.keras": b"\x89HDF\r\n", "empty.keras": b"", "model.h5": b"\x89HDF\r\n"}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BundleError, match="must be a zip of"):
            bundle.load_network(tmp_path / name)
    with pytest.raises(BundleError, match="No such file"):
        bundle.load_network(tmp_path / "gone.keras")


def external_link(file, secret):
    import h5py

    file["layers/dense/vars/0"] = h5py.ExternalLink(str(secret), "x")


def soft_link(file, secret):
    import h5py

    file["layers/dense/vars/0"] = h5py.SoftLink("/layers")


def external_storage(file, secret):
    file.create_dataset("layers/dense/vars/0", (4,), "u1", external=[(str(secret), 0, 4)])


def virtual(file, secret):
    import h5py

    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(secret), "x", (4,))
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def giant(file, secret):
    file.create_dataset("layers/dense/vars/0", (2**40,), "f4", chunks=(2**20,), compression="gzip", fillvalue=1)


def strings(file, secret):
    file["layers/dense/vars/0"] = ["text"]


def named_type(file, secret):
    file["layers/dense/vars/0"] = np.dtype("f4")


def endless(file, secret):
    file["layers/dense/vars/0"] = file["/"]


@pytest.mark.parametrize(
    ("attack", "match"),
    [
        (external_link, "a ExternalLink, which points elsewhere"),
        (soft_link, "a SoftLink, which points elsewhere"),
        (external_storage, "data in another file, '.*secret'"),
        (virtual, "virtual data"),
        (giant, "claims 4,398,046,511,104 bytes and stores 0"),
        (strings, "values of type object"),
        (named_type, "a Datatype"),
        (endless, "something that lies in another place, too"),
    ],
)
def test_weights_that_point_elsewhere_or_lie_are_refused(saved, tmp_path, keras_untouched, attack, match):
    import h5py

    (tmp_path / "secret").write_bytes(b"keys")
    path = Path(shutil.copy(saved / "goog" / "1" / "model.keras", tmp_path))
    with zipfile.ZipFile(path) as archive:
        data = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(data, "a") as file:
        file.create_group("layers/dense/vars")
        attack(file, tmp_path / "secret")
    rezip(path, model_weights_h5=data.getvalue())
    with pytest.raises(BundleError, match=match) as caught:
        bundle.load_network(path)
    assert "layers/dense/vars/0" in str(caught.value)


# --- the same answers -----------------------------------------------------------------------------------------------


def test_a_drifted_network_is_refused(saved):
    path, _ = bundle.open_bundle("goog", saved)
    model = bundle.load_network(path / "model.keras")
    kernel = model.get_layer("lstm").get_layer("head").kernel
    kernel.assign(kernel * 1.01)
    with pytest.raises(BundleError, match=r"must answer as it did when saved, within .* Received: a difference of"):
        bundle.smoke(model, path / "golden.npz")
    kernel.assign(kernel * np.nan)
    with pytest.raises(BundleError, match="a difference of nan"):
        bundle.smoke(model, path / "golden.npz")


def test_golden_windows_that_do_not_fit_are_refused(saved, tmp_path):
    model = bundle.load_network(saved / "goog" / "1" / "model.keras")
    past, y = np.zeros((4, 8, 3), np.float32), np.zeros((4, 2, 1))
    for arrays, match in (
        ({"past": past}, "must hold y and every input"),
        ({"y": y}, "must hold y and every input"),
        ({"past": past, "y": y[:2]}, r"in the shape it had when saved, \(2, 2, 1\). Received: \(4, 2, 1\)"),
        ({"past": past[:, :5], "y": y}, "must take its golden inputs"),
    ):
        np.savez(tmp_path / "golden.npz", **arrays)
        with pytest.raises(BundleError, match=match):
            bundle.smoke(model, tmp_path / "golden.npz")


def test_tensor_float_32_is_as_it_was_after_the_comparison(saved):
    import tensorflow as tf

    path, _ = bundle.open_bundle("goog", saved)
    model = bundle.load_network(path / "model.keras")
    for before in (True, False, True):
        tf.config.experimental.enable_tensor_float_32_execution(before)
        bundle.smoke(model, path / "golden.npz")
        assert tf.config.experimental.tensor_float_32_execution_enabled() is before


def test_opening_a_bundle_loads_neither_keras_nor_tensorflow(saved):
    code = (
        "import sys; from forecast import bundle; "
        "bundle.open_bundle('goog', sys.argv[1]); bundle.list_bundles(sys.argv[1]); "
        "print([m for m in ('keras', 'tensorflow', 'h5py', 'pandas') if m in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code, str(saved)], env=env, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
