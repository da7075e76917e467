"""Numbers and tables as people read them; every table and title of the project is written with these two."""

import math
from collections.abc import Sequence


def number(value: float) -> str:
    """Returns a score for people: four digits, "-" where there is none."""
    if math.isnan(value):
        return "-"
    if 1e4 <= abs(value) < 1e12:
        return f"{float(f'{value:.4g}'):,.0f}"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value))) if value else 3)}f}"
    return f"{value:.3e}"


def aligned(rows: Sequence[Sequence[str]], numbers: bool = False, indent: str = "") -> str:
    """Returns cells as lines of equal columns.

    Args:
        rows: The first one holds the headings.
        numbers: Whether all columns but the first are right-aligned.
        indent: What each line begins with.
    """
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if numbers and c else cell.ljust(w)
            for c, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(indent + "  ".join(cells).rstrip())
    return "\n".join(lines)
