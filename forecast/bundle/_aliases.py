"""Names for versions: "stocks/champion" is whichever version that name points to now.

    saved_models/stocks/aliases.json

    {"champion": [{"version": 1, "since": "...", "why": "first"}, {"version": 3, "since": "...", "why": "..."}]}
                                                                  ^ the last one counts; rolling back removes it

The file is replaced as a whole, by one process at a time. A version itself never changes.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from pipelines.errors import BundleError, ConfigError

from ._files import write_text

FILE = "aliases.json"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")

Entry = dict[str, Any]  # version, since, why


def read(home: Path) -> dict[str, list[Entry]]:
    """Returns the entries of each alias of a bundle, the one that counts last.

    Raises:
        BundleError: The file is damaged.
    """
    try:
        text = (home / FILE).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    try:
        found = json.loads(text)
        return {
            str(alias): [
                {"version": int(e["version"]), "since": str(e["since"]), "why": str(e["why"])} for e in entries
            ]
            for alias, entries in found.items()
            if entries
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{home / FILE} must hold the versions that aliases point to. Received: {error!r}. Restore it, or remove "
            "it and promote a version again."
        ) from None


def point(home: Path, alias: str, version: int, why: str) -> None:
    """Makes an alias point to a version; pointing it to where it points already changes nothing.

    Raises:
        ConfigError: The alias is no plain name.
    """
    if not _NAME.fullmatch(alias):
        raise ConfigError(
            f"An alias must be small letters, digits, '_' and '-', a letter first. Received: {alias!r}. Choose one "
            "such as champion."
        )
    with filelock.FileLock(home / f".{FILE}.lock"):
        found = read(home)
        entries = found.setdefault(alias, [])
        if entries and entries[-1]["version"] == version:
            return
        entries.append({"version": version, "since": datetime.now(UTC).isoformat(timespec="seconds"), "why": why})
        _write(home, found)


def roll_back(home: Path, alias: str) -> tuple[int, int]:
    """Makes an alias point to where it pointed before; returns the version of now and the one from then.

    Raises:
        ConfigError: It pointed to nothing before.
    """
    with filelock.FileLock(home / f".{FILE}.lock"):
        found = read(home)
        entries = found.get(alias, [])
        if len(entries) < 2:
            there = f"version {entries[0]['version']} from the first on" if entries else "no version"
            raise ConfigError(
                f"To roll back, {alias!r} of {home.name!r} must have pointed to another version before. Received: "
                f"{there}. Promote the version that you want."
            )
        now = entries.pop()
        _write(home, found)
    return now["version"], entries[-1]["version"]


def _write(home: Path, aliases: dict[str, list[Entry]]) -> None:
    write_text(home / FILE, json.dumps(aliases, indent=1, ensure_ascii=False) + "\n")
