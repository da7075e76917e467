"""`forecast bundles`: what is saved."""

from ._shared import Folder, Json, say, show_json


def bundles(folder: Folder = None, as_json: Json = False) -> None:
    """List the saved bundles.

    Example: forecast bundles
    """
    from ..bundle import list_bundles, root

    found = list_bundles(folder)
    if as_json:
        show_json(found)
        return
    if not found:
        say(f"No bundles in {root(folder)}. `forecast train` or `forecast quickstart` saves one.")
        return
    columns = list(found[0])
    cells = [columns, *[["" if row[c] is None else str(row[c]) for c in columns] for row in found]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for row in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
