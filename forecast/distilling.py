"""A small network learns from a large one: what happened, and what its teacher makes of the same windows.

    training window --+-- truth -----------------------+
                      +-- teacher -- its own answer ---+-- (1 - weight) * truth + weight * answer: what is learned
                                                       |
    validation        truth alone: early stopping is by what happens

For squared errors this lowers the same as `(1 - weight) * loss(truth) + weight * loss(answer)`, but for a constant: a
teacher's answer lacks the noise of the truth, and what is left is easier to learn for few weights.

The teacher may be an ensemble, which then costs one small network on a device. Pipeline, split and windows are the
teacher's. Its answers lie in a file without a name while the student learns, so memory does not grow with windows.

Source: Hinton et al. (2015), https://arxiv.org/abs/1503.02531; for regression, Saputra et al. (2019),
https://arxiv.org/abs/1908.00858
"""

from __future__ import annotations

import bisect
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ConfigError, DataError
from pipelines.pipeline import Rows
from pipelines.windows import WindowIndex

from .config import ForecastConfig, ModelSpec, merge
from .evaluation.beside import season_lengths
from .fitting import Fitted, Lesson, calibrated, fresh, learned, lesson_of, shapes_of
from .lineage import successor
from .selection import calibration_windows
from .text import aligned, number

if TYPE_CHECKING:
    from .evaluation.scores import Scores
    from .forecaster import Forecaster
    from .prepare import Data
    from .training.progress import Progress

AT_ONCE = 16_384  # windows that a teacher answers in one go


@dataclass(frozen=True, eq=False)
class Distilled:
    """A student beside its teacher; print it.

    Attributes:
        student: The small forecaster, complete: it predicts, is scored, saved and exported.
        alone: The same network trained without a teacher; None where that was not asked for.
        parameters: Of the teacher's network, and of the student's.
        mae: Mean absolute error of the first target by "teacher", "student", "alone" and "naive".
        part: What it was measured on.
        unit: What it is counted in.
    """

    student: Forecaster
    alone: Forecaster | None
    parameters: tuple[int, int]
    mae: dict[str, float]
    part: str
    unit: str

    def __str__(self) -> str:
        """Says what the teacher was worth to the student."""
        counts = {"teacher": self.parameters[0], "student": self.parameters[1], "alone": self.parameters[1]}
        names = {"student": "student, distilled", "alone": "student, alone"}
        head = ["", "parameters", f"MAE{f', {self.unit}' if self.unit else ''}", "of teacher", "of naive"]
        rows = [
            [
                names.get(name, name),
                f"{counts[name]:,}" if name in counts else "",
                number(mae),
                f"{mae / self.mae['teacher']:.3f}",
                f"{mae / self.mae['naive']:.3f}",
            ]
            for name, mae in self.mae.items()
        ]
        return f"{self.part} errors of a student and its teacher\n{aligned([head, *rows])}\n{self.verdict}"

    @property
    def verdict(self) -> str:
        """One sentence on what the teacher was worth."""
        share = f"{100 * self.parameters[1] / self.parameters[0]:.0f} % of the parameters"
        beside = self.mae["student"] / self.mae["teacher"] - 1
        said = f"With {share} the student's error is {_percent(beside)} the teacher's"
        if self.alone is None:
            return f"{said}."
        gain = self.mae["student"] / self.mae["alone"] - 1
        helped = "the teacher helped" if gain < 0 else "the teacher did not help"
        return f"{said}, and {_percent(gain)} that of the same network trained alone: {helped}."

    def to_dict(self) -> dict[str, Any]:
        """Returns the same as plain data."""
        teacher, student = self.parameters
        return {"part": self.part, "unit": self.unit, "mae": self.mae, "parameters": [teacher, student]}


