"""A picture for plotly, read off the one that matplotlib drew: what is drawn twice would differ one day.

    Line2D over data            scatter, with a gap where it is open
    Line2D of axvline           a line over the whole height
    fill_between                two edges, the upper one filled down to the lower
    vlines; bars                lines of their own; bars
    Rectangle of axvspan        a shaded box

Colours are names of the page's style sheet, such as "var(--model)", which its script looks up: plotly knows no others.
Names are escaped, for plotly takes some HTML in them.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 3000  # of one line; longer ones keep the lowest and the highest of each stretch

_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}


def plot(axes: "Axes", colours: Mapping[str, str], escape: Callable[[str], str]) -> dict[str, Any]:
    """Returns plotly's `data` and `layout` of Axes.

    Args:
        axes: All drawn.
        colours: What the style sheet calls each "#rrggbb".
        escape: Makes text safe as HTML.
    """
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.colors import to_hex
    from matplotlib.patches import Rectangle

    def colour(value: Any) -> str:
        code = to_hex(value)
        return colours.get(code, code)

    def named(artist: Any) -> dict[str, Any]:
        label = str(artist.get_label())
        return {"showlegend": not label.startswith("_"), "name": "" if label.startswith("_") else escape(label)}

    dated = _dated(axes)
    traces: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    for area in axes.collections:
        if isinstance(area, PolyCollection):
            traces += _band(area, colour(area.get_facecolor()[0]), named(area), dated)
        elif isinstance(area, LineCollection):
            traces.append(_uprights(area, colour(area.get_edgecolor()[0]), dated))
    boxes = [box for box in axes.patches if isinstance(box, Rectangle)]
    bars = [box for box in boxes if box.get_data_transform() == axes.transData]
    if bars:
        traces.append(_bars(bars, colour(bars[0].get_facecolor()), dated))
    for box in boxes:
        if box not in bars:
            ends = _x(np.array([box.get_x(), box.get_x() + box.get_width()]), dated)
            look = {"fillcolor": colour(box.get_facecolor()), "opacity": float(box.get_alpha() or 1), "layer": "below"}
            shapes.append({**_high("rect", *ends), **look, "line": {"width": 0}, "legendrank": 1001, **named(box)})
    for line in axes.lines:
        look = {"color": colour(line.get_color()), "width": 1.25 * float(line.get_linewidth())}
        look["dash"] = _DASHES.get(str(line.get_linestyle()), "solid")
        if line.get_transform() == axes.transData:
            on_top = int(line.get_zorder() > 2)
            traces.append({**_line(line, look, named(line), dated), "zorder": on_top})
        else:
            at = _x(np.asarray(line.get_xdata(orig=False)), dated)[0]
            shapes.append({**_high("line", at, at), "line": look, "legendrank": 1002, **named(line)})
    return {"data": traces, "layout": {"shapes": shapes, **_layout(axes, dated, escape)}}


def _high(kind: str, left: Any, right: Any) -> dict[str, Any]:
    """Returns a shape over the whole height of a picture."""
    return {"type": kind, "yref": "paper", "x0": left, "x1": right, "y0": 0, "y1": 1}


def _line(line: Any, look: dict[str, Any], name: dict[str, Any], dated: bool) -> dict[str, Any]:
    x, y = (np.asarray(line.get_data(orig=False)[i], np.float64) for i in (0, 1))
    marked, lined = (value not in ("", "None", None) for value in (line.get_marker(), line.get_linestyle()))
    mode = "+".join(["lines"] * lined + ["markers"] * marked)
    trace: dict[str, Any] = {"type": "scatter", "mode": mode, "line": look, **name}
    if marked:
        where = line.get_markevery()
        size = np.zeros(len(x)) if isinstance(where, list) else np.full(len(x), 1.25 * line.get_markersize())
        if isinstance(where, list):
            size[where] = 1.25 * line.get_markersize()
        trace["marker"] = {"size": size.tolist(), "color": look["color"], "line": {"width": 0}}
        if line.get_markerfacecolor() == "none":
            trace["marker"] |= {"symbol": "diamond-open", "line": {"width": 2, "color": look["color"]}}
    else:
        x, y = _thinned(x, y)
    return {
        **trace,
        "x": _x(x, dated),
        "y": _y(y),
        "hovertemplate": "%{y:,.4~g}" if name["name"] else "%{y:,.4~g}<extra></extra>",
    }


def _band(area: Any, colour: str, name: dict[str, Any], dated: bool) -> list[dict[str, Any]]:
    """Returns the lower and the upper edge of what is filled between, gaps between its stretches."""
    xs, lows, highs = [], [], []
    for path in area.get_paths():
        rows = (len(path.vertices) - 3) // 2  # the corner, one edge there, the other corner, the other edge back, close
        there, back = path.vertices[1 : rows + 1], path.vertices[rows + 2 : 2 * rows + 2][::-1]
        xs.append(np.append(there[:, 0], there[-1:, 0]))
        lows.append(np.append(np.minimum(there[:, 1], back[:, 1]), np.nan))
        highs.append(np.append(np.maximum(there[:, 1], back[:, 1]), np.nan))
    if not xs:
        return []
    x, low, high = (np.concatenate(parts) for parts in (xs, lows, highs))
    traces = []
    for end in _stretches(high):
        # Each stretch by itself: plotly fills between the edges of one trace and the one before it.
        here: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": _x(x[end], dated), "line": {"width": 0}}
        group = {"legendgroup": name["name"]}
        ends = list(zip(_y(low[end]), _y(high[end]), strict=True))
        traces.append({**here, **group, "y": _y(low[end]), "hoverinfo": "skip", "showlegend": False})
        traces.append(
            {
                **here,
                **group,
                "name": name["name"],
                "showlegend": name["showlegend"] and len(traces) == 1,
                "y": _y(high[end]),
                "customdata": ends,
                "hovertemplate": "%{customdata[0]:,.4~g} to %{customdata[1]:,.4~g}",
                "legendrank": 1001,  # after the lines, as in the drawn one
                "fill": "tonexty",
                "fillcolor": f"{colour} / {float(area.get_alpha() or 1):.2f}",
            }
        )
    return traces


def _stretches(values: np.ndarray) -> list[slice]:
    """Returns where values lie between gaps."""
    there = np.concatenate([[False], ~np.isnan(values), [False]])
    firsts, ends = np.flatnonzero(there[1:] & ~there[:-1]), np.flatnonzero(~there[1:] & there[:-1])
    return [slice(int(first), int(end)) for first, end in zip(firsts, ends, strict=True)]


def _uprights(bars: Any, colour: str, dated: bool) -> dict[str, Any]:
    segments = np.array(bars.get_segments())  # (bars, 2, 2)
    x, y = segments[:, [0, 1, 1], 0].ravel(), segments[:, :, 1]
    y = np.concatenate([y, np.full((len(y), 1), np.nan)], axis=1).ravel()
    look = {"color": colour, "width": float(bars.get_linewidth()[0])}
    quiet = {"hoverinfo": "skip", "showlegend": False, "opacity": float(bars.get_alpha() or 1)}
    return {"type": "scatter", "mode": "lines", "x": _x(x, dated), "y": _y(y), "line": look, **quiet}


def _bars(boxes: list[Any], colour: str, dated: bool) -> dict[str, Any]:
    middle = np.array([box.get_x() + box.get_width() / 2 for box in boxes])
    heights, widths = [float(box.get_height()) for box in boxes], [float(box.get_width()) for box in boxes]
    look = {"marker": {"color": colour}, "hovertemplate": "%{y:,.4~g}<extra></extra>", "showlegend": False}
    return {"type": "bar", "x": _x(middle, dated), "y": heights, "width": widths, **look}


def _layout(axes: "Axes", dated: bool, escape: Callable[[str], str]) -> dict[str, Any]:
    log = axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    return {
        "xaxis": {
            "title": {"text": escape(axes.get_xlabel())},
            "type": "date" if dated else "linear",
            "range": _x(np.array([left, right]), dated),
            **({} if dated else {"tickformat": ",~r", **_whole(axes)}),
        },
        "yaxis": {
            "title": {"text": escape(axes.get_ylabel())},
            "type": "log" if log else "linear",
            "range": np.log10([low, high]).tolist() if log else [float(low), float(high)],
            "tickformat": ",~r" if not log else "~r",
        },
    }


def _whole(axes: "Axes") -> dict[str, float]:
    """Returns the distance of ticks where they are whole numbers: there is no step 1.5."""
    ticks = np.asarray(axes.get_xticks(), np.float64)
    return {"dtick": float(ticks[1] - ticks[0])} if len(ticks) > 1 and (ticks == np.round(ticks)).all() else {}


def _dated(axes: "Axes") -> bool:
    from matplotlib.dates import DateLocator

    return isinstance(axes.xaxis.get_major_locator(), DateLocator)


def _x(values: np.ndarray, dated: bool) -> list[Any]:
    """Returns places on x as plotly takes them: matplotlib counts days since 1970."""
    if not dated:
        return [float(value) for value in values]
    stamps = np.round(np.asarray(values, np.float64) * 86_400_000).astype(np.int64).astype("M8[ms]")
    midnights = bool((stamps == stamps.astype("M8[D]")).all())
    return np.datetime_as_string(stamps.astype("M8[D]") if midnights else stamps, timezone="naive").tolist()


def _y(values: np.ndarray) -> list[float | None]:
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in values]


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns a long line by the lowest and the highest value of each of its stretches, which looks the same."""
    if len(y) <= POINTS:
        return x, y
    parts = np.array_split(np.arange(len(y)), POINTS // 2)
    low, high = np.where(np.isnan(y), np.inf, y), np.where(np.isnan(y), -np.inf, y)
    kept = np.unique([row for part in parts for row in (part[low[part].argmin()], part[high[part].argmax()])])
    return x[kept], y[kept]
