"""Bundles: one saved version of a forecaster, complete or not there at all.

    saved_models/                 of the project, or $FORECAST_HOME/saved_models
    `- goog/                      a bundle's name
       |- 1/                      a version; never changed once it is there
       |  |- model.keras          the network, opened by plain Keras
       |  |- pipeline.json        the data pipeline: settings, columns, series
       |  |- pipeline.npz         and what it learned on training rows
       |  |- intervals.npz        errors on the calibration part, where there is one
       |  |- golden.npz           inputs and outputs, to see after loading that the answers are still the same
       |  |- history.csv          losses by epoch
       |  |- forecast.png         forecast against ground truth
       |  `- manifest.json        written last: settings, scores beside naive, sha256 and size of every other file
       |- 2/                      the newest: what "goog" means; "goog/1" or "goog:1" is the first
       |- aliases.json            names for versions, where there are any: "goog/champion"
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
from typing import Any

from pipelines.errors import BundleError, ConfigError, UnknownName

from . import _aliases
from ._files import MANIFEST, check_files, describe, read_manifest, sync, write_manifest, write_text
from ._golden import answers, smoke
from ._network import check_network, load_network

__all__ = [
    "CHAMPION",
    "MANIFEST",
    "aliases",
    "answers",
    "check_network",
    "exists",
    "find",
    "list_bundles",
    "load_network",
    "open_bundle",
    "point",
    "roll_back",
    "root",
    "smoke",
    "sync",
    "verify",
    "write",
    "write_text",
]

_NAME = re.compile(r"(?=.*[^0-9])[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_TEMPORARY = ".tmp-"
_STALE_AFTER = 24 * 3600.0  # seconds

CHAMPION = "champion"  # the alias of the version that a job forecasts with


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
    check_name(name)
    home = root(folder) / name
    temporary = _make_temporary(home)
    try:
        _sweep(home)
        fill(temporary)
        files = describe(temporary)
        while True:
            version = max((int(n) for n in _entries(home) if _VERSION.fullmatch(n)), default=0) + 1
            write_manifest(temporary, name, version, files, manifest)
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
    sync(home)
    return target


def check_name(name: str) -> None:
    """Raises ConfigError where a bundle cannot have this name: before training, rather than after."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "The name of a bundle must be letters, digits, '.', '_' and '-', not start with '.' or '-', and not be all "
            f"digits. Received: {name!r}. Choose one such as 'goog-daily'."
        )


def check_place(name: str, folder: str | Path | None = None) -> None:
    """Raises ConfigError where a bundle of this name cannot be written."""
    check_name(name)
    temporary = _make_temporary(root(folder) / name)
    temporary.rmdir()
    with contextlib.suppress(OSError):
        temporary.parent.rmdir()  # stays where there are versions in it


def _make_temporary(home: Path) -> Path:
    temporary = home / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(
            f"Bundles must go into a folder that can be written. Received: {home}: {error.strerror}. Choose another "
            "name, or set FORECAST_HOME to a folder of yours."
        ) from None
    return temporary


def _sweep(home: Path) -> None:
    """Removes what killed saves left behind, a day later: a save under way is younger."""
    for name in _entries(home):
        with contextlib.suppress(OSError):
            if name.startswith(_TEMPORARY) and time.time() - (home / name).lstat().st_mtime > _STALE_AFTER:
                shutil.rmtree(home / name, ignore_errors=True)


# --- finding --------------------------------------------------------------------------------------------------------


def find(name_or_path: str | Path, folder: str | Path | None = None) -> Path:
    """Returns the folder of a version; `open_bundle` checks it, too.

    Args:
        name_or_path: "goog" for the newest version, "goog/2" or "goog:2" for one, "goog/champion" for the one that an
            alias points to, or the path of a version's folder.
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
            version = _aliased(base / name, version, numbers)
        return base / name / version
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        below = _numbers(path)
        return path / str(below[-1]) if below and not (path / MANIFEST).exists() else path
    hint = f". Looked in {base.absolute()}; save one with model.save(name), or set FORECAST_HOME to where yours are."
    raise UnknownName.of("bundle", name or str(name_or_path), _names(base), hint)


def _aliased(home: Path, alias: str, numbers: list[str]) -> str:
    known = {name: str(entries[-1]["version"]) for name, entries in _aliases.read(home).items()}
    if alias not in known:
        raise UnknownName.of(f"version of {home.name!r}", alias, [*numbers, *known])
    if known[alias] not in numbers:
        raise BundleError(
            f"An alias must point to a version that is there. Received: {alias!r} of {home.name!r}, which points to "
            f"version {known[alias]}. Restore that version, or promote another."
        )
    return known[alias]


def aliases(name: str, folder: str | Path | None = None) -> dict[str, int]:
    """Returns the version that each alias of a bundle points to.

    Example:
        >>> aliases("no_such_bundle")
        {}
    """
    return {alias: entries[-1]["version"] for alias, entries in _aliases.read(root(folder) / name).items()}


def point(name: str, alias: str, version: int, why: str, folder: str | Path | None = None) -> None:
    """Makes an alias point to a version of a bundle.

    Args:
        why: A sentence that is kept beside it.

    Raises:
        UnknownName: There is no such version.
        ConfigError: The alias is no plain name.
    """
    home = root(folder) / name
    if version not in _numbers(home):
        raise UnknownName.of(f"version of {name!r}", str(version), [str(n) for n in _numbers(home)])
    _aliases.point(home, alias, version, why)


def roll_back(name: str, alias: str, folder: str | Path | None = None) -> tuple[int, int]:
    """Makes an alias point to the version before; returns the version of until now, and that one.

    Raises:
        ConfigError: There was none before.
    """
    return _aliases.roll_back(root(folder) / name, alias)


def exists(name: str, folder: str | Path | None = None) -> bool:
    """Returns whether there is a version of a bundle of this name."""
    return bool(_numbers(root(folder) / name))


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
        naive forecast), `bytes`, `aliases` that point to it, and `state`: "ok", or "broken: " and why. What a broken
        one does not tell is None.
    """
    base = root(folder)
    return [_row(base / name / str(n), name, n) for name in _names(base) for n in _numbers(base / name)]


def _row(path: Path, name: str, version: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("created", "model", "target", "score", "naive", "bytes"))
    row = {"name": name, "version": version, **row, "aliases": [], "state": "ok"}
    try:
        row["aliases"] = sorted(
            k for k, entries in _aliases.read(path.parent).items() if entries[-1]["version"] == version
        )
        about = read_manifest(path)
    except (BundleError, OSError) as error:
        return {**row, "state": f"broken: {error}"}
    config = _mapping(about.get("config"))
    model, target = config.get("model"), about.get("target") or config.get("target")
    model = about.get("model") or (model.get("name") if isinstance(model, dict) else model)
    scored = [m for m in _nested(about.get("metrics")) if "naive" in m]
    metrics = scored[-1] if scored else {}  # test comes after validation
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
