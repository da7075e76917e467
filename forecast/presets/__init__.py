"""Presets: settings with a name. ONE FILE = ONE PRESET; each can be printed, edited, and given back.

    fast        one network over whole seasons
    accurate    the mean of several
    stock       daily prices
    edge        small enough for a micro-controller

    forecast presets accurate > mine.yaml
    forecast train prices.csv --config mine.yaml

A preset is a YAML file in this folder, whose first line says what it is for. What the user gives goes over it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.errors import UnknownName

from ..config import read_config

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Returns the presets there are.

    Example:
        >>> names()
        ['accurate', 'edge', 'fast', 'stock']
    """
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def text(name: str) -> str:
    """Returns a preset as it is written, with its comments.

    Raises:
        UnknownName: There is none of this name.
    """
    if name not in names():
        raise UnknownName.of("preset", name, names())
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def about(name: str) -> str:
    """Returns what a preset is for, in a sentence or two."""
    return text(name).splitlines()[0].lstrip("# ").partition(": ")[2]


def preset(name: str) -> dict[str, Any]:
    """Returns the settings of a preset, for `Forecaster(config=...)`.

    Raises:
        UnknownName: There is none of this name.

    Example:
        >>> preset("edge")["model"]
        {'name': 'seasonal_lstm', 'units': 32}
    """
    text(name)
    return read_config(FOLDER / f"{name}.yaml")
