"""Bundles: one saved version of a forecaster, complete or not there at all.

    saved_models/                 of the project, or $FORECAST_HOME/saved_models
    `- goog/                      a bundle's name
       |- 1/                      a version; never changed once it is there
       |  |- model.keras          the network, opened by plain Keras
       |  |- pipeline.json        the data pipeline: settings, columns, series
       |  |- pipeline.npz         and what it learned on training rows
       |  |- golden.npz           inputs and outputs, to see after loading that the answers are still the same
       |  |- history.csv          losses by epoch
       |  |- forecast.png         forecast against ground truth
       |  `- manifest.json        written last: settings, scores beside naive, sha256 and size of every other file
       |- 2/                      the newest: what "goog" means; "goog/1" or "goog:1" is the first
       `- .tmp-.../               a save under way; a killed one is swept a day later

Nothing here is pickled. This module imports neither Keras nor TensorFlow until a network is loaded.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import BundleError, ConfigError, UnknownName

from ._bundle_files import MANIFEST, check_files, describe, read_manifest, write_manifest
from ._safe_keras import check_network, load_network

if TYPE_CHECKING:
    import keras

__all__ = ["check_network", "find", "list_bundles", "load_network", "open_bundle", "root", "smoke", "verify", "write"]

# Golden outputs come back to this share of their largest value. Processors differ by about a tenth of it.
TOLERANCE = 1e-4

_NAME = re.compile(r"(?=.*[^0-9])[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_TEMPORARY = ".tmp-"
_STALE_AFTER = 24 * 3600.0  # seconds


def root(folder: str | Path | None = None) -> Path:
    """Returns the folder that bundles lie in; it need not exist yet.

    Args:
        folder: The folder itself; by default `saved_models` of the project, or `$FORECAST_HOME/saved_models`.

    Example:
        >>> root("/srv/models").as_posix()
        '/srv/models'
    """
    if folder is not None:
        return Path(folder).expanduser()
    return Path(os.environ.get("FORECAST_HOME") or ".").expanduser() / "saved_models"


# --- writing --------------------------------------------------------------------------------------------------------


def write(
    name: str, fill: Callable[[Path], None], manifest: Mapping[str, Any], folder: str | Path | None = None
) -> Path:
    """Writes the next version of a bundle and returns its folder.

    The version appears at once and complete, by renaming; after a crash it is not there. Two that save at the same
    time get two numbers.

    Args:
        name: Letters, digits, `.`, `_` and `-`; not all digits.
        fill: Writes every file but the manifest into the folder it is given.
        manifest: What the manifest says besides `format`, `name`, `version`, `created`, `versions`, `files`, `digest`.
        folder: Where bundles lie, see `root`.

    Raises:
        ConfigError: The name is not a plain one, or the folder cannot be written.
        BundleError: `fill` left out a file, or wrote one that no bundle may hold.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "The name of a bundle must be letters, digits, '.', '_' and '-', must start with none of '.' and '-', and must "
            f"not be all digits. Received: {name!r}"
        )
    home = root(folder) / name
    temporary = _make_temporary(home)
    try:
        _sweep(home)
        fill(temporary)
        files = describe(temporary)
        while True:
            version = max((int(n) for n in _entries(home) if _VERSION.fullmatch(n)), default=0) + 1
            write_manifest(temporary, {**manifest, "name": name, "version": version, "files": files})
            target = home / str(version)
            try:
                os.rename(temporary, target)  # refuses where another save was faster
                break
            except OSError:
                if not os.path.lexists(target):
                    raise
    except BaseException:  # also Ctrl-C
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            home.rmdir()  # stays where there are versions in it
        raise
    _sync(home)
    return target


def _make_temporary(home: Path) -> Path:
    temporary = home / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(
            f"Bundles must go into a folder that can be written. Received: {home}: {error.strerror}. Choose another name, "
            "or set FORECAST_HOME to a folder of yours."
        ) from None
    return temporary


