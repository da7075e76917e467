"""The files of one version, and the manifest that names them: written last, read first.

    manifest.json
    |- format: 1                             what this module reads
    |- name, version, created, versions      which bundle, when, with which libraries
    |- files: {name: {sha256, bytes}}        every other file; nothing else may lie in the folder
    |- config, metrics, ...                  what the caller gave
    `- digest                                sha256 of all of the above

Sizes and hashes are compared before any file is parsed. They find damage, half copies and careless edits. They do not
find a forger, who can write a manifest, too; so what is parsed afterwards is parsed as if it came from one: JSON, npz
without pickle, and a network by `_network`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import re
import stat
from collections.abc import Mapping
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.errors import BundleError

from ._arrays import check_arrays

FORMAT = 1
MANIFEST = "manifest.json"
REQUIRED = ("model.keras", "pipeline.json", "pipeline.npz", "golden.npz")
SUFFIXES = (".keras", ".json", ".npz", ".csv", ".png")  # none of them is run by whoever reads it
LIBRARIES = ("keras-forecast", "keras", "tensorflow", "numpy", "pandas")

MAX_MANIFEST = 64 * 2**20
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


# --- writing --------------------------------------------------------------------------------------------------------


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns `{name: {sha256, bytes}}` of all files in a folder, after they are safely on the disk.

    Raises:
        BundleError: A file is missing, or is of a kind that no bundle may hold.
    """
    files = {}
    for name in sorted(_names(folder)):
        _check_name(name, folder)
        with open(folder / name, "rb+") as file:
            os.fsync(file.fileno())
            files[name] = {
                "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
                "bytes": (folder / name).stat().st_size,
            }
    _check_complete(files, folder)
    for name in files:
        if name.endswith(".npz"):
            check_arrays(folder / name)
    return files


def write_manifest(folder: Path, name: str, version: int, files: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Writes `manifest.json` through to the disk; it is what makes a folder a version."""
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    head = {"format": FORMAT, "name": name, "version": version, "created": stamp, "versions": versions()}
    rest = {key: value for key, value in content.items() if key not in {*head, "files", "digest"}}
    about = plain({**head, **rest, "files": files})
    about["digest"] = _digest(about)
    with open(folder / MANIFEST, "w", encoding="utf-8") as file:
        json.dump(about, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def versions(*more: str) -> dict[str, str | None]:
    """Returns the versions of Python and of the libraries that answers depend on."""

    def version(name: str) -> str | None:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    return {"python": platform.python_version(), **{name: version(name) for name in (*LIBRARIES, *more)}}


def plain(value: Any) -> Any:
    """Returns JSON values: arrays as lists, dates as ISO text; a number that is not finite is null."""
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def _digest(about: Mapping[str, Any]) -> str:
    text = json.dumps({k: v for k, v in about.items() if k != "digest"}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes a file through to the disk: whole, or as it was."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Writes a folder's own entries through to the disk, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# --- reading --------------------------------------------------------------------------------------------------------


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the manifest of a version, after checking it and the sizes of the files; no other file is read.

    Raises:
        BundleError: The folder is not a complete version, or not one that this program reads.
    """
    if folder.is_symlink():
        raise BundleError(
            f"A version must be a folder of its own. Received: {folder}, a link to {os.readlink(folder)}. Copy the "
            "folder there instead, or give its real path."
        )
    names = _names(folder)
    if MANIFEST not in names:
        raise BundleError(
            f"A version must hold {MANIFEST}, which a save writes last. Received: none in {folder}. It was removed, or "
            "copied in part: copy the whole folder again, or save the model again."
        )
    about = _parse(folder / MANIFEST)
    _check_format(about, folder)
    files = _listed(about, folder)
    extra, missing = sorted(names - {*files, MANIFEST}), sorted({*files} - names)
    if extra:
        raise BundleError(
            f"A version must hold only the files that its manifest names. Received besides, in {folder}: "
            f"{', '.join(extra[:5])}. Remove them; what you add to a model belongs beside the version, not in it."
        )
    if missing:
        raise BundleError(
            f"A version must hold every file that its manifest names. Missing in {folder}: {', '.join(missing[:5])}. "
            "Copy the whole folder again, or save the model again."
        )
    for name, entry in files.items():
        size = (folder / name).stat().st_size
        if size != entry["bytes"]:
            raise BundleError(_changed(folder, name, f"{entry['bytes']:,} bytes", f"{size:,} bytes"))
    return about


def check_files(folder: Path, about: Mapping[str, Any]) -> None:
    """Compares the sha256 of every file with the manifest, then looks into the npz files.

    Raises:
        BundleError: A file is another one than was saved, or holds pickled objects.
    """
    for name, entry in about["files"].items():
        with open(folder / name, "rb") as file:
            received = hashlib.file_digest(file, "sha256").hexdigest()
        if received != entry["sha256"]:
            raise BundleError(_changed(folder, name, f"sha256 {entry['sha256'][:12]}...", f"{received[:12]}..."))
    for name in about["files"]:
        if name.endswith(".npz"):
            check_arrays(folder / name)


def _changed(folder: Path, name: str, wanted: str, received: str) -> str:
    return (
        f"{name} must be as it was saved: {wanted}. Received: {received}, in {folder}. The file was changed or "
        "damaged: copy the version again from where it came, or save the model again."
    )


def _names(folder: Path) -> set[str]:
    """Returns the names in a folder that holds plain files only."""
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in entries}
    except OSError as error:
        raise BundleError(
            f"A version must be a folder that can be read. Received: {folder}: {error.strerror}."
        ) from None
    for name, mode in found.items():
        if not stat.S_ISREG(mode):
            kind = "a link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
            raise BundleError(
                f"A version must hold plain files only. Received: {name}, {kind}, in {folder}. Remove it, or copy the "
                "real file there."
            )
    return set(found)


