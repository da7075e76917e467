"""Trains what a job forecasts with; a new version takes over only where it is not worse than the one before.

    rows up to as_of    |------- train, validation, calibration -------|-- the last n cutoffs --|
    challenger           learns                                         forecasts, once
    champion             learned earlier                                forecasts, once
                                                                        the lower mean scaled error is the champion's

    one global model over all series                bundle stocks
    `by: sector`, a model for each of its values    bundles stocks.tech, stocks.banks, ...   through the job's engine

Errors are scaled by what the naive forecast misses each series by in training rows (MASE, Hyndman and Koehler 2006,
https://doi.org/10.1016/j.ijforecast.2006.03.001), so that dear and cheap series count the same. The rows of the cutoffs
were seen by neither: a champion learned from earlier ones.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import ConfigError, DataError
from pipelines.panel import Panel
from pipelines.pipeline import DataPipeline

from .. import bundle
from ..config import ForecastConfig
from . import engines, gates, groups
from .clock import AsOf
from .config import Job
from .opened import Opened, current
from .parts import parts
from .rows import by_name, labels, read
from .settings import Training
from .store import Store, as_json, writing

if TYPE_CHECKING:
    from ..evaluation.backtest import Backtest


CHALLENGER = "challenger"  # the alias of a version that did not take over


@dataclass(frozen=True)
class Trained:
    """How one model was trained, and whether it took over.

    Attributes:
        bundle: Name of the bundle.
        version: Of the challenger.
        series: How many it learned from.
        error: Its mean scaled error over the last cutoffs.
        naive: The naive forecast's.
        champion: The version that forecast before; None where there was none.
        champion_error: Its error at the same cutoffs.
        cutoffs: How many there were, over all series.
        promoted: Whether the challenger is the champion now.
    """

    bundle: str
    version: int
    series: int
    error: float
    naive: float
    champion: int | None
    champion_error: float | None
    cutoffs: int
    promoted: bool

    @property
    def why(self) -> str:
        """What decided."""
        if self.champion is None:
            return f"the first, error {self.error:.4g}, naive {self.naive:.4g} (MASE, {self.cutoffs:,} cutoffs)"
        return (
            f"error {self.error:.4g}, version {self.champion} {self.champion_error:.4g}, naive {self.naive:.4g} (MASE, "
            f"{self.cutoffs:,} cutoffs)"
        )


@dataclass(frozen=True)
class Lesson:
    """What one model is trained with.

    Attributes:
        bundle: Name of its bundle.
        folder: Where bundles lie.
        rows: Folder of a saved panel.
        ids: Series to learn from.
        config: All settings; its test part holds the last cutoffs.
        source: The job's locator.
        champion: The folder of the version to compare with.
        cutoffs: How many of each series.
        tolerance: How much worse it may be, as a share.
    """

    bundle: str
    folder: Path
    rows: Path
    ids: tuple[str, ...]
    config: ForecastConfig
    source: str
    champion: Path | None
    cutoffs: int
    tolerance: float


def train(job: Job | str | Path, as_of: str | None = None, *, folder: Path | None = None) -> list[Trained]:
    """Trains the recipe of a job on rows up to as_of; each model that is not worse becomes the champion.

    Args:
        job: A job, or the path of a job file.
        as_of: As for `run`.
        folder: Where bundles lie.

    Raises:
        ConfigError: The job has no recipe, or the recipe does not say how rows are dated.
        DataError: More series than may fail did, or too few rows are left.
        Locked: Another training of this job is under way.
    """
    job = job if isinstance(job, Job) else Job.read(job)
    recipe = job.spec.training
    if recipe is None:
        raise ConfigError(
            "A job trains by a recipe. Received: a job file without `training`. Add, for instance, `training: {recipe: "
            "{target: Close, lookback: 60, horizon: 5, calendar: XNYS}}`."
        )
    store, base = Store(job.output), bundle.root(folder).absolute()
    store.prepare()
    draft = _draft(recipe, base)
    moment = AsOf.of(as_of, draft.codes, job.spec.timezone)
    with store.lock("training"), store.scratch("training") as scratch:
        panel = _rows(job, draft, moment)
        config = _cut(panel, draft.config, recipe.cutoffs)
        with writing(store.folder):
            panel.save(scratch)
        of = _groups(job, draft, recipe.by, panel)
        lessons = []
        for group, ids in of.items():
            name = groups.bundle_of(job.bundle, group)
            before = current(name, base) if bundle.exists(name, base) else None
            lesson = Lesson(name, base, scratch, ids, config, job.source, before, recipe.cutoffs, recipe.tolerance)
            lessons.append(lesson)
        done = list(engines.each(learn, lessons, job.spec.engine))
        done.sort(key=lambda one: one.bundle)
        for one in done:
            bundle.point(one.bundle, bundle.CHAMPION if one.promoted else CHALLENGER, one.version, one.why, base)
        if recipe.by is not None:
            groups.write(base / job.bundle, recipe.by, of)
        about = {"job": job.spec.name, "as_of": str(moment), "models": [asdict(one) for one in done]}
        with writing(store.folder):
            bundle.write_text(store.folder / "training.json", as_json(about))
    return done


def learn(lesson: Lesson) -> Trained:
    """Trains one model, compares it with its champion, and saves it as a new version."""
    from ..forecaster import Forecaster

    whole, wanted = Panel.open(lesson.rows), set(lesson.ids)
    panel = whole.take([s for s, name in enumerate(whole.ids) if name in wanted])
    model = Forecaster(config=lesson.config).fit(panel, quiet=True)
    model.source_ = lesson.source
    mine, theirs = model.backtest(cutoffs=lesson.cutoffs), None
    if lesson.champion is not None:
        champion = Forecaster.load(lesson.champion)
        _refuse_other(model, champion, lesson)
        theirs = champion.backtest(panel, cutoffs=lesson.cutoffs)
    own, error, cutoffs = compare(mine, theirs)
    version = int(model.save(lesson.bundle, lesson.folder).name)
    return Trained(
        bundle=lesson.bundle,
        version=version,
        series=len(panel.ids),
        error=own,
        naive=compare(mine, mine, "naive")[1] or 0.0,
        champion=None if lesson.champion is None else int(lesson.champion.name),
        champion_error=error,
        cutoffs=cutoffs,
        promoted=error is None or own <= error * (1 + lesson.tolerance),
    )


def compare(mine: "Backtest", theirs: "Backtest | None", name: str = "") -> tuple[float, float | None, int]:
    """Returns the mean scaled error of two backtests at the cutoffs that both have, and how many those are.

    Args:
        name: Which forecasts of the second to take; by default its model's.

    Raises:
        DataError: They have no cutoff in common.
    """
    where = _places(mine)
    if theirs is None:
        return float(np.nanmean(_errors(mine, mine.model, list(where.values())))), None, len(where)
    others = _places(theirs)
    both = [key for key in where if key in others]
    if not both:
        raise DataError("Champion and challenger must forecast from the same cutoffs. Received: none. Give more rows.")
    at, there = [where[key] for key in both], [others[key] for key in both]
    scale = mine.training["mase_scale"][at]
    a, b = _errors(mine, mine.model, at), _errors(theirs, name or theirs.model, there, scale)
    known = np.isfinite(a) & np.isfinite(b)
    return float(a[known].mean()), float(b[known].mean()), len(both)


def _errors(backtest: "Backtest", name: str, at: Sequence[int], scale: np.ndarray | None = None) -> np.ndarray:
    """Returns absolute errors of some windows over the scale of their series `(N, H, K)`."""
    scale = backtest.training["mase_scale"][at] if scale is None else scale  # (N, K)
    return np.abs(backtest.y_true[at] - backtest.y_pred[name][at]) / np.where(scale > 0, scale, np.nan)[:, None, :]


def _places(backtest: "Backtest") -> dict[tuple[str, int], int]:
    index, panel = backtest.index, backtest.panel
    keys = zip(index.series.tolist(), panel.ds[index.cutoffs].tolist(), strict=True)
    return {(panel.ids[s], ds): n for n, (s, ds) in enumerate(keys)}


def _refuse_other(model: Any, champion: Any, lesson: Lesson) -> None:
    asked = ("target", "horizon", "gap")
    differ = [name for name in asked if getattr(model.config, name) != getattr(champion.config, name)]
    if differ:
        raise ConfigError(
            "A challenger must forecast what its champion does. Received: another "
            f"{' and '.join(differ)} than {lesson.bundle}/{lesson.champion.name if lesson.champion else ''}. Give the "
            "job another `bundle`, so that it begins anew."
        )


def _draft(recipe: Training, base: Path) -> Opened:
    """Returns the recipe as if it were a bundle: what reading and the gates ask one for."""
    config = ForecastConfig(**recipe.recipe)
    pipeline = DataPipeline(config.pipeline(config.target))
    dated = config.freq or config.calendar
    codes = list(dated.values()) if isinstance(dated, dict) else [dated]
    return Opened(base, {"data": {"calendars": codes}}, pipeline, config, config.horizon, ())


def _rows(job: Job, draft: Opened, as_of: AsOf) -> Panel:
    """Returns the cleaned rows of all series that pass the gates."""
    panels, failures, series = list[Panel](), list[gates.Failure](), 0
    open_gates = job.spec.gates.replace(freshness=None, future=False, drift=None)
    for part in parts(job):
        for source, called in part.named():
            one = read(job, draft, as_of, source, called)
            cleaned, failed, _ = gates.check(one, draft, open_gates, as_of)
            lost = {failure.unique_id for failure in failed}
            panels.append(cleaned.take([s for s, name in enumerate(cleaned.ids) if name not in lost]))
            failures += failed
            series += len(one.ids)
    if not sum(len(panel) for panel in panels):
        raise DataError(f"A training needs good rows at or before as_of, {as_of}. Received: none of {series:,} series.")
    if len(failures) > (allowed := job.spec.max_failed.among(series)):
        raise DataError(
            f"At most {allowed:,} of {series:,} series may fail (max_failed). Received: {len(failures):,} that do, "
            f"such as {failures[0].unique_id!r}: {failures[0].message} Nothing was trained."
        )
    return by_name(gates.joined(panels, panels[0]))


def _cut(panel: Panel, config: ForecastConfig, cutoffs: int) -> ForecastConfig:
    """Returns the settings with a test part that holds the last cutoffs, and the others before it.

    Raises:
        DataError: Nothing is left to train on.
    """
    stamps, need = np.unique(panel.ds), cutoffs + config.gap + config.horizon - 1
    shares = [
        share if isinstance(share, float | int) else 0.1
        for share in (config.split.validation, config.split.calibration)
    ]
    validation, calibration = (round(share * len(stamps)) if share < 1 else int(share) for share in shares)
    test = len(stamps) - need
    starts = [test - calibration - validation, test - calibration, test]
    if starts[0] < config.lookback + config.horizon:
        raise DataError(
            f"A training must leave rows before its last {cutoffs:,} cutoffs. Received: {len(stamps):,} stamps for "
            f"lookback {config.lookback:,} and horizon {config.horizon:,}. Give more rows, or fewer `training.cutoffs`."
        )
    names = dict(
        zip(("validation", "calibration", "test"), (str(panel.stamp(int(stamps[at]))) for at in starts), strict=True)
    )
    return config.replace(split={**names, **({} if calibration else {"calibration": 0.0})})


def _groups(job: Job, draft: Opened, by: str | None, panel: Panel) -> dict[str, tuple[str, ...]]:
    """Returns the series of each model by the name of its group; "" for one global model."""
    if by is None:
        return {"": panel.ids}
    found: dict[str, str] = {}
    for part in parts(job):
        for source in part.sources:
            found |= labels(job, draft, source, by)
    of: dict[str, list[str]] = {}
    for name in panel.ids:
        of.setdefault(groups.plain(found[name]), []).append(name)
    return {group: tuple(ids) for group, ids in sorted(of.items())}
