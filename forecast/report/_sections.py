"""The sections of a report on forecasts, in the order in which people want to know.

    verdict     better than naive or not, in plain words; the few numbers behind it
    forecasts   the last ones beside truth and naive
    scores      every score beside the baselines'
    steps       error by step, and whether it is more than luck
    time        error by the time of the cutoff
    intervals   what they hold and what they promise
    series      the worst of many

Sections on where forecasts come from (data, training, settings) are in `_origin.py`. A section is a heading with what
stands below it, HTML or pictures; one that has nothing to show is None.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from pipelines.errors import DataError

from ..evaluation.backtest import Backtest
from ..evaluation.intervals import level_name
from ..evaluation.metrics import METRICS
from ..plotting import plot_error_by_step
from ..text import number
from . import _charts as charts
from . import _facts as facts
from ._figure import Picture
from ._html import Html, join, table, tag

TARGETS = 4  # that have pictures of their own
WORST = 10  # series in the table
SHOWN = 6  # of them with a picture
MANY = 20  # series that a histogram is worth drawing of
_HIGHER = ("directional_accuracy",)  # where more is better
_FACTS = ("up_share",)  # where nothing is better
_LOOKS = {"better": "better", "worse": "worse", "level": "level", "open": "level"}


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it.

    Attributes:
        name: Of its anchor in the page.
        title: Its heading.
        parts: HTML and pictures, in order.
    """

    name: str
    title: str
    parts: list[Html | Picture]


def verdict(backtest: Backtest) -> Html:
    """Returns what the scores amount to: the first thing to read."""
    parts = []
    for target, one in list(backtest.scores.verdicts.items())[:TARGETS]:
        headline, _, rest = str(one).partition(": ")
        outcome = "" if one.naive is None else _LOOKS.get(one.naive.outcome, "")
        first, why = tag("p", headline, class_="first"), tag("p", rest, class_="why") if rest else ""
        parts += [
            tag("div", first, why, *(tag("p", note) for note in one.notes), class_=f"say {outcome}".strip()),
            _stats(backtest, target),
        ]
    others = list(backtest.scores.verdicts.values())[TARGETS:]
    return join([*parts, tag("ul", *(tag("li", one) for one in others)) if others else ""])


def _stats(backtest: Backtest, target: str) -> Html:
    scores, index = backtest.scores, backtest.index
    rows: Any = scores.table.xs(target, level="target")
    mine, naive = (float(rows.loc[name, "mae"]) for name in (backtest.model, "naive"))
    first, last = facts.span(backtest)
    items: list[tuple[str, str, str]] = [
        (number(mine), f"MAE of {backtest.model}", backtest.unit),
        (number(naive), "MAE of naive", backtest.unit),
    ]
    if naive > 0:
        items.append((number(mine / naive), "ratio to naive", "below 1 is better"))
    if scores.coverage is not None:
        held: Any = scores.coverage.xs(target, level="target")["coverage"]
        items += [
            (f"{share:.1f} %", f"inside {level_name(level)} % intervals", f"promised: {level_name(level)} %")
            for level, share in held.items()
        ]
    cutoffs = len(np.unique(backtest.panel.ds[index.cutoffs]))
    items.append((f"{cutoffs:,}", "cutoffs", f"{first} to {last}"))
    series = len(np.unique(index.series))
    if series > 1:
        better = int((facts.by_series(backtest, backtest.targets.index(target))["ratio"] < 1).sum())
        items.append((f"{series:,}", "series", f"better than naive on {better:,}"))
    return tag(
        "div", *(tag("div", tag("b", big), tag("span", what), tag("small", more)) for big, what, more in items),
        class_="stats",
    )  # fmt: skip


