"""Auto: which model, lookback, normalisation, scaling and ensemble forecast some rows best, within a time.

    facts        season, horizon, rows, series                                           candidates.py
    trials       candidates are trained, each for a while                                trials.py
    choice       the best one, or a mean of some; "use naive" where none is better       choice.py
    settings     as any others: they can be printed, edited, and trained again

All are compared on the same validation cutoffs (`forecast/judging.py`); calibration and test rows are cut off before.
What is chosen is then trained afresh, on validation rows, too, for as many epochs as were best: `Forecaster.fit` does
that as for any other settings. A clock decides how much is tried, so another run may choose otherwise; the settings
that were chosen are what can be repeated.

Source: Caruana et al. (2004), https://doi.org/10.1145/1015330.1015432, for ensembles that are selected from what was
tried.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from pipelines.errors import DataError
from pipelines.panel import Panel
from pipelines.splits import SplitSpec, split

from ..config import AUTO, ForecastConfig, seconds
from ..judging import judge, until_validation
from .board import Leaderboard
from .candidates import candidates_for, facts_of, usual_lookback
from .choice import chosen
from .trials import Trials

if TYPE_CHECKING:
    from ..training.progress import Progress

__all__ = ["BUDGET", "Leaderboard", "choose", "fitting_split", "settled", "usual_lookback"]

BUDGET = "5min"  # by default
CUTOFFS = 5_000  # of validation that candidates are compared on, at most
VALUES = 2_000_000  # that are compared for each candidate, at most


def choose(
    panel: Panel,
    config: ForecastConfig,
    progress: Progress,
    began: float | None = None,
    asked: dict[str, Any] | None = None,
) -> tuple[ForecastConfig, Leaderboard]:
    """Returns the settings that forecast the validation part best, and what was tried.

    Args:
        panel: Clean rows.
        config: With model "auto".
        progress: Tells how it goes.
        began: When the budget began, as `time.monotonic` counts; now by default.
        asked: The settings that somebody set, which are kept; by default those that are not as usual.

    Raises:
        DataError: The rows hold no training and validation window, whatever the lookback.
    """
    began = time.monotonic() if began is None else began
    budget = seconds(config.budget or BUDGET)
    config = fitting_split(panel, config, progress)
    seen, splits = until_validation(panel, split(panel, config.split))
    facts = facts_of(seen, splits, config)
    tried = candidates_for(facts, config, asked)
    widest = config.replace(lookback=max(one.lookback for one in tried), model="repeat", budget=None)
    most = max(min(CUTOFFS, VALUES // (config.horizon * len(config.target))), 1)
    exam = judge(seen, splits, widest, power=2 if config.training.loss == "mse" else 1, most=most)
    bars = ", ".join(f"{name.replace('_', ' ')} {error:.4g}" for name, error in exam.bars.items())
    progress.say(
        f"auto: {len(tried)} candidates, {budget:.0f} s; season {facts.season}, {facts.series:,} series of "
        f"{facts.rows:,} training rows. Errors to beat on {exam.many}: {bars}."
    )
    trials = Trials(seen, splits, exam, progress, began, budget)
    trials.run(tried)
    found, board = chosen(trials, facts, config)
    progress.say(str(board))
    return found, board


def settled(config: ForecastConfig, panel: Panel) -> ForecastConfig:
    """Returns settings with a lookback in the place of "auto"."""
    facts = facts_of(panel, split(panel, config.split), config)
    widest = max((one.lookback for one in config.members() if one.lookback != AUTO), default=facts.lookback)
    return config.replace(lookback=max(facts.lookback, widest))


def fitting_split(panel: Panel, config: ForecastConfig, progress: Progress) -> ForecastConfig:
    """Returns the settings with a split that leaves room for validation and test, where the usual one does not.

    A split that somebody asked for stays as it is.

    Raises:
        DataError: There is room for none.
    """
    longest, reach = int((panel.offsets[1:] - panel.offsets[:-1]).max()), config.horizon + config.gap
    if config.split != SplitSpec() or min(0.1 * longest, longest) >= reach:
        return config
    if longest >= 4 * reach:
        progress.say(
            f"auto: a tenth of {longest:,} rows holds no future of {reach:,}, so {reach:,} rows validate and {reach:,} "
            "test; none are left for intervals. `split` decides otherwise."
        )
        return config.replace(split={"validation": reach, "test": reach})
    if longest >= 2 * reach + 1:
        progress.say(
            f"auto: {longest:,} rows are too few for a test part beside validation: {reach:,} rows validate, and no "
            "score will say what the forecast is worth. `split` decides otherwise."
        )
        return config.replace(split={"validation": reach, "test": 0.0})
    need = 2 * reach + 1
    raise DataError(
        f"One series must hold a training row, and two futures of {reach:,} rows, to train and to compare. Received: "
        f"{longest:,} rows at most. Give {need - longest:,} more, or shorten the horizon to "
        f"{max(math.floor((longest - 1) / 2) - config.gap, 1):,}."
    )
