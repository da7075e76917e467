"""Goes on learning: a few small steps on recent rows, kept only where they forecast better than the weights before.

    rows      ... learned before ......|. chose the weights .|.......... nobody saw them yet ..........| end
    update             |--------------- recent: learned now, half of it again ---------------|- guard -|
                                                                                    both weights forecast it;
                                                                                    neither saw it before

    fine-tuning   |---------- train, of one series ----------|-- its validation: the guard --|

The guard decides: where the mean scaled error of its windows is not lower than with the old weights, these stay, and
nothing is saved. So an update never makes the guarded score worse. What it costs: the latest rows are not learned from
until a later update moves the guard on. Whether an update helps on rows after the guard, only those can tell: it does
where a series changes for good (a sine whose period halves: a third less error over the next 110 days, updated every
ten), and on the daily closes of sample:goog, one day ahead, makes no difference beyond chance.

Afterwards train reaches up to the guard, which is validation, and test starts after the last row: no row that the
weights know is ever scored as test, and `evaluate` waits for later rows.

Scaling stays as it was learned: other numbers would mean something else to the weights. A series that was new to them
stays so: it is scaled by its own rows. Intervals stay, too: their errors are of rows that the old weights had not
learned from, and there are no others that the new ones have not.

Older rows are learned again beside new ones because a network that sees the new ones alone forgets: French (1999),
https://doi.org/10.1016/S1364-6613(99)01294-2; for their replay, Rolnick et al. (2019), https://arxiv.org/abs/1811.11682.

Axes: `N` windows, `H` horizon, `K` targets, `S` series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.cleaning import CleaningReport
from pipelines.errors import ConfigError, DataError, UnknownName
from pipelines.splits import Splits
from pipelines.windows import WindowIndex

from .config import ForecastConfig
from .evaluation.beside import season_lengths
from .fitting import Fitted, Lesson, naive_errors, train_network
from .lineage import successor
from .selection import training_windows, validation_windows
from .text import number
from .unseen import cuts, moved, refuse_nothing_new

if TYPE_CHECKING:
    from .forecaster import Forecaster
    from .prepare import Data, Prepared
    from .training.fit import TrainingRun

SMALLER = 0.1  # than the learning rate of the training

# What a training may have had and a few small steps do not: they would change the lesson, or outlast it.
PLAIN = {
    "early_stopping": True,
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
        why: What decided, in a sentence.
        old, new, naive: Mean scaled error of the guard's windows: of the weights before, the weights after, and the
            naive forecast. Scaled by what the naive forecast misses each series by in the rows before (MASE).
        learned: How many windows were learned from.
        guard: How many windows decided.
        chose: Rows of the guard, in the series with most of them, that the old weights were chosen by before, which
            favours these: the others have to be better still.
        first, last: Stamps of the guard's rows, for people.
        epoch: The epoch whose weights are `new`; 0 where no step lowered the loss of the guard.
        what: "update", or "fine-tuning on" and whose series.
    """

    forecaster: Forecaster
    accepted: bool
    why: str
    old: float
    new: float
    naive: float
    learned: int
    guard: int
    chose: int
    first: str
    last: str
    epoch: int
    what: str

    def __str__(self) -> str:
        """Says whether it helped, by how much, and what that was measured on."""
        fall = 100 * (1 - self.new / self.old) if self.old else 0.0
        chose = f"; {self.chose:,} of them chose the old weights" if self.chose else ""
        kept = f"accepted: the error falls by {fall:.1f} %" if self.accepted else "not accepted: the old weights stay"
        return "\n".join(
            [
                f"{self.what}, {kept}; {self.why}",
                f"error      old weights {number(self.old)}, new {number(self.new)}, naive {number(self.naive)} (MASE)",
                f"measured   on {self.guard:,} windows of rows {self.first} to {self.last}, which neither learned "
                f"from{chose}",
                f"learned    from {self.learned:,} windows before them",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the same as plain data."""
        names = (
            "what",
            "accepted",
            "why",
            "old",
            "new",
            "naive",
            "learned",
            "guard",
            "chose",
            "first",
            "last",
            "epoch",
        )
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

    Online learning is this in a loop; a guard of a fixed size slides along with the rows:

        for day in days:
            model = update(model, rows.loc[:day], guard=20).forecaster
            model.predict()

    Args:
        forecaster: Fitted, or loaded from a bundle; it stays as it is.
        data: All rows up to now, or the new ones and enough before them; some must be new.
        epochs: At most so many passes over the recent windows; the best by the guard is taken.
        learning_rate: By default a tenth of the training's.
        guard: Latest rows, or stamps that series share, to judge by. By default a fifth of those that the weights have
            neither learned from nor were chosen by, at least 20, and one horizon. A number may also take rows that the
            weights were chosen by, which favours the old ones.
        recent: Rows before the guard to learn from; by default those not learned from yet and as many before them,
            at least four times the guard.
        quiet: Show no progress.

    Raises:
        NotFitted: There is no trained network yet.
        DataError: No row is new, or too few are for a guard; SeriesTooShort where no window fits before it.
        ConfigError: A setting is wrong.

    Example:
        >>> import forecast
        >>> rows = forecast.load("sample:goog")
        >>> model = forecast.Forecaster(target="Close", lookback=20, training={"epochs": 3})
        >>> model = model.fit(rows.iloc[:-21], quiet=True)
        >>> month = update(model, rows, quiet=True)
        >>> month.new < month.old or not month.accepted
        True
    """
    config = _gently(forecaster, epochs, learning_rate)
    prepared = forecaster._prepared(data)
    panel, pipeline = prepared.panel, forecaster.pipeline_
    refuse_nothing_new(forecaster, panel)
    before = forecaster._split(panel)
    known = before if forecaster.config.training.early_stopping else before.learned()
    first, judged = cuts(panel, replace(known, starts=before.starts), config.horizon, guard, recent)
    parts = moved(forecaster, panel, before, judged)
    rows = pipeline.transform(panel, known_until=judged)
    taught = training_windows(pipeline, rows, replace(parts, starts=None, tails={}), CleaningReport())
    taught = taught[taught.cutoffs + 1 + config.gap >= first[taught.series]]
    if not len(taught):
        raise DataError(
            f"Before the guard must lie a window without missing values, with its future of {config.horizon:,} rows in "
            f"the recent ones. Received: {int((judged - first).max()):,} recent rows. Raise `recent`."
        )
    try:
        decides = validation_windows(pipeline, rows, parts)
    except DataError:
        raise DataError(
            f"The guard must hold a future of {config.horizon:,} rows without missing values, and {config.lookback:,} "
            f"such rows before it. Received: {parts.count('validation'):,} rows, no such future. Raise `guard`, or "
            "repair the rows."
        ) from None
    about = {"what": "update", "chose": int(np.maximum(before.bounds[:, 2] - judged, 0).max())}
    return _guarded(forecaster, config, prepared, parts, rows, taught, decides, about, quiet)


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
        DataError: They hold no validation window.
        ConfigError: A setting is wrong.
    """
    from .prepare import Prepared

    config = _gently(forecaster, epochs, learning_rate)
    if data is None:
        prepared = Prepared(forecaster.panel_, config.target, forecaster.report_, forecaster.source_)
    else:
        prepared = forecaster._prepared(data)
    panel = prepared.panel
    if not forecaster.config.training.early_stopping:
        raise ConfigError(
            "Fine-tuning decides by validation rows. Received: a forecaster that learned from them "
            "(training.early_stopping=False). Train it with early stopping, or update it with later rows."
        )
    names = [series] if isinstance(series, str) else list(dict.fromkeys(series))
    if not names:
        raise ConfigError("Fine-tuning needs the name of a series. Received: none. Name one, such as 'AAPL'.")
    for name in names:
        if name not in panel.ids:
            raise UnknownName.of("series", str(name), panel.ids)
    panel = panel.take([panel.ids.index(name) for name in names])
    splits, pipeline = forecaster._split(panel), forecaster.pipeline_
    rows = pipeline.transform(panel, known_until=splits.rows("validation")[0])
    taught = training_windows(pipeline, rows, splits, CleaningReport())
    decides = validation_windows(pipeline, rows, splits)
    first, end = splits.rows("validation")
    about = {"what": f"fine-tuning on {', '.join(names)}", "chose": int((end - first).max())}
    own = replace(prepared, panel=panel)
    return _guarded(forecaster, config, own, splits, rows, taught, decides, about, quiet)


def _gently(forecaster: Forecaster, epochs: int, learning_rate: float | None) -> ForecastConfig:
    """Returns settings for a few small steps."""
    config = forecaster.config.replace(target=forecaster.fitted_.pipeline.spec.targets)
    rate = SMALLER * config.training.learning_rate if learning_rate is None else learning_rate
    changes = {**PLAIN, "epochs": epochs, "patience": max(1, epochs) if isinstance(epochs, int) else 1}
    training = {**config.training.model_dump(), **changes, "learning_rate": rate}
    return config.replace(training=training)


def _guarded(
    forecaster: Forecaster,
    config: ForecastConfig,
    prepared: Prepared,
    splits: Splits,
    rows: Any,
    taught: WindowIndex,
    decides: WindowIndex,
    about: dict[str, Any],
    quiet: bool,
) -> Updated:
    """Trains a copy of the network, and returns it in a new forecaster where it is better on the guard."""
    from ._keras import load_keras

    keras = load_keras()

    old, panel, pipeline = forecaster.fitted_, prepared.panel, forecaster.pipeline_
    scales = naive_errors(panel, splits, config)  # (S, K)
    lesson = Lesson(pipeline, rows, taught, decides, season_lengths(panel, config.season_length)[0], scales)
    keras.utils.set_random_seed(config.seed)
    network = keras.models.clone_model(old.network)
    network.set_weights(old.network.get_weights())
    run, trouble = _steps(network, lesson, config, quiet)
    new = replace(old, network=network, run=run)
    truth = pipeline.truth(panel, decides)  # (N, H, K)

    def error(y_pred: np.ndarray) -> float:
        return float((np.abs(truth - y_pred) / scales[decides.series][:, None]).mean())  # NaN where one is none

    errors = [error(one.predict(rows, decides)) for one in (old, new)]
    epoch = 0 if run is None else run.best_epoch
    accepted = epoch > 0 and errors[1] < errors[0]
    first = panel.ds[decides.cutoffs + 1 + config.gap].min()
    last = panel.ds[decides.cutoffs + config.gap + config.horizon].max()
    about = {
        **about,
        "why": trouble or _why(accepted, run),
        "old": errors[0],
        "new": errors[1],
        "naive": error(np.repeat(rows.last[decides.cutoffs][:, None].astype(np.float64), truth.shape[1], axis=1)),
        "learned": len(taught),
        "guard": len(decides),
        "first": str(panel.stamp(int(first))),
        "last": str(panel.stamp(int(last))),
        "epoch": epoch,
    }
    best = _successor(forecaster, new, prepared, splits, about) if accepted else forecaster
    return Updated(best, accepted, **about)


def _steps(network: Any, lesson: Lesson, config: ForecastConfig, quiet: bool) -> tuple[TrainingRun | None, str]:
    """Trains a network in place, and returns how that went, or why it did not: then its weights are as before."""
    from .training.progress import Progress

    before = network.get_weights()
    try:
        return train_network(network, lesson, config, Progress(quiet)), ""
    except DataError as error:  # the loss was no number from the first epoch on
        network.set_weights(before)
        return None, str(error)


def _why(accepted: bool, run: TrainingRun | None) -> str:
    """Returns what decided."""
    best, done = (run.best_epoch, len(run.history) - 1) if run else (0, 0)
    by_hand = ", stopped by hand" if run and run.interrupted else ""
    if accepted:
        return f"epoch {best} of {done} was the best{by_hand}"
    return f"the loss on the guard fell, the error did not{by_hand}" if best else f"no step lowered the loss{by_hand}"


def _successor(
    forecaster: Forecaster, fitted: Fitted, prepared: Prepared, splits: Splits, about: dict[str, Any]
) -> Forecaster:
    """Returns a forecaster with other weights on other rows."""
    other = successor(forecaster, fitted, about)
    other._panel, other._splits, other.report_, other.source_ = prepared.panel, splits, prepared.report, prepared.source
    return other
