"""`forecast bundles`: what is saved."""

from typing import Any

from ._shared import Folder, Json, say, show_json


def bundles(folder: Folder = None, as_json: Json = False) -> None:
    """List the saved bundles.

    Example: forecast bundles
    """
    from ..bundle import list_bundles, root
    from ..bundle._exports import exports
    from ..text import aligned

    found = list_bundles(folder)
    for row in found:
        row["exports"] = [one for one in exports(row["name"], folder) if one["version"] == row["version"]]
    if as_json:
        show_json(found)
        return
    if not found:
        say(f"No bundles in {root(folder)}. `forecast train` or `forecast quickstart` saves one.")
        return
    columns = list(found[0])
    rows = [[_text(cell) for cell in row.values()] for row in found]
    say(aligned([columns, *rows]))


def _text(cell: Any) -> str:
    from ..text import number

    if isinstance(cell, list):
        return ", ".join(cell) if all(isinstance(one, str) for one in cell) else str(len(cell))
    return "" if cell is None else number(cell) if isinstance(cell, float) else str(cell)
