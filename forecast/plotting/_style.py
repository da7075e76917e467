"""The one look of every picture: colours, axes, legend, titles, stamps on x. Nothing here knows what is drawn.

    title, first line: what it is
    second line: how good it is
    -- truth  -- model  -- naive          the legend is a row above the data, and never covers them
    +-----------------------------+
    |                             |
    +-----------------------------+

Colours are those of Okabe and Ito (2008), https://jfly.uni-koeln.de/color/, which colour-blind people tell apart; the
naive line differs by its dashes, too. All is set on the one Axes: matplotlib's own settings are never changed.
matplotlib is imported when the first picture is drawn.
"""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRUTH = "#000000"
MODEL = "#0072B2"
FITTED = "#56B4E9"  # the model on rows that it was trained on
NAIVE = "#808080"
OTHER = "#D55E00"  # a second baseline, a mark
MARK = "#404040"  # vertical lines
INK = "#222222"
GRID = "#E4E4E4"
PART_COLOURS = {"train": "#BBBBBB", "validation": "#009E73", "calibration": "#CC79A7", "test": "#E69F00"}

SIZE = (9.0, 4.4)  # inches; at DPI it is 900 pixels wide
DPI = 100
TITLE, TEXT = 12, 10  # points
WIDTH = 1.6  # points
FEW = 30  # so many points of a forecast are marked one by one
MANY = 2000  # with more points than these, lines get thinner

MODEL_LINE: dict[str, Any] = {"color": MODEL, "linewidth": 2.4, "points": True}
NAIVE_LINE: dict[str, Any] = {"color": NAIVE, "linewidth": 1.6, "linestyle": "--", "zorder": 2.5}

# Backends that show nothing: a figure of theirs that pyplot knew would never be closed.
_HEADLESS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")


def axes(ax: Axes | None) -> Axes:
    """Returns the given Axes, or those of a new figure.

    pyplot knows the new figure only where it would show it: in a notebook, which shows it once, below the cell; and
    where the caller has imported pyplot and there is a display. Elsewhere it goes when the Axes go, so that a job may
    draw thousands.
    """
    if ax is not None:
        return ax
    pyplot = _pyplot()
    if pyplot is None:
        return unseen_axes()
    figure = pyplot.figure(figsize=SIZE, dpi=DPI, layout="constrained", facecolor="white")
    axes: Axes = figure.add_subplot(facecolor="white")
    return axes


