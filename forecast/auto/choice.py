"""The choice among what was tried: the best one, a mean of some, or "use naive".

A mean is built one by one: whichever lowers its error most joins, as long as that is by 0.2 percent. Whatever comes
of it must be better than the naive and the seasonal naive forecast over all validation cutoffs, and where it is worse
in their older or newer half, it must lose a smaller share there than it gains over all: one lucky stretch is not
enough.

Time that is left goes to more seeds; where the clock had ended a trial that still got better, to seeds and to longer
trainings alike: on validation rows of ETTh1, two of 1.5 times the length were better than one of twice, and than three
of the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..config import ForecastConfig
from ..judging import Judge
from .board import Leaderboard, board_of
from .candidates import Facts
from .trials import ALL, Trials, Tried

GAIN = 0.002  # share of the error that another member must take off
MEMBERS = 4  # of a mean, at most
SEEDS = 3  # of each member, at most
LONGER = 2.0  # times the epochs, at most, of a training that the clock had ended while it still got better
MORE = 1.05  # times the seconds of a trial: there are intervals to learn


def chosen(trials: Trials, facts: Facts, config: ForecastConfig) -> tuple[ForecastConfig, Leaderboard]:
    """Returns the settings to train with, and the leaderboard.

    Args:
        trials: What was tried.
        facts: Of the rows.
        config: The settings to begin with.
    """
    judge, best = trials.judge, trials.best
    bar = min(judge.bars, key=lambda name: judge.bars[name])
    members, y_pred = _selected(best, trials) if best else ([], np.empty(0))
    gains = [_gain(judge, y_pred, bar, half) for half in _halves(trials)] if members else [-np.inf]
    if gains[0] <= 0 or min(gains) <= -gains[0]:
        season = facts.season if bar == "seasonal_naive" else 1
        found = config.replace(
            model={"name": "repeat", "season": season},
            budget=None,
            predict="level",
            lookback=season,
            past=(),  # it looks at the targets alone
            known=(),
            static=(),
            features=(),
            normalize="last",  # so that an integer file of it is exact, too
            training=config.training.replace(early_stopping=True),
        )
        return found, board_of(trials.tried, judge, [], judge.bars[bar], bar, 1)
    left = trials.left(ALL)
    while len(members) > 1 and _cost(members) > left:
        members = members[:-1]
        y_pred = np.mean([one.y_pred for one in members], axis=0)
    room = left / max(_cost(members), 1e-9)
    hurried = any(one.hurried for one in members)
    size = int(np.clip(max(round(math.sqrt(room)), room // LONGER) if hurried else room, 1, SEEDS))
    longer = min(room / size, LONGER if hurried else 1.0)
    found = _settings(members, size, longer)
    return found, board_of(trials.tried, judge, members, judge.error(y_pred), bar, size)


def _selected(best: list[Tried], trials: Trials) -> tuple[list[Tried], np.ndarray]:
    """Returns the members of the best mean, and what it forecasts; members share one scaling."""
    judge = trials.judge
    members, total = [best[0]], best[0].y_pred.astype(np.float64)
    error = best[0].error
    others = [one for one in best[1:] if one.config.scaling == best[0].config.scaling]
    while others and len(members) < MEMBERS:
        count = len(members) + 1
        errors = [judge.error((total + one.y_pred) / count) for one in others]
        place = int(np.argmin(errors))
        if errors[place] > (1 - GAIN) * error:
            break
        error = errors[place]
        one = others.pop(place)
        members.append(one)
        total = total + one.y_pred
    return members, total / len(members)


def _halves(trials: Trials) -> list[Any]:
    """Returns all cutoffs, the older and the newer ones; all alone where there is one moment only."""
    stamps = trials.panel.ds[trials.judge.index.cutoffs]
    later = stamps > np.median(stamps)
    return [slice(None), ~later, later] if later.any() and not later.all() else [slice(None)]


def _gain(judge: Judge, y_pred: np.ndarray, bar: str, half: Any) -> float:
    """Returns the share of a bar's error that forecasts take off; nothing can be taken off none."""
    error = judge.error(judge.beside[bar], half)
    return 1 - judge.error(y_pred, half) / error if error > 0 else -np.inf


def _cost(members: list[Tried]) -> float:
    return MORE * sum(one.growth * one.seconds for one in members)


def _settings(members: list[Tried], size: int, share: float) -> ForecastConfig:
    """Returns the settings of a training of all members, on validation rows, too.

    Args:
        size: Seeds of each.
        share: Of the epochs there is time for; more than all go to those that the clock had ended.
    """

    def shortened(one: Tried) -> dict[str, Any]:
        training = one.config.training
        epochs = max(math.floor((share if one.hurried else min(share, 1.0)) * training.epochs), 1)
        warmup = training.schedule.warmup
        schedule = {**training.schedule.model_dump(), "warmup": warmup if warmup < epochs else 0.0}
        return {**training.model_dump(), "epochs": epochs, "schedule": schedule, "early_stopping": False}

    first = members[0].config.replace(training=shortened(members[0]))
    if len(members) == 1 and size == 1:
        return first
    widest = max(one.config.lookback for one in members)
    told: list[dict[str, Any]] = []
    for one in members if len(members) > 1 else []:
        told.append(
            {
                "model": one.config.model.model_dump(),
                "lookback": one.config.lookback,
                "normalize": one.config.normalize,
                "training": shortened(one),
            }
        )
    return first.replace(lookback=widest, ensemble={"size": size, "members": told, "combine": "mean"})