def _check_name(name: str, folder: Path) -> None:
    if not _PLAIN.fullmatch(name) or not name.endswith(SUFFIXES):
        raise BundleError(
            f"A version may hold files that end in {', '.join(SUFFIXES)}: no pickle, no HDF5, no SavedModel. Received: "
            f"{name[:100]!r} in {folder}. Do not load it; save the model again."
        )


def _check_complete(files: Mapping[str, Any], folder: Path) -> None:
    missing = [name for name in REQUIRED if name not in files]
    if missing:
        raise BundleError(
            f"A version must hold {', '.join(REQUIRED)}. Missing in {folder}: {', '.join(missing)}. Save "
            "the model again."
        )


def _parse(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > MAX_MANIFEST:
        raise BundleError(
            f"A manifest may have {MAX_MANIFEST:,} bytes. Received: {size:,} in {path}. Do not load this bundle."
        )
    try:
        about = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"A manifest must be JSON. Received: {path}: {error}. Copy the version again, or save the model again."
        ) from None
    if not isinstance(about, dict):
        raise BundleError(
            f"A manifest must be a JSON object. Received: a {type(about).__name__} in {path}. Save the model again."
        )
    return about


def _check_format(about: Mapping[str, Any], folder: Path) -> None:
    received = about.get("format")
    if type(received) is int and received > FORMAT:
        versions = about.get("versions")
        writer = versions.get("keras-forecast") if isinstance(versions, dict) else None
        raise BundleError(
            f"This program reads bundles of format {FORMAT}. Received: format {received} in {folder}, written by "
            f"keras-forecast {writer or 'of a later version'}. Upgrade: pip install --upgrade keras-forecast"
        )
    if type(received) is not int or received != FORMAT:
        raise BundleError(
            f"A manifest must say format: {FORMAT}. Received: {received!r} in {folder}. It is no bundle "
            "of keras-forecast; save the model again."
        )
    if about.get("digest") != _digest(about):
        raise BundleError(
            f"{MANIFEST} must be as it was saved. Received: an edited one in {folder}. Undo the edit, copy the version "
            "again from where it came, or save the model again; notes belong beside the version."
        )


def _listed(about: Mapping[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    files = about.get("files")
    good = isinstance(files, dict) and all(
        isinstance(entry, dict)
        and re.fullmatch("[0-9a-f]{64}", str(entry.get("sha256")))
        and type(entry.get("bytes")) is int
        and entry["bytes"] >= 0
        for entry in files.values()
    )
    if not isinstance(files, dict) or not good:
        raise BundleError(
            f"`files` in a manifest must be {{name: {{sha256, bytes}}}}. Received something else "
            f"in {folder}. Save the model again."
        )
    for name in files:
        _check_name(name, folder)
    _check_complete(files, folder)
    return files
