"""Goes on learning: a few small steps on recent rows, kept only where they forecast better than the weights before.

    rows      ... learned before .........|.. not learned from yet ....................| end
    update                  |--- recent: learned now, half of it known already ---|-- guard --|
                                                                                    both weights forecast it;
                                                                                    neither has learned from it

    fine-tuning   |---------- train, of one series ----------|-- its validation: the guard --|

The guard decides: where the mean scaled error of its windows is not lower than with the old weights, these stay, and
nothing is saved. So an update never makes the guarded score worse. What it costs: the latest rows are not learned from
until a later update moves the guard on.

Scaling stays as it was learned: other numbers would mean something else to the weights. So do intervals, whose
errors are those of the old weights on rows that neither has learned from.

Older rows are learned again beside new ones because a network that sees the new ones alone forgets: French (1999),
https://doi.org/10.1016/S1364-6613(99)01294-2; for their replay, Rolnick et al. (2019), https://arxiv.org/abs/1811.11682.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.cleaning import CleaningReport
from pipelines.errors import ConfigError, DataError, UnknownName
from pipelines.panel import Panel
from pipelines.splits import Splits
from pipelines.windows import WindowIndex

from .config import ForecastConfig
from .evaluation.beside import season_lengths
from .fitting import Fitted, Lesson, naive_errors, shapes_of, train_network
from .selection import training_windows, validation_windows
from .text import number

if TYPE_CHECKING:
    from .forecaster import Forecaster
    from .prepare import Data

SHARE = 0.2  # of the rows not learned from, for the guard
FEWEST = 20  # rows of the guard, where the horizon asks for no more
SMALLER = 0.1  # than the learning rate of the training

# What a training may have had and a few small steps do not: they would change the lesson, or outlast it.
PLAIN = {
    "schedule": {"name": "constant"},
    "average": None,
    "precision": "float32",
    "monitor": False,
    "tensorboard": None,
}


@dataclass(frozen=True, eq=False)
class Updated:
    """What became of an update; print it.

    Attributes:
        forecaster: The one with the better weights: a new one, or where it is not accepted the one given.
        accepted: Whether the new weights are better.
        old, new, naive: Mean scaled error of the guard's windows: of the weights before, the weights after, and the
            naive forecast. Scaled by what the naive forecast misses each series by in the rows before (MASE).
        learned: How many windows were learned from.
        guard: How many windows decided.
        first, last: Stamps of the guard, for people.
        epoch: The epoch whose weights are `new`; 0 where no step lowered the loss of the guard.
        what: "update", or "fine-tuning on" and whose series.
    """

    forecaster: Forecaster
    accepted: bool
    old: float
    new: float
    naive: float
    learned: int
    guard: int
    first: str
    last: str
    epoch: int
    what: str

    def __str__(self) -> str:
        """Says whether it helped, by how much, and what that was measured on."""
        change = 100 * (self.new / self.old - 1) if self.old else 0.0
        kept = (
            f"accepted: the error falls by {-change:.1f} %" if self.accepted else "not accepted: the old weights stay"
        )
        why = "" if self.accepted or self.epoch else "; no step lowered the guarded loss"
        return "\n".join(
            [
                f"{self.what}, {kept}{why}",
                f"error      old weights {number(self.old)}, new {number(self.new)}, naive {number(self.naive)} (MASE)",
                f"measured   on {self.guard:,} windows, {self.first} to {self.last}, which neither has learned from",
                f"learned    from {self.learned:,} windows before them",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the same as plain data."""
        names = ("what", "accepted", "old", "new", "naive", "learned", "guard", "first", "last", "epoch")
        return {name: getattr(self, name) for name in names}


def update(
    forecaster: Forecaster,
    data: Data,
    *,
    epochs: int = 3,
    learning_rate: float | None = None,
    guard: int | None = None,
    recent: int | None = None,
    quiet: bool = False,
) -> Updated:
    """Learns from rows that came since, a little, and keeps that only where it forecasts better.

    Args:
        forecaster: Fitted, or loaded from a bundle; it stays as it is.
        data: All rows up to now, or the new ones and enough before them; some must be new.
        epochs: At most so many passes over the recent windows; the best by the guard is taken.
        learning_rate: By default a tenth of the training's.
        guard: Latest rows, or stamps that series share, to judge by; by default a fifth of those that the weights have
            not learned from, at least 20, and one horizon.
        recent: Rows before the guard to learn from; by default those not learned from yet and as many before them,
            at least four times the guard.
        quiet: Show no progress.

    Raises:
        NotFitted: There is no trained network yet.
        DataError: No row is new, or too few have not been learned from.
        ConfigError: A setting is wrong.

    Example:
        >>> import forecast
        >>> rows = forecast.load("sample:goog")
        >>> model = forecast.Forecaster(target="Close", lookback=20, training={"epochs": 3})
        >>> model = model.fit(rows.iloc[:-21], quiet=True)
        >>> month = update(model, rows, quiet=True)
        >>> month.new <= month.old or not month.accepted
        True
    """
    config = _gently(forecaster, epochs, learning_rate)
    panel = forecaster._prepared(data).panel
    _refuse_nothing_new(forecaster, panel)
    known = forecaster._split(panel).bounds[:, 1]  # rows learned from, in each series
    cuts = _cuts(panel, known, config.window.horizon + config.gap, guard, recent)
    parts = Splits(np.column_stack([*cuts, *[panel.offsets[1:]] * 3]), None, {})
    pipeline = forecaster.pipeline_
    rows = pipeline.transform(panel, known_until=cuts[1])
    learned = training_windows(pipeline, rows, parts, CleaningReport())
    judged = validation_windows(pipeline, rows, parts)
    whole = Splits(np.column_stack([panel.offsets[:-1], cuts[1], *[panel.offsets[1:]] * 3]), None, {})
    lesson = _lesson(forecaster, config, panel, whole, rows, learned, judged)
    found = _guarded(forecaster, config, lesson, whole, "update", quiet)
    if found.accepted:
        found.forecaster._splits = _moved(panel, forecaster._split(panel), cuts[1])
    return found


