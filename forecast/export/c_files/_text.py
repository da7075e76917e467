"""Numbers and names as C++ source text that means exactly them, whatever they hold.

    0.1            -> 0.1f                          the fewest digits that bring the float32 back
    'a "b" ?'      -> "a \\"b\\" \\077"               in a string
    'a \\n } int b' -> // a <U+000A> } int b         in a comment: it stays one

Names come from data that nobody has looked at. One that ends a comment or a string would become code on a device.
"""

import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from pipelines.errors import ExportError

WIDTH = 112
_INFINITY = "std::numeric_limits<float>::infinity()"


def number(value: float, what: str = "A constant") -> str:
    """Returns a number as a float literal.

    Args:
        value: Any number; infinities are written as such.
        what: How an error calls it.

    Raises:
        ExportError: It is no number, or as a float32 it becomes infinite or zero.

    Example:
        >>> print(number(0.1), number(1), number(-1e-10), number(float("inf")))
        0.1f 1.0f -1e-10f std::numeric_limits<float>::infinity()
    """
    with np.errstate(all="ignore"):
        single = np.float32(value)
    if np.isinf(value):
        return ("-" if value < 0 else "") + _INFINITY
    if not np.isfinite(single) or (value != 0 and single == 0):
        raise ExportError(
            f"{what} must be a number that 32 bits can hold. Received: {value}. Train on data in another unit "
            "(thousands, say, or thousandths), and export that model."
        )
    return f"{single!s}f"  # always with a point or an exponent: 1f is not C++


def string(text: str) -> str:
    """Returns text as a string literal in UTF-8; what could end the string or continue the line is escaped.

    Example:
        >>> print(string('5" ö'))
        "5\\042 \\303\\266"
    """
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')
    data = text.encode("utf-8", "surrogatepass")
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in data) + '"'


def comment(*texts: str, indent: str = "") -> str:
    """Returns text as lines of `//` comments, each text on lines of its own; whatever it holds, no line ends early.

    Example:
        >>> print(comment("Prices */ of", "", "A\\nB \\\\"))
        // Prices * / of
        //
        // A<U+000A>B <U+005C>
    """
    lines: list[str] = []
    for text in texts:
        safe = "".join(c if c.isprintable() and c != "\\" else f"<U+{ord(c):04X}>" for c in text)
        for pair in ("*/", "/*", "??"):
            while pair in safe:
                safe = safe.replace(pair, f"{pair[0]} {pair[1]}")
        lines += textwrap.wrap(safe, WIDTH - len(indent)) or [""]
    return "\n".join(f"{indent}// {line}".rstrip() for line in lines)


def braces(items: Iterable[str]) -> str:
    """Returns items in braces: on one line where they fit, otherwise on as many as they need.

    Example:
        >>> print(braces(["1", "2"]))
        {1, 2}
    """
    lines = [""]
    for item in items:
        if lines[-1] and len(lines[-1]) + len(item) + 2 > WIDTH:
            lines.append("")
        lines[-1] += f" {item}," if lines[-1] else f"{item},"
    if len(lines) == 1 and len(lines[0]) <= 60:
        return "{" + lines[0].removesuffix(",") + "}"
    return "\n".join(["{", *(f"    {line}" for line in lines), "}"])


def array(kind: str, name: str, values: Sequence[object], means: str = "", what: str = "") -> str:
    """Returns the definition of a constant array of numbers, strings or truth values.

    Args:
        kind: Its C++ type, such as "float", "bool" or "const char*"; of any other, values are whole numbers.
        name: Its C++ name.
        values: At least one.
        means: A comment.
        what: How an error calls its numbers.
    """
    if kind == "float":
        items = [number(float(value), what or name) for value in values]  # type: ignore[arg-type]
    elif kind == "bool":
        items = ["true" if value else "false" for value in values]
    elif kind == "const char*":
        items = [string(str(value)) for value in values]
    else:
        items = [str(int(value)) for value in values]  # type: ignore[call-overload]
    head = f"{comment(means)}\n" if means else ""
    return f"{head}inline constexpr {kind} {name}[{len(items)}] = {braces(items)};"
