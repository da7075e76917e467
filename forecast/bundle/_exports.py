"""What was exported from a bundle: a list beside its versions, because a version never changes.

    saved_models/goog/
    |- 1/, 2/              versions
    `- exports.json        [{version, file, digest, quantize, layout, bytes, created}, ...], the oldest first

A file that is exported again, from whatever version, has one entry: its last. Entries are a memory, no promise: files
may have been moved since.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ._files import MANIFEST

FILE = "exports.json"
FIELDS = ("version", "file", "digest", "quantize", "layout", "bytes")  # and `created`
WAIT = 10.0  # seconds for another export to finish its line


def remember(home: Path, entry: Mapping[str, Any]) -> str:
    """Adds an export to the list of a bundle; returns why it could not, nothing where it did.

    The list is replaced whole, or stays as it was. A file that is no list of exports is left alone.

    Args:
        home: The folder that the versions lie in.
        entry: What `FIELDS` names.
    """
    from filelock import FileLock

    if not (home / str(entry["version"]) / MANIFEST).is_file():  # a copy of one version, somewhere else
        return f"{home} is not where version {entry['version']} lies under its number"
    path, temporary = home / FILE, home / f".{FILE}.tmp"
    entry = {**{name: entry[name] for name in FIELDS}, "created": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        with FileLock(home / f".{FILE}.lock", timeout=WAIT):  # two that export at once are both remembered
            known = _read(path)
            if known is None:
                return f"{path} is no list of exports; move it away, and a new one is begun"
            try:
                _write(temporary, [one for one in known if one["file"] != entry["file"]] + [entry])
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
    except (OSError, NotImplementedError) as error:  # such as a folder that others may only read
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    return ""


def exports(name: str, folder: str | Path | None = None) -> list[dict[str, Any]]:
    """Returns what was exported from a bundle, the oldest first; of all its versions.

    Args:
        name: Such as "goog".
        folder: Where bundles lie, see `forecast.bundle.root`.
    """
    from . import root

    return _read(root(folder) / name / FILE) or []


def _write(path: Path, entries: list[dict[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(entries, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> list[dict[str, Any]] | None:
    """Returns the list in a file; an empty one where there is none, None where it is something else."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError):
        return None
    good = isinstance(found, list) and all(isinstance(one, dict) and {*FIELDS} <= {*one} for one in found)
    return found if good else None