def fine_tune(
    forecaster: Forecaster,
    series: str | Sequence[str],
    data: Data | None = None,
    *,
    epochs: int = 10,
    learning_rate: float | None = None,
    quiet: bool = False,
) -> Updated:
    """Makes a forecaster of many series better at one, or a few: a few small steps on the training rows of these.

    Args:
        forecaster: Fitted, or loaded from a bundle; it stays as it is.
        series: Whose rows to learn from; the forecaster that comes back has rows of these alone.
        data: Rows, by default those of `fit`; cut where the training data were.
        epochs: At most so many passes; the best by the series' validation part is taken.
        learning_rate: By default a tenth of the training's.
        quiet: Show no progress.

    Raises:
        NotFitted: There is no trained network, or there are no rows.
        UnknownName: There is no such series.
        SeriesTooShort: They hold no training window.
    """
    config = _gently(forecaster, epochs, learning_rate)
    panel = forecaster.panel_ if data is None else forecaster._prepared(data).panel
    names = [series] if isinstance(series, str) else list(series)
    for name in names:
        if name not in panel.ids:
            raise UnknownName.of("series", str(name), panel.ids)
    panel = panel.take([panel.ids.index(name) for name in names])
    splits, pipeline = forecaster._split(panel), forecaster.pipeline_
    rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
    learned = training_windows(pipeline, rows, splits, CleaningReport())
    judged = validation_windows(pipeline, rows, splits)
    lesson = _lesson(forecaster, config, panel, splits, rows, learned, judged)
    found = _guarded(forecaster, config, lesson, splits, f"fine-tuning on {', '.join(names)}", quiet)
    if found.accepted:
        found.forecaster._splits = splits
    return found


def _gently(forecaster: Forecaster, epochs: int, learning_rate: float | None) -> ForecastConfig:
    """Returns settings for a few small steps."""
    config = forecaster.config.replace(target=forecaster.fitted_.pipeline.spec.targets)
    rate = SMALLER * config.training.learning_rate if learning_rate is None else learning_rate
    changes = {**PLAIN, "epochs": epochs, "patience": max(1, epochs) if isinstance(epochs, int) else 1}
    training = {**config.training.model_dump(), **changes, "learning_rate": rate}
    return config.replace(training=training)


def _refuse_nothing_new(forecaster: Forecaster, panel: Panel) -> None:
    """Raises DataError where no row came after the last that the forecaster knew."""
    until = known_until(forecaster)
    ends = panel.ds[panel.offsets[1:] - 1]
    limits = np.array([until.get(name, until.get("*", -math.inf)) for name in panel.ids], np.float64)
    if (ends > limits).any():
        return
    last = int(ends.max())
    raise DataError(
        "An update needs rows after the last that the forecaster knows. Received: none after "
        f"{panel.stamp(max(int(limits.max()), last))}; the latest is of {panel.stamp(last)}. Give newer rows, or train "
        "again."
    )


def known_until(forecaster: Forecaster) -> dict[str, int]:
    """Returns the last stamp that a forecaster knows: "*" of all series, or by series where each has its own clock."""
    if forecaster._panel is not None:
        return until(forecaster._panel)
    said: dict[str, int] = forecaster.manifest_.get("data", {}).get("until", {})
    if not said:
        raise ConfigError(
            "An update needs to know the last row of the training. Received: a bundle of an older version, which does "
            "not say it. Give its rows with attach(data) and save it again, or train again."
        )
    return {name: int(stamp) for name, stamp in said.items()}


def until(panel: Panel) -> dict[str, int]:
    """Returns the last stamp of a panel: "*" of all series, or by series where each has its own clock."""
    if panel.dated:
        return {"*": int(panel.ds.max())}
    return {name: int(panel.ds[panel.offsets[s + 1] - 1]) for s, name in enumerate(panel.ids)}


