"""Trainings that were killed: where their state lies, and which of them goes on.

    saved_models/goog/.training/
       `- 3f9a0c41d2e7/           one training: the digest of its settings, rows and split
          |- about.json           the same for people, and which run it is
          |- lock                 one process at a time
          `- network-1/           state of one network, see `forecast/training/checkpoint.py`

A training goes on only with the settings, rows and versions it began with: anything else would end somewhere that
neither run would have reached. It is gone once its bundle is saved; the same run is never saved twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from pipelines.errors import ConfigError, Locked

from . import bundle
from .bundle._files import plain, versions
from .config import differences

if TYPE_CHECKING:
    from pipelines.panel import Panel
    from pipelines.splits import Splits

    from .config import ForecastConfig
    from .training.checkpoint import Checkpoint

FOLDER = ".training"
STALE_AFTER = 30 * 24 * 3600.0  # seconds


def place(name: str, folder: str | Path | None = None) -> Path:
    """Returns where the unfinished trainings of a bundle lie.

    Example:
        >>> place("goog", "/srv/models").as_posix()
        '/srv/models/goog/.training'
    """
    return bundle.root(folder) / name / FOLDER


class Unfinished:
    """One training whose state is kept; open it with `begin`.

    Attributes:
        run: A name that no other run has; the manifest of its bundle says it.
        about: What becomes of it, for people; "" where there is nothing to say.
    """

    def __init__(self, folder: Path, run: str, about: str, lock: filelock.BaseFileLock) -> None:
        self.folder, self.run, self.about, self._lock = folder, run, about, lock

    def checkpoint(self, network: str) -> Checkpoint:
        """Returns where the state of one network lies."""
        from .training.checkpoint import Checkpoint

        return Checkpoint(self.folder / network)

    def saved_as(self, name: str, folder: str | Path | None = None) -> Path | None:
        """Returns the version that this very run was saved as before it was killed; None where it was not."""
        with contextlib.suppress(Exception):
            path, manifest = bundle.open_bundle(name, folder)
            if manifest.get("training", {}).get("run") == self.run:
                return path
        return None

    def close(self, done: bool) -> None:
        """Lets go of it; where it is done, its state is removed."""
        if done:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()
        if done:
            with contextlib.suppress(OSError):
                self.folder.parent.rmdir()


def begin(
    home: Path, config: ForecastConfig, panel: Panel, splits: Splits, source: str, resume: bool, own: Any = None
) -> Unfinished:
    """Opens the state of a training.

    Args:
        home: See `place`.
        config: All settings.
        panel: The rows.
        splits: Where they are cut.
        source: Where they came from, for people.
        resume: Go on with the state that is there; without one, and by default, it begins anew.
        own: The user's own model, where there is one.

    Raises:
        ConfigError: A state is there, but of other settings or rows; or it cannot be written.
        Locked: The same training is under way.
    """
    about = _about(config, panel, splits, source, own)
    folder = home / about["digest"][:12]
    others = _others(home, folder)
    if resume and not (folder / "about.json").is_file() and others:
        raise ConfigError(_refusal(about, others[0], home))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The state of a training must go into a folder that can be written. Received: {folder}: {error.strerror}. "
            "Choose another name, or set FORECAST_HOME to a folder of yours."
        ) from None
    lock = filelock.FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise Locked(
            f"One process trains the same settings on the same rows at a time. Received: {folder} is in use. Wait for "
            "it, or give another name."
        ) from None
    _sweep(home, folder)
    known = _read(folder)
    if resume and known is not None:
        return Unfinished(folder, str(known["run"]), "An unfinished training of these settings goes on.", lock)
    for old in folder.iterdir():
        if old.name != "lock":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    run = uuid.uuid4().hex
    bundle.write_text(folder / "about.json", json.dumps({**about, "run": run}, indent=1) + "\n")
    said = f"There is no unfinished training in {home}; this one begins." if resume else ""
    said = "An unfinished training of these settings begins anew; --resume goes on with one." if known else said
    return Unfinished(folder, run, said, lock)


def _about(config: ForecastConfig, panel: Panel, splits: Splits, source: str, own: Any) -> dict[str, Any]:
    settings = config.model_dump(mode="json")
    settings["training"].pop("tensorboard")  # tells, and changes nothing
    about: dict[str, Any] = {
        "settings": settings,
        "rows": {"fingerprint": panel.fingerprint(), "split": splits.bounds.tolist()},
        "versions": versions(),
        "kernel": os.environ.get("FORECAST_KERNEL", "fast"),
        "model": "" if own is None else hashlib.sha256(own.to_json().encode()).hexdigest(),
    }
    about = plain(about)
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    last = str(panel.stamp(int(panel.ds.max())))
    return {**about, "digest": digest, "source": source, "count": len(panel), "last": last}


def _others(home: Path, folder: Path) -> list[dict[str, Any]]:
    """Returns what other unfinished trainings say, the latest first."""
    with contextlib.suppress(OSError):
        paths = [path for path in home.iterdir() if path != folder and (path / "about.json").is_file()]
        paths.sort(key=lambda path: (path / "about.json").stat().st_mtime, reverse=True)
        return [about for path in paths if (about := _read(path)) is not None]
    return []


def _refusal(mine: dict[str, Any], theirs: dict[str, Any], home: Path) -> str:
    """Returns why an unfinished training does not go on."""
    found = differences(theirs["settings"], mine["settings"])
    found += differences(theirs["versions"], mine["versions"], "versions")
    differ = [f"{name} {old!r}, now {new!r}" for name, old, new in found]
    if theirs["rows"] != mine["rows"]:
        had, has = (f"{one['count']:,} up to {one['last']}" for one in (theirs, mine))
        differ.append(f"other rows or splits, {had}, now {has}")
    differ += [f"another {name}" for name in ("kernel", "model") if theirs[name] != mine[name]]
    return (
        "A training goes on with the settings, rows and versions it began with. Received, beside the unfinished one in "
        f"{home}: {'; '.join(differ[:6])}. Give the same again to go on with it, or leave out `resume` to start anew "
        "beside it."
    )


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        return about if {"settings", "rows", "versions", "kernel", "model", "run"} <= set(about) else None
    except (OSError, ValueError, TypeError):
        return None


def _sweep(home: Path, mine: Path) -> None:
    """Removes what nobody went on with for a month."""
    with contextlib.suppress(OSError):
        for path in home.iterdir():
            if path != mine and path.is_dir() and time.time() - path.stat().st_mtime > STALE_AFTER:
                shutil.rmtree(path, ignore_errors=True)
