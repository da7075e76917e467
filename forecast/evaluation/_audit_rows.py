"""Audits what happens to rows before anything is learned from them: columns, cleaning, features, splits.

    columns     a column that equals, moves with, or is made of the target's later rows
    cleaning    holes and an outlier are made around a cutoff: what is put there must not come from after it
    features    each by itself: rows up to the cutoff stay as they are, and need no more rows than its warm-up says
    splits      parts follow each other, in rows and in dates; windows' futures lie in their part; values cut nothing

Axes: `S` series, `T` rows of one, `F` inputs, `K` targets, `L` lookback, `G` gap, `H` horizon.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from pipelines import splits as cutting
from pipelines.cleaning import CleaningReport, fill
from pipelines.errors import DataError
from pipelines.features import Feature, Stamps
from pipelines.panel import Panel
from pipelines.pipeline import Rows
from pipelines.windows import WindowIndex

from .. import selection
from ..text import number
from ._poison import SHOWN, Check, Trial, changed, difference, moved
from .foresight import foresight

NEAR = 61  # rows that columns are compared with: the next, and those around the horizon
NEWEST = 2000  # rows of a series that are compared, at most
SETTLED = 4 * float(np.finfo(np.float32).eps)  # of a feature's largest value: what warm-up may leave
LIVE = 20  # rows that are computed from warm-up rows alone


def columns(trial: Trial) -> Check:
    """Looks for columns that know the target's later rows, see `foresight`."""
    panel, spec, leaks = trial.panel, trial.pipeline.spec, list[str]()
    names = [name for name in trial.data_columns() if spec.targets != (name,)]
    rows_ahead = sorted({*range(1, NEAR), *range(max(1, trial.reach - NEAR // 2), trial.reach + NEAR // 2)})
    for name, target in ((name, target) for name in names for target in spec.targets if name != target):
        ahead = trial.reach if name in spec.known else 0  # at row t, row t + ahead is known
        for s in range(len(panel.ids)):
            rows = slice(max(panel.rows(s).start, panel.rows(s).stop - NEWEST), panel.rows(s).stop)
            x, y = (panel.values[rows, panel.column(c)].astype(np.float64) for c in (name, target))
            if found := foresight(x[ahead:], y[: len(y) - ahead], rows_ahead):
                by = found.rows - ahead
                row = "the same row" if not by else f"row t{by:+d}"
                row = f"{'up to' if found.how == 'is made of' else 'at'} {row}"
                how = f" (correlation {found.correlation:.4f})" if found.how == "moves with" else ""
                end = "it is given as known ahead, which nobody knows" if by <= 0 else "it knows the future"
                leaks.append(f"Column {name!r} at row t {found.how} {target} {row}{how}: {end}. Leave it out.")
                break
    if not names:
        return Check("columns", "there are none beside the target", possible=False)
    return Check(
        "columns", f"{len(names)} column{'s' * (len(names) != 1)} beside the target's later rows", tuple(leaks)
    )


def cleaning(trial: Trial) -> Check:
    """Makes holes and an outlier around cutoffs; nothing that is put there may come from after them."""
    pipeline, leaks = trial.pipeline, dict[str, str]()
    data = [*pipeline.spec.targets, *pipeline.spec.past, *pipeline.spec.known]
    where = [pipeline.inputs_.index(name) for name in data]
    policy = pipeline.spec.cleaning.gaps
    for t in range(trial.tries):
        first = trial.cuts(t)
        holed = _holed(trial.panel, first, [trial.panel.column(name) for name in trial.data_columns()])
        before = trial.few.attach(holed).panel_
        after = trial.few.attach(trial.poisoned(first, t, panel=holed)).panel_
        if not np.array_equal(before.offsets, after.offsets) or not np.array_equal(before.ds, after.ds):
            leaks.setdefault("rows", f"Which rows are kept depends on values after them: {trial.unknown(first, 0)}.")
            continue
        inputs = [pipeline.raw(panel)[:, where] for panel in (before, after)]  # (R, columns) each
        for s in range(len(before.ids)):
            rows = slice(before.rows(s).start, int(first[s]))
            for i, r in np.argwhere(moved(inputs[0][rows], inputs[1][rows]).T):
                row, name = rows.start + int(r), data[int(i)]
                far = difference(inputs[0][row, i], inputs[1][row, i])
                leaks.setdefault(name, f"{name} at {trial.at(row, s)} moved by {far} when {trial.unknown(first, s)}.")
    found = list(leaks.values())
    if found and policy == "interpolate":
        found[-1] += " A line across a hole looks ahead of it: choose cleaning.gaps='ffill'."
    return Check("cleaning", f"holes and an outlier at {_cutoffs(trial)}", tuple(found[:SHOWN]))


def _holed(panel: Panel, first: np.ndarray, where: list[int]) -> Panel:
    """Returns the panel with four missing rows around each cutoff and an outlier before them."""
    values = np.array(panel.values)
    for s, cut in enumerate(first.tolist()):
        start, stop = panel.offsets[s], panel.offsets[s + 1]
        if cut - start > 8:
            values[cut - 2 : min(cut + 2, stop), where] = np.nan
            values[cut - 5, where] *= 20
    return replace(panel, values=values)


def features(trial: Trial) -> Check:
    """Computes each feature from other later rows, and from as many rows as its warm-up says."""
    panel, pipeline, leaks = trial.panel, trial.pipeline, list[str]()
    for feature in pipeline.features_:
        where = [panel.column(c) for c in feature.inputs]
        for s, first, t in ((s, int(trial.cuts(t)[s]), t) for s in range(len(panel.ids)) for t in range(trial.tries)):
            span = panel.rows(s)
            policy = pipeline.spec.cleaning.gap_policy(panel.calendars[s])
            values = fill(panel.values[span].astype(np.float64)[:, where], policy, pipeline.spec.cleaning.fill_limit)
            stamps = panel.stamps_of(panel.ds[span], s)
            if found := _feature(trial, feature, values, stamps, s, first - span.start, t):
                leaks.append(found)
                break
    count = len(pipeline.features_)
    if not count:
        return Check("features", "there are none", possible=False)
    return Check("features", f"{count} feature{'s' * (count != 1)} at {_cutoffs(trial)}", tuple(leaks))


def _feature(
    trial: Trial, feature: Feature, values: np.ndarray, stamps: Stamps, s: int, first: int, t: int
) -> str | None:
    """Returns what a feature of one series leaks, if anything; the first unknown row is `first`."""
    random, start = np.random.default_rng((trial.seed, t)), trial.panel.rows(s).start
    other = values.copy()
    for c in range(values.shape[1]):
        other[first:, c] = changed(values[first:, c], t, random)
    whole = feature.compute(values.copy(), stamps)  # (T, columns)
    ahead = trial.reach if feature.known else 0  # what claims to be known ahead must be
    kept = slice(feature.warmup, first + ahead)
    poisoned = feature.compute(other, stamps)
    gone = moved(whole[kept], poisoned[kept])
    unknown = trial.unknown(trial.panel.offsets[:-1] + first, s)
    if gone.any():
        row, c = np.argwhere(gone)[0]
        at = start + feature.warmup + int(row)
        far = difference(whole[kept][row, c], poisoned[kept][row, c])
        claim = " It says that it is known ahead." if ahead and at - start >= first else ""
        return (
            f"Feature {feature.name!r}: {feature.columns[c]} at {trial.at(at, s)} moved by {far} when {unknown}.{claim}"
        )
    begin = first - LIVE - feature.warmup
    if begin < 0:
        return None
    few = feature.compute(values[begin:first], stamps[begin:first])[feature.warmup :]  # (LIVE, columns)
    for c, name in enumerate(feature.columns):
        long = whole[first - LIVE : first, c]
        apart = float(np.nanmax(np.abs(few[:, c] - long), initial=0.0))
        if apart > SETTLED * float(np.nanmax(np.abs(whole[:, c]), initial=0.0)):
            return (
                f"Feature {feature.name!r}: {name} up to {trial.at(start + first - 1, s)} is {number(apart)} off where "
                f"only the {feature.warmup} rows of its warm-up lie before: it sees more rows than it says."
            )
    return None


def splits(trial: Trial) -> Check:
    """Looks at the order of parts, at the futures of their windows, and cuts again with other values."""
    whole, few, pipeline = trial.forecaster, trial.few, trial.pipeline
    leaks = _order(whole.panel_, whole.splits_)
    rows = pipeline.transform(few.panel_, known_until=few.splits_.rows("validation")[0])
    count = 0
    for part in cutting.PARTS:
        try:
            index = _windows(trial, rows, part)
        except DataError:  # it holds none
            continue
        count += len(index)
        leaks += _futures(trial, index, part)
    for t in range(trial.tries):
        spec = whole.config.split
        other = cutting.split(trial.poisoned(trial.panel.offsets[:-1] + 1, t, reach=0), spec)
        if not np.array_equal(other.bounds, cutting.split(trial.panel, spec).bounds):
            leaks.append("Where the parts are cut depends on values: they moved when rows changed.")
            break
    return Check("splits", f"{len(whole.panel_.ids):,} series, {count:,} windows", tuple(leaks[:SHOWN]))


def _windows(trial: Trial, rows: Rows, part: str) -> WindowIndex:
    if part == "train":
        return selection.training_windows(trial.pipeline, rows, trial.splits, CleaningReport())
    if part == "validation":
        return selection.validation_windows(trial.pipeline, rows, trial.splits)
    if part == "calibration":
        return selection.calibration_windows(trial.pipeline, rows, trial.splits)
    return selection.scored_windows(trial.pipeline, rows, trial.splits, part)


def _order(panel: Panel, splits: cutting.Splits) -> list[str]:
    """Returns where parts overlap, by series, and by dates of all of them."""
    leaks = []
    full = [part for part in cutting.PARTS if splits.count(part)]
    for earlier, later in itertools.pairwise(full):
        end, begin = splits.rows(earlier)[1], splits.rows(later)[0]
        there = splits.rows(later)[1] > begin
        for s in np.flatnonzero(there & (end > begin))[:1]:
            leaks.append(
                f"{earlier.capitalize()} reaches {int(end[s] - begin[s])} rows into {later}, in {panel.ids[s]!r}."
            )
        if not panel.dated:
            continue
        had = end > splits.rows(earlier)[0]
        last, first = panel.ds[end[had] - 1].max(), panel.ds[begin[there]].min()
        if last >= first and not leaks:
            s = int(np.flatnonzero(had)[np.argmax(panel.ds[end[had] - 1])])
            leaks.append(
                f"{earlier.capitalize()} of {panel.ids[s]!r} ends at {panel.stamp(int(last), s)}, and {later} of "
                f"another series has begun at {panel.stamp(int(first), s)}: it tells what that one's future brings."
            )
    return leaks


def _futures(trial: Trial, index: WindowIndex, part: str) -> list[str]:
    """Returns windows whose future does not lie in their part."""
    begin, end = trial.splits.rows(part)
    first, last = index.cutoffs + 1 + index.spec.gap, index.cutoffs + trial.reach  # of each window's future
    wrong = (last >= end[index.series]) | (first < begin[index.series])
    if not wrong.any():
        return []
    n = int(np.argmax(wrong))
    return [
        f"{int(wrong.sum()):,} of {len(index):,} {part} windows have a future outside {part}, the first from cutoff "
        f"{trial.at(int(index.cutoffs[n]), int(index.series[n]))}."
    ]


def _cutoffs(trial: Trial) -> str:
    count = trial.tries * len(trial.panel.ids)
    return f"{count} cutoff{'s' * (count != 1)}"
