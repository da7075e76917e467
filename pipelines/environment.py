"""Secrets stand in the environment: `${NAME}` in a text is a variable of it."""

import os
import re

from .errors import ConfigError

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def variables(text: str) -> list[str]:
    """Returns the variables that a text asks for.

    Example:
        >>> variables("postgresql+psycopg://ada:${PGPASSWORD}@db/prices")
        ['PGPASSWORD']
    """
    return _VARIABLE.findall(text)


def filled(text: str) -> str:
    """Returns a text with its variables filled in.

    Raises:
        ConfigError: There is no such variable.
    """
    missing = [name for name in variables(text) if name not in os.environ]
    if missing:
        raise ConfigError(
            f"`${{{missing[0]}}}` must be a variable of the environment. Received: none of this name. Set it where the "
            "job is started; a scheduler does not read your shell's settings."
        )
    return _VARIABLE.sub(lambda found: os.environ[found[1]], text)