def forecasts(backtest: Backtest) -> Section:
    """Returns the last forecasts of one series."""
    note = (
        "Each blue line was forecast from what was known at the dotted line before it; its intervals are shaded."
        if backtest.bands
        else "Each blue line was forecast from what was known at the dotted line before it."
    )
    if backtest.index.spec.horizon == 1:
        note = "Each blue point was forecast one row before, from what was known then."
    s = int(backtest.index.series[0])
    pictures = [Picture(partial(charts.latest, backtest, s, k), note) for k in _drawn(backtest)]
    return Section("forecasts", "Forecasts", [*pictures, *_more_targets(backtest)])


def scores(backtest: Backtest) -> Section:
    """Returns the table of all scores, for each target."""
    parts: list[Html | Picture] = []
    for target in backtest.targets:
        rows: Any = backtest.scores.table.xs(target, level="target")
        known = rows.dropna(axis="columns", how="all")
        if len(backtest.targets) > 1:
            parts.append(tag("h3", target))
        parts.append(_score_table(known, backtest))
        if len(known.columns) < len(rows.columns):
            missing = ", ".join(name for name in rows.columns if name not in known.columns)
            parts.append(tag("p", f"Not defined here: {missing}.", class_="note"))
    parts.append(tag("p", "★ is the best of its column. Scores are over all cutoffs, steps and series.", class_="note"))
    return Section("scores", "Scores beside the baselines", parts)


def _score_table(rows: pd.DataFrame, backtest: Backtest) -> Html:
    units = {"units": backtest.unit or "units", "squared units": f"{backtest.unit or 'units'}²", "percent": "%"}
    heads = []
    for name in rows.columns:
        unit = METRICS[name].unit if name in METRICS else ""
        heads.append(tag("span", name.replace("_", " "), tag("small", units.get(unit, unit))))
    best = set()
    for c, name in enumerate(rows.columns):
        if name not in _FACTS:
            shown = [number(value) for value in rows[name]]
            top = number(float(rows[name].max() if name in _HIGHER else rows[name].min()))
            best |= {(r, c + 1) for r, value in enumerate(shown) if value == top}
    cells = [
        [str(name).replace("_", " "), *map(number, values)]
        for name, values in zip(rows.index, rows.to_numpy(), strict=True)
    ]
    mine = [r for r, name in enumerate(rows.index) if name == backtest.model]
    return table(["", *heads], cells, marked=mine, best=best, label="Scores by forecast")


def steps(backtest: Backtest) -> Section | None:
    """Returns how the error grows with the step, where there are several."""
    if backtest.index.spec.horizon == 1:
        return None
    pictures = [Picture(partial(_by_step, backtest, backtest.targets[k])) for k in _drawn(backtest)]
    return Section("steps", "Error by step", [*pictures, _significance(backtest)])


def _by_step(backtest: Backtest, target: str, ax: Any) -> Any:
    return plot_error_by_step(backtest, target=target, ax=ax)


def _significance(backtest: Backtest) -> Html:
    try:
        found = backtest.significance()[["n", "difference", "statistic", "p_better", "p_holm"]].reset_index()
    except DataError as error:
        return tag("p", f"Steps were not tested: {error}", class_="note")
    found = found.drop(columns="target") if len(backtest.targets) == 1 else found
    whole = ("target", "step", "n")
    cells = [
        [value if name == "target" else f"{value:,}" if name in whole else number(value) for name, value in row.items()]
        for row in found.to_dict("records")
    ]
    heads = [str(name).replace("_", " ") for name in found.columns]
    return tag(
        "details",
        tag("summary", "Is it more than luck? Diebold-Mariano tests against naive, by step"),
        table(heads, cells, words=heads.index("step") + 1, label="Tests by step"),
        tag(
            "p",
            "difference: mean error of the model less that of naive, of several series in units of training rows. "
            "p better: the chance that a model which is not better looks at least this good. p holm: the same, still "
            "right when the best of all steps is picked.",
            class_="note",
        ),
    )


