"""Columns computed from the rows. ONE FILE = ONE FAMILY of features.

    features.make("RSI(14)", target="Close")    features.make("day_of_week", target="Close")

The template for another family, `pipelines/features/mine.py`:

    \"\"\"One line: what the family holds. The rest: each feature with its formula and source.\"\"\"

    def names() -> tuple[str, ...]: ...                                     # what `make` understands
    def make(call: Call, target: str, columns: Sequence[str]) -> Feature: ...
    def why_not(name: str) -> str: ...    # may be left out: why a name is not in `names`; empty where it says nothing

Two rules hold for every feature, and a test runs over all of them: a changed future leaves past values unchanged,
and the last rows computed from `warmup` rows plus those rows equal those computed from the whole series.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import ConfigError, UnknownName, did_you_mean
from ..registry import Registry

registry = Registry(__name__, "feature family")

Stamps = pd.DatetimeIndex | np.ndarray
"""Local wall-clock stamps (tz-naive DatetimeIndex), or integers for series without dates."""


@dataclass(frozen=True)
class Feature:
    """One or several columns computed from the rows of one series.

    Attributes:
        name: The text that makes it again, such as "RSI(14)".
        columns: Names of the columns it yields, such as ("BBANDS(20).upperband", ...).
        inputs: Data columns it reads; empty where the stamps alone decide.
        level: True where it moves with the price level (moving averages); the window's normalisation then applies
            to it. False where it does not (RSI, day of week).
        warmup: Rows before a row that its value depends on. The first `warmup` rows of a series are NaN or unsettled.
        known: True where it is known ahead, because it depends on the stamps alone.
        compute: `(values (T, len(inputs)) float64, stamps (T,)) -> (T, len(columns)) float64`, oldest row first.
            NaN in means NaN out where it matters; never an error, never a look ahead.
        means: One sentence for the metadata of an exported file: how a device computes it.
    """

    name: str
    columns: tuple[str, ...]
    inputs: tuple[str, ...]
    level: bool
    warmup: int
    known: bool
    compute: Callable[[np.ndarray, Stamps], np.ndarray]
    means: str


@dataclass(frozen=True)
class Call:
    """A feature's text, taken apart: `BBANDS(20, nbdevup=2.5)` is name BBANDS, args (20,), options {nbdevup: 2.5}."""

    text: str
    name: str
    args: tuple[float, ...]
    options: dict[str, float]

    @classmethod
    def parse(cls, text: str) -> "Call":
        """Raises ConfigError where the text is not `name` or `name(number, option=number)`."""
        match = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", text)
        if not match:
            raise ConfigError(f"A feature is written like `RSI(14)` or `day_of_week`. Received: {text!r}")
        args: list[float] = []
        options: dict[str, float] = {}
        for part in filter(str.strip, (match[2] or "").split(",")):
            key, equals, value = part.rpartition("=")
            try:
                number = float(value)
            except ValueError:
                raise ConfigError(
                    f"A feature's parameters are numbers. Received: {part.strip()!r} in {text!r}"
                ) from None
            number = int(number) if number.is_integer() else number
            if equals and key.strip() in options:
                raise ConfigError(f"`{key.strip()}` must be given once. Received: {text!r}")
            if equals:
                options[key.strip()] = number
            elif options:
                raise ConfigError(f"Parameters without a name come first. Received: {text!r}")
            else:
                args.append(number)
        return cls(text.strip(), match[1], tuple(args), options)

    def bind(self, defaults: Mapping[str, float]) -> dict[str, float]:
        """Returns the value of every parameter: as given, else its default.

        Args:
            defaults: Parameters in their order. One whose default is an `int` takes integers only.

        Raises:
            ConfigError: Too many values, a name that is no parameter, a value given twice or not of the kind.

        Example:
            >>> Call.parse("MACD(5, signalperiod=3)").bind({"fastperiod": 12, "slowperiod": 26, "signalperiod": 9})
            {'fastperiod': 5, 'slowperiod': 26, 'signalperiod': 3}
        """
        takes = f"`{self.name}` takes {', '.join(defaults) or 'no parameters'}."
        if len(self.args) > len(defaults):
            raise ConfigError(f"{takes} Received: {self.text!r}, which gives {len(self.args)}. Leave the rest out.")
        given = dict(zip(defaults, self.args, strict=False))
        for name, value in self.options.items():
            if name not in defaults:
                raise ConfigError(f"{takes}{did_you_mean(name, defaults)} Received: {name!r} in {self.text!r}")
            if name in given:
                raise ConfigError(f"`{name}` must be given once. Received: {self.text!r}")
            given[name] = value
        for name, value in given.items():
            if isinstance(defaults[name], int) and not isinstance(value, int):
                raise ConfigError(f"`{name}` of {self.name} must be an integer. Received: {value!r}")
            if not math.isfinite(value):
                raise ConfigError(f"`{name}` of {self.name} must be a finite number. Received: {value!r}")
        return {name: type(default)(given.get(name, default)) for name, default in defaults.items()}


def make(text: str, target: str, columns: Sequence[str]) -> Feature:
    """Returns the feature that a text names.

    Args:
        text: `name` or `name(parameters)`.
        target: Data column that a feature of one price reads.
        columns: All data columns there are.

    Raises:
        UnknownName: No family has this name.
        ConfigError: The parameters are wrong, a data column that it reads is missing, or a family has the name and
            says why it is not to be had.
    """
    call = Call.parse(text)
    known: list[str] = []
    for family in registry.names():
        module = registry.load(family)
        if call.name in module.names():
            feature: Feature = module.make(call, target, columns)
            return feature
        if reason := getattr(module, "why_not", lambda name: "")(call.name):
            raise ConfigError(reason)
        known += module.names()
    raise UnknownName.of("feature", call.name, known)