def distill(
    teacher: Forecaster,
    data: Data | None = None,
    model: str | dict[str, Any] | None = None,
    *,
    weight: float = 0.5,
    share: float = 0.25,
    alone: bool = True,
    quiet: bool = False,
    **training: Any,
) -> Distilled:
    """Trains a small network on what happened and on what a large one answers.

    Args:
        teacher: Fitted, or loaded from a bundle; an ensemble, too.
        data: Rows, by default those of `fit`; cut where the teacher's were.
        model: The student, as for `Forecaster`; by default the teacher's kind, as large as `share` allows.
        weight: Of the teacher's answer in what is learned, from 0, the truth alone, to 1.
        share: Most parameters that it may have, as a share of the teacher's.
        alone: Train it without the teacher, too, to see what the teacher was worth.
        quiet: Show no progress.
        training: Training settings that go over the teacher's, such as `epochs=10`.

    Raises:
        NotFitted: There is no trained teacher, or there are no rows.
        ConfigError: The student is too large, a setting is wrong, or the teacher answers with quantiles.
        SeriesTooShort: No series holds one training window.

    Example:
        >>> import forecast
        >>> rows = forecast.load("sample:goog")
        >>> teacher = forecast.Forecaster(target="Close", lookback=20, training={"epochs": 2})
        >>> found = distill(teacher.fit(rows, quiet=True), quiet=True, epochs=2)
        >>> found.parameters[1] <= found.parameters[0] / 4
        True
    """
    for name, value, low in (("weight", weight, 0.0), ("share", share, 1e-9)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= 1:
            raise ConfigError(f"`{name}` must be a number from 0 to 1. Received: {value!r}")
    _refuse_quantiles(teacher)
    from ._keras import load_keras

    load_keras()
    from .training.progress import Progress

    progress = Progress(quiet)
    if data is not None:
        teacher = teacher.attach(data)
    spec = students(teacher, share)[-1] if model is None else ModelSpec.model_validate(model)
    config = student_config(teacher, spec, training)
    _refuse_large(teacher, config, share)
    lesson = lesson_from(teacher, config, weight)
    student = taught_by(teacher, lesson, config, weight, progress)
    other = student if alone else None
    if alone and weight:
        other = taught_by(teacher, replace(lesson, softened=None), config, 0.0, progress)
    return beside(teacher, student, other)


def students(teacher: Forecaster, share: float = 1.0) -> list[ModelSpec]:
    """Returns smaller networks of a teacher's kind, from the smallest up to so many of its parameters.

    Raises:
        ConfigError: Its kind has no `units` to lower, or none is that small.
    """
    base = teacher.config.members()[0].model
    units = base.options.get("units", _units(base))
    if units is None:
        raise ConfigError(
            f"A smaller network of a kind is one with fewer units. Received: model {base.name!r}, which has none. Name "
            "the student, such as lstm."
        )
    largest = max(units) if isinstance(units, list | tuple) else units
    found = [_scaled(base, units, size / largest) for size in _sizes(largest)]
    most = share * teacher.network_.count_params()
    small = how_many(found, lambda spec: parameters(teacher, student_config(teacher, spec, {})) <= most)
    if not small:
        least = parameters(teacher, student_config(teacher, found[0], {}))
        raise ConfigError(
            f"A student must have at most {int(most):,} parameters ({share:g} of its teacher's). Received: {least:,} "
            f"in the smallest {base.name}. Raise `share`, or name another student."
        )
    return found[:small]


def how_many(choices: Sequence[ModelSpec], fits: Callable[[ModelSpec], bool]) -> int:
    """Returns how many of the choices fit, given that small ones come first; asks about few of them."""
    return bisect.bisect_left(choices, True, key=lambda spec: not fits(spec))


def student_config(teacher: Forecaster, model: ModelSpec, training: dict[str, Any]) -> ForecastConfig:
    """Returns the settings of a student: its teacher's, with another network."""
    config = teacher.config
    return config.replace(
        model=model,
        ensemble=None,
        target=teacher.target,
        training=merge(config.training.model_dump(), training),
    )


def parameters(teacher: Forecaster, config: ForecastConfig) -> int:
    """Returns how many parameters a student has."""
    return int(untrained(teacher, config).count_params())


def untrained(teacher: Forecaster, config: ForecastConfig) -> Any:
    """Returns the network of a student before it learned."""
    panel, pipeline = teacher.panel_, teacher.pipeline_
    season = season_lengths(panel, config.season_length)[0]
    return fresh(pipeline, config, shapes_of(pipeline, config, season))


def lesson_from(teacher: Forecaster, config: ForecastConfig, weight: float) -> Lesson:
    """Returns what a teacher's training windows teach a student; its answers are computed here, once for all students.

    Args:
        config: Of a student.
        weight: Of the teacher's answers; 0 for the truth alone.
    """
    splits, pipeline = teacher.splits_, teacher.pipeline_
    rows = pipeline.transform(teacher.panel_, known_until=splits.rows("validation")[0])
    lesson = lesson_of(pipeline, rows, splits, config)
    if not weight:
        return lesson
    return replace(lesson, softened=_softened(teacher.fitted_, rows, lesson.training, weight))


def taught_by(
    teacher: Forecaster, lesson: Lesson, config: ForecastConfig, weight: float, progress: Progress
) -> Forecaster:
    """Returns a trained student as a forecaster.

    Args:
        lesson: See `lesson_from`; `weight` is what it was made with.
    """
    splits, rows = teacher.splits_, lesson.rows
    progress.say(f"student {config.model.name}, {f'weight of the teacher {weight:g}' if weight else 'alone'}")
    calibration = calibration_windows(lesson.pipeline, rows, splits)
    fitted = calibrated(learned(lesson, config, progress), rows, splits, calibration, progress)
    return succeeding(teacher, config, fitted, {"what": "distilled", "weight": weight})


def succeeding(teacher: Forecaster, config: ForecastConfig, fitted: Fitted, about: dict[str, Any]) -> Forecaster:
    """Returns a student on the rows of its teacher."""
    student = successor(teacher, fitted, {**about, "teacher": teacher.config.label})
    student.own, student.config = None, config
    return student


def _softened(
    teacher: Fitted, rows: Rows, index: WindowIndex, weight: float
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Returns what makes targets `(B, H, K)` of windows' numbers and truths; the teacher answers all of them here."""
    H, K = teacher.predictor.shape
    with tempfile.TemporaryFile() as file:  # has no name: it is gone with the array
        answers: Any = np.memmap(file, np.float32, "w+", shape=(len(index), H, K))
    for first in range(0, len(index), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        answers[part] = teacher.predictor(teacher.pipeline, rows, index[part])
    return lambda which, truth: ((1 - weight) * truth + weight * answers[which]).astype(np.float32)


def _refuse_quantiles(teacher: Forecaster) -> None:
    if teacher.config.quantiles:
        raise ConfigError(
            "A teacher answers with one value a step: mixed with the truth, quantiles would no longer be quantiles. "
            f"Received: a network of quantiles {list(teacher.config.quantiles)}. Train it without `quantiles`; "
            "intervals are learned on calibration rows anyway."
        )


def _refuse_large(teacher: Forecaster, config: ForecastConfig, share: float) -> None:
    mine, most = parameters(teacher, config), teacher.network_.count_params()
    if mine > share * most:
        raise ConfigError(
            f"A student must have at most {int(share * most):,} parameters ({share:g} of its teacher's {most:,}). "
            f"Received: {mine:,}. Lower its units, or raise `share`, at most to 1."
        )


def _units(spec: ModelSpec) -> Any:
    """Returns the default units of a model; None where it has no such option."""
    from .models import registry

    if spec.name == "own":
        return None
    field = registry.load(spec.name).Options.model_fields.get("units")
    return None if field is None else field.default


def _scaled(base: ModelSpec, units: Any, factor: float) -> ModelSpec:
    """Returns a model with fewer units, by a factor."""
    few = (
        [max(1, round(u * factor)) for u in units] if isinstance(units, list | tuple) else max(1, round(units * factor))
    )
    return ModelSpec(name=base.name, options={**base.options, "units": few})


def _sizes(largest: int) -> list[int]:
    """Returns numbers of units to choose among: every one of the small, fewer of the large.

    Example:
        >>> _sizes(40)[-6:]
        [26, 28, 30, 32, 36, 40]
    """
    every = [*range(1, 16), *range(16, 32, 2), *range(32, 64, 4), *range(64, max(largest, 64) + 1, 8)]
    return [size for size in every if size < largest] + [largest]


def beside(teacher: Forecaster, student: Forecaster, alone: Forecaster | None) -> Distilled:
    """Returns a student with its errors beside the others': on the test part, or on validation where that is empty."""
    try:
        part, first = "test", teacher.evaluate()
    except DataError:
        part, first = "validation", teacher.evaluate(part="validation")

    def mae(scores: Scores, name: str) -> float:
        table = scores.table.xs(teacher.target[0], level="target")["mae"]
        return float(table.to_numpy(float)[list(table.index).index(name)])

    found = {"teacher": mae(first, teacher.config.label)}
    for name, one in (("student", student), ("alone", alone)):
        if one is not None:
            found[name] = mae(one.evaluate(part=part), one.config.label)
    found["naive"] = mae(first, "naive")
    counts = teacher.network_.count_params(), student.network_.count_params()
    return Distilled(student, alone, counts, found, part, teacher.unit_)


def _percent(change: float) -> str:
    return f"{abs(100 * change):.1f} % {'below' if change < 0 else 'above'}"
