"""`forecast sources`: where data can come from."""

from ._shared import Json, show_modules


def sources(as_json: Json = False) -> None:
    """List the sources, with an example of each.

    Example: forecast sources
    """
    from pipelines.sources import registry

    show_modules(registry, lambda module: {"examples": list(module.EXAMPLES)}, as_json)
