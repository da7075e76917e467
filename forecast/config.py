"""Every setting, in one place: for code, YAML files, the command line and the manifest of a bundle.

    Forecaster(model="lstm", target="Close", lookback=60, horizon=5, training={"epochs": 20})

    model: {name: lstm, units: 32}          # in a YAML file: `forecast train DATA --config file.yaml`
    target: Close
    lookback: 60
    horizon: 5
    training: {epochs: 20}

What belongs to rows and windows is defined in `pipelines` and composed here. This module never imports Keras.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, field_serializer, field_validator, model_validator

from pipelines.cleaning import CleaningSpec
from pipelines.errors import ConfigError
from pipelines.pipeline import PipelineSpec
from pipelines.scaling import ScalingSpec
from pipelines.spec import Spec
from pipelines.splits import SplitSpec
from pipelines.windows import WindowSpec

from .training.spec import TrainingSpec


class ModelSpec(Spec):
    """Which network: its file's name in `forecast/models`, and the options of that file.

    Attributes:
        name: Such as "lstm"; "own" for a Keras model of the user's.
        options: Such as {"units": 32}; the model's own `Options` checks them.
    """

    name: str = "lstm"
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """Takes "lstm" and {"name": "lstm", "units": 32}, too; an option beside `options` goes over them."""
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and isinstance(value.get("options", {}), dict):
            given = {k: v for k, v in value.items() if k not in ("name", "options")}
            return {"name": value.get("name", "lstm"), "options": {**value.get("options", {}), **given}}
        return value


AUTO = -1  # "auto" as a number of rows: whoever has the rows puts another in its place

SHARED = ("horizon", "target", "gap", "predict", "quantiles", "features", "past", "known", "static")


class Member(Spec):
    """One network of an ensemble: what it has otherwise than the others; "lstm" is short for `{model: lstm}`.

    Attributes:
        model: Which network.
        lookback: Rows it sees: at most the ensemble's.
        normalize: What its windows are freed of.
        training: How it is trained; what is not given is as in the ensemble's `training`.
        seed: Of its weights.
    """

    model: ModelSpec | None = None
    lookback: int | None = Field(default=None, ge=1)
    normalize: Literal["last", "mean_std", "none"] | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = Field(default=None, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, dict) and (shared := [name for name in SHARED if name in value]):
            raise ValueError(
                f"`{shared[0]}` must be the same for all members of an ensemble, which forecast as one. Received: "
                f"{value[shared[0]]!r} for one of them. Set it beside `ensemble`."
            )
        return {"model": value} if isinstance(value, str) else value


class EnsembleSpec(Spec):
    """Several networks that forecast as one; `ensemble: 5` is short for five seeds.

    Attributes:
        size: Seeds of each member.
        members: What they have otherwise than the settings around them; by default nothing, so seeds alone differ.
        combine: "median" or "mean" of what they answer.
    """

    size: int = Field(default=1, ge=1)
    members: tuple[Member, ...] = ()
    combine: Literal["median", "mean"] = "median"

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"size": value}
        return {"members": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _several(self) -> "EnsembleSpec":
        if self.size * max(len(self.members), 1) < 2:
            raise ValueError(
                "`ensemble` must have at least two networks. Received: one. Leave it out, or raise `size`."
            )
        return self


class ForecastConfig(Spec):
    """All settings of a Forecaster.

    Attributes:
        model: Which network; a name, or a mapping of name and options; "auto" tries several, see `forecast.auto`.
        budget: How long "auto" may take, such as "10min".
        target: Column to predict, or several; may be left out where there is only one column.
        predict: The level of the target, or its return since the cutoff.
        lookback: Rows the model sees; "auto" for whole seasons, as many as the rows allow, see `forecast.auto`.
        horizon: Rows one call predicts.
        gap: Rows skipped between past and future.
        stride: Rows between windows of training and validation.
        past: Other columns that are known up to the cutoff.
        known: Other columns that are known ahead.
        static: Columns that are the same in all rows of a series.
        quantiles: Which the network answers with, such as `[0.1, 0.5, 0.9]`, never crossing; 0.5 is added where it is
            not among them, and is the forecast.
        bounds: Lowest and highest value that a forecast may take, in original units; `[0, null]` for what cannot be
            negative. What lies beyond is brought to the bound, which never takes it further from what happens.
        features: Computed columns, such as "RSI(14)" or "day_of_week".
        freq: A pandas frequency; inferred where not given.
        calendar: An exchange's code, or one for each series by its name.
        id_col: Column that names the series; `unique_id` by default.
        time_col: Column of stamps; `ds` by default, else the index.
        season_length: Rows per season, for the seasonal naive forecast and MASE; after the calendar where not given.
        normalize: What each window is freed of inside the network, and what is put back into its forecast: the
            window's last value, its mean and deviation (reversible instance normalisation, Kim et al. 2022,
            https://openreview.net/forum?id=cGDAkQo1C0p), or nothing.
        scaling: How columns are scaled; a method, or a mapping.
        split: How large validation, calibration and test are.
        cleaning: What to do about faults in the data.
        training: How the network is trained.
        ensemble: Several networks instead of one: a number of seeds, a list of models, or a mapping of both.
        seed: Of weights and of the order of windows.
        unit: What the target is counted in, such as "dollars"; taken from the data where they know it.
    """

    model: ModelSpec = ModelSpec()
    budget: str | None = None
    target: tuple[str, ...] = ()
    predict: Literal["level", "return"] = "level"
    lookback: int = 60
    horizon: int = Field(default=1, ge=1)
    gap: int = Field(default=0, ge=0)
    stride: int = Field(default=1, ge=1)
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()
    bounds: tuple[float | None, float | None] = (None, None)
    features: tuple[str, ...] = ()
    freq: str | None = None
    calendar: str | dict[str, str] | None = None
    id_col: str | None = None
    time_col: str | None = None
    season_length: int | None = Field(default=None, ge=1)
    normalize: Literal["last", "mean_std", "none"] = "last"
    scaling: ScalingSpec = ScalingSpec()
    split: SplitSpec = SplitSpec()
    cleaning: CleaningSpec = CleaningSpec()
    training: TrainingSpec = TrainingSpec()
    ensemble: EnsembleSpec | None = None
    seed: int = Field(default=0, ge=0)
    unit: str = ""

    @field_validator("target", "past", "known", "static", "features", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else () if value is None else value

    @field_validator("lookback", mode="before")
    @classmethod
    def _left_open(cls, value: Any) -> Any:
        return AUTO if value == "auto" else value

    @field_validator("lookback")
    @classmethod
    def _some_rows(cls, lookback: int) -> int:
        if lookback < 1 and lookback != AUTO:
            raise ValueError(f"`lookback` must be an integer >= 1, or 'auto'. Received: {lookback}")
        return lookback

    @field_serializer("lookback")
    def _as_written(self, lookback: int) -> int | str:
        return "auto" if lookback == AUTO else lookback

    @field_validator("budget")
    @classmethod
    def _some_time(cls, budget: str | None) -> str | None:
        if budget is not None:
            seconds(budget)
        return budget

    @field_validator("scaling", mode="before")
    @classmethod
    def _method(cls, value: Any) -> Any:
        return {"method": value} if isinstance(value, str) else value

    @field_validator("quantiles")
    @classmethod
    def _ascending(cls, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        wrong = [q for q in quantiles if not 0 < q < 1]
        if wrong:
            raise ValueError(
                f"`quantiles` must be numbers above 0 and below 1. Received: {wrong[0]:g}. Write 90 % as 0.9."
            )
        return tuple(sorted({*quantiles, 0.5})) if quantiles else ()

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
        low, high = bounds
        if low is not None and high is not None and not low < high:
            raise ValueError(f"`bounds` must be a lower and a higher number. Received: {low:g} and {high:g}.")
        return bounds

    @model_validator(mode="after")
    def _one_loss(self) -> "ForecastConfig":
        if bool(self.quantiles) != (self.training.loss == "pinball") and self.training.loss != "auto":
            raise ValueError(
                f"`training.loss` must be 'pinball' for a network of quantiles, and only for one. Received: "
                f"{self.training.loss!r} with quantiles {list(self.quantiles)}. Leave it out."
            )
        return self

    @model_validator(mode="after")
    def _who_chooses(self) -> "ForecastConfig":
        auto = self.model.name == "auto"
        if self.budget is not None and not auto:
            raise ValueError(
                f"`budget` is the time of model 'auto'. Received: {self.budget!r} with model {self.model.name!r}. "
                "Leave it out, or limit a training by training.seconds."
            )
        if auto and (self.model.options or self.ensemble is not None):
            what = "an ensemble" if self.ensemble is not None else f"options {', '.join(self.model.options)}"
            raise ValueError(
                f"Model 'auto' chooses networks, their options and ensembles itself. Received: {what}. Leave it out, "
                "or name a model."
            )
        return self

    @model_validator(mode="after")
    def _whole_futures(self) -> "ForecastConfig":
        if self.gap and self.training.augment.slicing:
            raise ValueError(
                f"`training.augment.slicing` must be 0 where windows have a gap, whose rows nobody reads. Received: "
                f"{self.training.augment.slicing:g} with gap {self.gap}. Leave one of them out."
            )
        return self

    @model_validator(mode="after")
    def _sound_members(self) -> "ForecastConfig":
        for member in self.members():
            if member.training.early_stopping != self.training.early_stopping:
                raise ValueError(
                    "`ensemble.members.training.early_stopping` must be the same for all members, which learn from the "
                    f"same rows. Received: {member.training.early_stopping} for one of them. Set it beside `ensemble`."
                )
            if self.lookback != AUTO and member.lookback > self.lookback:
                raise ValueError(
                    f"`ensemble.members.lookback` must be at most `lookback`, {self.lookback}, which all share. "
                    f"Received: {member.lookback}. Raise `lookback`, or lower the member's."
                )
        return self

    def members(self) -> "list[ForecastConfig]":
        """Returns the settings of each network of an ensemble; itself alone where there is none.

        Example:
            >>> [one.seed for one in ForecastConfig(ensemble=3).members()]
            [0, 1, 2]
        """
        if self.ensemble is None:
            return [self]
        result = []
        for member in self.ensemble.members or (Member(),):
            given = {
                name: value
                for name in ("model", "lookback", "normalize", "seed")
                if (value := getattr(member, name)) is not None
            }
            training = merge(self.training.model_dump(), member.training)
            one = self.replace(ensemble=None, **given, training=training)
            result += [one.replace(seed=one.seed + i) for i in range(self.ensemble.size)]
        return result

    @property
    def label(self) -> str:
        """What forecasts are called after: the model's name, or "ensemble"."""
        return self.model.name if self.ensemble is None else "ensemble"

    @property
    def loss(self) -> str:
        """Name of the loss that training lowers."""
        return self.training.loss_of(bool(self.quantiles))

    @property
    def window(self) -> WindowSpec:
        """Lengths of a window, in rows; while the lookback is left open, only columns are asked for."""
        lookback = 1 if self.lookback == AUTO else self.lookback
        return WindowSpec(lookback=lookback, horizon=self.horizon, gap=self.gap, stride=self.stride)

    def pipeline(self, target: tuple[str, ...]) -> PipelineSpec:
        """Returns what the data pipeline needs of this."""
        return PipelineSpec(
            targets=target,
            past=self.past,
            known=self.known,
            static=self.static,
            features=self.features,
            predict=self.predict,
            bounds=self.bounds,
            window=self.window,
            scaling=self.scaling,
            cleaning=self.cleaning,
        )

    def panel_options(self) -> dict[str, Any]:
        """Returns what `Panel.from_frame` needs of this."""
        return {"id_col": self.id_col, "time_col": self.time_col, "freq": self.freq, "calendar": self.calendar}


