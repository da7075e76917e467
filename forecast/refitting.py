"""A backtest with models that are fitted again on the way: each forecast comes from what was known at its cutoff.

    refit=2, window="expanding"                       window="rolling"
    [train............|val|cal] c0 c1                 [train............|val|cal] c0 c1
    [train..................|val|cal] c2 c3                 [train............|val|cal] c2 c3
    [train........................|val|cal] c4                    [train............|val|cal] c4

Of each fold everything is learned anew: scaling, features, usual ranges, weights from the same seed, intervals.
`warm_start=True` starts from the weights of the fold before instead; the first fold always starts afresh, because the
forecaster's own weights may know rows after its cutoff.

Cutoffs are counted in stamps where series are cut at common dates, else in each series' own rows.

Axes: `N` cutoffs, `H` horizon, `K` targets, `S` series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ConfigError
from pipelines.panel import Panel
from pipelines.splits import Splits, before
from pipelines.windows import WindowIndex

from ._keras import forgetting
from .config import ForecastConfig
from .evaluation.bands import Bands
from .evaluation.beside import FACTS, season_lengths, training_facts
from .fitting import Fitted, fit
from .uncertainty import Levels, wanted

if TYPE_CHECKING:
    import keras

    from .training.progress import Progress

WINDOWS = ("expanding", "rolling")


def every(refit: str | int, count: int) -> int:
    """Returns how many cutoffs a fit serves; 0 where nothing is fitted again.

    Args:
        refit: "never", "always", or a number of cutoffs.
        count: Cutoffs there are.

    Raises:
        ConfigError: It is none of these, or more than there are.
    """
    if refit in ("never", "always"):
        return int(refit == "always")
    if isinstance(refit, bool) or not isinstance(refit, int) or refit < 1:
        raise ConfigError(f"`refit` must be 'never', 'always' or a number of cutoffs >= 1. Received: {refit!r}")
    if refit > count:
        raise ConfigError(
            f"`refit` must be at most the number of cutoffs, {count:,}. Received: {refit:,}. Give fewer, or choose "
            "refit='never': the model of `fit` knows nothing of the test part."
        )
    return refit


def forecast(
    panel: Panel,
    splits: Splits,
    index: WindowIndex,
    config: ForecastConfig,
    progress: Progress,
    *,
    refit: str | int,
    window: str = "expanding",
    warm_start: bool = False,
    levels: Levels = None,
    own: keras.Model | None = None,
) -> tuple[np.ndarray, dict[float, np.ndarray], Bands | None, dict[str, np.ndarray], str]:
    """Returns forecasts `(N, H, K)`, quantiles and intervals, what their training rows say, and how they were made.

    Raises:
        ConfigError: A setting is wrong, or levels are asked for that a fold has too few calibration windows for.
        DataError: A fold cannot be trained; SeriesTooShort where it holds no window.
    """
    if window not in WINDOWS:
        raise ConfigError(f"`window` must be one of {', '.join(WINDOWS)}. Received: {window!r}")
    order = index.order(None if splits.starts is None else panel.ds)
    n = every(refit, len(np.unique(order)))
    folds = np.unique(order // n)
    y_pred = np.empty((len(index), config.horizon, len(config.target)))
    spread = {q: np.empty(y_pred.shape) for q in config.quantiles}
    facts = {name: np.empty((len(index), len(config.target))) for name in FACTS}
    ends: list[dict[float, Any]] = []
    last: Fitted | None = None
    for i, fold in enumerate(folds):
        which = np.flatnonzero(order // n == fold)
        cuts = _cuts(panel, splits, index[which], order[which].min() * index.spec.stride)
        at = panel.stamp(int(panel.ds[index.cutoffs[which]].min()), int(index.series[which[0]]))
        progress.say(f"fit {i + 1}/{len(folds)}: rows up to {at}, {len(which):,} forecasts")
        parts = before(panel, splits, cuts, window == "rolling")
        start = last.network.get_weights() if warm_start and last is not None else None
        with forgetting():
            last = fit(panel, parts, config, progress.silenced(), own=own, start=start)
        rows = last.pipeline.transform(panel, known_until=cuts)
        said = last.answers(rows, index[which])
        y_pred[which] = last.point(said)
        for q, values in last.spread(said).items():
            spread[q][which] = values
        seasons = season_lengths(panel, config.season_length)
        first, end = parts.rows("train")
        end = np.where(end > first, end, cuts)  # a cold series is scaled by what came before
        known = training_facts(panel, index[which], config.target, seasons, (first, end))
        for name, fact in known.items():
            facts[name][which] = fact
        chosen = wanted(last.intervals, levels)
        bands = last.intervals.bands(rows, index[which], y_pred[which], chosen) if last.intervals and chosen else None
        ends.append({} if bands is None else {level: (which, *pair) for level, pair in bands.ends.items()})
    how = f"{len(folds)} fit{'' if len(folds) == 1 else 's'}, {window} window{', warm start' if warm_start else ''}"
    return y_pred, spread, _joined(ends, y_pred.shape), facts, how


def _cuts(panel: Panel, splits: Splits, index: WindowIndex, moved: int) -> np.ndarray:
    """Returns the first row of each series that is unknown at the first cutoff of a fold `(S,)`."""
    if splits.starts is not None:
        now = panel.ds[index.cutoffs].min()
        known = [np.searchsorted(panel.ds[panel.rows(s)], now, side="right") for s in range(len(panel.ids))]
        return panel.offsets[:-1] + np.array(known)
    cuts = np.minimum(splits.bounds[:, 3] - index.spec.gap + moved, panel.offsets[1:])  # series without a window here
    series, firsts = np.unique(index.series, return_index=True)
    cuts[series] = index.cutoffs[firsts] + 1
    return cuts


def _joined(ends: list[dict[float, Any]], shape: tuple[int, ...]) -> Bands | None:
    """Returns the intervals of all folds, of the levels that each of them has."""
    levels = sorted(set.intersection(*(set(fold) for fold in ends)))
    if not levels:
        return None
    result = {level: (np.empty(shape), np.empty(shape)) for level in levels}
    for fold in ends:
        for level, (low, high) in result.items():
            which, low[which], high[which] = fold[level]
    return Bands(None, None, result)
