"""Pictures of a tuning: how the errors of its trials went, and which values did well.

    plot_trials       error of each trial in order: finished, pruned and failed; the best so far, and the naive forecast
    plot_searched     for each setting a panel: error by the value tried, the most important setting first
    write_trials      both, one above the other, in a file

They belong to `forecast/plotting`, which says what all pictures share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..text import number
from . import _picked as picked
from . import _style as style

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from ..tuning import Tuned

PANELS, ACROSS = 6, 3  # at most so many settings, so many in a row
HEIGHT = 2.5  # inches of a row of panels
ERROR = "error, in naive errors of training"
LOOKS: dict[str, dict[str, Any]] = {
    "finished": {"marker": "o", "markersize": 6, "color": style.MODEL},
    "pruned": {
        "marker": "o",
        "markersize": 6,
        "color": style.FITTED,
        "markerfacecolor": "none",
        "markeredgewidth": 1.4,
    },
    "failed": {"marker": "x", "markersize": 7, "color": style.OTHER, "markeredgewidth": 2},
}
BEYOND: dict[str, Any] = {"marker": "^", "markersize": 7, "color": style.MODEL, "clip_on": False, "linestyle": ""}
BEST: dict[str, Any] = {
    "marker": "D",
    "markersize": 10,
    "color": style.OTHER,
    "markerfacecolor": "none",
    "markeredgewidth": 2,
}


def plot_trials(tuned: Tuned, *, ax: Axes | None = None) -> Axes:
    """Draws the error of each trial in order, the lowest so far, and what it has to beat.

    A pruned trial is drawn at the error it had when it was ended. Failed trials, and those that lie far above most
    others, are marked at the upper edge, so that the good ones can be told apart.

    Args:
        tuned: What a tuning found.
        ax: Where to draw; by default a new figure.
    """
    trials = tuned.trials
    x, errors = trials["trial"].to_numpy(int), trials["error"].to_numpy(float)
    done = np.where(trials["state"] == "finished", errors, np.inf)
    lowest = np.minimum.accumulate(done)

    ax = style.axes(ax)
    top = _room(ax, tuned)
    ends = x[[0, -1]] + np.array([-0.5, 0.5])
    for name, error in tuned.bars.items():
        if name == "naive" or ax.get_ylim()[0] < error < ax.get_ylim()[1]:
            look = style.NAIVE_LINE | ({} if name == "naive" else {"linestyle": "-."})
            style.line(ax, ends, np.repeat(error, 2), label=name.replace("_", " "), **look)
    if tuned.base_error == tuned.base_error:
        base = np.repeat(tuned.base_error, 2)
        style.line(ax, ends, base, style.MARK, "settings as they were", linestyle=":", linewidth=1.4)
    ax.step(x, np.where(np.isfinite(lowest), lowest, np.nan), where="post", color=style.MODEL, label="best so far")
    for state in LOOKS:
        which = (trials["state"] == state).to_numpy()
        if which.any():
            y = np.full(which.sum(), top) if state == "failed" else errors[which]
            label = f"{state}, {which.sum()}"
            ax.plot(x[which], y, linestyle="", label=label, zorder=3, clip_on=state != "failed", **LOOKS[state])
    above = x[errors > top]
    if len(above):
        ax.plot(above, np.full(len(above), top), label=f"above the picture, {len(above)}", zorder=3, **BEYOND)
    ax.plot([tuned.best], [tuned.error], linestyle="", label=f"best, trial {tuned.best}", zorder=4, **BEST)
    ax.set_xlim(*ends)
    beside = [f"settings as they were {number(tuned.base_error)}", f"naive {number(tuned.bars['naive'])}"]
    of = ", ".join(tuned.config.target)
    return style.finish(
        ax,
        x,
        title=(
            f"Tuning {of}: {picked.many(len(x), 'trial')}, scored on {tuned.many}",
            f"best error {number(tuned.error)}, {', '.join(beside)}",
        ),
        xlabel="trial",
        ylabel=ERROR,
    )


def plot_searched(tuned: Tuned, *, ax: Axes | None = None) -> Axes:
    """Draws the errors of trials by the values that they tried, a panel for each setting.

    At most six settings are drawn: those that explain most of the differences, where there are trials enough to tell,
    else the first ones of the space.

    Args:
        tuned: What a tuning found.
        ax: Where to draw; by default a new figure. Its place is shared by all panels.

    Returns:
        The Axes of the first panel; those of the others follow in their figure, named by their `get_label()`.
    """
    names = [*tuned.importances, *(name for name in tuned.space.settings if name not in tuned.importances)][:PANELS]
    if ax is None:
        ax = _sized(style.axes(None), _rows(tuned) * HEIGHT + 0.8)
    grid = _grid(ax, len(names))
    ax.set_subplotspec(grid[0, 0])
    ax.set_label(names[0])
    others = [
        ax.figure.add_subplot(grid[n // ACROSS, n % ACROSS], sharey=ax, label=name)
        for n, name in enumerate(names[1:], 1)
    ]
    _room(ax, tuned)
    for n, (panel, name) in enumerate(zip([ax, *others], names, strict=True)):
        _panel(panel, tuned, name)
        panel.tick_params(labelleft=n % ACROSS == 0)
    told = "the settings that mattered most first" if tuned.importances else "too few trials to tell which mattered"
    whole = ax.figure.add_subplot(grid[:, :], label="all", frameon=False)
    whole.set(xticks=[], yticks=[])
    whole.set_zorder(-1)
    whole.set_ylabel(ERROR, color=style.INK, fontsize=style.TEXT, labelpad=44)
    whole.set_title(
        f"Error by the value tried; {told}\n"
        "filled: finished   hollow: pruned   triangle: above the picture   diamond: best   dashed: naive",
        x=0,
        ha="left",
        color=style.INK,
        fontsize=style.TITLE,
        pad=10,
        linespacing=1.4,
    )
    return ax


def write_trials(tuned: Tuned, path: str | Path) -> None:
    """Draws both pictures into a file, one above the other, and shows them nowhere."""
    heights = (style.SIZE[1], _rows(tuned) * HEIGHT + 0.7)
    ax = _sized(style.unseen_axes(), sum(heights))
    grid = ax.figure.add_gridspec(2, 1, height_ratios=heights)
    ax.set_subplotspec(grid[0])
    plot_searched(tuned, ax=ax.figure.add_subplot(grid[1]))
    style.save(plot_trials(tuned, ax=ax), path)


def _sized(ax: Any, height: float) -> Axes:
    ax.figure.set_size_inches(style.SIZE[0], height)
    return ax


def _rows(tuned: Tuned) -> int:
    return -(-min(PANELS, len(tuned.space.settings)) // ACROSS)


def _grid(ax: Axes, count: int) -> Any:
    """Returns a grid over the place of some Axes, with a cell for each panel."""
    rows, columns = -(-count // ACROSS), min(count, ACROSS)
    spaces: dict[str, Any] = {} if ax.figure.get_layout_engine() is not None else {"hspace": 0.5, "wspace": 0.15}
    spec = ax.get_subplotspec()
    if spec is not None:
        return spec.subgridspec(rows, columns, **spaces)
    place = ax.get_position()  # somebody placed them by hand
    sides: dict[str, Any] = {"left": place.x0, "right": place.x1, "bottom": place.y0, "top": place.y1}
    return ax.figure.add_gridspec(rows, columns, **spaces, **sides)


def _room(ax: Axes, tuned: Tuned) -> float:
    """Gives y room for most errors, and for those to beat; returns the upper edge."""
    errors = tuned.trials["error"].dropna().to_numpy(float)
    beat = [error for error in (tuned.bars["naive"], tuned.base_error) if error == error]
    low, high = min(errors.min(), *beat), max(np.quantile(errors, 0.75), *beat)
    if len(errors) < 8 or errors.max() - low < 3 * (high - low):
        high = max(errors.max(), *beat)
    room = 0.08 * (high - low or abs(high) or 1.0)
    ax.set_ylim(low - room, high + room)
    return float(high + room)


def _panel(ax: Axes, tuned: Tuned, name: str) -> None:
    """Draws the errors by the values of one setting."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    from ..tuning.space import Range, label

    trials, searched = tuned.trials, tuned.space.settings[name]
    there = trials[name].notna().to_numpy() if isinstance(searched, Range) else np.ones(len(trials), bool)
    if isinstance(searched, Range):
        x = trials[name].to_numpy(float)
        ends = searched.low, searched.last
        log = searched.log or ends[1] > 20 * ends[0] > 0
        room = (ends[1] / ends[0]) ** 0.08 if log else 0.08 * (ends[1] - ends[0])
        limits = (ends[0] / room, ends[1] * room) if log else (ends[0] - room, ends[1] + room)
    else:
        labels = [label(choice) for choice in searched]
        x = np.array([labels.index(value) if value in labels else -1 for value in _choices(trials[name])], float)
        there, log, limits = x >= 0, False, (-0.5, len(labels) - 0.5)
    ax.axhline(tuned.bars["naive"], color=style.NAIVE, linewidth=1.6, linestyle="--", zorder=2)
    for state in ("finished", "pruned"):
        which = there & (trials["state"] == state).to_numpy()
        ax.plot(x[which], trials["error"].to_numpy(float)[which], linestyle="", zorder=3, **LOOKS[state])
    top = ax.get_ylim()[1]
    above = there & (trials["error"] > top).to_numpy()
    if above.any():  # nothing that is not clipped would have a place, which no layout survives
        ax.plot(x[above], np.full(above.sum(), top), zorder=3, **BEYOND)
    best = there & (trials["trial"] == tuned.best).to_numpy()
    ax.plot(x[best], np.repeat(tuned.error, best.sum()), linestyle="", zorder=4, **BEST)
    share = f" ({100 * tuned.importances[name]:.0f} %)" if name in tuned.importances else ""
    style.finish(ax, np.arange(2), title=(), xlabel=f"{name.removeprefix('model.')}{share}", ylabel="")
    if log:
        ax.set_xscale("log")
        places = [float(f"{place:.1g}") for place in np.geomspace(*limits, 7)[[1, 3, 5]]]
        ax.xaxis.set_major_locator(FixedLocator(places))
        ax.xaxis.set_minor_locator(NullLocator())
    if not isinstance(searched, Range):
        ax.xaxis.set_major_locator(FixedLocator(range(len(labels))))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _word(labels, value)))
    else:
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        if not log:
            from matplotlib.ticker import MaxNLocator

            ax.xaxis.set_major_locator(MaxNLocator(5, integer=tuned.space.whole(name, tuned.base)))
    ax.set_xlim(*limits)


def _choices(column: Any) -> list[Any]:
    return [None if value != value else value for value in column.tolist()]


def _word(labels: list[Any], place: float) -> str:
    word = labels[round(place)] if 0 <= round(place) < len(labels) else ""
    return "none" if word is None else str(word)
