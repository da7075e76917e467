"""HTML in which text can only be text: names of series come from data that nobody has looked at.

    tag("p", "a < b")                   <p>a &lt; b</p>
    tag("p", tag("b", "a"), " < b")     <p><b>a</b> &lt; b</p>          what is HTML already stays

Only `Html` is written as it is, and only this module and trusted files make any.
"""

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

_VOID = ("meta", "br")


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(text: object) -> Html:
    """Returns any text as HTML that shows it; what no reader can see is shown as its number.

    Example:
        >>> escaped("<script>alert(1)</script>")
        '&lt;script&gt;alert(1)&lt;/script&gt;'
    """
    if isinstance(text, Html):
        return text
    seen = "".join(c if c.isprintable() or c in "\n " else f"<U+{ord(c):04X}>" for c in str(text))
    return Html(html.escape(seen, quote=True))


def join(parts: Iterable[object]) -> Html:
    """Returns parts one after the other, each escaped unless it is HTML."""
    return Html("".join(escaped(part) for part in parts))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """Returns an element.

    Args:
        name: Such as "p".
        children: Text, which is escaped, or HTML.
        attributes: `class_` and `aria_label` are written `class` and `aria-label`; None and "" are left out.

    Example:
        >>> tag("p", "a < b", class_="note")
        '<p class="note">a &lt; b</p>'
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value not in (None, "")
    )
    return Html(f"<{name}{pairs}>" if name in _VOID else f"<{name}{pairs}>{join(children)}</{name}>")


def table(
    head: Sequence[object],
    rows: Sequence[Sequence[object]],
    *,
    words: int = 1,
    marked: Iterable[int] = (),
    best: Iterable[tuple[int, int]] = (),
    label: str = "",
) -> Html:
    """Returns a table in a box of its own, which scrolls where it is wider than the page.

    Args:
        head: Headings of the columns.
        rows: Cells, row by row; the first of each is its heading.
        words: How many columns hold words; the others hold numbers, on the right.
        marked: Rows to highlight.
        best: Cells `(row, column)` to mark as best of their column.
        label: What it shows, for those who cannot see it.
    """
    marked, best = set(marked), set(best)

    def cell(r: int, c: int, value: object) -> Html:
        looks = ["" if c < words else "number", "best" if (r, c) in best else ""]
        name, scope = ("th", "row") if c == 0 else ("td", "")
        return tag(name, value, class_=" ".join(filter(None, looks)), scope=scope)

    heads = [tag("th", one, class_="" if c < words else "number", scope="col") for c, one in enumerate(head)]
    lines = [
        tag("tr", *(cell(r, c, value) for c, value in enumerate(row)), class_="marked" if r in marked else "")
        for r, row in enumerate(rows)
    ]
    inner = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *lines))
    return tag("div", inner, class_="scroll", role="region", aria_label=label, tabindex="0")


def pairs(items: Iterable[tuple[object, object]]) -> Html:
    """Returns names with their values; those without one are left out."""
    shown = [(name, value) for name, value in items if value not in ("", None)]
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in shown))


def embedded(value: Any) -> Html:
    """Returns plain data as a JSON element, which no text in it can end.

    Example:
        >>> "</script>" in embedded({"name": "</script>"}).removesuffix("</script>")
        False
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Html(f'<script type="application/json">{text}</script>')
