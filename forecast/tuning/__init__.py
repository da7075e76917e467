"""Tuning: settings that forecast better, found by trying, with Optuna.

    trial 1     the settings as they are, so that the best is never worse
    trial 2 ..  settings from a stated search space      space.py
                each trained on the training part, scored on the same validation cutoffs    question.py
                unpromising ones end early, killed ones are tried again                     study.py
    best.yaml   what `forecast train DATA --config best.yaml` takes                         tuned.py

Calibration and test parts are cut off before the first trial: their rows are not there to be looked at. This is one
process, one trial at a time. Nothing here is imported before it is needed; Optuna comes with the extra `tune`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.errors import ConfigError, DataError, ForecastError, Stopped

from .._keras import forgetting, load_keras
from ..config import ForecastConfig, merge
from ..prepare import Data
from ..text import number
from .question import Question, ask
from .space import Range, Space, applied, label
from .space import said as told
from .study import Study, opened, require
from .tuned import Tuned

if TYPE_CHECKING:
    from ..training.progress import Progress

__all__ = ["Range", "Space", "Tuned", "search_space", "tune"]


def tune(
    data: Data,
    config: ForecastConfig | dict[str, Any] | None = None,
    *,
    trials: int = 30,
    storage: str | Path | None = None,
    space: Space | Mapping[str, Any] | str | Path | None = None,
    timeout: float | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Tuned:
    """Tries settings of a search space, and returns those that forecast the validation part best.

    The first trial is of the settings as they are. Each trial's network is trained on the training part, stops early
    by the validation part, and is scored there by its mean absolute error in units of each series' naive error. A trial
    that lies behind the median of the earlier ones is ended early. A trial that cannot be trained is noted, with the
    reason, and the next one begins.

    Args:
        data: A locator, a DataFrame in any accepted layout, or a Panel.
        config: The settings to begin with.
        trials: How many there are to be in the study, those of earlier calls among them.
        storage: The study's SQLite file: the same call goes on with it, also after a kill. By default it is kept in
            memory alone.
        space: What to try, see `forecast.tuning.space`; by default what the model has, see `search_space`.
        timeout: Seconds after which no other trial begins.
        quiet: Show no progress.
        settings: Any field of `ForecastConfig`; they go over `config`.

    Raises:
        ConfigError: A setting or the search space is wrong, the settings are an ensemble's, the file holds a study of
            something else, or Optuna is not installed.
        DataError: The rows cannot be used, or no trial could be trained.
        Locked: Another process works on the study.
        Stopped: It was interrupted before a trial was done.

    Example:
        >>> found = tune("sample:goog", target="Close", trials=2, quiet=True, training={"epochs": 1},
        ...              space={"lookback": [10, 20]}, model={"name": "lstm", "units": 4})
        >>> found.trials[["trial", "state"]]
           trial     state
        0      1  finished
        1      2  finished

    Source:
        Akiba et al. (2019), Optuna, https://arxiv.org/abs/1907.10902
    """
    require()
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise ConfigError(f"`trials` must be an integer >= 1. Received: {trials!r}")
    if timeout is not None and not timeout > 0:
        raise ConfigError(f"`timeout` must be a number of seconds above 0. Received: {timeout!r}")
    base = _config(config, settings)
    load_keras()
    from ..training.progress import Progress

    progress = Progress(quiet)
    question = ask(data, base, space, progress)
    path = None if storage is None else Path(storage)
    whole = {n for n in question.space.settings if question.space.whole(n, question.config)}
    with opened(path, question.about(), question.space, whole, question.config.seed) as study:
        _run(study, question, trials, timeout, progress)
        return _found(study, question, path, base)


def search_space(
    data: Data,
    config: ForecastConfig | dict[str, Any] | None = None,
    space: Space | Mapping[str, Any] | str | Path | None = None,
    **settings: Any,
) -> Space:
    """Returns what `tune` would try: by default what the model has; print it, change it, and hand it back as `space`.

    Raises:
        ConfigError, DataError: As for `tune`.

    Example:
        >>> print(search_space("sample:goog", target="Close", model="gru"))
        model.units: {low: 32, high: 256, log: true}
        model.dropout: {low: 0, high: 0.5, step: 0.05}
        lookback: {low: 15, high: 120}
        normalize: [last, mean_std, none]
        training.learning_rate: {low: 0.0001, high: 0.01, log: true}
        training.batch_size: [16, 32, 64, 128]
    """
    load_keras()
    from ..training.progress import Progress

    return ask(data, _config(config, settings), space, Progress(quiet=True)).space


def _config(config: ForecastConfig | dict[str, Any] | None, settings: dict[str, Any]) -> ForecastConfig:
    plain = config.model_dump() if isinstance(config, ForecastConfig) else dict(config or {})
    return ForecastConfig(**merge(plain, settings))


def _run(study: Study, question: Question, trials: int, timeout: float | None, progress: Progress) -> None:
    """Tries one set of values after the other, until there are enough."""
    killed = study.begin(question.space.of(question.config))
    before = len(study.trials())
    if before or killed:
        again = f"; {killed} that was killed is tried again" if killed else ""
        progress.say(f"This study goes on: {before} of {trials} trials are done{again}.")
    bars = ", ".join(f"{name.replace('_', ' ')} {number(error)}" for name, error in question.judge.bars.items())
    progress.say(f"Errors to beat, on {question.judge.many}: {bars}.")
    began = time.monotonic()
    while (done := len(study.trials())) < trials:
        if timeout is not None and time.monotonic() - began >= timeout:
            progress.say(f"The time is over after {done} of {trials} trials; the same call goes on.")
            break
        try:
            with forgetting():
                said = _try(study, question, progress)
        except KeyboardInterrupt:
            if not _complete(study):
                raise Stopped("Tuning was stopped by hand before a trial was done. The same call goes on.") from None
            progress.say(f"Stopped by hand after {done} of {trials} trials; the same call goes on.")
            break
        left = (time.monotonic() - began) / (done + 1 - before) * (trials - done - 1)
        best = min(_complete(study).items(), key=lambda pair: pair[1], default=None)
        so_far = f"best {number(best[1])} (trial {best[0]})" if best else "no best yet"
        more = f"  about {_time(left)} left" if done + 1 < trials else ""
        progress.say(f"trial {done + 1}/{trials}  {said[0]}  {so_far}  {said[1]}{more}")


def _try(study: Study, question: Question, progress: Progress) -> tuple[str, str]:
    """Runs one trial; returns its error and what became of it, for people."""
    import tensorflow as tf

    optuna = require()
    trial, values = study.next()
    config = question.config if values is None else applied(question.config, values)
    tried = question.space.of(config) if values is None else values
    trial.set_user_attr("settings", {name: label(value) for name, value in tried.items()})
    settings = "as they were" if values is None else ", ".join(f"{n} {told(v)}" for n, v in tried.items())
    last = [0, np.nan]

    def watch(epoch: int, error: float) -> None:
        last[:] = [epoch, error]
        trial.set_user_attr("epochs", epoch)
        if np.isfinite(error):
            trial.report(error, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

    try:
        error = question.answer(config, progress.silenced(), watch)
    except optuna.TrialPruned:
        study.prune(trial)
        return f"error {number(last[1])}", f"{settings}  pruned after epoch {last[0]}"
    except Stopped:
        raise
    except (ForecastError, ValueError, tf.errors.OpError) as reason:  # what these values cannot do, others may
        study.fail(trial, " ".join(str(reason).split())[:500] or type(reason).__name__)
        return "failed", f"{settings}  {' '.join(str(reason).split())}"
    study.complete(trial, error)
    return f"error {number(error)}", f"{settings}  {last[0]} epochs"


def _complete(study: Study) -> dict[int, float]:
    """Returns the errors of the trials that were trained to their ends, by number."""
    return {n: t.value for n, t in enumerate(study.trials(), 1) if t.state.name == "COMPLETE"}


def _found(study: Study, question: Question, path: Path | None, base: ForecastConfig) -> Tuned:
    """Returns what the trials say.

    Raises:
        DataError: None of them could be trained.
    """
    done, trials = _complete(study), study.trials()
    rows = []
    for n, trial in enumerate(trials, 1):
        state = {"COMPLETE": "finished", "PRUNED": "pruned"}.get(trial.state.name, "failed")
        about: dict[str, Any] = {"trial": n, "state": state, "error": np.nan if state == "failed" else trial.value}
        about |= {"epochs": trial.user_attrs.get("epochs", 0), "seconds": trial.duration.total_seconds()}
        about["reason"] = trial.user_attrs.get("reason", "")
        rows.append(about | dict.fromkeys(question.space.settings) | trial.user_attrs.get("settings", {}))
    frame = pd.DataFrame(rows)
    if not done:
        reasons = list(dict.fromkeys(frame["reason"])) if len(frame) else ["no trial was begun"]
        raise DataError(
            f"One trial must be trained to its end. Received: {len(frame)} that failed. The first: {reasons[0]}"
        )
    best = min(done, key=lambda n: done[n])
    settings = trials[best - 1].user_attrs["settings"]
    config = question.config
    if not trials[best - 1].user_attrs.get("first"):
        config = applied(config, {name: _unlabelled(question.space, name, value) for name, value in settings.items()})
    kept: Any = {"tensorboard": base.training.tensorboard, "monitor": base.training.monitor}
    kept_in = [one.replace(training=one.training.replace(**kept)) for one in (config, question.config)]
    return Tuned(
        kept_in[0],
        kept_in[1],
        frame,
        best,
        question.judge.bars,
        question.space,
        study.importances(),
        question.judge.many,
        path,
    )


def _unlabelled(space: Space, name: str, value: Any) -> Any:
    one = space.settings[name]
    return value if isinstance(one, Range) else next(choice for choice in one if label(choice) == value)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
