"""The best student of a bundle that fits a device: so much flash for the file, so much memory for its tensors.

    students, small to large       o o o o o o o o o o o o
    untrained, exported             fits      fits | too large        a few tries: both sizes grow with the units
    the largest that fits                      ^ distilled, exported with all its gates
    where that fails                         ^ the next smaller

Sizes do not depend on what a network has learned, so students are measured before they are trained. Flash is the size
of the .tflite file with its metadata; the arena is what TFLite Micro takes for tensors. The code of an interpreter, its
stack, and the program around it come on top.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import ConfigError, ExportError

from .config import ModelSpec
from .distilling import (
    Distilled,
    beside,
    how_many,
    lesson_from,
    parameters,
    student_config,
    students,
    succeeding,
    taught_by,
    untrained,
)
from .text import aligned

if TYPE_CHECKING:
    from .export.output import ExportReport
    from .forecaster import Forecaster
    from .prepare import Data

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmM]?)(?:i?[bB])?")
_UNGATED = {"max_core_error": 1e9, "max_degradation": 1e9}  # of a network that has learned nothing
NAMED = 160  # bytes that a file tells of its bundle, and the name
WORSE = 3  # how many smaller ones are tried where the largest fails


@dataclass(frozen=True)
class Tried:
    """One candidate, measured.

    Attributes:
        model: What it is.
        parameters: Of its network.
        flash: Bytes of its file.
        arena: Bytes of its tensors; None where nobody asked.
        fits: Whether both are within the limits.
    """

    model: ModelSpec
    parameters: int
    flash: int
    arena: int | None
    fits: bool


@dataclass(frozen=True, eq=False)
class DeviceFit:
    """What fits a device; print it.

    Attributes:
        forecaster: The student, or the bundle itself where that fits.
        report: Of its export.
        tried: Candidates, in the order of their parameters.
        distilled: The student beside its teacher; None where the bundle itself fits.
        flash, arena: The limits, in bytes.
    """

    forecaster: Forecaster
    report: ExportReport
    tried: tuple[Tried, ...]
    distilled: Distilled | None
    flash: int
    arena: int | None

    def __str__(self) -> str:
        """Shows candidates, and what was taken."""
        head = ["units", "parameters", "flash", "arena", ""]
        rows = [
            [
                str(one.model.options.get("units", "as it is")),
                f"{one.parameters:,}",
                f"{one.flash:,}",
                "" if one.arena is None else f"{one.arena:,}",
                "fits" if one.fits else "too large",
            ]
            for one in self.tried
        ]
        limits = f"at most {self.flash:,} bytes of flash" + (f", {self.arena:,} of arena" if self.arena else "")
        why = "The bundle itself fits; nothing was distilled." if self.distilled is None else str(self.distilled)
        return f"{limits}\n{aligned([head, *rows])}\n{why}\n{self.report}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the same as plain data."""
        tried = [{**vars(one), "model": one.model.model_dump()} for one in self.tried]
        distilled = None if self.distilled is None else self.distilled.to_dict()
        return {
            "flash": self.flash,
            "arena": self.arena,
            "tried": tried,
            "distilled": distilled,
            "report": self.report.to_dict(),
        }


def size(text: str | int, what: str) -> int:
    """Returns bytes: of 16384, "16k", "16 KiB" or "0.5M"; a k is 1,024.

    Raises:
        ConfigError: It is no size above 0.

    Example:
        >>> size("16k", "flash"), size("0.5M", "flash")
        (16384, 524288)
    """
    found = _SIZE.fullmatch(str(text).strip())
    number = 0 if found is None else int(float(found[1]) * {"": 1, "k": 2**10, "m": 2**20}[found[2].lower()])
    if number <= 0:
        raise ConfigError(f"`{what}` must be a size above 0, such as 16k, 0.5M or 16384. Received: {text!r}")
    return number


