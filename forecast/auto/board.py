"""The leaderboard of `auto`: what was tried, beside the forecasts to beat, the best first.

model                        lookback  normalize  scaling  parameters  epochs  seconds   error  over seasonal_naive
mean of 2, 3 seeds each           168                                                   0.7012                0.571
  seasonal_lstm                   168  mean_std   minmax      120,000      20     61.0  0.7103                0.578
  linear                          336  last       minmax       16,000      12      9.1  0.7420                0.604
  seasonal_naive                                                                        1.2280                1.000
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..judging import Judge
from ..text import aligned, number

if TYPE_CHECKING:
    from .trials import Tried


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """What `auto` tried and chose; print it.

    Attributes:
        frame: A row for each candidate and each bar, the lowest error first: `model, lookback, normalize, scaling,
            loss, parameters, epochs, seconds, error, over_bar, chosen, note`. `error` is the mean absolute error over
            validation cutoffs in units of each series' naive error, as in MASE.
        bar: The stronger of the naive and the seasonal naive forecast.
        error: Of what was chosen; of the bar where that was.
        members: How many networks' settings were chosen; 0 for "use naive".
        seeds: How often each is trained.
        many: What was compared on, such as "80 validation days".
    """

    frame: pd.DataFrame
    bar: str
    error: float
    members: int
    seeds: int
    many: str

    @property
    def verdict(self) -> str:
        """What was chosen, in a sentence."""
        bar = self.bar.replace("_", " ")
        against = float(self.frame.loc[self.frame["model"] == self.bar, "error"].iloc[0])
        if not self.members:
            tried = int(self.frame["error"].notna().sum() - self.frame["model"].isin(("naive", "seasonal_naive")).sum())
            return (
                f"Use {bar}: on {self.many} none of {tried} trained candidates was better than it, steadily enough to "
                "trust. It is what this forecaster now answers with."
            )
        names = ", ".join(self.frame.loc[self.frame["chosen"], "model"])
        mean = f"the mean of {names}" if self.members > 1 else names
        seeds = f", {self.seeds} seeds each" if self.seeds > 1 else ""
        return (
            f"Chosen: {mean}{seeds}. Its error on {self.many}, as tried, was {number(self.error)}, "
            f"{number(self.error / against)} of {bar}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the same as plain data, for the manifest."""
        return {
            "rows": self.frame.to_dict("records"),
            "bar": self.bar,
            "error": self.error,
            "members": self.members,
            "seeds": self.seeds,
            "many": self.many,
        }

    @classmethod
    def from_dict(cls, about: dict[str, Any]) -> Leaderboard:
        """Returns what `to_dict` gave."""
        frame = pd.DataFrame(about["rows"])
        for name in ("error", "over_bar", "seconds"):
            frame[name] = frame[name].astype(float)
        return cls(frame, *(about[name] for name in ("bar", "error", "members", "seeds", "many")))

    def __str__(self) -> str:
        columns = ["model", "lookback", "normalize", "scaling", "parameters", "epochs", "seconds", "error"]
        rows = [["", *columns[:1], *columns[1:], f"/ {self.bar}", ""]]
        for one in self.frame.to_dict("records"):
            trained = not pd.isna(one["parameters"]) and one["parameters"] != ""
            rows.append(
                [
                    "*" if one["chosen"] else "",
                    one["model"],
                    *(str(one[name]) for name in ("lookback", "normalize", "scaling")),
                    f"{int(one['parameters']):,}" if trained else "",
                    str(int(one["epochs"])) if trained else "",
                    f"{one['seconds']:.0f}" if trained else "",
                    number(one["error"]),
                    number(one["over_bar"]),
                    one["note"][:60],
                ]
            )
        return f"{aligned(rows)}\n{self.verdict}"


def board_of(tried: list[Tried], judge: Judge, members: list[Tried], error: float, bar: str, seeds: int) -> Leaderboard:
    """Returns the leaderboard of some trainings.

    Args:
        members: Those that were chosen.
        error: Of their mean.
        bar: The stronger baseline.
        seeds: How often each member is trained.
    """
    rows: list[dict[str, Any]] = []
    for one in tried:
        config, known = one.config, np.isfinite(one.error)
        rows.append(
            {
                "model": config.model.name,
                "lookback": config.lookback,
                "normalize": config.normalize,
                "scaling": config.scaling.method,
                "loss": config.loss,
                "parameters": one.parameters if known else None,
                "epochs": config.training.epochs if known else None,
                "seconds": one.seconds if known else None,
                "error": one.error,
                "chosen": any(one is member for member in members),
                "note": one.note,
            }
        )
    blank = {"lookback": "", "normalize": "", "scaling": "", "loss": "", "parameters": None, "epochs": None}
    for name, value in judge.bars.items():
        is_it = not members and name == bar
        rows.append({"model": name, **blank, "seconds": None, "error": value, "chosen": is_it, "note": ""})
    frame = pd.DataFrame(rows).sort_values("error", ignore_index=True, kind="stable")
    frame.insert(9, "over_bar", frame["error"] / judge.bars[bar])
    return Leaderboard(frame, bar, error, len(members), seeds, judge.many)
