"""Which model forecasts which series, where a job has one for each group of them.

    saved_models/stocks/groups.json     {"by": "sector", "groups": {"banks": ["AIG", "JPM"], "tech": ["AAPL"]}}
    saved_models/stocks.banks/3/        a bundle for each group
    saved_models/stocks.tech/3/

A training writes it; a run reads it. A series that was not there in training belongs to no group until the next one.
"""

import json
import re
from pathlib import Path

from pipelines.errors import BundleError, ConfigError

from ..bundle import write_text
from .store import as_json

FILE = "groups.json"


def plain(value: object) -> str:
    """Returns a group's value as a part of a bundle's name.

    Example:
        >>> plain("Real estate / REIT")
        'Real_estate_REIT'
    """
    text = re.sub(r"[^A-Za-z0-9_-]+", "_", str(value)).strip("_-")
    if not text:
        raise ConfigError(f"The value of a group must hold letters or digits. Received: {value!r}. Rename it.")
    return text[:50]


def bundle_of(name: str, group: str) -> str:
    """Returns the name of a group's bundle.

    Example:
        >>> bundle_of("stocks", "tech"), bundle_of("stocks", "")
        ('stocks.tech', 'stocks')
    """
    return f"{name}.{group}" if group else name


def write(folder: Path, by: str, of: dict[str, tuple[str, ...]]) -> None:
    """Writes which series belong to which group."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FILE, as_json({"by": by, "groups": of}))


def read(folder: Path) -> dict[str, tuple[str, ...]]:
    """Returns the series of each group; empty where there are no groups.

    Raises:
        BundleError: The file is damaged.
    """
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        found = json.loads(text)["groups"]
        return {plain(group): tuple(map(str, ids)) for group, ids in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{folder / FILE} must say which series belong to which group. Received: {error}. Train the job again."
        ) from None