def _sweep(home: Path) -> None:
    """Removes what killed saves left behind, a day later: a save under way is younger."""
    for name in _entries(home):
        with contextlib.suppress(OSError):
            if name.startswith(_TEMPORARY) and time.time() - (home / name).lstat().st_mtime > _STALE_AFTER:
                shutil.rmtree(home / name, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Writes a folder's own entries through to the disk, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# --- finding --------------------------------------------------------------------------------------------------------


def find(name_or_path: str | Path, folder: str | Path | None = None) -> Path:
    """Returns the folder of a version; `open_bundle` checks it, too.

    Args:
        name_or_path: "goog" for the newest version, "goog/2" or "goog:2" for one, or the path of a version's folder.
        folder: Where bundles lie, see `root`.

    Raises:
        UnknownName: There is no such bundle, or no such version of it.
    """
    base = root(folder)
    name, version = _split(name_or_path)
    numbers = [str(n) for n in _numbers(base / name)] if name else []
    if numbers:
        if version is None:
            return base / name / numbers[-1]
        if version not in numbers:
            raise UnknownName.of(f"version of {name!r}", version, numbers)
        return base / name / version
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        below = _numbers(path)
        return path / str(below[-1]) if below and not (path / MANIFEST).exists() else path
    hint = f". Looked in {base}; save one with model.save(name), or set FORECAST_HOME to where yours are."
    raise UnknownName.of("bundle", name or str(name_or_path), _names(base), hint)


def open_bundle(name_or_path: str | Path, folder: str | Path | None = None) -> tuple[Path, dict[str, Any]]:
    """Returns the folder of a version and its manifest, after checking every file.

    Raises:
        UnknownName: There is no such bundle, or no such version of it.
        BundleError: It is incomplete, changed, or of a kind that this program does not read.
    """
    path = find(name_or_path, folder)
    return path, verify(path)


def verify(path: str | Path) -> dict[str, Any]:
    """Checks that a version is complete and unchanged, before any file of it is parsed; returns its manifest.

    Only the files that the manifest names may be there, as plain files, with the size and sha256 it gives; npz files
    hold no pickled objects. What is in the network, `load_network` checks.

    Raises:
        BundleError: With what must hold, what was received, and what to do.
    """
    about = read_manifest(Path(path))
    check_files(Path(path), about)
    return about


def list_bundles(folder: str | Path | None = None) -> list[dict[str, Any]]:
    """Returns every version of every bundle, by name and version, from the manifests and file sizes alone.

    Returns:
        Mappings of `name`, `version`, `created`, `model`, `target`, `score` and `naive` (MAE of the model and of the
        naive forecast), `bytes`, and `state`: "ok", or "broken: " and why. What a broken one does not tell is None.
    """
    base = root(folder)
    return [_row(base / name / str(n), name, n) for name in _names(base) for n in _numbers(base / name)]


def _row(path: Path, name: str, version: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("created", "model", "target", "score", "naive", "bytes"))
    row = {"name": name, "version": version, **row, "state": "ok"}
    try:
        about = read_manifest(path)
    except (BundleError, OSError) as error:
        return {**row, "state": f"broken: {error}"}
    config = _mapping(about.get("config"))
    model, target = config.get("model"), config.get("target")
    model = model.get("name") if isinstance(model, dict) else model
    metrics = next((m for m in _nested(about.get("metrics")) if "naive" in m), {})
    mine = metrics.get(str(model)) or next((v for k, v in metrics.items() if "naive" not in k), None)
    return {
        **row,
        "created": about.get("created"),
        "model": model,
        "target": ", ".join(map(str, target)) if isinstance(target, list) else target,
        "score": _mapping(mine).get("mae"),
        "naive": _mapping(metrics.get("naive")).get("mae"),
        "bytes": sum(entry["bytes"] for entry in about["files"].values()) + (path / MANIFEST).stat().st_size,
    }


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _nested(value: Any) -> Iterator[dict[str, Any]]:
    """Yields a mapping and those in it: scores may be grouped, by split or by target."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _nested(item)


def _split(name_or_path: str | Path) -> tuple[str, str | None]:
    """Returns the name and version in "goog", "goog/2" or "goog:2"; no name where it must be a path."""
    if isinstance(name_or_path, Path):
        return "", None
    name, _, version = name_or_path.rstrip("/").replace(":", "/").partition("/")
    return (name, version or None) if _NAME.fullmatch(name) and "/" not in version else ("", None)


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _names(base: Path) -> list[str]:
    return sorted(name for name in _entries(base) if _NAME.fullmatch(name) and _numbers(base / name))


def _numbers(home: Path) -> list[int]:
    return sorted(int(name) for name in _entries(home) if _VERSION.fullmatch(name) and (home / name).is_dir())


# --- after loading --------------------------------------------------------------------------------------------------


def smoke(model: keras.Model, golden: str | Path) -> None:
    """Compares what a network answers to its golden inputs with what it answered when it was saved.

    Outputs may differ by `TOLERANCE` times the largest golden output: sums in another order, as other processors make
    them, differ by about 1e-5 of it. TensorFloat-32, which GPUs use by default, is off meanwhile.

    Args:
        model: The network as loaded.
        golden: File with `past (N, L, F)`, where used `known`, `static` and `series`, and `y (N, H, K)`.

    Raises:
        BundleError: The answers differ: another version of Keras or TensorFlow computes something else.
    """
    import numpy as np

    try:
        with np.load(golden, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        wanted = arrays["y"]
        names = [tensor.name for tensor in model.inputs]
        inputs = arrays["past"] if len(names) == 1 else {name: arrays[name] for name in names}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise BundleError(
            f"Golden inputs must be past, the other inputs of the network, and y. Received: {golden}: {error}. Save the model again."
        ) from None
    received = _answer(model, inputs, golden)
    if received.shape != wanted.shape:
        raise BundleError(
            f"The network must answer as it did when saved: {wanted.shape}. Received: {received.shape}, for {golden}. Save the model again."
        )
    largest = float(np.abs(wanted).max(initial=0.0))
    drift = float(np.abs(received.astype(np.float64) - wanted).max(initial=0.0))
    if not drift <= TOLERANCE * largest + 1e-7:  # NaN is drift, too
        raise BundleError(
            f"The network must answer as it did when saved, within {TOLERANCE:.0e} of its largest output {largest:.4g}. "
            f"Received: a difference of {drift:.4g}, for {golden}. Install the versions that its manifest names, or train "
            "and save it again."
        )


def _answer(model: keras.Model, inputs: Any, golden: str | Path) -> Any:
    import keras
    import tensorflow as tf

    short = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        return keras.ops.convert_to_numpy(model(inputs, training=False))
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise BundleError(
            f"The network must take its golden inputs. Received for {golden}: {' '.join(str(error).split())[:300]}. Save the model again."
        ) from error
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(short)
