"""From what a user states to a search space that fits settings and data; and the one where nobody states any.

{model: {units: {low: 32, high: 256}}} -> names with dots -> ranges and choices -> each value tried in the settings
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError, did_you_mean

from ..config import ForecastConfig, read_config
from .names import GROUPS, STACKS, kinds, known
from .space import Range, Searched, Space, applied, label, resolved, said, short, value_of


def stated(given: Space | Mapping[str, Any] | str | Path | None, config: ForecastConfig, rows: int) -> Space:
    """Returns a search space that fits settings and data.

    Args:
        given: A mapping of names to ranges and lists, a YAML file that holds one, or None for `default`.
        config: The settings to begin with.
        rows: The largest lookback that the training rows allow.

    Raises:
        ConfigError: It is none of these, a name or a value in it is wrong, or the rows do not allow it.

    Example:
        >>> print(stated({"training.batch_size": [16, 32]}, ForecastConfig(), rows=100))
        training.batch_size: [16, 32]
    """
    if given is None:
        return default(config, rows)
    if isinstance(given, str | Path):
        given = read_config(given)
    settings = given.plain() if isinstance(given, Space) else given
    if not isinstance(settings, Mapping) or not settings:
        raise ConfigError(
            "A search space must be a mapping of settings to ranges and choices, such as "
            f"{{lookback: {{low: 20, high: 120}}, normalize: [last, mean_std]}}. Received: {given!r}"
        )
    space = Space({name: _searched(name, value) for name, value in _named(settings)})
    _check(space, config)
    if space.lookback > rows:
        raise ConfigError(
            f"The largest lookback of a search space must leave one window in the training rows: at most {rows}. "
            f"Received: {space.lookback}. Lower it, or give more rows."
        )
    return space


def default(config: ForecastConfig, rows: int) -> Space:
    """Returns what is tried where nobody says: the options that the model has, and what mostly matters besides.

    The settings to begin with always belong to it.
    """
    from ..models import registry

    options = registry.load(config.model.name).Options
    fields, own = options.model_fields, options(**config.model.options).model_dump()
    found: dict[str, Searched] = {}
    if config.model.name in STACKS:
        found["model.layers"] = Range(low=1, high=3)
    if "model.layers" in found or ("units" in fields and int in kinds(fields["units"].annotation)):
        found["model.units"] = Range(low=32, high=256, log=True)
    elif "units" in fields:
        found["model.units"] = ([64], [128], [256], [64, 64], [128, 128], [256, 256])
    found |= {f"model.{name}": one for name, one in _OPTIONS.items() if name in fields}
    if "depth" in fields:
        found["model.depth"] = Range(low=1, high=own["depth"] + 2)
    if "segment" not in fields:  # else it divides the lookback
        low = config.lookback if "season" in fields else max(1, config.lookback // 4)
        high = max(config.lookback, min(2 * config.lookback, rows // 2))
        found |= {"lookback": Range(low=low, high=high)} if low < high else {}
    found |= _OTHERS
    return Space({name: _including(Space(found), name, config) for name in found})


_OPTIONS: dict[str, Searched] = {
    "dropout": Range(low=0, high=0.5, step=0.05),
    "filters": (16, 32, 64),
    "kernel_size": (3, 5, 7),
    "heads": (2, 4, 8),
    "kind": ("linear", "dlinear"),
    "cell": ("gru", "lstm"),
}
_OTHERS: dict[str, Searched] = {
    "normalize": ("last", "mean_std", "none"),
    "training.learning_rate": Range(low=1e-4, high=1e-2, log=True),
    "training.batch_size": (16, 32, 64, 128),
}


def _named(settings: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yields what is said of each setting, by its name with dots; groups may be nested, as in a settings file."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value and not {"low", "high"} & set(value):
            yield from _named(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _searched(name: str, value: Any) -> Searched:
    if isinstance(value, list | tuple):
        if not value or len({repr(label(one)) for one in value}) < len(value):
            raise ConfigError(f"The choices of `{name}` must be one or more, each once. Received: {list(value)}")
        return tuple(value)
    if isinstance(value, Range):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"`{name}` of a search space must be a range such as {{low: 1, high: 9}}, or a list of choices. Received: "
            f"{value!r}"
        )
    try:
        return Range(**{str(key): one for key, one in value.items()})
    except ConfigError as error:
        raise ConfigError(f"`{name}` of a search space: {error}") from None


def _check(space: Space, config: ForecastConfig) -> None:
    """Refuses names that there are not, and values that their settings cannot take."""
    names = known(config, space.settings)
    for name, one in space.settings.items():
        if name not in names:
            fixed = name.partition(".")[0] in ForecastConfig.model_fields and name.partition(".")[0] not in (
                "model",
                *GROUPS,
            )
            why = " All trials answer the same question." if fixed else did_you_mean(name, names)
            raise ConfigError(f"`{name}` cannot be searched.{why} Choose from: {', '.join(sorted(names))}")
        if not isinstance(one, Range):
            continue
        types = kinds(names[name])
        if not types & {int, float}:
            hint = ", or search `model.layers` as well" if name == "model.units" else ""
            raise ConfigError(
                f"`{name}` takes choices, since it is no number: a list of values{hint}. Received: {said(one.plain())}"
            )
        ends = (one.low, one.high, one.step or 0)
        if int in types and any(end != int(end) for end in ends):
            raise ConfigError(f"`{name}` must have whole numbers as ends. Received: {said(one.plain())}")
    for context in _contexts(space):
        for name, one in space.settings.items():
            for value in _ends(one):
                try:
                    if name == "model.layers" and not (isinstance(value, int) and value >= 1):
                        raise ConfigError(f"`layers` must be an integer >= 1. Received: {value!r}")
                    resolved(applied(config, context | {name: value}))
                except ConfigError as error:
                    raise ConfigError(f"`{name}` of a search space cannot be {value!r}: {error}") from None


def _ends(one: Searched) -> tuple[Any, ...]:
    """Returns the choices, or both ends of a range."""
    return (short(one.low), short(one.last)) if isinstance(one, Range) else one


def _contexts(space: Space) -> list[dict[str, Any]]:
    """Returns what else a value may stand beside, where that says whether it is right: the models, or a layer."""
    if "model" in space.settings:
        return [{"model": choice} for choice in _ends(space.settings["model"])]
    return [{"model.layers": 1}] if "model.layers" in space.settings else [{}]


def _including(space: Space, name: str, config: ForecastConfig) -> Searched:
    """Returns what is searched of a setting, with the value that it has."""
    one = space.settings[name]
    value = value_of(config, name, "model.layers" in space.settings)
    if isinstance(one, Range):
        return one.including(value)
    if name in Space({name: one}).of(config):
        return one
    return (list(value) if isinstance(value, tuple) else value, *one)
