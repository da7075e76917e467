"""Leakage audit: the future is poisoned, forecasts must not move by a bit; what leaks is named.

    leakage audit of lstm: 1 of 1 series, 1,047 rows, 3 cutoffs a check, seed 0
      check        result      tried
      columns      not tried   there are none beside the target
      cleaning     passed      holes and an outlier at 3 cutoffs
      features     leaks       1 feature at 3 cutoffs
      ...
    Feature 'centred(3)': centred at 2008-04-01 moved by 12.40 when rows after 2008-04-01 changed.
    1 check leaks: features.

What each check does, `_audit_rows.py`, `_audit_learned.py` and `_audit_forecasts.py` say; how rows are changed,
`_poison.py`.

An audit shows leaks; it cannot show that there are none. It sees what moves: not a setting that somebody chose after
looking at the test part, and not a column of revised numbers that were other ones on the day.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ConfigError, ForecastError, NotFitted

from ..text import aligned
from . import _audit_forecasts, _audit_learned, _audit_rows
from ._poison import Check, Trial

if TYPE_CHECKING:
    from ..forecaster import Forecaster
    from ..prepare import Data


@dataclass(frozen=True)
class Audit:
    """What an audit found; print it.

    Attributes:
        checks: Each check, with what leaks.
        model: Name of the model.
        about: How much was tried: "series", "of_series", "rows", "cutoffs" and "seed".
    """

    checks: tuple[Check, ...]
    model: str
    about: dict[str, int]

    @property
    def passed(self) -> bool:
        """Whether nothing leaks."""
        return not self.leaks

    @property
    def leaks(self) -> tuple[str, ...]:
        """What leaks, a sentence each."""
        return tuple(leak for check in self.checks for leak in check.leaks)

    @property
    def verdict(self) -> str:
        """One sentence."""
        by = {
            result: [c.name for c in self.checks if c.result == result] for result in ("leaks", "passed", "not tried")
        }
        rest = f" Not tried: {', '.join(by['not tried'])}." if by["not tried"] else ""
        if by["leaks"]:
            count = len(by["leaks"])
            return f"{count} check{'s leak' if count > 1 else ' leaks'}: {', '.join(by['leaks'])}.{rest}"
        return f"No leak found: the future was changed, and nothing moved in {len(by['passed'])} checks.{rest}"

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data."""
        checks = [{"check": c.name, "result": c.result, "tried": c.tried, "leaks": list(c.leaks)} for c in self.checks]
        return {"model": self.model, **self.about, "passed": self.passed, "verdict": self.verdict, "checks": checks}

    def __str__(self) -> str:
        title = (
            f"leakage audit of {self.model}: {self.about['series']:,} of {self.about['of_series']:,} series, "
            f"{self.about['rows']:,} rows, {self.about['cutoffs']} cutoffs a check, seed {self.about['seed']}"
        )
        return "\n".join([title, aligned(self._rows(), indent="  "), *self.leaks, self.verdict])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head, *rows = ([html.escape(cell) for cell in row] for row in self._rows())
        table = [f"<tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>"]
        table += [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
        lines = "".join(f"<p>{html.escape(leak)}</p>" for leak in self.leaks)
        return f"<b>{html.escape(self.verdict)}</b><table>{''.join(table)}</table>{lines}"

    def _rows(self) -> list[list[str]]:
        return [["check", "result", "tried"], *([c.name, c.result, c.tried] for c in self.checks)]


def audit(
    forecaster: Forecaster,
    data: Data | None = None,
    *,
    series: int = 8,
    cutoffs: int = 3,
    seed: int = 0,
    retrain: bool = False,
) -> Audit:
    """Tries whether a fitted forecaster, or the data that it is fed, know the future.

    Rows after a cutoff are changed, and nothing that is made for the cutoff may move by a bit: features, scaling,
    splits, calibration windows, forecasts, intervals and the baselines beside them are each tried, and what leaks is
    named. Where there are many series, some are drawn.

    Args:
        forecaster: Fitted, or loaded from a bundle.
        data: Rows to try it on, by default those of `fit`.
        series: At most so many series are tried.
        cutoffs: How many cutoffs each check tries, in each series; each changes later rows in another way.
        seed: Of series, cutoffs and changes.
        retrain: Fit again for two epochs, too, with other rows after the parts that training may see: slow.

    Returns:
        What was found; print it, or ask `.passed`.

    Raises:
        NotFitted: There is no trained network, or there are no rows yet.
        DataError: The rows cannot be used.
        ConfigError: `series` or `cutoffs` is not an integer >= 1.

    Example:
        >>> import forecast
        >>> model = forecast.Forecaster(lookback=8, training={"epochs": 1})
        >>> found = forecast.audit(model.fit("synthetic:sine?rows=200&noise=0.1", quiet=True))
        >>> found.passed
        True
    """
    for name, value in {"series": series, "cutoffs": cutoffs}.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ConfigError(f"`{name}` must be an integer >= 1. Received: {value!r}")
    trial = _trial(forecaster, data, series, cutoffs, seed)
    parts: list[tuple[str, Callable[[Trial], Check | list[Check]]]] = [
        ("columns", _audit_rows.columns),
        ("cleaning", _audit_rows.cleaning),
        ("features", _audit_rows.features),
        ("scaling", _audit_learned.scaling),
        ("splits", _audit_rows.splits),
        ("calibration", _audit_learned.calibration),
        ("export", _audit_learned.export),
        ("forecasts", _audit_forecasts.forecasts),
        *([("training", _audit_learned.training)] if retrain else []),
    ]
    checks = [check for name, part in parts for check in _tried(name, part, trial)]
    panel = forecaster.panel_ if data is None else trial.forecaster.panel_
    about = {"series": len(trial.panel.ids), "of_series": len(panel.ids), "rows": len(trial.panel)}
    return Audit(tuple(checks), forecaster.config.label, about | {"cutoffs": cutoffs, "seed": seed})


def _tried(name: str, part: Callable[[Trial], Check | list[Check]], trial: Trial) -> Iterable[Check]:
    """Returns what a check found; what the forecaster itself refuses could not be tried."""
    try:
        found = part(trial)
    except ForecastError as error:
        return [Check(name, f"{type(error).__name__}: {error}".splitlines()[0], possible=False)]
    return found if isinstance(found, list) else [found]


def _trial(forecaster: Forecaster, data: Data | None, series: int, cutoffs: int, seed: int) -> Trial:
    forecaster.fitted_  # noqa: B018  (there must be a network, before rows are read)
    own = forecaster if data is None else forecaster.attach(data)
    panel, count = own.panel_, len(own.panel_.ids)
    drawn = np.sort(np.random.default_rng(seed).choice(count, min(count, series), replace=False)).tolist()
    few = own.attach(panel if len(drawn) == count else panel.take(drawn))
    return Trial(own, few, cutoffs, seed, _same(forecaster, own))


def _same(forecaster: Forecaster, own: Forecaster) -> bool:
    """Returns whether these are the rows of the fit."""
    digest = forecaster.manifest_.get("data", {}).get("fingerprint")
    if digest is None:
        if own is forecaster:
            return True
        try:
            digest = forecaster.panel_.fingerprint()
        except NotFitted:
            return False
    return bool(own.panel_.fingerprint() == digest)
