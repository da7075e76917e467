"""Pictures of a training: how its loss went, and how large the gradient of each layer was.

    plot_history      loss by epoch
    plot_gradients    norm of each layer's gradient by epoch

They belong to `forecast/plotting`, which says what all pictures share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..training.spec import USUAL_GRADIENT
from . import _picked as picked
from . import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (style.MODEL, style.OTHER, "#009E73", "#CC79A7", "#E69F00", style.FITTED)
MOST = 12  # layers that a picture tells apart
STYLES = ("-", "--")


def plot_history(history: pd.DataFrame, best_epoch: int, *, loss: str = "", ax: Axes | None = None) -> Axes:
    """Draws the loss on training and validation windows by epoch, and marks the epoch whose weights were kept.

    Epoch 0 is the untrained network: its validation loss is the level line that training must get below. Where losses
    range over more than a factor of 20, the axis is logarithmic.

    Args:
        history: Columns `epoch, loss, val_loss`, one row an epoch.
        best_epoch: The epoch whose weights were kept.
        loss: Name of the loss, such as "mse".
        ax: Where to draw; by default a new figure.

    Example:
        >>> history = pd.DataFrame({"epoch": [0, 1, 2], "loss": [np.nan, 0.5, 0.4], "val_loss": [0.9, 0.6, 0.7]})
        >>> print(plot_history(history, best_epoch=1, loss="mse").get_title())
        Loss by epoch; the weights of epoch 1 were kept
        validation loss 0.6000, untrained 0.9000
    """
    epochs = history["epoch"].to_numpy(int)
    losses = {name: history[name].to_numpy(float) for name in ("loss", "val_loss")}
    untrained = losses["val_loss"][epochs == 0]
    best = losses["val_loss"][epochs == best_epoch]

    ax = style.axes(ax)
    if len(untrained):
        style.line(ax, epochs[[0, -1]], np.repeat(untrained[0], 2), label="untrained network", **style.NAIVE_LINE)
    style.line(ax, epochs, losses["loss"], style.FITTED, "training loss", points=True)
    style.line(ax, epochs, losses["val_loss"], style.MODEL, "validation loss", points=True)
    if len(best):
        look: dict[str, Any] = {
            "linestyle": "",
            "marker": "D",
            "markersize": 9,
            "markerfacecolor": "none",
            "markeredgewidth": 2,
        }
        ax.plot([best_epoch], best, color=style.OTHER, label=f"best epoch, {best_epoch}", zorder=3, **look)
    every = np.concatenate(list(losses.values()))
    every = every[np.isfinite(every)]
    wide = len(every) > 0 and every.min() > 0 and every.max() > 20 * every.min()
    levels = [
        f"{name} {picked.number(float(v[0]))}"
        for name, v in (("validation loss", best), ("untrained", untrained))
        if len(v)
    ]
    kept = f"the weights of epoch {best_epoch} were kept" if best_epoch else "training never beat the untrained network"
    if wide:
        _logarithmic(ax, every)
    return style.finish(
        ax,
        epochs,
        title=(f"Loss by epoch; {kept}", ", ".join(levels)),
        xlabel="epoch",
        ylabel=f"{loss or 'loss'} of scaled values{', log scale' if wide else ''}",
    )


def plot_gradients(gradients: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draws the norm of each layer's gradient by epoch, on a logarithmic axis, and the usual range as a band.

    Args:
        gradients: Columns `epoch, layer, norm`, as `training.monitor` leaves them.
        ax: Where to draw; by default a new figure.

    Example:
        >>> norms = {"lstm": [3e-4, 4e-4], "head": [0.02, 0.01]}
        >>> rows = [(e, layer, n) for layer, both in norms.items() for e, n in enumerate(both, 1)]
        >>> frame = pd.DataFrame(rows, columns=["epoch", "layer", "norm"])
        >>> print(plot_gradients(frame).get_title())
        Gradient of the loss by each layer's weights
        mostly outside 0.001 to 0.1: lstm
    """
    table = gradients.pivot(index="epoch", columns="layer", values="norm")[list(dict.fromkeys(gradients["layer"]))]
    epochs, (low, high) = table.index.to_numpy(int), USUAL_GRADIENT
    outside = ((table < low) | (table > high)).mean() > 0.5
    drawn = list(table.columns)[:MOST]
    ax = style.axes(ax)
    ax.axhspan(low, high, facecolor=style.PART_COLOURS["validation"], alpha=0.12, linewidth=0, label="usual range")
    for number, layer in enumerate(drawn):
        colour, dashes = COLOURS[number % len(COLOURS)], STYLES[number // len(COLOURS)]
        norms = table[layer].to_numpy(float)
        style.line(ax, epochs, norms, colour, str(layer), points=True, linestyle=dashes)
    every = table[drawn].to_numpy(float).ravel()
    every = np.append(every[np.isfinite(every) & (every > 0)], USUAL_GRADIENT)
    _logarithmic(ax, every)
    ax.set_ylim(every.min() / 2, every.max() * 2)
    named = ", ".join(map(str, table.columns[outside]))
    more = f" ({len(table.columns) - MOST} more layers are not drawn)" if len(table.columns) > MOST else ""
    said = f"mostly outside {low:g} to {high:g}: {named}" if named else f"all layers mostly within {low:g} to {high:g}"
    return style.finish(
        ax,
        epochs,
        title=("Gradient of the loss by each layer's weights", said + more),
        xlabel="epoch",
        ylabel="norm of the gradient, log scale",
    )


def _logarithmic(ax: Axes, values: np.ndarray) -> None:
    """Makes the y axis logarithmic, with ticks for values of this range."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if values.max() < 1000 * values.min() else (1,)))
    ax.yaxis.set_minor_locator(NullLocator())