def _cuts(
    panel: Panel, known: np.ndarray, reach: int, guard: int | None, recent: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first recent row and the first guarded row of each series, `(S,)` each.

    Args:
        known: The first row of each series that was not learned from `(S,)`.
        reach: Rows that one future needs.
    """
    for name, size in (("guard", guard), ("recent", recent)):
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise ConfigError(f"`{name}` must be a number of rows >= 1. Received: {size!r}")
    if panel.dated:
        stamps = np.unique(panel.ds)
        starts = panel.ds[np.minimum(known, panel.offsets[1:] - 1)][known < panel.offsets[1:]]
        free = int(len(stamps) - np.searchsorted(stamps, starts.min())) if len(starts) else 0
    else:
        free = int((panel.offsets[1:] - known).max())
    G = guard or max(FEWEST, reach, math.ceil(SHARE * free))
    if max(G, reach) > free or reach > G:
        raise DataError(
            f"The guard of an update needs {max(G, reach):,} rows that the network has not learned from, and at least "
            f"the {reach:,} of one horizon. Received: {free:,} such rows, guard {G:,}. Give more rows, or another "
            "`guard`."
        )
    back = recent or max(2 * (free - G), 4 * G)
    if panel.dated:
        places = [max(len(stamps) - G - back, 0), len(stamps) - G]
        rows = [panel.ds[panel.rows(s)] for s in range(len(panel.ids))]
        first, judged = (
            panel.offsets[:-1] + np.array([np.searchsorted(ds, stamps[place]) for ds in rows]) for place in places
        )
    else:
        judged = np.maximum(panel.offsets[1:] - G, panel.offsets[:-1])
        first = np.maximum(judged - back, panel.offsets[:-1])
    return first, judged


def _moved(panel: Panel, splits: Splits, judged: np.ndarray) -> Splits:
    """Returns the split after an update: train up to the guard, which is validation; no row that is known is test."""
    ends = panel.offsets[1:]
    bounds = np.column_stack([panel.offsets[:-1], judged, ends, ends, ends])
    if splits.starts is not None:
        first = int(min(panel.ds[j] for j, end in zip(judged, ends, strict=True) if j < end))
        after = int(panel.ds.max()) + 1
        return Splits(bounds, {"validation": first, "calibration": after, "test": after})
    tails = {}
    for s, name in enumerate(panel.ids):
        after = int(panel.ds[ends[s] - 1]) + 1
        tails[name] = [int(panel.ds[judged[s]]) if judged[s] < ends[s] else after, after, after]
    return Splits(bounds, None, {**splits.tails, **tails})


def _lesson(
    forecaster: Forecaster,
    config: ForecastConfig,
    panel: Panel,
    splits: Splits,
    rows: Any,
    learned: WindowIndex,
    judged: WindowIndex,
) -> Lesson:
    season = season_lengths(panel, config.season_length)[0]
    return Lesson(forecaster.pipeline_, rows, learned, judged, season, naive_errors(panel, splits, config))


def _guarded(
    forecaster: Forecaster, config: ForecastConfig, lesson: Lesson, splits: Splits, what: str, quiet: bool
) -> Updated:
    """Trains a copy of the network, and returns it in a new forecaster where it is better on the guard."""
    from ._keras import load_keras

    keras = load_keras()
    from .training.progress import Progress

    old = forecaster.fitted_
    keras.utils.set_random_seed(config.seed)
    network = keras.models.clone_model(old.network)
    network.set_weights(old.network.get_weights())
    shapes = shapes_of(lesson.pipeline, config, lesson.season)
    run = train_network(network, shapes, lesson, config, Progress(quiet))
    new = replace(old, network=network, run=run)
    panel, index = lesson.rows.panel, lesson.validation
    scales = naive_errors(panel, splits, config)[index.series]  # (N, K)
    truth = lesson.pipeline.truth(panel, index)  # (N, H, K)

    def error(y_pred: np.ndarray) -> float:
        return float(np.nanmean(np.abs(truth - y_pred) / scales[:, None]))

    errors = [error(one.predict(lesson.rows, index)) for one in (old, new)]
    naive = error(np.repeat(lesson.rows.last[index.cutoffs][:, None].astype(np.float64), truth.shape[1], axis=1))
    accepted = run.best_epoch > 0 and errors[1] < errors[0]
    first, last = int(index.cutoffs.min()), int(index.cutoffs.max())
    stamps = [panel.stamp(int(panel.ds[row])) for row in (first, last)]
    about: dict[str, Any] = {
        "old": errors[0],
        "new": errors[1],
        "naive": naive,
        "learned": len(lesson.training),
        "guard": len(index),
        "first": str(stamps[0]),
        "last": str(stamps[1]),
        "epoch": run.best_epoch,
        "what": what,
    }
    best = _successor(forecaster, new, panel, about) if accepted else forecaster
    return Updated(best, accepted, **about)


def _successor(forecaster: Forecaster, fitted: Fitted, panel: Panel, about: dict[str, Any]) -> Forecaster:
    """Returns a forecaster with other weights, that remembers where they came from."""
    other = copy.copy(forecaster)
    came = {key: forecaster.manifest_[key] for key in ("name", "version", "digest") if key in forecaster.manifest_}
    other._fitted, other._panel, other._unfinished = fitted, panel, None
    other.lineage_ = (*forecaster.lineage_, {**about, **({"from": came} if came else {})})
    other.path_, other.manifest_, other.report_ = None, {}, CleaningReport()
    return other
