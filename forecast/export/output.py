"""Puts a file that passed where the user wants it: complete, or not there at all.

    goog.tflite          the file, and goog.report.json beside it
    goog_edge/           a folder
    |- model.tflite      the file
    |- report.json       what was measured; report.md says it for people, forecast.png shows it
    |- run.py            runs it, with numpy and ai-edge-litert alone
    `- model.h model.cc metadata.h resolver.h golden.h      the same for TFLite Micro, where that has all operators

Everything is made in memory, written into a temporary folder beside the target, and renamed. An earlier export is
replaced at once, and what somebody else put into its folder stays; a folder that holds something and no export is
refused before the work begins.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import ConfigError, ExportError

from ..bundle._files import plain
from ..evaluation.intervals import level_name
from ..text import aligned, number
from . import parity
from .parity import Comparison

if TYPE_CHECKING:
    from .tflite import Built

MODEL, REPORT = "model.tflite", "report.json"
OURS = {MODEL, REPORT, "report.md", "forecast.png", "run.py", "__pycache__"}
OURS |= {"model.h", "model.cc", "metadata.h", "resolver.h", "golden.h"}


@dataclass(frozen=True, repr=False)
class ExportReport:
    """What was written and measured; print it.

    Attributes:
        path: The .tflite file.
        folder: The folder that it lies in with all the rest; None where it was asked for alone.
        report: What `report.json` says.
        compared: The file on each runtime, beside Keras.
    """

    path: Path
    folder: Path | None
    report: dict[str, Any]
    compared: list[Comparison]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data: the report, and where the file is."""
        return {"path": str(self.path), "folder": self.folder and str(self.folder), **self.report}

    def entry(self, version: int) -> dict[str, Any]:
        """Returns what the list of exports beside a bundle says of this one."""
        about, size = self.report["file"], self.report["cost"]["file_bytes"]
        kept = {name: about[name] for name in ("digest", "quantize", "layout")}
        return {"version": version, "file": str(self.path.absolute()), **kept, "bytes": size}

    @property
    def line(self) -> str:
        """The file in one line."""
        about, cost = self.report["file"], self.report["cost"]
        arena = f", arena {cost['arena']:,} bytes" if cost["arena"] else ""
        return (
            f"edge    {self.path}: {cost['file_bytes']:,} bytes, {about['quantize']} {about['layout']}{arena}; "
            f"{self._error()} on {self.report['held_out']['windows']:,} held-out windows"
        )

    def _error(self) -> str:
        about, unit = self.report["file"], self.report["network"]["unit"]
        unit = unit and f" {unit}"
        mine = next(one for one in self.compared if one.file == f"{about['layout']} {about['quantize']}")
        if mine.mae:
            return f"MAE {number(mine.mae['file'])} against {number(mine.mae['keras'])}{unit} of Keras"
        largest = max((step["largest"] for step in mine.by_step), default=float("nan"))
        return f"at most {number(largest)}{unit} from Keras"

    def _intervals(self) -> list[str]:
        """Returns a line for each level: how often the truth lay inside."""
        return [
            f"{level_name(row['level'])} % held {row['file']:.1f} % of {row['values']:,} true values of the test part, "
            f"the network's {row['network']:.1f} %"
            for row in self.report["intervals"].get("levels", ())
            if {"file", "network"} <= set(row)
        ]

    def __str__(self) -> str:
        about, network, cost, held = (self.report[name] for name in ("file", "network", "cost", "held_out"))
        call = "row" if about["state"]["kind"] == "streaming" else "forecast"
        what = f"{network['horizon']:,} step{'' if network['horizon'] == 1 else 's'}"
        if network["targets"]:
            what += f" of {' '.join(', '.join(network['targets']).split())}"
        arena = f"{cost['arena']:,} bytes on TFLite Micro" if cost["arena"] else "unknown, no TFLite Micro ran it"
        rows = [
            ["file", str(self.path)],
            ["network", ", ".join(filter(None, (network["name"], network["model"])))],
            ["forecast", f"{what} from {network['lookback']:,} rows"],
            ["layout", f"{about['layout']} {about['quantize']}: {self.report['why']}"],
            ["size", f"{cost['bytes']:,} bytes, {cost['file_bytes']:,} with metadata"],
            ["arena", arena],
            ["cost", f"{cost['macs']:,} multiply-accumulates a {call}, {cost['operators']:,} operators"],
            ["compared", f"on {held['windows']:,} windows: {held['part']}"],
        ]
        rows += [["intervals" if n == 0 else "", text] for n, text in enumerate(self._intervals())]
        rows += [["left out", text] for text in self.report["left_out"]]
        rows += [["repaired" if n == 0 else "", text] for n, text in enumerate(self.report["repairs"])]
        return f"{aligned(rows)}\n\n{parity.table(self.compared, network['unit'])}"

    def __repr__(self) -> str:
        return str(self)  # a notebook shows the table


# --- what is written ------------------------------------------------------------------------------------------------


