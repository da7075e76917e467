"""A picture of what happens inside a recurrent layer over one window, from `forecast.inspection`.

    lstm, layer lstm: Close, the 60 rows up to 2008-10-14
    |  the series over the window
    |  attention weights, where the model has them
    |  input gate    ......................   | open
    |  forget gate   one row for each unit    |
    |  output gate   ......................   | closed
    |  cell state    ......................   | + 0 -
    +----------------------------------------- row

A GRU has update gate, reset gate and hidden state in their place. Units have the same order in all panels: by how their
state moves over the window, so that units which move together lie together. Rows of the window have equal widths,
whatever time lies between them; a step that covers several rows is as wide as these.

It belongs to `forecast/plotting`, which says what all pictures share. Axes: `L` lookback, `T` steps, `U` units.
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

    from ..inspection import Inspection

WIDTH = 9.0  # inches
HEIGHTS = {"series": 1.9, "attention": 0.9, "map": 1.15}  # inches of each panel
ABOUT = {
    "input gate": "how much of what is new a unit takes in",
    "forget gate": "how much of what it holds a unit keeps",
    "output gate": "how much of its cell state a unit shows",
    "update gate": "how much of what it holds a unit keeps",
    "reset gate": "how much of what it holds meets what is new",
    "cell state": "what each unit holds after the step",
    "hidden state": "what each unit holds and shows after the step",
}
OPEN = "viridis"  # closed to open: darker to lighter
SIGN = ("#7A3500", style.OTHER, "#F4F4F4", "#009E73", "#00402F")  # below zero, zero, above


def plot_inside(inspection: Inspection, ax: Axes | None = None) -> Axes:
    """Draws the series over a window, and below it gates and states of a layer, as they went along with it.

    Args:
        inspection: What `forecast.inspection.inspect` found.
        ax: Where to draw; by default a new figure. Its place is shared by all panels.

    Returns:
        The Axes of the series; those of other panels follow in their figure, named by their `get_label()`.
    """
    shown, heights = _shown(inspection), _heights(inspection)
    if ax is None:
        ax = _sized(style.axes(None), heights)
    grid = _grid(ax, heights)
    ax.set_subplotspec(grid[0, 0])
    ax.set_label("series")
    figure, first = ax.figure, len(heights) - len(shown)

    below = [figure.add_subplot(grid[n, 0], sharex=ax, label=name) for n, name in enumerate(shown, first)]
    order = order_of(inspection)
    edges = _edges(inspection)
    gates = [name for name in shown if name.endswith("gate")]
    for panel, name in zip(below, shown, strict=True):
        mesh = _map(panel, inspection, name, order, edges)
        if name in (gates[-1], shown[-1]):
            where = grid[first : first + len(gates), 1] if name == gates[-1] else grid[-1, 1]
            _bar(figure.add_subplot(where, label=f"{name} scale"), mesh, of_gates=name == gates[-1])
    units = figure.add_subplot(grid[first:, 0], label="units", frameon=False)
    units.set(xticks=[], yticks=[])
    units.set_zorder(-1)
    together = f", one order: like {shown[-1]}s lie together" if inspection.units > 1 else ""
    units.set_ylabel(
        picked.many(inspection.units, "unit") + together,
        color=style.INK,
        fontsize=style.TEXT,
        labelpad=8,
    )
    panels = [ax, *below]
    if inspection.attention is not None:
        strip = figure.add_subplot(grid[1, 0], sharex=ax, label="attention")
        _weights(strip, inspection)
        panels.insert(1, strip)
    _series(ax, inspection)
    _rows(panels, inspection.stamps)
    return ax


def write_inside(inspection: Inspection, path: str | Path) -> None:
    """Draws the picture of `plot_inside` into a file, and shows it nowhere."""
    style.save(plot_inside(inspection, _sized(style.unseen_axes(), _heights(inspection))), path)


def order_of(inspection: Inspection) -> np.ndarray:
    """Returns the order in which units are drawn `(U,)`: around the circle of the first two principal components.

    Each unit's state, less its mean and divided by its deviation, is a point in the plane of the two patterns over time
    that all units share most; its angle there says when it rises and falls. The circle is cut where it is emptiest.
    """
    values = inspection.gates[_shown(inspection)[-1]]  # (T, U)
    moves = values - values.mean(axis=0)
    spread = moves.std(axis=0)
    moves = moves / np.where(spread > 0, spread, 1)
    patterns, sizes, shares = np.linalg.svd(moves, full_matrices=False)
    if len(sizes) < 2:
        return np.argsort(shares[0], kind="stable")
    sign = np.sign(patterns[-1, :2] - patterns[0, :2])  # a pattern and its mirror are one: take the one that rises
    x, y = np.where(sign == 0, 1, sign)[:, None] * sizes[:2, None] * shares[:2]  # (U,) each
    angle = np.arctan2(y, x)
    order = np.argsort(-angle, kind="stable")
    gaps = np.diff(angle[order], append=angle[order[0]] - 2 * np.pi)  # falling: all below zero
    return np.roll(order, -int(np.argmin(gaps)) - 1)


def _shown(inspection: Inspection) -> list[str]:
    """Returns the names of the gates and of the state that are drawn: a cell state rather than what it shows."""
    gates = [name for name in inspection.gates if name.endswith("gate")]
    return [*gates, "cell state" if "cell state" in inspection.gates else "hidden state"]


def _heights(inspection: Inspection) -> list[float]:
    """Returns how high each panel is, in inches."""
    attention = [] if inspection.attention is None else [HEIGHTS["attention"]]
    return [HEIGHTS["series"], *attention, *[HEIGHTS["map"]] * len(_shown(inspection))]


def _sized(ax: Any, heights: list[float]) -> Axes:
    ax.figure.set_size_inches(WIDTH, sum(heights) + 0.34 * len(heights) + 0.9)
    return ax


def _grid(ax: Axes, heights: list[float]) -> Any:
    """Returns a grid over the place of some Axes: a row for each panel, and a thin column for scales."""
    ratios: dict[str, Any] = {"height_ratios": heights, "width_ratios": (1, 0.018)}
    managed = ax.figure.get_layout_engine() is not None
    spaces = {} if managed else {"hspace": 0.5, "wspace": 0.03}
    spec = ax.get_subplotspec()
    if spec is not None:
        return spec.subgridspec(len(heights), 2, **ratios, **spaces)
    place = ax.get_position()  # somebody placed them by hand
    sides = {"left": place.x0, "right": place.x1, "bottom": place.y0, "top": place.y1}
    return ax.figure.add_gridspec(len(heights), 2, **ratios, **spaces, **sides)


def _series(ax: Axes, inspection: Inspection) -> None:
    x = np.arange(len(inspection.stamps))
    style.line(ax, x, inspection.values, style.TRUTH)
    style.finish(
        ax,
        x,
        title=(
            f"Inside {inspection.model}: {inspection.what}, {picked.many(len(x), 'row')} up to {inspection.cutoff}",
            f"layer {inspection.layer}, {inspection.size}: median half-life {number(inspection.half_life)} steps",
        ),
        xlabel="",
        ylabel=picked.with_unit(inspection.target, inspection.unit),
    )


def _weights(ax: Axes, inspection: Inspection) -> None:
    """Draws attention weights as bars, and what each were if all counted alike."""
    from matplotlib.ticker import MaxNLocator

    weights = np.asarray(inspection.attention)
    x = np.arange(len(weights))
    width = 0.85 if len(weights) <= picked.SHOWN else 1.0  # between many, gaps would flicker
    ax.bar(x, weights, width=width, color=style.MODEL, linewidth=0)
    ax.axhline(1 / len(weights), color=style.MARK, linewidth=1.0, linestyle=":")
    style.finish(ax, x, title=(), xlabel="", ylabel="weight")
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.set_ylim(0, 1.1 * weights.max())
    _headed(ax, "attention", "how much each row counts, 1 in all; dotted: all alike")


def _map(ax: Axes, inspection: Inspection, name: str, order: np.ndarray, edges: np.ndarray) -> Any:
    """Draws a gate or a state as a map: a row for each unit, a column for each step."""
    from matplotlib.colors import LinearSegmentedColormap

    values = inspection.gates[name][np.argsort(inspection.steps, kind="stable")][:, order]  # (T, U)
    gate = name.endswith("gate")
    most = 1.0 if gate else float(np.abs(values).max()) or 1.0
    mesh = ax.pcolormesh(
        edges,
        np.arange(inspection.units + 1),
        values.T,
        cmap=OPEN if gate else LinearSegmentedColormap.from_list("sign", SIGN),
        vmin=0.0 if gate else -most,
        vmax=most,
        rasterized=True,  # an .svg or .pdf of thousands of cells would be large, and have seams
    )
    ax.set_facecolor(style.GRID)  # rows that the layer does not see
    ax.set_ylim(inspection.units, 0)
    ax.set_yticks([])
    ax.tick_params(colors=style.INK, labelsize=style.TEXT)
    ax.spines[:].set_visible(False)
    _headed(ax, name, ABOUT[name], f"{number(inspection.openness[name])} on average" if gate else "")
    return mesh


def _headed(ax: Axes, name: str, about: str, value: str = "") -> None:
    """Writes what a panel is above it, and in so many words as its width allows."""
    width = ax.bbox.width / ax.figure.dpi * (1.1 if ax.figure.get_layout_engine() is not None else 1)  # inches
    texts = [f"{name}: {about}{value and '; '}{value}", f"{name}{value and '; '}{value}", name]
    text = next((text for text in texts if 0.075 * len(text) <= width), name)
    ax.set_title(text, x=0, ha="left", color=style.INK, fontsize=style.TEXT, pad=4)


def _bar(ax: Axes, mesh: Any, of_gates: bool) -> None:
    """Draws a scale of colours into Axes."""
    bar = ax.figure.colorbar(mesh, cax=ax)
    bar.outline.set_visible(False)
    ax.tick_params(colors=style.INK, labelsize=style.TEXT, length=0)
    if of_gates:
        bar.set_ticks([0, 0.5, 1], labels=["0, closed", "0.5", "1, open"])
    else:
        most = mesh.norm.vmax
        bar.set_ticks([-most, 0, most], labels=[f"-{most:.2g}", "0", f"{most:.2g}"])
    low, *_, high = ax.get_yticklabels()
    low.set_verticalalignment("bottom")
    high.set_verticalalignment("top")


def _edges(inspection: Inspection) -> np.ndarray:
    """Returns where steps begin and end, counted in rows `(T + 1,)`: a step ends behind the row that it ends at."""
    ends = np.sort(inspection.steps) + 0.5  # (T,)
    width = ends[1] - ends[0] if len(ends) > 1 else ends[0] + 0.5
    return np.concatenate([[max(ends[0] - width, -0.5)], ends])


def _rows(panels: list[Axes], stamps: np.ndarray) -> None:
    """Marks rows on x by their stamps: x itself counts rows, so that all are equally wide."""
    from matplotlib.ticker import FixedFormatter, FixedLocator

    lowest = panels[-1]
    rows, labels, aside = _ticks(stamps)
    for ax in panels:
        ax.xaxis.set_major_locator(FixedLocator(rows))
        ax.xaxis.set_major_formatter(FixedFormatter(labels))
        ax.tick_params(labelbottom=ax is lowest)
    lowest.set_xlim(-0.5, len(stamps) - 0.5)
    lowest.set_xlabel(aside, loc="right", color=style.INK, fontsize=style.TEXT)


def _ticks(stamps: np.ndarray) -> tuple[list[int], list[str], str]:
    """Returns which rows to mark and how, and what the axis says besides.

    A round date marks the first row from then on, where that still belongs to it: "Oct" the first row of October,
    "13" a row of the 13th. Where there are next to no such rows, some are marked by what they are.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num, num2date
    from matplotlib.ticker import MaxNLocator

    if stamps.dtype.kind != "M":
        wanted = MaxNLocator(9, integer=True, min_n_ticks=1).tick_values(stamps[0], stamps[-1])
        rows = np.flatnonzero(np.isin(stamps, wanted))
        rows = rows if len(rows) > 1 else _spread(len(stamps))
        return rows.tolist(), [str(stamp) for stamp in stamps[rows]], "stamp"
    locator = AutoDateLocator(minticks=4, maxticks=9)
    formatter = ConciseDateFormatter(locator)
    marks = np.asarray(locator.tick_values(*num2date(date2num(stamps[[0, -1]]))))
    dates = np.array([mark.replace(tzinfo=None) for mark in num2date(marks)], "M8[us]")
    rows = np.searchsorted(stamps, dates)
    kept = [m for m, row in enumerate(rows) if row < len(stamps) and _belongs(stamps[row], dates[m])]
    if len(kept) < 2:
        rows = _spread(len(stamps))
        return rows.tolist(), formatter.format_ticks(date2num(stamps[rows])), formatter.get_offset()
    return rows[kept].tolist(), formatter.format_ticks(marks[kept]), formatter.get_offset()


def _belongs(stamp: np.datetime64, mark: np.datetime64) -> bool:
    """Returns whether a stamp lies in the year, month or day that a mark is the beginning of; else it is the mark."""
    unit = next((unit for unit in ("Y", "M", "D") if mark.astype(f"M8[{unit}]") == mark), "us")
    return bool(stamp.astype(f"M8[{unit}]") == mark.astype(f"M8[{unit}]"))


def _spread(count: int) -> np.ndarray:
    """Returns a few rows, evenly."""
    return np.unique(np.linspace(0, count - 1, 6).astype(int))