def fit_to(
    teacher: Forecaster,
    flash: str | int,
    arena: str | int | None = None,
    *,
    path: str | Path,
    data: Data | None = None,
    name: str | None = None,
    folder: str | Path | None = None,
    weight: float = 0.5,
    quiet: bool = False,
    training: dict[str, Any] | None = None,
    **options: Any,
) -> DeviceFit:
    """Finds the largest student of a teacher's kind whose INT8 file fits a device, distils it and exports it.

    Args:
        teacher: Fitted, or loaded from a bundle; where it fits itself, it is exported as it is.
        flash: Most bytes of the file, such as "16k".
        arena: Most bytes of tensors on TFLite Micro; not measured where None.
        path: Where to export to, as for `Forecaster.export`.
        data: Rows, by default those of `fit`.
        name: Of the bundle that a student is saved as, before it is exported; not saved where None.
        folder: Where bundles lie.
        weight: Of the teacher's answer in what is learned, see `distill`.
        quiet: Show no progress.
        training: Training settings that go over the teacher's.
        options: Others of `forecast.export.options.ExportSpec`, such as `series="AAPL"`.

    Raises:
        NotFitted: There is no trained teacher, or there are no rows.
        ConfigError: A size is none, or TFLite Micro is not installed and an arena is asked for.
        ExportError: Nothing fits, or what fits does not stay true to Keras.
    """
    from ._keras import load_keras

    load_keras()
    from .export import output, runtimes
    from .training.progress import Progress

    limits = size(flash, "flash"), None if arena is None else size(arena, "arena")
    if limits[1] is not None and not runtimes.micro_installed():
        raise ConfigError(
            "`arena` is measured by TFLite Micro. Received: it is not installed. Run: pip install "
            "'keras-forecast[micro]', or leave `arena` out."
        )
    output.check_place(path)
    progress = Progress(quiet)
    teacher = teacher if data is None else teacher.attach(data)
    tried: dict[int, Tried] = {}

    def measured(one: Forecaster, model: ModelSpec, count: int, gates: dict[str, Any]) -> Tried:
        spent = _spent(one, {**options, **gates})
        spent["file_bytes"] += 0 if name is None or one is teacher else NAMED + len(name)
        memory = None if limits[1] is None else _known(spent["arena"])
        fits = spent["file_bytes"] <= limits[0] and (memory is None or limits[1] is None or memory <= limits[1])
        found = tried[count] = Tried(model, count, int(spent["file_bytes"]), memory, fits)
        said = f"{found.flash:,} bytes" + ("" if memory is None else f", arena {memory:,}")
        progress.say(f"{model.name} of {count:,} parameters: {said}: {'fits' if fits else 'too large'}")
        return found

    def finished(report: ExportReport, one: Forecaster, distilled: Distilled | None) -> DeviceFit:
        return DeviceFit(one, report, tuple(tried[n] for n in sorted(tried)), distilled, *limits)

    whole = teacher.network_.count_params()
    if measured(teacher, teacher.config.members()[0].model, whole, _UNGATED).fits:
        return finished(teacher.export(path, quiet=quiet, **options), teacher, None)
    choices = students(teacher)
    if parameters(teacher, student_config(teacher, choices[-1], {})) == whole:  # the bundle itself, which is too large
        choices.pop()

    def bare(spec: ModelSpec) -> Tried:
        config = student_config(teacher, spec, training or {})
        network = untrained(teacher, config)
        one = succeeding(teacher, config, replace(teacher.fitted_, network=network), {"what": "untrained"})
        return measured(one, spec, int(network.count_params()), _UNGATED)

    best = how_many(choices, lambda spec: bare(spec).fits) - 1
    if best < 0:
        least = tried[min(tried)]
        needs = f"{least.flash:,} bytes" + ("" if least.arena is None else f" and an arena of {least.arena:,}")
        raise ExportError(
            f"A file must fit into {limits[0]:,} bytes"
            + (f" and an arena of {limits[1]:,}" if limits[1] else "")
            + f". Received: the smallest {least.model.name} needs {needs}. Give more, train a teacher with a shorter "
            "lookback or fewer features, or one of another kind."
        )
    lesson = lesson_from(teacher, student_config(teacher, choices[best], training or {}), weight)
    failed: ExportError | None = None
    for spec in reversed(choices[max(best + 1 - WORSE, 0) : best + 1]):
        config = student_config(teacher, spec, training or {})
        student = taught_by(teacher, lesson, config, weight, progress)
        try:
            after = measured(student, spec, student.network_.count_params(), {})
        except ExportError as error:  # it drifts: a smaller one may not
            progress.say(str(error).partition(" Try ")[0])
            failed = error
            continue
        if after.fits:
            if name is not None:
                student.save(name, folder)
            return finished(student.export(path, quiet=quiet, **options), student, beside(teacher, student, None))
    raise failed or ExportError(
        f"A trained student must fit as it did before it learned. Received: none of {min(WORSE, best + 1)} within "
        f"{limits[0]:,} bytes. Give a little more."
    )


def _known(arena: int | None) -> int:
    """Returns an arena that was measured.

    Raises:
        ExportError: It was not.
    """
    if arena is None:
        raise ExportError(
            "`arena` is measured by TFLite Micro. Received: a file that it does not run. Export the bundle to read "
            "why, or leave `arena` out."
        )
    return int(arena)


def _spent(forecaster: Forecaster, options: dict[str, Any]) -> dict[str, Any]:
    """Returns what the INT8 file of a forecaster takes."""
    from .export import tflite
    from .export.of_forecaster import of_forecaster
    from .export.options import ExportSpec

    spec = ExportSpec(**options)
    return tflite.build(of_forecaster(forecaster, spec), spec).cost
