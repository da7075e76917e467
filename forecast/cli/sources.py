"""`forecast sources`: where data can come from."""

from ._shared import Json, say, show_json


def sources(as_json: Json = False) -> None:
    """List the sources, with an example of each.

    Example: forecast sources
    """
    from pipelines.sources import registry

    found = {}
    for name in registry.names():
        module = registry.load(name)
        found[name] = {
            "about": (module.__doc__ or "").strip().splitlines()[0].rstrip("."),
            "examples": list(module.EXAMPLES),
        }
    if as_json:
        show_json(found)
        return
    width = max(map(len, found))
    for name, source in found.items():
        say(f"{name:{width}}  {source['about']}")
        say(f"{'':{width}}  {'   '.join(source['examples'])}")
