"""Text as Markdown that means exactly it: names and units come from data that nobody has looked at.

    a|b *c* <i>    ->   a\\|b \\*c\\* \\<i\\>      in a cell of a table; no link, no image, no HTML, no second cell
    Close          ->   `Close`

Tables are aligned in the source, too.
"""

import re
from collections.abc import Sequence


def text(words: str) -> str:
    r"""Returns words on one line in which nothing is markup.

    Example:
        >>> print(text("a|b *c* <i>\n# d"))
        a|b \*c\* \<i\> # d
    """
    line = "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in " ".join(words.split()))
    line = re.sub(r"([\\`*_\[\]<>~&$!])", r"\\\1", line)
    line = re.sub(r"(https?|ftp|www)([:.])", r"\1\\\2", line)  # some readers make links of bare addresses
    line = re.sub(r"^(\d+)([.)])(?= |$)", r"\1\\\2", line)  # at the beginning, it would begin a list
    return re.sub(r"^([#+=-])", r"\\\1", line)  # or a heading


def code(name: str) -> str:
    """Returns a name as code, or as words where it holds what would end that.

    Example:
        >>> print(code("Close"), code("a`b"), code(""))
        `Close` a\\`b -
    """
    if not name.strip():
        return "-"
    fits = name.isprintable() and not set(name) & set("`|") and name == " ".join(name.split())
    return f"`{name}`" if fits else text(name)


def shape(sizes: Sequence[int]) -> str:
    """Returns "(1, 60, 1)"."""
    return f"({', '.join(map(str, sizes))})"


def table(rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Returns an aligned table.

    Args:
        rows: The first one holds the headings.
        numbers: Which columns are right-aligned.

    Example:
        >>> print(table([["step", "MAE"], ["1", "10.5"]], numbers=[1]))
        | step |  MAE |
        |:-----|-----:|
        | 1    | 10.5 |
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = [
        [cell.rjust(w) if c in numbers else cell.ljust(w) for c, (cell, w) in enumerate(zip(row, widths, strict=True))]
        for row in cells
    ]
    rule = [f"{'-' * (w + 1)}:" if c in numbers else f":{'-' * (w + 1)}" for c, w in enumerate(widths)]
    head, *lines = (f"| {' | '.join(row)} |" for row in padded)
    return "\n".join([head, f"|{'|'.join(rule)}|", *lines])


def block(language: str, source: str) -> str:
    """Returns source code as a block of its own; it is ours, and holds no such fence."""
    return f"```{language}\n{source}\n```"
