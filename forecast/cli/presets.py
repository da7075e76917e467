"""`forecast presets`: settings with a name."""

from typing import Annotated

import typer

from ._shared import Json, say, show_json


def presets(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Print this one, as a settings file.")] = None,
    as_json: Json = False,
) -> None:
    """List the presets, or print one to be edited.

    Example: forecast presets accurate > mine.yaml
    """
    from .. import presets as all_presets

    if name is not None:
        if as_json:
            show_json(all_presets.preset(name))
        else:
            say(all_presets.text(name).rstrip())
        return
    found = {one: all_presets.about(one) for one in all_presets.names()}
    if as_json:
        show_json(found)
        return
    width = max(map(len, found))
    for one, sentence in found.items():
        say(f"{one:{width}}  {sentence}")
