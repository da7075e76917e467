"""`forecast models`: the networks there are."""

from typing import Any

from ._shared import Json, say, show_json


def models(as_json: Json = False) -> None:
    """List the models, with their options.

    Example: forecast models
    """
    from .._keras import load_keras

    load_keras()
    from ..models import registry

    found: dict[str, Any] = {}
    for name in registry.names():
        module = registry.load(name)
        about = (module.__doc__ or "").strip().splitlines()[0].rstrip(".:")
        options = {key: field.default for key, field in module.Options.model_fields.items()}
        found[name] = {"about": about, "inputs": list(module.INPUTS), "options": options}
    if as_json:
        show_json(found)
        return
    width = max(map(len, found))
    for name, model in found.items():
        say(f"{name:{width}}  {model['about']}")
        say(f"{'':{width}}  options: {', '.join(f'{key}={value!r}' for key, value in model['options'].items())}")
