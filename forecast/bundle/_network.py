"""Reads a `.keras` file that may come from anywhere: nothing is built before all of it was looked at.

    model.keras, a zip
    |- metadata.json         which Keras wrote it
    |- config.json           the network: every class in it must be in the allow-list (`_allowed`)
    `- model.weights.h5      the weights: plain numbers that lie in this file, all of them

    1. the zip      exactly these three entries, stored as they are (so no zip bomb), bounded in size
    2. the classes  Keras's own, and those the caller names in `custom_objects`; never a Lambda, never a module path
    3. the weights  no links, no external or virtual storage, no data set that claims more bytes than it stores
    4. Keras        load_model(safe_mode=True, compile=False)

Keras's `safe_mode` alone was got round again and again: by functions named by module path (CVE-2025-1550,
CVE-2025-8747), by switching it off from within the file (CVE-2025-9906), by layers that load foreign code
(CVE-2025-49655, CVE-2026-1462) or read files (CVE-2025-12058), by HDF5 that points at other files (CVE-2026-1669) or
claims a giant shape (CVE-2026-0897). This module refuses all of these before Keras sees the file.

It does not bound the memory that a network takes which is honest but huge.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import BundleError

from .._keras import load_keras
from ._allowed import OWN, allowed

if TYPE_CHECKING:
    import keras

# Largest size of each entry in bytes; no other entry is allowed.
ENTRIES = {"config.json": 16 * 2**20, "metadata.json": 64 * 2**10, "model.weights.h5": 4 * 2**30}


def load_network(path: str | Path, custom_objects: Mapping[str, Any] | None = None) -> keras.Model:
    """Returns the network in a `.keras` file, not compiled.

    Args:
        path: The file.
        custom_objects: Your own layers and functions in it, by name; nothing else of yours is ever built.

    Raises:
        BundleError: The file holds something that a network of this toolkit never holds, or Keras cannot build it.

    Example:
        model = load_network("saved_models/goog/1/model.keras", custom_objects={"Gate": Gate})
    """
    path = Path(path)
    written_by = check_network(path, custom_objects)
    keras = load_keras()
    for module in OWN:  # Keras finds a cell of ours where it is registered
        importlib.import_module(module)
    try:
        model = keras.models.load_model(path, custom_objects=dict(custom_objects or {}), compile=False, safe_mode=True)
    except Exception as error:  # the file is input: whatever Keras trips over is its fault, not a bug of ours
        advice = f"Install Keras {written_by}, which wrote it: this is {keras.__version__}."
        if written_by == keras.__version__:
            advice = "The file is damaged, or was made by hand: save the model again."
        cause = str(error).rpartition("Exception encountered: ")[2]  # after a whole configuration
        raise BundleError(
            f"Keras must be able to build the network in {path}. Received: {_short(cause)}. {advice}"
        ) from error
    if not isinstance(model, keras.Model):
        raise BundleError(f"{path} must hold a keras.Model. Received: a {type(model).__name__}. Save the whole model.")
    return model


def check_network(path: str | Path, custom_objects: Mapping[str, Any] | None = None) -> str:
    """Checks a `.keras` file without building anything of it; returns the version of Keras that wrote it.

    Raises:
        BundleError: `load_network` would refuse it.
    """
    path = Path(path)
    parts = _entries(path)
    metadata, config = (
        _json(parts["metadata.json"], path, "metadata.json"),
        _json(parts["config.json"], path, "config.json"),
    )
    _check_classes(config, frozenset(custom_objects or ()), path)
    _check_weights(parts["model.weights.h5"], path)
    return str(metadata.get("keras_version", "unknown"))


def _entries(path: Path) -> dict[str, bytes]:
    rule = f"A .keras file must be a zip of {', '.join(ENTRIES)}, each once and stored uncompressed"
    advice = "Do not load this file; save the model again with model.save"
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            names = [info.orig_filename for info in infos]
            if sorted(names) != sorted(ENTRIES):
                raise BundleError(
                    f"{rule}. Received in {path}: {', '.join(map(repr, names[:8])) or 'no entry'}. {advice}."
                )
            for info in infos:
                _check_entry(info, rule, path, advice)
            return {info.filename: archive.read(info) for info in infos}
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        raise BundleError(f"{rule}. Received: {path}: {_short(error)}. {advice}.") from None


def _check_entry(info: zipfile.ZipInfo, rule: str, path: Path, advice: str) -> None:
    # Keras stores entries as they are: one that claims more than what lies in the file is a bomb.
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
        raise BundleError(f"{rule}. Received in {path}: {info.filename}, compressed or encrypted. {advice}.")
    if info.file_size != info.compress_size:
        sizes = f"{info.filename}, which claims {info.file_size:,} bytes and stores {info.compress_size:,}"
        raise BundleError(f"{rule}. Received in {path}: {sizes}. {advice}.")
    if info.file_size > ENTRIES[info.filename]:
        raise BundleError(
            f"{info.filename} in a .keras file may have {ENTRIES[info.filename]:,} bytes. Received in {path}: "
            f"{info.file_size:,}. {advice}."
        )


def _json(text: bytes, path: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name} in {path} must be JSON. Received: {_short(error)}. Save the model again.") from None
    if not isinstance(value, dict):
        raise BundleError(
            f"{name} in {path} must be a JSON object. Received: a {type(value).__name__}. Save the model again."
        )
    return value


def _check_classes(config: dict[str, Any], custom: frozenset[str], path: Path) -> None:
    todo: list[tuple[Any, str]] = [(config, "")]
    while todo:
        node, where = todo.pop()
        if isinstance(node, dict):
            if "class_name" in node:
                where = _inside(node, where)
                if not allowed(node, custom):
                    raise BundleError(_refusal(node, where, path))
            todo += [(value, where) for value in node.values()]
        elif isinstance(node, list):
            todo += [(value, where) for value in node]


def _inside(node: dict[str, Any], where: str) -> str:
    """Returns the way to a part of the network, such as "forecaster > lstm > head"."""
    inner = node.get("config")
    name = node.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
    return f"{where} > {name}" if where and isinstance(name, str) else name if isinstance(name, str) else where


def _refusal(node: dict[str, Any], where: str, path: Path) -> str:
    name, module = node["class_name"], node.get("module")
    what = node.get("config") if name == "function" else name
    full = f"{module}.{what}" if module else f"{what}, without a module"
    registered = node.get("registered_name")
    if isinstance(registered, str) and registered not in (name, what):
        full += f", registered as {registered}"
    head = (
        f"A network may hold Keras's own layers and those that custom_objects names. Received: {full[:200]} "
        f"in {where[:200] or 'the network'}, in {path}."
    )
    if name in ("Lambda", "__lambda__"):
        return (
            f"{head} A Lambda can run any code on this machine. If the network is yours, write it with keras.ops or as "
            "a layer class instead, and save again; otherwise do not load it."
        )
    package = str(module or "").partition(".")[0]
    own = package not in {"keras", *sys.stdlib_module_names} and isinstance(name, str) and not name.startswith("__")
    if own:
        return (
            f"{head} If it is yours and you trust this file, load with custom_objects={{{str(what)[:80]!r}: ...}}; "
            "otherwise do not load it."
        )
    return (
        f"{head} It may run code or read files on this machine. Do not load this file; if the network is yours, build "
        "it without."
    )


def _check_weights(data: bytes, path: Path) -> None:
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            _check_objects(file, path)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{_rule()} Received: {path}: {_short(error)}. Save the model again.") from None


def _check_objects(file: Any, path: Path) -> None:
    import h5py

    todo, seen = [file], {_address(file)}
    while todo:
        group = todo.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise _weights(path, group, name, f"a {type(link).__name__}, which points elsewhere")
            item = group[name]
            if _address(item) in seen:  # would go round for ever, or read one array many times
                raise _weights(path, group, name, "something that lies in another place, too")
            seen.add(_address(item))
            if isinstance(item, h5py.Group):
                todo.append(item)
            elif isinstance(item, h5py.Dataset):
                _check_dataset(item, path, group, name)
            else:
                raise _weights(path, group, name, f"a {type(item).__name__}")


def _address(item: Any) -> int:
    import h5py

    address: int = h5py.h5o.get_info(item.id).addr
    return address


def _check_dataset(item: Any, path: Path, group: Any, name: str) -> None:
    if item.external:
        raise _weights(path, group, name, f"data in another file, {item.external[0][0]!r}")
    if item.is_virtual:
        raise _weights(path, group, name, "virtual data, which lies in other files")
    if item.dtype.kind not in "biuf":
        raise _weights(path, group, name, f"values of type {item.dtype}")
    if item.nbytes != item.id.get_storage_size():
        stored = item.id.get_storage_size()
        raise _weights(path, group, name, f"an array that claims {item.nbytes:,} bytes and stores {stored:,}")


def _weights(path: Path, group: Any, name: str, what: str) -> BundleError:
    where = f"{group.name.rstrip('/')}/{name}"
    return BundleError(
        f"{_rule()} Received in {path}: {where[:200]}: {what}. Do not load this file; save the model again."
    )


def _rule() -> str:
    return "model.weights.h5 must hold plain arrays of numbers, stored in the file itself."


def _short(error: BaseException | str) -> str:
    """Returns the beginning of a message, without a full stop: Keras's go on for pages."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.rstrip(".") if len(text) <= 300 else text[:300] + "..."
