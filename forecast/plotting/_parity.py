"""A picture of an exported file beside the network that it came from.

    lstm as fused int8: Close, step 1 of 5 on 141 validation windows
    MAE of the file (of Keras, of naive)
    |  truth, naive, Keras, and on top of it the file
    |
    |  the file minus Keras: a scale of its own, because the difference is small
    +---------------------------------------------- window

It belongs to `forecast/plotting.py`, which says what all pictures share. Axes: `M` held-out windows, `H` horizon,
`K` targets, `Q` quantiles.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ConfigError

from ..text import number
from . import _picked as picked
from . import _style as style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KERAS: dict[str, Any] = {"color": style.MODEL, "linewidth": 3.4, "alpha": 0.75}
FILE: dict[str, Any] = {"color": style.OTHER, "linewidth": 1.2, "zorder": 3}
SIZE = (9.0, 6.0)  # inches
SHARES = (3.0, 1.2, 5.0)  # of the height: the upper panel, the lower one, both and what lies between


def plot_parity(
    y_keras: np.ndarray,
    y_file: np.ndarray,
    y_true: np.ndarray | None = None,
    naive: np.ndarray | None = None,
    *,
    step: int = 1,
    targets: Sequence[str] = (),
    target: str | None = None,
    model: str = "model",
    file: str = "file",
    unit: str = "",
    part: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draws forecasts of Keras and of an exported file over what happened, and below it the difference of the two.

    Of quantile forecasts the middle one is drawn.

    Args:
        y_keras: Forecasts of the network `(M, H, K)` or `(M, H, K, Q)`, in original units, in time order.
        y_file: Forecasts of the file, of the same shape.
        y_true: What happened `(M, H, K)`, NaN where nobody measured; None where nobody knows.
        naive: The last value known, `(M, H, K)`.
        step: Which step of the horizon, counted from 1.
        targets: Names of the targets.
        target: Which of them to draw; by default the first.
        model: Name of the network.
        file: What the file is, such as "fused int8".
        unit: What the values are counted in.
        part: Where the windows lie, such as "validation".
        ax: Where to draw; by default a new figure. The lower panel takes the lower third of it.

    Returns:
        The upper Axes; the last Axes of their figure are the lower ones.

    Raises:
        ConfigError: There is no such step.
        UnknownName: There is no such target.

    Example:
        >>> keras = np.arange(6.0).reshape(3, 2, 1)
        >>> ax = plot_parity(keras, keras + 0.25, model="lstm", file="fused int8", unit="dollars")
        >>> print(ax.get_title())
        lstm as fused int8: target 1, step 1 of 2 on 3 held-out windows
        MAE unknown, nothing was observed
        >>> print(ax.figure.axes[-1].get_title())
        file minus Keras: mean difference 0.2500, largest 0.2500 dollars
    """
    y_keras, y_file, y_true, naive = (_with_targets(y) for y in (y_keras, y_file, y_true, naive))
    horizon = y_keras.shape[1]
    if isinstance(step, bool) or not isinstance(step, int | np.integer) or not 1 <= step <= horizon:
        raise ConfigError(f"`step` must be an integer from 1 to the horizon, {horizon}. Received: {step!r}")
    names = tuple(targets) or tuple(f"target {k + 1}" for k in range(y_keras.shape[2]))
    name = picked.one_of("target", target, names)

    def shown(y: np.ndarray | None) -> np.ndarray | None:
        if y is None:
            return None
        y = y[:, step - 1, names.index(name)]
        return np.asarray(y[:, y.shape[1] // 2] if y.ndim == 2 else y, np.float64)  # (M,)

    keras, mine = np.asarray(shown(y_keras)), np.asarray(shown(y_file))
    truth, last = shown(y_true), shown(naive)
    x = np.arange(1, len(keras) + 1)
    if ax is None:
        ax = _sized(style.axes(None))
    below = _split(ax)
    if truth is not None:
        style.line(ax, x, truth, style.TRUTH, "truth")
    if last is not None:
        style.line(ax, x, last, label="naive", **style.NAIVE_LINE)
    style.line(ax, x, keras, label="Keras", **KERAS)
    style.line(ax, x, mine, label="the file", points=True, **FILE)
    of = f"step {step} of {horizon}" if horizon > 1 else "one step ahead"
    kind, where = (part, "") if part.isalpha() else ("held-out", f" ({part})" if part else "")
    style.finish(
        ax,
        x,
        title=(
            f"{model} as {file}: {name}, {of} on {picked.many(len(x), f'{kind} window')}{where}",
            f"MAE {_errors(mine, keras, last, truth, unit)}",
        ),
        xlabel="",
        ylabel=picked.with_unit(name, unit),
    )
    ax.tick_params(labelbottom=False)

    apart = mine - keras
    below.axhline(0, color=style.MODEL, linewidth=1.2, zorder=2)
    style.line(below, x, apart, points=True, **FILE)
    largest = float(np.abs(apart).max(initial=0)) or 1.0
    below.set_ylim(-1.15 * largest, 1.15 * largest)
    mean, most = (number(float(v)) for v in (np.abs(apart).mean(), np.abs(apart).max()))
    style.finish(
        below,
        x,
        title=(f"file minus Keras: mean difference {mean}, largest {most}{unit and ' '}{unit}",),
        xlabel=f"{kind} window",
        ylabel=unit or "difference",
    )
    below.title.set_fontsize(style.TEXT)
    below.locator_params(axis="y", nbins=5)
    return ax


def parity_png(*arrays: Any, **options: Any) -> bytes:
    """Returns the picture of `plot_parity` as a PNG file, and shows it nowhere."""
    file = io.BytesIO()
    style.save(plot_parity(*arrays, **options, ax=_sized(style.unseen_axes())), file, format="png")
    return file.getvalue()


def _sized(ax: Any) -> Axes:
    """Gives a new figure room for two panels."""
    ax.figure.set_size_inches(SIZE)
    return ax


def _with_targets(y: Any) -> Any:
    """Returns `(M, H)`, what a network without targets answers, as `(M, H, 1)`."""
    return y[..., None] if y is not None and y.ndim == 2 else y


def _split(ax: Axes) -> Axes:
    """Makes room in the lower part of some Axes, and returns the panel there."""
    spec = ax.get_subplotspec()
    if spec is None:  # somebody placed them by hand
        place = ax.get_position()
        height = place.height / SHARES[-1]
        ax.set_position((place.x0, place.y1 - SHARES[0] * height, place.width, SHARES[0] * height))
        return ax.figure.add_axes((place.x0, place.y0, place.width, SHARES[1] * height), sharex=ax)
    grid = spec.subgridspec(2, 1, height_ratios=SHARES[:2], hspace=None if ax.figure.get_layout_engine() else 0.5)
    ax.set_subplotspec(grid[0])
    return ax.figure.add_subplot(grid[1], sharex=ax)


def _errors(mine: np.ndarray, keras: np.ndarray, naive: np.ndarray | None, truth: np.ndarray | None, unit: str) -> str:
    """Returns "18.60 dollars (Keras 18.58, naive 18.40)", over what was observed."""
    there = np.zeros(len(mine), bool) if truth is None else ~np.isnan(truth)
    if truth is None or not there.any():
        return "unknown, nothing was observed"
    errors = [number(float(np.abs(y - truth)[there].mean())) for y in (mine, keras)]
    beside = f", naive {number(float(np.nanmean(np.abs(naive - truth)[there])))}" if naive is not None else ""
    return f"{errors[0]}{unit and ' '}{unit} (Keras {errors[1]}{beside})"
