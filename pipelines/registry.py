"""A file name is a registration: models, sources and feature families are found by the file's name in their folder.

Listing names imports nothing; loading one imports that one. Files that start with an underscore are shared helpers.
"""

import importlib
import pkgutil
from types import ModuleType

from .errors import UnknownName


class Registry:
    """The modules of one package, by name.

    Args:
        package: Dotted name of the folder, such as "pipelines.sources".
        kind: What one of them is called in messages, such as "source".

    Example:
        >>> Registry("pipelines.sources", "source").load("sample").__name__
        'pipelines.sources.sample'
    """

    def __init__(self, package: str, kind: str) -> None:
        self.package = package
        self.kind = kind

    def names(self) -> list[str]:
        """Returns all names, sorted."""
        path = importlib.import_module(self.package).__path__
        return sorted(module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))

    def check(self, name: str) -> None:
        """Raises UnknownName where there is no file of that name."""
        if name not in self.names():
            raise UnknownName.of(self.kind, name, self.names())

    def load(self, name: str) -> ModuleType:
        """Imports one module.

        Raises:
            UnknownName: There is no file of that name.
        """
        self.check(name)
        return importlib.import_module(f"{self.package}.{name}")
