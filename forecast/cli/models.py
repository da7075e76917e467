"""`forecast models`: the networks there are."""

from typing import Any

from ._shared import Json, show_modules


def models(as_json: Json = False) -> None:
    """List the models, with their options.

    Example: forecast models
    """
    from .._keras import load_keras

    load_keras()
    from ..models import registry

    def details(module: Any) -> dict[str, Any]:
        options = {key: field.default for key, field in module.Options.model_fields.items()}
        return {"inputs": list(module.INPUTS), "options": options}

    show_modules(registry, details, as_json)
