"""The trials of a tuning in one SQLite file, which a killed process leaves whole: the next one goes on with it.

    goog.db              one Optuna study; settings, space and rows that it belongs to are written in it
    .goog.db.lock        one process at a time

    COMPLETE             trained to its end; counts
    PRUNED               ended early, since it lay behind; counts
    FAIL with a reason   could not be trained; counts
    FAIL without one     its process was killed: the same values are tried again
    RUNNING              under way, or its process was killed just now

What a trial tries depends on the seed, on its place among the trials that count, and on their errors alone. So a study
that was killed, however often, tries what it would have tried.

Source: Bergstra et al. (2011), https://papers.nips.cc/paper/4443, for the sampler (TPE); Golovin et al. (2017),
https://doi.org/10.1145/3097983.3098043, for the median rule that prunes.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import filelock
import numpy as np

from pipelines.errors import ConfigError, Locked

from ..config import differences
from .space import Range, Space, label

NAME = "forecast"
ADVICE = "Give the same again to go on with it, or another file for a study of its own."
STARTUP = 10  # trials that are drawn at random before the sampler learns from any
BEFORE_PRUNING = 5  # trials that must be complete before one is pruned
WARMUP = 4  # epochs that every trial gets


def require() -> ModuleType:
    """Imports Optuna and what its files need.

    Raises:
        ConfigError: It is not installed; the error names the extra.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")  # of a progress bar that nobody shows
            import alembic  # noqa: F401
            import optuna
    except ImportError:
        raise ConfigError(
            "Tuning needs Optuna, which is not installed. Run: pip install 'keras-forecast[tune]'"
        ) from None
    return optuna


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keeps Optuna's own messages and warnings back meanwhile: every trial is told of elsewhere."""
    optuna = require()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"optuna(\.|$)")
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


class Study:
    """Trials that are done, and which comes next; open one with `opened`.

    Args:
        study: Optuna's.
        space: What is tried.
        whole: Names of the ranges of whole numbers.
        seed: Of the sampler.
    """

    def __init__(self, study: Any, space: Space, whole: set[str], seed: int) -> None:
        self._study, self._space, self._whole, self._seed = study, space, whole, seed

    def trials(self) -> list[Any]:
        """Returns the trials that count, oldest first."""
        return [t for t in self._study.get_trials(deepcopy=False) if t.state.is_finished() and _counts(t)]

    def begin(self, first: Mapping[str, Any]) -> int:
        """Makes the trial of some values the first, and tries again what a killed process left; returns how many."""
        state = require().trial.TrialState
        trials = self._study.get_trials(deepcopy=False)
        if not trials:
            self._put({name: label(value) for name, value in first.items()}, True)
        waiting = [t.user_attrs["values"] for t in trials if t.state == state.WAITING]
        again = [t for t in trials if t.state == state.RUNNING]
        for trial in again:
            values = trial.params if len(trial.params) == len(self._space.settings) else trial.user_attrs.get("values")
            # Killed while its values were drawn: they are drawn again, from the same seed.
            if values is not None and values not in waiting and not _counts(trial):
                self._put(values, bool(trial.user_attrs.get("first")))
            self._study.tell(trial.number, state=state.FAIL)
        return len(again)

    def _put(self, values: dict[str, Any], first: bool) -> None:
        """Has some values tried next."""
        self._study.enqueue_trial(values, user_attrs={"values": values, "first": first})

    def next(self) -> tuple[Any, dict[str, Any] | None]:
        """Returns a trial to run, and its values; None where it is the first, of the settings as they were."""
        optuna = require()
        place = len(self.trials())
        seed = int(np.random.SeedSequence([self._seed, place]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=STARTUP, warn_independent_sampling=False
        )
        trial = self._study.ask()
        first = bool(trial.user_attrs.get("first"))
        names = trial.user_attrs["values"] if first else self._space.settings
        values = {name: self._suggest(trial, name) for name in names}
        return trial, None if first else values

    def _suggest(self, trial: Any, name: str) -> Any:
        one = self._space.settings[name]
        if not isinstance(one, Range):
            labels = [label(choice) for choice in one]
            return one[labels.index(trial.suggest_categorical(name, labels))]
        if name in self._whole:
            return trial.suggest_int(name, int(one.low), int(one.last), step=int(one.step or 1), log=one.log)
        value = trial.suggest_float(name, one.low, one.last, step=one.step, log=one.log)
        return min(max(float(f"{value:.3g}"), one.low), one.last)  # as it stands in a file

    def complete(self, trial: Any, error: float) -> None:
        """Ends a trial that was trained to its end."""
        self._study.tell(trial, error)

    def prune(self, trial: Any) -> None:
        """Ends a trial that lay behind."""
        self._study.tell(trial, state=require().trial.TrialState.PRUNED)

    def fail(self, trial: Any, reason: str) -> None:
        """Ends a trial that could not be trained."""
        trial.set_user_attr("reason", reason)
        self._study.tell(trial, state=require().trial.TrialState.FAIL)

    def importances(self) -> dict[str, float]:
        """Returns how much of the differences between errors each setting explains, from 0 to 1; the largest first.

        Of the logarithms of errors, or a few dreadful trials would be all there is to explain; of complete trials, and
        none where they are fewer than `STARTUP`.

        Source: Hutter et al. (2014), https://proceedings.mlr.press/v32/hutter14.html
        """
        optuna = require()
        done = [t for t in self.trials() if t.state == optuna.trial.TrialState.COMPLETE]
        if len(done) < STARTUP or len({t.value for t in done}) < 2:
            return {}
        with silent():
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._seed)
            found = optuna.importance.get_param_importances(
                self._study, evaluator=evaluator, target=lambda trial: float(np.log(max(trial.value, 1e-12)))
            )
        return {name: float(value) for name, value in found.items()}