def unseen_axes() -> Axes:
    """Returns Axes of a figure that nothing shows, for a file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure.add_subplot(facecolor="white")


def save(ax: Any, file: Any, **options: Any) -> None:
    """Writes the figure of Axes into a file: by its ending where `options` say no `format`."""
    ax.figure.savefig(file, dpi=120, bbox_inches="tight", **options)


def line(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    color: str,
    label: str = "",
    *,
    points: bool | np.ndarray = False,
    **look: Any,
) -> None:
    """Draws a line that is open where `y` is NaN; a value alone between two gaps is a point, not nothing.

    Args:
        points: Where to mark values, by number; or whether to, where they are few.
        look: Anything that Line2D takes; the line is thinner where there are thousands of values.
    """
    dense = min(1.0, max(0.4, MANY / max(1, len(y))))
    there = np.concatenate([[False], ~np.isnan(y), [False]])
    alone = np.flatnonzero(there[1:-1] & ~there[:-2] & ~there[2:])
    if points is True and there.sum() <= FEW:
        points = np.arange(len(y))
    marked: dict[str, Any] = {}
    if isinstance(points, np.ndarray):
        marked = {"marker": "o", "markersize": 4.5, "markevery": np.union1d(points, alone).tolist()}
    elif len(alone):
        marked = {"marker": "o", "markersize": 4.0 * dense, "markevery": alone.tolist()}
    look = {"linewidth": WIDTH, **look}
    look["linewidth"] *= dense
    ax.plot(x, y, color=color, label=label or "_", **marked, **look)


def band(ax: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, level: str, number: int) -> None:
    """Shades an interval, darker the narrower it is; one value alone between two gaps is an upright bar, not nothing.

    Args:
        level: Such as "80".
        number: 0 for the widest interval, which is drawn first, 1 for the next, ...
    """
    look: dict[str, Any] = {"color": MODEL, "alpha": 0.15 + 0.12 * number}
    ax.fill_between(x, low, high, linewidth=0, label=f"{level} %", **look)
    there = np.concatenate([[False], ~np.isnan(low + high), [False]])
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    if alone.any():
        ax.vlines(x[alone], low[alone], high[alone], linewidth=6, **look)


def upright(ax: Axes, x: Any, label: str) -> None:
    """Marks one place on x by a vertical line."""
    ax.axvline(x, color=MARK, linewidth=1.2, linestyle=":", label=label, zorder=1.5)


def shade(ax: Axes, part: str, first: Any, end: Any, label: str) -> None:
    """Shades a part of the data."""
    ax.axvspan(first, end, facecolor=PART_COLOURS[part], alpha=0.3, linewidth=0, zorder=0.5, label=label)


def finish(ax: Axes, x: np.ndarray, *, title: Iterable[str], xlabel: str, ylabel: str) -> Axes:
    """Dresses Axes on which all is drawn: ticks for what is on x, labels, legend row, title."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if x.dtype.kind == "M":
        locator = AutoDateLocator(minticks=4, maxticks=9)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        ax.xaxis.get_offset_text().set(color=INK, fontsize=TEXT)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(9, integer=True, min_n_ticks=1))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))  # no "1e6" and no "+5.2e3" aside
    ax.set_xlabel(xlabel, color=INK, fontsize=TEXT)
    ax.set_ylabel(ylabel, color=INK, fontsize=TEXT)
    ax.tick_params(colors=INK, labelsize=TEXT)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MARK)
    ax.grid(True, color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    width = ax.bbox.width / ax.figure.dpi  # inches
    if ax.figure.get_layout_engine() is not None:
        width *= 1.18  # the margins of matplotlib's default shrink when the layout is computed
    for text in (ax.title, ax.xaxis.label, ax.yaxis.label):
        text.set_parse_math(False)  # "US$ or A$" is no formula
    rows = _legend(ax, width)
    ax.set_title(
        "\n".join(textwrap.fill(text, max(20, int(width / 0.09))) for text in title if text),
        x=0,
        ha="left",
        color=INK,
        fontsize=TITLE,
        pad=8 + 17 * rows,
        linespacing=1.4,
    )
    return ax


def _legend(ax: Axes, width: float) -> int:
    """Puts the legend above the data, in as few rows as its width allows; returns how many."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return 0
    order = sorted(range(len(labels)), key=lambda i: isinstance(handles[i], Patch))  # lines first, then what is shaded
    handles, labels = [handles[i] for i in order], [labels[i] for i in order]
    wanted = [0.078 * len(label) + 0.48 for label in labels]
    rows = next(
        (
            rows
            for rows in range(1, len(labels))
            if sum(max(column) for column in np.array_split(wanted, math.ceil(len(labels) / rows))) <= width
        ),
        len(labels),
    )
    legend = ax.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=math.ceil(len(labels) / rows),
        frameon=False,
        fontsize=TEXT,
        labelcolor=INK,
        handlelength=1.8,
        columnspacing=1.5,
        borderaxespad=0.1,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    for handle in legend.legend_handles:
        if isinstance(handle, Line2D):
            handle.set_linewidth(max(1.5, handle.get_linewidth()))  # a thin line has no colour in a legend
    return rows


def _pyplot() -> Any:
    """Returns pyplot where a figure of its would be shown, else None."""
    if "matplotlib.pyplot" not in sys.modules and not _in_kernel():
        return None
    import matplotlib.pyplot as pyplot

    return None if pyplot.get_backend().lower() in _HEADLESS else pyplot


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
