"""What stands beside a model's forecasts before they are scored: the baselines' forecasts, and what training rows say.

    y_pred     lstm | naive  seasonal_naive  drift  mean | ets  theta  arima
               model  always                               where they are asked for
    training   mase_scale  rmsse_scale  low  high          of the series of each cutoff, from its training rows

Axes: `N` cutoffs, `H` horizon, `K` targets, `S` series.
"""

from collections.abc import Sequence

import numpy as np

from pipelines.errors import UnknownName
from pipelines.panel import Panel
from pipelines.splits import Splits
from pipelines.windows import WindowIndex

from .backtest import Backtest
from .bands import Bands
from .baselines import BASELINES, Baseline
from .frames import by_series
from .metrics import mase_scale, rmsse_scale
from .statistical import STATISTICAL, require

FACTS = ("mase_scale", "rmsse_scale", "low", "high")


def season_lengths(panel: Panel, given: int | None) -> list[int]:
    """Returns the rows per season of each series: the given number, or its calendar's."""
    return [given or calendar.season_length for calendar in panel.calendars]


def score(
    panel: Panel,
    splits: Splits,
    index: WindowIndex,
    y_true: np.ndarray,
    y_pred: dict[str, np.ndarray],
    targets: tuple[str, ...],
    baselines: dict[str, Baseline],
    *,
    part: str,
    unit: str,
    season_length: int | None,
    bands: Bands | None = None,
    quantiles: dict[float, np.ndarray] | None = None,
    training: dict[str, np.ndarray] | None = None,
    how: str = "",
) -> Backtest:
    """Returns a model's forecasts with the baselines' from the same cutoffs beside them, ready to be scored.

    Args:
        baselines: See `chosen`.
        training: What training rows say, where several fits had their own; by default those of `splits` say it.

    The others become attributes of the `Backtest`.
    """
    seasons = season_lengths(panel, season_length)
    beside = baseline_forecasts(panel, index, targets, seasons, baselines)
    first, end = splits.rows("train")
    end = np.where(end > first, end, splits.rows(part)[0])  # a cold series is scaled by what came before
    training = training or training_facts(panel, index, targets, seasons, (panel.offsets[:-1], end))
    return Backtest(
        panel=panel,
        index=index,
        targets=targets,
        y_true=y_true,
        y_pred=y_pred | beside,
        last=beside["naive"][:, 0],
        training=training,
        part=part,
        unit=unit,
        bands=bands,
        quantiles=quantiles or {},
        how=how,
    )


def chosen(names: str | Sequence[str]) -> dict[str, Baseline]:
    """Returns the baselines that always stand beside a model, and the one or those that are asked for.

    Raises:
        UnknownName: There is no such baseline.
        ConfigError: What one of them needs is not installed.
    """
    names = [names] if isinstance(names, str) else names
    known = BASELINES | STATISTICAL
    for name in names:
        if name not in known:
            raise UnknownName.of("baseline", name, tuple(known))
        if name in STATISTICAL:
            require(name)
    return BASELINES | {name: known[name] for name in names}


def baseline_forecasts(
    panel: Panel, index: WindowIndex, targets: tuple[str, ...], seasons: list[int], baselines: dict[str, Baseline]
) -> dict[str, np.ndarray]:
    """Returns each baseline's forecasts `(N, H, K)` from the cutoffs of an index, given rows per season `(S,)`."""
    steps = index.spec.gap + np.arange(1, index.spec.horizon + 1)
    shape = (len(index), index.spec.horizon, len(targets))
    result = {name: np.empty(shape) for name in baselines}
    columns = [panel.column(name) for name in targets]
    for s, which in by_series(index):
        rows = panel.rows(s)
        for k, c in enumerate(columns):
            series = np.asarray(panel.values[rows, c], np.float64)
            for name, baseline in baselines.items():
                result[name][which, :, k] = baseline(series, index.cutoffs[which] - rows.start, steps, seasons[s])
    if max(seasons) == 1:
        del result["seasonal_naive"]  # it would be naive under another name
    return result


def training_facts(
    panel: Panel,
    index: WindowIndex,
    targets: tuple[str, ...],
    seasons: list[int],
    part: tuple[np.ndarray, np.ndarray],
) -> dict[str, np.ndarray]:
    """Returns what the rows of a part say of each cutoff's series, `(N, K)` each; NaN where they say nothing.

    Args:
        part: First and end row in each series, `(S,)` each.

    Returns:
        "mase_scale", "rmsse_scale", and "low" and "high": the range of the target.
    """
    result = {name: np.full((len(panel.ids), len(targets)), np.nan) for name in FACTS}
    for s in np.unique(index.series):
        rows, season = slice(*(int(end[s]) for end in part)), seasons[s]
        for k, target in enumerate(targets):
            train = np.asarray(panel.values[rows, panel.column(target)], np.float64)
            if not np.isnan(train).all():
                facts = mase_scale(train, season), rmsse_scale(train, season), np.nanmin(train), np.nanmax(train)
                for name, fact in zip(FACTS, facts, strict=True):
                    result[name][s, k] = fact
    return {name: fact[index.series] for name, fact in result.items()}
