"""Which settings can be searched, by their names with dots, and what type each one has."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Union

from pipelines.errors import ConfigError
from pipelines.spec import Spec

from ..config import ForecastConfig

GROUPS = ("lookback", "normalize", "predict", "scaling", "stride", "training")
SILENT = ("training.monitor", "training.tensorboard")  # they tell, and change nothing
STACKS = ("lstm", "stacked_lstm")  # one model of one or more layers, where `model.layers` is searched


def known(config: ForecastConfig, searched: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the type of every setting that can be searched, by its name.

    Args:
        config: The settings to begin with.
        searched: What is searched; where models are, only the options that all of them have can be.

    Raises:
        ConfigError, UnknownName: The models are wrong, or there is none of a name.
    """
    from ..models import registry

    if not isinstance(choices := searched.get("model", ()), tuple):
        raise ConfigError("`model` takes choices, since it is no number: a list of names.")
    names = {ForecastConfig(model=choice).model.name for choice in choices} or {config.model.name}
    for name in names:
        registry.check(name)
    found: dict[str, Any] = {"model": str}
    shared = [registry.load(name).Options.model_fields for name in sorted(names)]
    found |= {
        f"model.{name}": field.annotation for name, field in shared[0].items() if all(name in one for one in shared)
    }
    if names <= set(STACKS) and "model" not in searched:
        found["model.layers"] = int
        found |= {"model.units": int} if "model.layers" in searched else {}
    for group in GROUPS:
        found |= _below(group, ForecastConfig.model_fields[group].annotation)
    return {name: kind for name, kind in found.items() if name not in SILENT}


def _below(name: str, annotation: Any) -> dict[str, Any]:
    """Returns the type of a setting, and of those inside it."""
    found = {name: annotation} if name != "training" else {}
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        for inner, field in annotation.model_fields.items():
            found |= _below(f"{name}.{inner}", field.annotation)
    return found


def kinds(annotation: Any) -> set[Any]:
    """Returns the types that a value may have: those of `int | None` are int and None's."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return {kind for one in typing.get_args(annotation) for kind in kinds(one)}
    return {annotation} if isinstance(annotation, type) else {typing.get_origin(annotation)}
