"""The output folder of a job: what is there is whole, whenever a run is killed.

    .work/rows-KEY/                          rows of a run under way, gone at its end
    .work/KEY-ID/shard-00000.parquet ...     finished shards of a run under way
    .work/KEY-ID/publish/                    its results, staged, read again and compared
        | rename                             the run is there, complete, or not at all
    runs/KEY-ID/
        | os.replace                         one line of text changes
    CURRENT

`KEY` is as_of (2024-01-05, or 20240105T140000Z for hours), `ID` names the run by all that decides its numbers. CURRENT
never moves back to an earlier as_of.

Nothing here knows what a forecast is.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import filelock

from pipelines.errors import ConfigError, Locked

from ..bundle import sync, write_text

RUN = "run.json"
CURRENT = "CURRENT"
UNKNOWN = "start"  # the key of a run that failed before its as_of was known
_STALE_AFTER = 7 * 24 * 3600.0  # seconds


class Store:
    """The output folder of a job.

    Args:
        folder: Where it lies; it need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs, self.failed, self.work = folder / "runs", folder / "failed", folder / ".work"

    def prepare(self) -> None:
        """Makes the folder.

        Raises:
            ConfigError: It cannot be written.
        """
        with writing(self.folder):
            for folder in (self.runs, self.failed, self.work, self.folder / ".locks"):
                folder.mkdir(parents=True, exist_ok=True)

    def probe(self) -> None:
        """Sees whether the folder can be written, and leaves it as it was.

        Raises:
            ConfigError: It cannot.
        """
        with writing(self.folder):
            made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
            for path in made:
                path.rmdir()

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Holds the lock of an as_of; it ends with the process that holds it, however that ends.

        Raises:
            Locked: Another run holds it.
        """
        path = self.folder / ".locks" / f"{key}.lock"
        try:
            with filelock.FileLock(path, timeout=0):
                yield
        except filelock.Timeout:
            raise Locked(
                f"One run at a time may work on an as_of. Received: {key} of {self.folder}, which another run holds. "
                "Wait for its end; a run that was killed holds nothing."
            ) from None

    # --- what is there ----------------------------------------------------------------------------------------------

    def current(self) -> Path | None:
        """Returns the folder of the run that counts; None where nothing was published yet."""
        try:
            name = (self.folder / CURRENT).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        return self.folder / name

    def published(self, key: str, run_id: str) -> dict[str, Any] | None:
        """Returns what a published run says of itself; None where it is not there, or was damaged."""
        folder = self.runs / f"{key}-{run_id}"
        about = read_about(folder)
        if about is None or any(_sha256(folder / name) != sha for name, sha in hashes(about).items()):
            return None
        return about

    def all(self) -> list[dict[str, Any]]:
        """Returns what every run says of itself, by as_of and time: those published, and the last failure of each."""
        folders = [path for parent in (self.runs, self.failed) if parent.is_dir() for path in parent.iterdir()]
        abouts = [{**about, "folder": str(path)} for path in folders if (about := read_about(path)) is not None]
        return sorted(abouts, key=lambda about: (about["as_of_utc"] or about["finished"], about["finished"]))

    @contextlib.contextmanager
    def scratch(self, key: str) -> Iterator[Path]:
        """Gives an empty folder for what a run of an as_of needs while it lasts; its caller holds the lock."""
        path = self.work / f"rows-{key}"
        shutil.rmtree(path, ignore_errors=True)  # of a run that was killed
        with writing(self.folder):
            path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    # --- writing ----------------------------------------------------------------------------------------------------

    def workplace(self, key: str, run_id: str) -> Path:
        """Returns the folder for the shards of a run; what other runs of this as_of left behind is removed.

        The caller holds the lock of the as_of.
        """
        mine = self.work / f"{key}-{run_id}"
        for path in self.work.iterdir():
            same = re.fullmatch(re.escape(key) + r"-[0-9a-f]+", path.name)
            if path != mine and (same or time.time() - path.stat().st_mtime > _STALE_AFTER):
                shutil.rmtree(path, ignore_errors=True)
        mine.mkdir(exist_ok=True)
        return mine

    def publish(self, staged: Path, about: dict[str, Any], key: str, run_id: str) -> Path:
        """Writes `run.json` into a staged folder and makes it a run, at once; returns its folder."""
        write_text(staged / RUN, as_json(about))
        target = self.runs / f"{key}-{run_id}"
        damaged = self.work / f"damaged-{target.name}"
        shutil.rmtree(damaged, ignore_errors=True)
        if target.exists():  # somebody changed it, or it would have been found
            os.rename(target, damaged)
        os.rename(staged, target)
        sync(self.runs)
        return target

    def tidy(self, key: str) -> None:
        """Removes what a run of this as_of needs no more, once it is published; a killed one did not come to this.

        The caller holds the lock of the as_of.
        """
        work = [
            path for path in self.work.iterdir() if re.fullmatch(rf"(damaged-)?{re.escape(key)}-[0-9a-f]+", path.name)
        ]
        for path in (*work, self.failed / key, self.failed / UNKNOWN):
            shutil.rmtree(path, ignore_errors=True)

    def prune(self, runs: int | None, since: datetime | None) -> list[str]:
        """Removes old runs and failures, never the one that counts; returns the names of those removed.

        Args:
            runs: How many of the latest as_of stay; None for all.
            since: When those that stay ended, at the earliest; None for any time.
        """
        now, found = self.current(), self.all()
        published = [about for about in found if about["status"] == "published"]
        late = published if runs is None else published[-runs:]
        fresh = [about for about in found if since is None or datetime.fromisoformat(about["finished"]) >= since]
        stays = {about["folder"] for about in late if about in fresh} | {str(now)}
        stays |= {about["folder"] for about in fresh if about["status"] != "published"}
        gone = [Path(about["folder"]) for about in found if about["folder"] not in stays]
        for path in gone:
            away = self.work / f"removed-{path.name}"
            shutil.rmtree(away, ignore_errors=True)
            os.rename(path, away)
            shutil.rmtree(away, ignore_errors=True)
        return [path.name for path in gone]

    def point(self, folder: Path) -> bool:
        """Makes a published run the one that counts, unless one of a later as_of does; returns whether it was moved."""
        with filelock.FileLock(self.folder / ".locks" / f"{CURRENT}.lock"):
            now = self.current()
            if now == folder:
                return False
            mine, theirs = read_about(folder), None if now is None else read_about(now)
            if mine is None or (theirs is not None and theirs["as_of_utc"] > mine["as_of_utc"]):
                return False
            write_text(self.folder / CURRENT, f"{folder.relative_to(self.folder).as_posix()}\n")
            return True

    def fail(self, about: dict[str, Any], key: str, fill: Any) -> Path:
        """Keeps what a run without output says of itself, in place of the last one of its as_of.

        Args:
            fill: Called with the folder to write further files into.
        """
        staged = self.work / f"failed-{key}-{os.getpid()}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        fill(staged)
        write_text(staged / RUN, as_json(about))
        target = self.failed / key
        shutil.rmtree(target, ignore_errors=True)
        os.rename(staged, target)
        return target


def current(folder: str | os.PathLike[str]) -> Path | None:
    """Returns the folder of the run that counts in a job's output folder."""
    return Store(Path(folder)).current()


def read_about(folder: Path) -> dict[str, Any] | None:
    """Returns what the run in a folder says of itself; None where there is none."""
    try:
        about: dict[str, Any] = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return about


def hashes(about: dict[str, Any]) -> dict[str, str]:
    """Returns the sha256 of each output of a run."""
    return {output["file"]: output["sha256"] for output in about["outputs"]}


def as_json(about: Any) -> str:
    """Returns plain data as JSON for files."""
    return json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def describe(path: Path) -> dict[str, Any]:
    """Returns name, size and sha256 of a file, after it is safely on the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path)}


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns what a disk refuses into a `ConfigError`."""
    try:
        yield
    except OSError as error:
        why = error.strerror or f"a write that was cut short ({error})"  # numpy's, of a disk that is full
        raise ConfigError(
            f"The output of a job must be written in full. Received: {why}, in {folder}. Make room "
            "or allow it, or choose another `output`; what was published before is untouched."
        ) from error


def _sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