def write(built: Built, path: str | Path) -> ExportReport:
    """Writes a file that passed, and all that goes with it.

    Args:
        built: The file, in memory.
        path: Such as "goog.tflite"; anything else is a folder.

    Raises:
        ConfigError: It cannot be written there; nothing is left behind then, and an earlier export is as it was.
    """
    target, place = _target(path), Path(path).expanduser()
    report = plain(built.to_dict())
    if not _is_file(target):
        files = _folder(built, report)
        _put_folder(files, target)
        return ExportReport(place / MODEL, place, report, built.compared)
    _put_files({target.name: built.data, _report_of(target).name: _json(report)}, target)
    return ExportReport(place, None, report, built.compared)


def _folder(built: Built, report: dict[str, Any]) -> dict[str, bytes]:
    """Returns the files of a folder by name; what is left out, and why, goes into the report."""
    from ..plotting import parity_png
    from .golden import c_sources
    from .report import markdown

    try:
        c = c_sources(built)
    except ExportError as error:
        c = {}
        report["left_out"].append(f"C files: {' '.join(str(error).split())}")
    about, shown = built.about, built.shown
    picture = parity_png(
        *(shown[name] for name in ("y_pred", "y_file", "y_true", "naive")),
        targets=about["targets"],
        model=f"{about['name'] and about['name'] + ', '}{about['model']}",
        file=f"{about['layout']} {about['quantize']}",
        unit=about["unit"],
        part=shown["part"],
    )
    texts = {"report.md": markdown(built, list(c), report["left_out"]), **c}
    return {
        MODEL: built.data,
        REPORT: _json(report),
        "forecast.png": picture,
        "run.py": (Path(__file__).parents[1] / "edge.py").read_bytes(),
        **{name: text.encode() for name, text in texts.items()},
    }


def _json(report: Mapping[str, Any]) -> bytes:
    return (json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


# --- where it is put ------------------------------------------------------------------------------------------------


def check_place(path: str | Path) -> None:
    """Raises ConfigError where an export cannot be written: before the work begins, rather than after."""
    with _beside(_target(path)):
        pass


def _target(path: str | Path) -> Path:
    """Returns where an export goes, with links followed, after looking at what is there.

    Raises:
        ConfigError: Something is there that is no earlier export, or there is no folder that it could lie in.
    """
    try:
        target = Path(path).expanduser().resolve()
        if not target.parent.is_dir():
            raise ConfigError(
                f"An export must lie in a folder that exists. Received: {path}. Make it, or choose another."
            )
        if _is_file(target):
            for one in (target, _report_of(target)):
                if one.exists() and not one.is_file():
                    raise ConfigError(
                        f"A .tflite file must not replace a folder. Received: {one}. Choose another name."
                    )
        elif target.is_dir():
            names = set(os.listdir(target))
            if names and not {MODEL, REPORT} <= names:
                raise ConfigError(
                    "A folder for an export must be new, empty, or hold an earlier export, which it replaces. "
                    f"Received: {path}, which holds {', '.join(sorted(names)[:5])}. Choose another folder, or move "
                    "that away."
                )
        elif target.exists():
            raise ConfigError(
                f"An export must be a file that ends in .tflite, or a folder. Received: {path}, something "
                "else. Choose another name."
            )
    except OSError as error:
        raise _cannot(path, error) from None
    return target


def _is_file(target: Path) -> bool:
    return target.suffix.lower() == ".tflite"


def _report_of(target: Path) -> Path:
    return target.with_name(f"{target.stem}.report.json")


def _cannot(path: str | Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"An export must go where it can be written. Received: {path}: {error.strerror or error}. Choose another "
        "place, or make room in this one."
    )


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yields a temporary folder beside a target, and removes it, whatever happens."""
    temporary = target.parent / f".forecast-export-{uuid.uuid4().hex}"
    try:
        temporary.mkdir()
        yield temporary
    except OSError as error:
        raise _cannot(target, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _save(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files through to the disk."""
    folder.mkdir()
    for name, data in files.items():
        with open(folder / name, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _put_files(files: Mapping[str, bytes], target: Path) -> None:
    """Puts files beside each other; all of them, or those that were there stay."""
    with _beside(target) as temporary:
        new, old = temporary / "new", temporary / "old"
        _save(new, files)
        old.mkdir()
        for name in files:
            if (target.parent / name).exists():
                shutil.copy2(target.parent / name, old / name)
        try:
            for name in files:
                os.replace(new / name, target.parent / name)
        except BaseException:  # also Ctrl-C
            for name in files:
                if (old / name).exists():
                    os.replace(old / name, target.parent / name)
                else:
                    (target.parent / name).unlink(missing_ok=True)
            raise


def _put_folder(files: Mapping[str, bytes], target: Path) -> None:
    """Puts a folder in its place; an earlier one stays until the new one is whole, and what is not ours for ever."""
    with _beside(target) as temporary:
        new, old = temporary / "new", temporary / "old"
        _save(new, files)
        for name in sorted(set(os.listdir(target)) - OURS) if target.exists() else ():
            _keep(target / name, new / name)
        try:
            if target.exists():
                os.rename(target, old)
            os.rename(new, target)
        except BaseException:  # also Ctrl-C
            if old.exists() and not target.exists():
                os.rename(old, target)
            raise


def _keep(source: Path, place: Path) -> None:
    """Puts a copy of somebody's file or folder in another place; a link stays a link."""
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, place, symlinks=True)
    else:
        shutil.copy2(source, place, follow_symlinks=False)
