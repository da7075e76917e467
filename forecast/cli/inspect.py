"""`forecast inspect`: what happens inside a recurrent network over one window."""

from pathlib import Path
from typing import Annotated

import typer

from ._shared import BundleArgument, Folder, Json, SomeData, bundle, check_picture, rows_of, say, show_json


def inspect(
    name: BundleArgument,
    data: SomeData = None,
    series: Annotated[str | None, typer.Option(help="Which series. [default: the first]")] = None,
    cutoff: Annotated[str | None, typer.Option(help="The window's last row. [default: the last there is]")] = None,
    layer: Annotated[str | None, typer.Option(help="Which recurrent layer. [default: the first]")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture: .png, .svg or .pdf.")] = Path("inside.png"),
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Look inside a recurrent network over one window: gates, states, attention weights, as numbers and a picture.

    A gate says how much passes, from 0 to 1; after its half-life half of what a unit holds is gone, by its forget gate.

    Attention weights say where a network looks, not why.

    Example: forecast inspect goog --cutoff 2008-09-30 --out inside.png
    """
    check_picture(out, "--out")
    from .. import inspection, plotting

    model = bundle(name, folder)
    seen = inspection.inspect(model, rows_of(model, data), series, cutoff, layer)
    plotting.write_inside(seen, out)
    if as_json:
        show_json({**seen.to_dict(), "picture": str(out)})
    else:
        say(seen)
        say(f"picture {out}")
