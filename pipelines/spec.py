"""Spec: the base of every group of settings, in code, YAML, on the command line and in the manifest.

One dialect of validation: pydantic checks, and what it finds becomes one `ConfigError` in this project's words:

    `lookback` must be an integer >= 1. Received: 0
    `window` has no setting 'lookbak'. Did you mean 'lookback'? Choose from: gap, horizon, lookback, stride
"""

import re
from typing import Any, Self

import pydantic

from .errors import ConfigError, did_you_mean

_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_TYPES = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping of settings",
    "finite_number": "a finite number",
}


class Spec(pydantic.BaseModel):
    """A frozen group of settings; unknown names are refused, wrong values are a `ConfigError`."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except pydantic.ValidationError as error:
            raise ConfigError(_explain(type(self), error)) from None

    @classmethod
    def of(cls, value: Self | dict[str, Any] | None) -> Self:
        """Returns a spec from itself, a mapping, or nothing (all defaults).

        Raises:
            ConfigError: The value is none of these, or a setting in it is wrong.
        """
        if isinstance(value, cls):
            return value
        if value is None or isinstance(value, dict):
            return cls(**(value or {}))
        raise ConfigError(f"{cls.__name__} takes a mapping of settings. Received: {value!r}")

    def replace(self, **settings: Any) -> Self:
        """Returns a copy with other values, checked like the first."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **settings})


def _explain(spec: type[pydantic.BaseModel], error: pydantic.ValidationError) -> str:
    return "\n".join(dict.fromkeys(_sentence(spec, one) for one in error.errors()))


def _label(spec: type[pydantic.BaseModel]) -> str:
    """The options of a model or source are called after the file they stand in."""
    return spec.__module__.rpartition(".")[2] if spec.__name__ == "Options" else spec.__name__


def _sentence(spec: type[pydantic.BaseModel], error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    kind, received, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "value_error":  # one of our own sentences, raised inside a validator
        text = str(context.get("error", error["msg"]))
        if where and "`" in text:  # a group of settings inside another: `epochs` becomes `training.epochs`
            return re.sub(r"(?m)^`(?!" + where + r"`)([a-z_.]+)` must", rf"`{where}.\1` must", text)
        return text if not where else f"`{where}`: {text}"
    if kind == "extra_forbidden":
        name = str(error["loc"][-1])
        return (
            f"`{_label(spec)}` has no setting {name!r}.{did_you_mean(name, spec.model_fields)} "
            f"Choose from: {', '.join(sorted(spec.model_fields))}"
        )
    if kind == "missing":
        return f"`{where}` must be given. Choose it in {spec.__name__}."
    if kind == "literal_error":
        return f"`{where}` must be one of {context['expected']}. Received: {received!r}"
    for bound, sign in _BOUNDS.items():
        if bound in context:
            number = "an integer" if isinstance(context[bound], int) and not isinstance(received, float) else "a number"
            return f"`{where}` must be {number} {sign} {context[bound]}. Received: {received!r}"
    if kind in _TYPES:
        return f"`{where}` must be {_TYPES[kind]}. Received: {received!r}"
    return f"`{where}`: {error['msg']}. Received: {received!r}"