def _counts(trial: Any) -> bool:
    """Returns whether a trial is one of those asked for: not one whose process was killed."""
    return trial.state.name in ("COMPLETE", "PRUNED") or "reason" in trial.user_attrs


@contextlib.contextmanager
def opened(path: Path | None, about: dict[str, Any], space: Space, whole: set[str], seed: int) -> Iterator[Study]:
    """Opens a study, or makes one.

    Args:
        path: Its file; None keeps it in memory alone.
        about: What it belongs to: "settings", "space" and "rows".
        space: What is tried.
        whole: Names of the ranges of whole numbers.
        seed: Of the sampler.

    Raises:
        ConfigError: The file belongs to other settings, another space or other rows, or is no study at all.
        Locked: Another process works on it.
    """
    optuna = require()
    pruner = optuna.pruners.MedianPruner(n_startup_trials=BEFORE_PRUNING, n_warmup_steps=WARMUP)
    options: Any = {"study_name": NAME, "pruner": pruner, "load_if_exists": True}
    if path is None:
        with silent():
            yield Study(optuna.create_study(**options), space, whole, seed)
        return
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise ConfigError(f"A study must be a file in a folder that exists, such as goog.db. Received: {path}")
    lock = filelock.FileLock(path.absolute().with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise Locked(
            f"One process works on a study at a time. Received: {path} is in use. Wait for it, or give another file."
        ) from None
    except OSError as error:
        raise ConfigError(f"A study must be a file that can be written. Received: {path} ({error.strerror}).") from None
    try:
        with silent(), _stored(path) as storage:
            study = optuna.create_study(storage=storage, **options)
            _check(study, about, path)
            yield Study(study, space, whole, seed)
    finally:
        lock.release()


@contextlib.contextmanager
def _stored(path: Path) -> Iterator[Any]:
    """Opens the file, and lets go of it at the end."""
    optuna = require()
    import sqlalchemy

    url = sqlalchemy.URL.create("sqlite", database=str(path.absolute())).render_as_string()
    try:
        storage = optuna.storages.RDBStorage(url)
    except (sqlalchemy.exc.SQLAlchemyError, RuntimeError) as error:
        why = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise ConfigError(f"A study must be a file that Optuna wrote. Received: {path}: {why}. Give another.") from None
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _check(study: Any, about: dict[str, Any], path: Path) -> None:
    """Refuses a study of something else, and marks a new one."""
    about = json.loads(json.dumps(about))
    known = study.user_attrs
    if not study.get_trials(deepcopy=False):
        for name, value in about.items():
            study.set_user_attr(name, value)
        return
    found = differences(known.get("settings"), about["settings"])
    found += differences(known.get("space"), about["space"], "space")
    differ = [f"{name or 'settings'} {_there(old)}, now {_there(new)}" for name, old, new in found]
    had, has = known.get("rows", {}), about["rows"]
    if had != has:
        before, now = (f"{one.get('count', 0):,} up to {one.get('last', '?')}" for one in (had, has))
        differ.append(f"other rows or splits up to validation, {before}, now {now}")
    if differ:
        more = f", and {len(differ) - 6} more" if len(differ) > 6 else ""
        raise ConfigError(
            "A study goes on with the settings, search space and rows it began with. Received, beside those of "
            f"{path}: {'; '.join(differ[:6])}{more}. {ADVICE}"
        )


def _there(value: Any) -> str:
    return "not searched" if value is None else json.dumps(value)
