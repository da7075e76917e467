"""A picture of what `auto` tried: the error of each candidate beside the forecasts to beat.

It belongs to `forecast/plotting`, which says what all pictures share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..text import number
from . import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..auto import Leaderboard

BARS = ("naive", "seasonal_naive")


def plot_leaderboard(board: Leaderboard, *, ax: Axes | None = None) -> Axes:
    """Draws a bar for each candidate, the lowest error on top; those that were chosen are full.

    Args:
        board: What `auto` tried and chose.
        ax: Where to draw; by default a new figure.
    """
    frame = board.frame[board.frame["error"].notna()]
    tried = frame[~frame["model"].isin(BARS)]
    bars = frame[frame["model"].isin(BARS)].set_index("model")["error"]
    ax = style.axes(ax)
    y = np.arange(len(tried))[::-1]
    colours = [style.MODEL if chosen else style.FITTED for chosen in tried["chosen"]]
    ax.barh(y, tried["error"], height=0.62, color=colours, zorder=2)
    for place, one in zip(y, tried.to_dict("records"), strict=True):
        ax.text(one["error"], place, f" {number(one['error'])}, {one['seconds']:.0f} s", va="center", fontsize=8)
    names = [
        f"{one['model']}\n{one['lookback']} rows, {one['normalize']}, {one['scaling']}"
        for one in tried.to_dict("records")
    ]
    lines = {"naive": {}, "seasonal_naive": {"linestyle": "-."}}
    top = max(float(tried["error"].max()) if len(tried) else 0.0, float(bars[board.bar]))
    for name, error in bars.items():
        if error <= 1.3 * top:
            look = {"zorder": 3} | style.NAIVE_LINE | lines[str(name)]
            ax.axvline(error, label=f"{str(name).replace('_', ' ')} {number(error)}", **look)
    if board.members:
        ax.axvline(board.error, color=style.OTHER, linewidth=1.4, label=f"chosen {number(board.error)}", zorder=3)
    style.finish(
        ax,
        np.array([0.0, top]),
        title=(f"What auto tried, on {board.many}", board.verdict.partition(". ")[0] if not board.members else ""),
        xlabel="error, in naive errors of training",
        ylabel="",
    )
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlim(0, 1.3 * top)
    ax.set_yticks(y, names, fontsize=8)
    ax.grid(False, axis="y")
    return ax
