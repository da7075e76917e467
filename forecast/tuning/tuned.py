"""What a tuning found: the best settings, every trial, and what the errors are worth beside the naive forecast's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from pipelines.errors import ConfigError

from ..bundle import write_text
from ..config import ForecastConfig
from ..text import aligned, number
from .space import Space, said

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STATES = ("finished", "pruned", "failed")


@dataclass(frozen=True, eq=False)
class Tuned:
    """Settings that forecast best of all that were tried; print it.

    Attributes:
        config: The best settings; `Forecaster(config=...)` takes them.
        base: Those that it began with.
        trials: One row a trial, in order: `trial` (from 1, which tried the settings as they were), `state` ("finished",
            "pruned", "failed"), `error`, `epochs`, `seconds`, `reason` of a failed one, and a column for each setting.
        best: Number of the best trial.
        bars: The errors of the naive forecast, and of the seasonal one where there is a season.
        space: What was tried.
        importances: How much of the differences between errors each setting explains; nothing where trials are few.
        many: How much each trial was scored on, such as "80 validation days".
        path: The file of the study; None where it was kept in memory.
    """

    config: ForecastConfig
    base: ForecastConfig
    trials: pd.DataFrame
    best: int
    bars: dict[str, float]
    space: Space
    importances: dict[str, float]
    many: str
    path: Path | None = None

    @property
    def error(self) -> float:
        """The lowest mean scaled error of a trial that was trained to its end."""
        return self._error(self.best)

    @property
    def base_error(self) -> float:
        """That of the settings as they were; NaN where they could not be trained."""
        return self._error(1)

    def _error(self, trial: int) -> float:
        found = self.trials.loc[self.trials["trial"] == trial, "error"]
        return float(found.iloc[0])

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """What the best settings have otherwise: what was, and what is, by name."""
        old, new = (_plain(config) for config in (self.base, self.config))
        return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}

    def yaml(self) -> str:
        """Returns the best settings as a file that `forecast train DATA --config` takes: what differs from defaults."""
        study = f" of {self.path.name}" if self.path else ""
        naive = number(self.bars["naive"])
        said = f"# Trial {self.best}{study}: error {number(self.error)} on {self.many}; naive {naive}"
        if self.best != 1:
            said += f", before tuning {number(self.base_error)}"
        text: str = yaml.safe_dump(settings_of(self.config), sort_keys=False, default_flow_style=None, width=120)
        return f"{said}.\n{text}"

    def write(self, path: str | Path) -> None:
        """Writes the best settings into a YAML file: whole, or not at all.

        Raises:
            ConfigError: It cannot be written.
        """
        path = Path(path)
        try:
            write_text(path, self.yaml())
        except OSError as error:
            raise ConfigError(
                f"The best settings must go into a file that can be written. Received: {path} ({error.strerror})."
            ) from None

    def plot(self, kind: str = "trials", ax: Axes | None = None) -> Axes:
        """Draws the trials: kind "trials" for their errors in order, "searched" for which values did well.

        Raises:
            ConfigError: There is no such kind.
        """
        from .. import plotting

        if kind not in ("trials", "searched"):
            raise ConfigError(f"`kind` must be 'trials' or 'searched'. Received: {kind!r}")
        return (plotting.plot_trials if kind == "trials" else plotting.plot_searched)(self, ax=ax)

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as plain data."""
        return {
            "study": self.path,
            "best": {"trial": self.best, "error": self.error, "settings": settings_of(self.config)},
            "base": {"error": self.base_error, "settings": settings_of(self.base)},
            "bars": self.bars,
            "scored": self.many,
            "space": self.space.plain(),
            "importances": self.importances,
            "trials": self.trials.astype(object).where(self.trials.notna(), None).to_dict("records"),
        }

    def __str__(self) -> str:
        counts = self.trials["state"].value_counts()
        states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts.get(state))
        naive = self.bars["naive"]
        rows = [["", "error", "of naive"]]
        errors = {f"best, trial {self.best}": self.error, "settings as they were": self.base_error}
        errors |= {name.replace("_", " "): error for name, error in self.bars.items()}
        for name, error in errors.items():
            rows.append([name, number(error), f"{100 * error / naive:.1f} %" if naive > 0 and error == error else "-"])
        target = ", ".join(self.config.target)
        lines = [
            f"{len(self.trials)} trials for {target}, scored on {self.many}: {states}",
            aligned(rows, numbers=True, indent="  "),
            self._verdict(),
        ]
        if self.changed:
            was = [[name, said(old), "->", said(new)] for name, (old, new) in self.changed.items()]
            lines.append(aligned(was, indent="  "))
        if len(self.importances) > 1:
            most = list(self.importances.items())[:3]
            lines.append(
                "What mattered most: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in most) + "."
            )
        lines.append(
            "The best of many looks better than it is: the test part, which no trial saw, tells what it is worth."
        )
        return "\n".join([*lines, *([f"study   {self.path}"] if self.path else [])])

    def __repr__(self) -> str:
        return str(self)

    def _verdict(self) -> str:
        beaten = [name.replace("_", " ") for name, error in self.bars.items() if not self.error < error]
        bar = f" It does not beat the {' and the '.join(beaten)} forecast." if beaten else ""
        if self.best == 1:
            return f"No trial had a lower error than the settings as they were.{bar}"
        if self.base_error != self.base_error:
            return f"The settings as they were could not be trained.{bar}"
        lower = 100 * (1 - self.error / self.base_error) if self.base_error else 0.0
        return f"The best error is {lower:.1f} % lower than that of the settings as they were.{bar}"


def settings_of(config: ForecastConfig) -> dict[str, Any]:
    """Returns what settings have otherwise than the defaults, as a YAML file says it.

    Example:
        >>> settings_of(ForecastConfig(model={"name": "lstm", "units": 32}, training={"epochs": 5}, lookback=60))
        {'model': {'name': 'lstm', 'units': 32}, 'training': {'epochs': 5}}
    """
    model = config.model.model_dump(mode="json")
    plain = _other(config.model_dump(mode="json"), ForecastConfig().model_dump(mode="json"))
    plain.pop("model", None)
    named = (
        {"model": {"name": model["name"], **model["options"]}} if model != ForecastConfig().model.model_dump() else {}
    )
    return {**named, **plain}


def _other(settings: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        old = defaults.get(name)
        if value == old:
            continue
        found[name] = _other(value, old) if isinstance(value, dict) and isinstance(old, dict) else value
    return found


def _plain(config: ForecastConfig) -> dict[str, Any]:
    """Returns settings by name with dots, every option of the model among them."""
    from ..models import registry

    options = registry.load(config.model.name).Options(**config.model.options).model_dump(mode="json")
    settings = config.model_dump(mode="json")
    settings["model"] = {"name": config.model.name, **options}
    return dict(_flat(settings, ""))


def _flat(settings: dict[str, Any], before: str) -> Any:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