def time(backtest: Backtest) -> Section | None:
    """Returns how the error went over time, where there is more than one cutoff."""
    if not _several_cutoffs(backtest):
        return None
    note = (
        "It rises where the model was better than naive and falls where it was worse; one jump can make a whole mean."
    )
    parts: list[Html | Picture] = []
    for k in _drawn(backtest):
        parts += [
            Picture(partial(charts.error_over_time, backtest, k)),
            Picture(partial(charts.lead, backtest, k), note),
        ]
    return Section("time", "Error over time", parts)


def intervals(backtest: Backtest, about: str = "") -> Section | None:
    """Returns what intervals hold beside what they promise; why there are none, where a forecaster could have some."""
    if backtest.scores.coverage is None:
        return None
    parts: list[Html | Picture] = [tag("p", about)] if about else []
    several = len(backtest.targets) > 1
    held = backtest.scores.coverage.dropna(axis="columns", how="all").reset_index()
    cells = [
        [
            *([target] if several else []),
            f"{level_name(level)} %",
            *(_count(name, v) for name, v in zip(held.columns[2:], row, strict=True)),
        ]
        for target, level, *row in held.astype(object).itertuples(index=False)
    ]
    units = {"coverage": "%", "width": backtest.unit, "winkler": backtest.unit, "msis": "ratio"}
    heads = [tag("span", name, tag("small", units.get(name, ""))) for name in held.columns[2:]]
    parts.append(
        table([*(["target"] if several else []), "level", *heads], cells, words=1 + several, label="Intervals")
    )
    for k in _drawn(backtest):
        if backtest.index.spec.horizon > 1:
            parts.append(Picture(partial(charts.coverage_by_step, backtest, k)))
        if _several_cutoffs(backtest):
            note = "A stretch far below the dashed line is a time when the intervals were too narrow."
            parts.append(Picture(partial(charts.coverage_over_time, backtest, k), note))
    return Section("intervals", "Intervals and their coverage", parts)


def _count(name: str, value: Any) -> str:
    return f"{int(value):,}" if name == "values" else number(float(value))


def series(backtest: Backtest) -> Section | None:
    """Returns the series on which the model is worst beside naive, where there are several."""
    if len(np.unique(backtest.index.series)) == 1:
        return None
    parts: list[Html | Picture] = []
    for k in _drawn(backtest):
        rows = facts.by_series(backtest, k)
        if len(backtest.targets) > 1:
            parts.append(tag("h3", backtest.targets[k]))
        if rows["ratio"].notna().sum() >= MANY:
            parts.append(Picture(partial(charts.spread, rows)))
        worst = rows.head(WORST)
        shown = [(int(s), row) for s, row in zip(worst.index.to_numpy(), worst.to_dict("records"), strict=True)]
        columns = [name for name in worst.columns if worst[name].notna().any()]
        cells = [
            [backtest.panel.ids[s], *(f"{row[c]:,.0f}" if c == "cutoffs" else number(row[c]) for c in columns)]
            for s, row in shown
        ]
        names = {"mae": "mae", "naive": "mae of naive", "ratio": "ratio to naive"}
        heads = ["series", *(names.get(name, name) for name in columns)]
        more = f" {WORST} of {len(rows):,} are shown." if len(rows) > WORST else ""
        parts += [
            tag("p", f"The worst beside naive first.{more}", class_="quiet"),
            table(heads, cells, label="Worst series"),
        ]
        parts += [
            Picture(
                partial(charts.latest, backtest, s, k),
                heading=f"{backtest.panel.ids[s]}\nMAE {number(row['mae'])} (naive {number(row['naive'])})",
            )
            for s, row in shown[:SHOWN]
        ]
    return Section("series", "Worst series", parts)


def _several_cutoffs(backtest: Backtest) -> bool:
    return len(np.unique(backtest.panel.ds[backtest.index.cutoffs])) > 1


def _drawn(backtest: Backtest) -> range:
    return range(min(TARGETS, len(backtest.targets)))


def _more_targets(backtest: Backtest) -> list[Html]:
    left = backtest.targets[TARGETS:]
    return [tag("p", f"Of {', '.join(left)} there are scores below, and no pictures.", class_="note")] if left else []
