"""The search space of a tuning, stated as data: which settings are tried, and between which ends.

    model.units: {low: 32, high: 256, log: true}                a range; both ends belong to it
    model.dropout: {low: 0, high: 0.5, step: 0.05}              a range in steps from `low` on
    normalize: [last, mean_std]                                 choices
    model: [lstm, {name: stacked_lstm, units: [64, 32]}]        choices may be what a settings file may say
    model.layers: {low: 1, high: 3}                             of `lstm` and `stacked_lstm`, which then are one model

With `model.layers` each layer has half the units of the one below, and `model.units` are those of the lowest.

What a forecast is asked for cannot be searched: target, horizon, gap, split and what else says which rows count. All
trials answer one question, or their errors could not be compared. This module knows nothing of Optuna.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import model_validator

from pipelines.spec import Spec

from ..config import ForecastConfig, merge
from .names import STACKS, kinds, known


class Range(Spec):
    """All numbers from `low` to `high`; whole ones where the setting is one.

    Attributes:
        low: The lowest.
        high: The highest.
        log: Try each power as often as the others: as many numbers from 1 to 10 as from 10 to 100.
        step: Only these steps from `low` on.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @model_validator(mode="after")
    def _sound(self) -> Range:
        if not self.low < self.high:
            raise ValueError(
                f"`low` must be below `high`. Received: {self.low:g} and {self.high:g}. One value alone is a choice, "
                f"such as [{self.high:g}]."
            )
        if self.log and self.low <= 0:
            raise ValueError(f"`low` must be above 0 where `log` is true. Received: {self.low:g}")
        if self.step is not None and (self.log or not 0 < self.step <= self.high - self.low):
            with_log = " with `log`, which has no steps" if self.log else ""
            raise ValueError(
                f"`step` must be above 0, and at most `high` less `low`. Received: {self.step:g}{with_log}"
            )
        return self

    @property
    def last(self) -> float:
        """The highest value there is: the last step, where there are steps."""
        if self.step is None:
            return self.high
        return self.low + self.step * int((self.high - self.low) / self.step + 1e-9)

    def holds(self, value: Any) -> bool:
        """Returns whether a value is one of these numbers."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6

    def including(self, value: Any) -> Range:
        """Returns the range, so far extended that a value belongs to it."""
        if isinstance(value, bool) or not isinstance(value, int | float) or self.holds(value):
            return self
        return Range(low=min(self.low, value), high=max(self.high, value), log=self.log and value > 0)

    def plain(self) -> dict[str, Any]:
        """Returns the range as a file states it."""
        found: dict[str, Any] = {"low": short(self.low), "high": short(self.high)}
        found |= {"log": True} if self.log else {}
        return found if self.step is None else found | {"step": short(self.step)}


Searched = Range | tuple[Any, ...]


@dataclass(frozen=True)
class Space:
    """Settings to try; prints as the file that states it.

    Attributes:
        settings: What is tried of each, by its name with dots.

    Example:
        >>> print(Space({"lookback": Range(low=20, high=120), "normalize": ("last", "mean_std")}))
        lookback: {low: 20, high: 120}
        normalize: [last, mean_std]
    """

    settings: dict[str, Searched]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {said(value)}" for name, value in self.plain().items())

    def plain(self) -> dict[str, Any]:
        """Returns the space as plain data."""
        return {n: one.plain() if isinstance(one, Range) else list(one) for n, one in self.settings.items()}

    @property
    def lookback(self) -> int:
        """The largest lookback; 0 where it is not searched."""
        one = self.settings.get("lookback", ())
        return int(one.last) if isinstance(one, Range) else max(one, default=0)

    def whole(self, name: str, config: ForecastConfig) -> bool:
        """Returns whether a range is one of whole numbers."""
        return int in kinds(known(config, self.settings)[name])

    def of(self, config: ForecastConfig) -> dict[str, Any]:
        """Returns what settings say of each name; names whose value the space does not hold are left out."""
        found = {}
        for name, one in self.settings.items():
            if isinstance(one, Range):
                value = value_of(config, name, "model.layers" in self.settings)
                if one.holds(value):
                    found[name] = value
            else:
                same = [choice for choice in one if resolved(applied(config, {name: choice})) == resolved(config)]
                if same:
                    found[name] = same[0]
        return found


def applied(config: ForecastConfig, values: Mapping[str, Any]) -> ForecastConfig:
    """Returns settings with some values in their places.

    Example:
        >>> applied(ForecastConfig(), {"model.layers": 3, "model.units": 96, "training.batch_size": 16}).model
        ModelSpec(name='stacked_lstm', options={'units': [96, 48, 24]})
    """
    settings: dict[str, Any] = config.model_dump()
    model = settings["model"]
    if "model" in values:
        chosen = ForecastConfig(model=values["model"]).model
        model = {"name": chosen.name, "options": {**model["options"], **chosen.options}}
    own = {name.removeprefix("model."): value for name, value in values.items() if name.startswith("model.")}
    if "layers" in own:
        layers, units = own.pop("layers"), own.pop("units", None) or value_of(config, "model.units", True) or 64
        model = {**model, "name": STACKS[layers > 1]}
        own["units"] = units if layers == 1 else _halved(units, layers)
    settings["model"] = {**model, "options": {**model["options"], **own}}
    for name, value in values.items():
        if name != "model" and not name.startswith("model."):
            for part in reversed(name.split(".")):
                value = {part: value}
            settings = merge(settings, value)
    return ForecastConfig(**settings)


def said(value: Any) -> str:
    """Returns a value for people, as a file says it.

    Example:
        >>> said(None), said([64, 32]), said("last")
        ('null', '[64, 32]', 'last')
    """
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...")


def label(choice: Any) -> Any:
    """Returns a choice as one word: itself, or a list or mapping as text."""
    return json.dumps(choice) if isinstance(choice, list | tuple | dict) else choice


def value_of(config: ForecastConfig, name: str, layered: bool) -> Any:
    """Returns the value of a setting; None where it has none that a range could hold."""
    from ..models import registry

    group, _, option = name.partition(".")
    if group != "model":
        value: Any = config
        for part in name.split("."):
            value = getattr(value, part)
        return value
    options = registry.load(config.model.name).Options(**config.model.options).model_dump()
    if layered and option in ("layers", "units"):
        units = options["units"] if isinstance(options["units"], tuple) else (options["units"],)
        if list(units) != _halved(units[0], len(units)):
            return None
        return len(units) if option == "layers" else units[0]
    return options[option]


def resolved(config: ForecastConfig) -> ForecastConfig:
    """Returns settings in which every option of the model is said; ConfigError where one cannot be."""
    from ..models import registry

    options = registry.load(config.model.name).Options(**config.model.options).model_dump()
    return config.replace(model={"name": config.model.name, "options": options})


def _halved(units: int, layers: int) -> list[int]:
    return [max(1, units // 2**n) for n in range(layers)]


def short(value: float) -> int | float:
    """Returns a whole number as an integer."""
    return int(value) if value == int(value) else value
