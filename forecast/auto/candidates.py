"""What `auto` tries: settings that follow from the rows, the most promising first.

    season of more than one row     seasonal_lstm (last, mean_std, log1p), linear, segment_lstm, mlp, lstm
    one that is far and says less   lstm, seasonal_lstm with segments of the horizon, linear, mlp
    none                            lstm, linear, gru, mlp

A season is far and says less where it is longer than four horizons and 28 rows, and where naive has the lower error on
training rows: such as a day of minutes, when half an hour is to be forecast.

Learning rates, units and losses are usual ones, chosen once and for all series; nothing here was chosen by test rows.
What the user has set himself is set in every candidate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.panel import Panel
from pipelines.splits import Splits

from ..config import ForecastConfig, differences, merge
from ..evaluation.beside import season_lengths
from ..evaluation.metrics import mase_scale
from ..training.spec import steps_of_epoch

MANY = 50  # series
ROW_BY_ROW = 168  # rows that a network which steps through every one of them is given, at most
STEPS = 2_000  # that a training takes at most
FAR, SHORT = 4, 28  # horizons, and rows: no season within them is far
SAMPLE = 100  # series that are looked at
EPOCH = 100  # steps of an epoch, at most
ENOUGH = 1_000  # windows that a lookback leaves, where many series let it take more than half of the rows


@dataclass(frozen=True)
class Facts:
    """What candidates follow from.

    Attributes:
        season: Rows of a season; 1 where there is none.
        horizon: Rows to forecast, with the gap before them.
        rows: Training rows of the series in the middle.
        series: How many there are.
        windows: About so many train.
        positive: No training value of a target is below zero.
        near: A season is far, and says less than the last rows.
    """

    season: int
    horizon: int
    rows: int
    series: int
    windows: int
    positive: bool
    near: bool = False

    @property
    def lookback(self) -> int:
        """Rows that a model should see."""
        return usual_lookback(self.season, self.horizon, self.rows, self.near, self.series)


def facts_of(panel: Panel, splits: Splits, config: ForecastConfig) -> Facts:
    """Returns what there is to know before any training."""
    first, end = splits.rows("train")
    lengths = end - first
    inside = np.concatenate([np.arange(a, b) for a, b in zip(first, end, strict=True)])
    values = panel.values[inside][:, [panel.column(name) for name in config.target]]
    reach = config.horizon + config.gap
    season = season_lengths(panel, config.season_length)[0]
    return Facts(
        season=season,
        horizon=reach,
        rows=int(np.median(lengths[lengths > 0])),
        series=len(panel.ids),
        windows=max(int(lengths.sum()) - reach * len(panel.ids), 1),
        positive=bool(np.nanmin(values) >= 0),
        near=season > max(FAR * reach, SHORT) and _naive_is_better(panel, splits, config.target, season, reach),
    )


def _naive_is_better(panel: Panel, splits: Splits, targets: tuple[str, ...], season: int, reach: int) -> bool:
    """Returns whether the last value is nearer to what comes than the value a season before it, on training rows.

    The mean over some series and steps ahead of the ratio of both errors.
    """
    first, end = splits.rows("train")
    steps = np.unique(np.linspace(1, reach, 5).astype(int)).tolist()
    ratios: list[float] = []
    for s in np.unique(np.linspace(0, len(first) - 1, SAMPLE).astype(int)):
        for name in targets:
            values = panel.values[first[s] : end[s], panel.column(name)]
            ratios.append(float(np.mean([mase_scale(values, h) for h in steps])) / mase_scale(values, season))
    told = [one for one in ratios if np.isfinite(one)]  # a short or a still series says nothing
    return not told or float(np.mean(told)) < 1


def usual_lookback(season: int, horizon: int, rows: int, near: bool = False, series: int = 1) -> int:
    """Returns how many rows a model should see: whole seasons, and more than it is to forecast.

    Seven seasons where one has more than twelve rows, so that days of hours make a week; else three. At least twice the
    horizon, up to 720 rows, and 28. At most half of the training rows that the horizon leaves, or more of them where
    more than fifty series still leave a thousand windows. Where a season is far and says less than the last rows, seven
    horizons, if they are less than a season.

    Args:
        season: Rows of a season.
        horizon: Rows to forecast.
        rows: Training rows of a usual series.
        near: A season is far, and says less, see `Facts`.
        series: How many there are.

    Example:
        >>> usual_lookback(season=24, horizon=48, rows=650), usual_lookback(season=12, horizon=12, rows=120)
        (168, 36)
    """
    if near:
        season, want = horizon, min(max(7 * horizon, SHORT), season - horizon)
    else:
        want = max((7 if season > 12 else 3) * season, min(2 * horizon, 720), SHORT)
    want = math.ceil(want / season) * season
    left = rows - horizon
    room = max(left // 2, left - ENOUGH // series if series > MANY else 0, 1)
    return want if want <= room else max(room // season * season, min(room, season), 1)


def candidates_for(facts: Facts, config: ForecastConfig, asked: dict[str, Any] | None = None) -> list[ForecastConfig]:
    """Returns the settings to try, the most promising first; each of one network.

    Args:
        facts: Of the rows.
        config: The settings to begin with.
        asked: Those among them that somebody set; by default those that are not as usual.
    """
    usual = facts.lookback
    m = facts.horizon if facts.near else facts.season
    room = max((facts.rows - facts.horizon) // 2, 1)
    short = min(usual, max(ROW_BY_ROW // m * m, SHORT))
    long = min(4 * usual, max(720 // m, 1) * m, max(room // m, 1) * m)
    long = max(long, usual)
    found: list[dict[str, Any]] = []

    def add(model: dict[str, Any], lookback: int, normalize: str, rate: float, **more: Any) -> None:
        found.append({"model": model, "lookback": lookback, "normalize": normalize, "rate": rate, **more})

    # Networks of the presets are among them. Many series hold a large network that learns fast from overfitting; few
    # ones may ask for a small one that forgets.
    many = facts.series > MANY
    bold = {"name": "seasonal_lstm", "units": 96, "layers": 2, "season": m}
    careful = {"name": "seasonal_lstm", "units": 64, "dropout": 0.3, "season": m}
    if facts.near:
        recent = min(usual, max(2 * facts.horizon, 48))
        add({"name": "lstm"}, recent, "last", 2e-3)
        add(bold, usual, "mean_std", 8e-3)
        add({"name": "linear"}, usual, "last", 1e-3)
        add({"name": "mlp", "units": (64, 64), "dropout": 0.1}, usual, "last", 1e-3)
        add({"name": "lstm"}, recent, "mean_std", 2e-3)
        whole = usual_lookback(facts.season, facts.horizon, facts.rows)
        if whole >= facts.season:
            add({**bold, "season": facts.season}, whole, "mean_std", 8e-3)
        add(careful, usual, "last", 1e-3)
    elif m > 1 and usual >= m:
        if many:
            add(bold, usual, "mean_std", 8e-3)
            add({**bold, "layers": 1}, usual, "last", 4e-3)
        else:
            add(careful, min(2 * usual, long), "last", 1e-3)
            add(bold, usual, "mean_std", 8e-3)
        add({"name": "linear"}, long, "last", 1e-3)
        segment = _segment(long, facts.horizon, m)
        whole = max(long // segment, 1) * segment
        add({"name": "segment_lstm", "segment": segment, "dropout": 0.2}, whole, "last", 1e-3)
        add({"name": "mlp", "dropout": 0.1}, usual, "mean_std", 1e-3)
        if facts.positive:
            add(bold, usual, "mean_std", 8e-3, scaling="log1p")
        add({"name": "lstm"}, short, "mean_std", 3e-3)
        add({"name": "linear"}, usual, "mean_std", 2e-3)
    else:
        add({"name": "lstm", "units": 32}, short, "last", 2e-3)
        add({"name": "linear"}, usual, "last", 1e-3)
        add({"name": "lstm"}, short, "mean_std", 2e-3)
        add({"name": "mlp", "units": (64, 64), "dropout": 0.1}, short, "mean_std", 1e-3)
        add({"name": "gru", "units": 32}, short, "mean_std", 2e-3)
        if facts.positive:
            add({"name": "lstm", "units": 32}, short, "last", 2e-3, scaling="log1p")
    given = _unusual(config) if asked is None else asked
    given = {name: value for name, value in given.items() if name not in ("model", "budget", "split")}
    given |= {"split": config.split.model_dump(), "target": config.target}
    result: list[ForecastConfig] = []
    for one in found:
        settings = merge(_trained(one, facts, config), given)
        training = settings["training"]
        if training["epochs"] <= 1 and "schedule" not in given.get("training", {}):
            training["schedule"] = "constant"  # there is no time to warm up
        model = one["model"] if config.model.name == "auto" else config.model.model_dump()
        candidate = ForecastConfig(**merge(settings, {"model": model}))
        if candidate not in result:
            result.append(candidate)
    return result


def _segment(lookback: int, horizon: int, season: int) -> int:
    """Returns a length of segments that divides the horizon: two seasons where a window holds many, one, or less."""
    wanted = 2 * season if lookback >= 20 * season else season
    return max(d for d in range(1, min(wanted, lookback) + 1) if horizon % d == 0)


def _trained(one: dict[str, Any], facts: Facts, config: ForecastConfig) -> dict[str, Any]:
    """Returns the settings of a candidate: how it is trained follows from how many windows there are."""
    batch = 32 if facts.windows < 3_000 else 64 if facts.windows < 20_000 else 256
    steps = steps_of_epoch(facts.windows, batch, EPOCH)
    epochs = min(max(STEPS // steps, 20), 100)
    several = facts.series > 1 and not config.quantiles
    loss = "auto" if config.quantiles else ("mixed" if facts.positive else "mase") if several else "mae"
    training = {
        "epochs": epochs,
        "batch_size": batch,
        "steps": steps,
        "learning_rate": one["rate"],
        "loss": loss,
        "average": 0.99 if epochs * steps >= 500 else 0.9,
        "schedule": {"name": "cosine", "warmup": 1.0},
        "patience": max(5, epochs // 4),
    }
    scaling = {} if "scaling" not in one else {"scaling": {"method": one["scaling"]}}
    return {"lookback": one["lookback"], "normalize": one["normalize"], "training": training, **scaling}


def _unusual(config: ForecastConfig) -> dict[str, Any]:
    """Returns what is set otherwise than by default."""
    usual, mine = ForecastConfig().model_dump(), config.model_dump()
    result: dict[str, Any] = {}
    for name, _, value in differences(usual, mine):
        group = result
        *groups, last = name.split(".")
        for part in groups:
            group = group.setdefault(part, {})
        group[last] = value
    return result
