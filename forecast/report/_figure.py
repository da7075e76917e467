"""A picture in a page: drawn once by matplotlib, shown in three forms.

    draw(ax) --+-- wide Axes ------ SVG for a desktop and for paper
               |            `------ plotly's JSON, where the report is interactive: `_live.py`
               `-- narrow Axes ---- SVG for a phone, with letters as large

The letters of an SVG stay letters, its colours become names that the page's style sheet knows, light or dark, and its
ids get a number, since all pictures share one page.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ..plotting import _style as style
from . import _live
from ._html import Html, embedded, escaped, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE, NARROW = (9.6, 3.9), (4.3, 3.5)  # inches
SMALL = (4.8, 2.9)  # of several beside each other

# What the style sheet calls each colour.
COLOURS = {
    style.TRUTH: "truth",
    style.MODEL: "model",
    style.FITTED: "fitted",
    style.NAIVE: "naive",
    style.OTHER: "other",
    style.MARK: "mark",
    style.INK: "ink",
    style.GRID: "grid",
    **{colour: f"part-{part}" for part, colour in style.PART_COLOURS.items()},
}
_NAMED = {colour.lower(): f"var(--{name})" for colour, name in COLOURS.items()}
_HEX = re.compile(r"#[0-9a-fA-F]{6}\b")
_POINTER = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"font: (?:[a-z]+ )*([\d.]+)px [^;]*")


@dataclass(frozen=True)
class Picture:
    """What to draw, and how to read it.

    Attributes:
        draw: Draws on Axes; their title becomes the picture's heading.
        note: How to read it, in a sentence.
        heading: Goes over their title; the picture is then a small one, which stands beside others.
    """

    draw: Callable[["Axes"], "Axes"]
    note: str = ""
    heading: str = ""


def figure(picture: Picture, number: int, interactive: bool) -> Html:
    """Returns a picture with its heading as HTML.

    Args:
        picture: What to draw.
        number: Of the picture in its page.
        interactive: Whether plotly's data come with it; the drawn one stays for printing, and where no script runs.
    """
    small = bool(picture.heading)
    wide = picture.draw(_axes(SMALL if small else WIDE))
    heading, _, below = (picture.heading or wide.get_title()).partition("\n")
    below = " ".join(below.split())
    label = f"{heading}. {below}".rstrip(". ") + "."
    forms = [tag("div", _svg(wide, f"p{number}w", label), class_="wide")]
    if not small:
        forms.append(tag("div", _svg(picture.draw(_axes(NARROW)), f"p{number}n", label), class_="narrow"))
    live = [tag("div", class_="live"), embedded(_live.plot(wide, _NAMED, escaped))] if interactive else []
    return tag(
        "figure",
        tag("figcaption", tag("h3", heading), tag("p", below, class_="sub") if below else ""),
        tag("div", *forms, class_="drawn"),
        *live,
        tag("p", picture.note, class_="note") if picture.note else "",
        class_="small" if small else "",
    )


def _axes(size: tuple[float, float]) -> "Axes":
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=style.DPI, layout="constrained", facecolor="none")
    FigureCanvasSVG(figure)
    return figure.add_subplot(facecolor="none")


def _svg(axes: "Axes", prefix: str, label: str) -> Html:
    """Returns Axes as an SVG element for an HTML page, without their title."""
    import matplotlib

    figure: Any = axes.figure
    axes.set_title("")
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314  matplotlib wrote it
    _for_html(root, prefix)
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": label})
    return Html(ElementTree.tostring(root, encoding="unicode", method="html"))


def _for_html(root: ElementTree.Element, prefix: str) -> None:
    """Changes an SVG document into one that can stand in a page beside others."""
    pointed = set()
    for element in root.iter():
        for child in [child for child in element if child.tag.rpartition("}")[2] in ("metadata", "style")]:
            element.remove(child)
        element.tag = element.tag.rpartition("}")[2]
        changed = {name.rpartition("}")[2]: _value(value, prefix) for name, value in element.attrib.items()}
        if changed.get("href", "").startswith("#"):
            changed["href"] = f"#{prefix}{changed['href'][1:]}"
            pointed.add(changed["href"][1:])
        pointed |= set(_POINTER.findall(" ".join(changed.values())))
        element.attrib.clear()
        element.attrib.update(changed)
    for element in root.iter():
        name = f"{prefix}{element.attrib.pop('id', '')}"
        if name in pointed:
            element.attrib["id"] = name


def _value(value: str, prefix: str) -> str:
    """Returns an attribute's value with the page's colours, font and ids."""
    value = _HEX.sub(lambda found: _NAMED.get(found[0].lower(), found[0]), value)
    value = _FONT.sub(r"font-size: \1px", value)
    return _POINTER.sub(rf"url(#{prefix}\1)", value)
