"""Audits what a forecaster says: forecasts, the baselines beside them, and intervals.

    forecasts    from cutoffs of validation, calibration and test; and made live, from rows up to the cutoff alone
    baselines    their forecasts from the same cutoffs, the statistical ones, and what training rows say for scores
    intervals    their ends at the same cutoffs, fixed and adaptive

Axes: `N` windows, `H` horizon, `K` targets, `S` series.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ConfigError, DataError
from pipelines.panel import Panel

from ..text import number
from ._poison import SHOWN, Check, Trial, difference, moved
from .backtest import Backtest
from .statistical import STATISTICAL

if TYPE_CHECKING:
    from ..forecaster import Forecaster

WINDOWS = 64  # cutoffs of each series and part
PARTS = ("validation", "calibration", "test")
ROUNDING = 1e-6  # of the largest forecast: what another number of windows in one call may change
LIVE = 1e-4  # of the largest forecast: what the warm-up of features may change
STATISTICAL_ROWS = 90  # that statistical baselines are tried on

Arrays = dict[str, dict[str, np.ndarray]]  # by check, then by name; each has an entry for each window


def forecasts(trial: Trial) -> list[Check]:
    """Forecasts from the same cutoffs with other later rows: one check for forecasts, baselines and intervals each."""
    leaks, counts, parts = defaultdict[str, list[str]](list), defaultdict[str, int](int), list[str]()
    live = 0
    for part in PARTS:
        try:
            before = _backtest(trial.few, part)
        except DataError:  # it holds no window
            continue
        parts.append(part)
        for t in range(trial.tries):
            first = trial.among(before.index, trial.share(t))
            after = _backtest(trial.few.attach(trial.poisoned(first, t)), part)
            gone = _compared(trial, before, after, first)
            if gone["forecasts"] and not leaks["forecasts"]:  # once: it takes a backtest for each column
                guilty = [name for name in trial.data_columns() if _moves(trial, before, name, first, t)]
                gone["forecasts"][0] += f" It sees later rows of {', '.join(guilty)}." if guilty else ""
            for check, found in gone.items():
                counts[check] += int((before.index.cutoffs < first[before.index.series]).sum())
                leaks[check] += found
        if part == "test":
            live, found = _live(trial, before)
            leaks["forecasts"] += found
    if not parts:
        return [Check("forecasts", "no part after training holds a window", possible=False)]
    there = importlib.util.find_spec("statsmodels") is not None
    leaks["baselines"] += _statistical(trial) if there else []
    where = ", ".join(parts)
    without = "" if there else "; without statsmodels no statistical ones"
    checks = [
        Check("forecasts", f"{counts['forecasts']:,} in {where}; {live} live", tuple(leaks["forecasts"][:SHOWN])),
        Check("baselines", f"{counts['baselines']:,} in {where}{without}", tuple(leaks["baselines"][:SHOWN])),
    ]
    if not counts["intervals"]:
        why = "nothing was learned on calibration rows" if trial.few.intervals_ is None else "too few windows"
        return [*checks, Check("intervals", f"there are none: {why}", possible=False)]
    return [*checks, Check("intervals", f"{counts['intervals']:,} in test", tuple(leaks["intervals"][:SHOWN]))]


def _backtest(forecaster: Forecaster, part: str) -> Backtest:
    return forecaster.backtest(part=part, cutoffs=WINDOWS)


def _arrays(backtest: Backtest) -> Arrays:
    """Returns all that must not move, by check."""
    (model, y_pred), *baselines = backtest.y_pred.items()
    facts = {f"The training rows' {name}": fact for name, fact in backtest.training.items()}
    result: Arrays = {
        "forecasts": {f"The forecast of {model}": y_pred},
        "baselines": {
            **{f"The forecast of {name}": y for name, y in baselines},
            "The last value": backtest.last,
            **facts,
        },
    }
    if backtest.bands is not None:
        result["intervals"] = ends = backtest.bands.columns()
        with contextlib.suppress(ConfigError):  # such as of a network that has intervals of its own
            bands: Any = backtest.adaptive().bands
            result["intervals"] = ends | {f"{name} (adaptive)": y for name, y in bands.columns().items()}
    return result


def _compared(trial: Trial, before: Backtest, after: Backtest, first: np.ndarray) -> dict[str, list[str]]:
    """Returns what moved at cutoffs before the first changed row, by check."""
    known = np.flatnonzero(before.index.cutoffs < first[before.index.series])
    at, mine, theirs = np.intersect1d(before.index.cutoffs[known], after.index.cutoffs, return_indices=True)
    mine = known[mine]
    leaks = defaultdict[str, list[str]](list)
    if len(at) < len(known):
        leaks["forecasts"].append(
            f"Whether there is a forecast depends on later rows: {len(known) - len(at):,} of {len(known):,} are gone "
            f"when {trial.unknown(first, 0)}."
        )
    alike = np.array_equal(before.index.cutoffs, after.index.cutoffs)  # the very same call of the network
    there = _arrays(after)
    for check, arrays in _arrays(before).items():
        leaks[check] += []
        for name, array in arrays.items():
            one, other = array[mine], there[check][name][theirs]
            gone = moved(one, other, 0.0 if alike else ROUNDING * float(np.nanmax(np.abs(one), initial=0.0)))
            if gone.any() and (check == "baselines" or not _restless(trial, before, one, other)):
                n, *rest = (int(i) for i in np.argwhere(gone)[0])
                cutoff, s = (int(array[mine[n]]) for array in (before.index.cutoffs, before.index.series))
                step = f", step {rest[0] + 1}," if len(rest) > 1 else ""
                leaks[check].append(
                    f"{name} of {before.targets[rest[-1]]}{step} from cutoff {trial.at(cutoff, s)} moved by "
                    f"{difference(one[(n, *rest)], other[(n, *rest)])} when {trial.unknown(first, s)}."
                )
    return leaks


def _restless(trial: Trial, before: Backtest, one: np.ndarray, other: np.ndarray) -> bool:
    """Returns whether the network answers the very same question as differently: some processors round at random."""
    mine, again = before.y_pred[before.model], _backtest(trial.few, before.part).y_pred[before.model]
    noise = float(np.nanmax(np.abs(again - mine), initial=0.0))
    return bool(noise and np.nanmax(np.abs(other - one), initial=0.0) <= 10 * noise)


def _moves(trial: Trial, before: Backtest, column: str, first: np.ndarray, t: int) -> bool:
    """Returns whether later rows of one column alone move a forecast."""
    after = _backtest(trial.few.attach(trial.poisoned(first, t, only=[column])), before.part)
    known = before.index.cutoffs < first[before.index.series]
    if not np.array_equal(before.index.cutoffs, after.index.cutoffs):
        return True
    return bool(moved(before.y_pred[before.model][known], after.y_pred[after.model][known]).any())


def _live(trial: Trial, before: Backtest) -> tuple[int, list[str]]:
    """Returns how many series are forecast from rows up to a cutoff alone, and how that differs from the backtest.

    Only steps that fall due at the stamps which the rows really have are compared: no holiday is known to be one. A
    series that is not in training is left out: live all its rows scale it, in a backtest those before the part.
    """
    first, panel = trial.among(before.index, 0.5), trial.panel
    H, G = before.index.spec.horizon, before.index.spec.gap
    until = np.minimum(first, panel.offsets[1:] - G - H)
    trained = np.isin(panel.ids, trial.few.pipeline_.ids_)[before.index.series]
    which = np.flatnonzero((before.index.cutoffs == until[before.index.series] - 1) & trained)
    if not len(which):
        return 0, []
    chosen = before.index.series[which].tolist()
    rows = panel.take(chosen)
    ends = rows.offsets[:-1] + (until - panel.offsets[:-1])[chosen]
    future = _frame(rows, ends, G + H) if "known" in trial.few.fitted_.inputs else None
    try:
        live = trial.few.predict(data=rows.until(ends), future=future, levels=())
    except DataError:  # a covariate is known for other stamps than those that are due
        return 0, []
    keys = ["unique_id", "target", "ds", "cutoff", "step"]
    both = live.merge(before.frame()[[*keys, "y_pred"]], on=keys, suffixes=("", "_told"))
    count = both["unique_id"].nunique()
    apart = (both["y_pred"] - both["y_pred_told"]).abs()
    if not (apart > LIVE * both["y_pred_told"].abs().max()).any():
        return count, []
    worst = both.iloc[int(apart.argmax())]
    return count, [
        f"Made live, from rows up to {worst['cutoff']} alone, the forecast of {worst['target']} of "
        f"{worst['unique_id']}, step {worst['step']}, is {number(worst['y_pred'])}; the backtest has "
        f"{number(worst['y_pred_told'])}."
    ]


def _frame(panel: Panel, firsts: np.ndarray, count: int) -> Any:
    """Returns `count` rows from each of `firsts` as a frame."""
    frame = panel.frame()
    return frame.iloc[(firsts[:, None] + np.arange(count)).ravel()]


def _statistical(trial: Trial) -> list[str]:
    """Returns which statistical baselines move, of one series."""
    panel = trial.panel
    values = panel.values[panel.rows(0), panel.column(trial.pipeline.spec.targets[0])][-STATISTICAL_ROWS:]
    series = values.astype(np.float64)
    cutoffs = np.array([len(series) // 2, 2 * len(series) // 3])
    other = series.copy()
    other[cutoffs[-1] + 1 :] = 7 * series[cutoffs[-1] + 1 :] + 1000
    season = trial.few.config.season_length or panel.calendars[0].season_length
    return [
        f"The forecast of {name} moved when rows after its cutoff changed."
        for name, baseline in STATISTICAL.items()
        if len(series) > 1
        and moved(baseline(series, cutoffs, [1, 2], season), baseline(other, cutoffs, [1, 2], season)).any()
    ]