def seconds(budget: str) -> float:
    """Returns the seconds of a time such as "90s", "10min" or "2h".

    Raises:
        ValueError: It is no such time, or not above zero.

    Example:
        >>> seconds("10min")
        600.0
    """
    import pandas as pd

    try:
        found = pd.Timedelta(budget).total_seconds()
    except ValueError:
        found = 0.0
    if not found > 0 or budget.strip().isdigit():
        raise ValueError(f"`budget` must be a time such as '90s', '10min' or '2h'. Received: {budget!r}")
    return found


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings with changes laid over them, group by group.

    Example:
        >>> merge({"seed": 1, "training": {"epochs": 5}}, {"training": {"patience": 2}})
        {'seed': 1, 'training': {'epochs': 5, 'patience': 2}}
    """
    result = dict(base)
    for name, value in changes.items():
        old = result.get(name)
        result[name] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def differences(old: Any, new: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Returns the name, the old and the new value of all that two mappings have otherwise, group by group.

    Example:
        >>> differences({"seed": 1, "training": {"epochs": 5}}, {"seed": 1, "training": {"epochs": 6}})
        [('training.epochs', 5, 6)]
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        dot = f"{name}." if name else ""
        return [one for key in {**old, **new} for one in differences(old.get(key), new.get(key), f"{dot}{key}")]
    return [] if old == new else [(name, old, new)]


def read_config(path: str | Path) -> dict[str, Any]:
    """Returns the settings in a YAML file, not yet checked.

    Raises:
        ConfigError: The file cannot be read, or holds no mapping.
    """
    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"The settings file must be readable YAML. Received: {path}: {' '.join(str(error).split())}"
        ) from None
    if settings is None:
        return {}
    wrong = "" if isinstance(settings, dict) else f"a {type(settings).__name__}"
    wrong = wrong or ", ".join(f"the name {name}" for name in settings if not isinstance(name, str))  # such as `on:`
    if wrong:
        raise ConfigError(f"The settings file must hold `name: value` lines. Received in {path}: {wrong}.")
    return settings
