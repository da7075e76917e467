"""Every exception of the project, and the exit code that a command ends with.

    ForecastError                                                                    exit code
    |- DataError            the data cannot be used as given        (ValueError)     65
    |  `- SeriesTooShort    not one complete window fits                             65
    |- SourceError          a source failed or has nothing for the request           69
    |  |- NoData            it works, and has nothing for one of the names           69
    |  `- RateLimited       it asks us to come back later                            75
    |- Locked               another run holds the lock              (RuntimeError)   75
    |- WorkerLost           processes that work for us die          (RuntimeError)   75
    |- SinkAway             a database that takes forecasts is away (RuntimeError)   75
    |- Stopped              asked to stop; what was done is kept  (RuntimeError)   75
    |- ConfigError          a setting is wrong, or two disagree     (ValueError)     78
    |- UnknownName          no such model, source, target, version  (LookupError)    78
    |- BundleError          a bundle is incomplete, changed, or unsafe to load       78
    |- NotFitted            predict or transform came before fit    (RuntimeError)   78
    `- ExportError          the converter refused, or the result drifted             70

A message says what must hold, what was received, and what to do. Any other exception is a bug.
The codes are those of BSD's sysexits.h, so that schedulers can tell "try again" (69, 75) from "repair me".
"""

import difflib
from collections.abc import Iterable


class ForecastError(Exception):
    """What a user can repair; a command prints its message without a traceback."""

    exit_code = 1


class DataError(ForecastError, ValueError):
    """The data cannot be used as given."""

    exit_code = 65


class SeriesTooShort(DataError):
    """Not one complete window fits into a series."""


class SourceError(ForecastError):
    """A source failed, or has nothing for the request."""

    exit_code = 69


class NoData(SourceError):
    """A source works, and has nothing that can be used for one of the names asked for."""

    exit_code = 69


class RateLimited(SourceError):
    """A source asks us to come back later."""

    exit_code = 75


class Locked(ForecastError, RuntimeError):
    """Another run holds the lock."""

    exit_code = 75


class WorkerLost(ForecastError, RuntimeError):
    """Processes that work for us die, again and again."""

    exit_code = 75


class SinkAway(ForecastError, RuntimeError):
    """A database that is to take forecasts is away, or went away meanwhile."""

    exit_code = 75


class Stopped(ForecastError, RuntimeError):
    """Work was asked to stop before its end, and what it had done is kept."""

    exit_code = 75


class ConfigError(ForecastError, ValueError):
    """A setting is wrong, or two settings disagree."""

    exit_code = 78


class UnknownName(ForecastError, LookupError):
    """No model, source, feature, bundle or version has this name.

    Example:
        >>> raise UnknownName.of("model", "lstmm", ["lstm", "gru"])
        Traceback (most recent call last):
        ...
        pipelines.errors.UnknownName: No model is called 'lstmm'. Did you mean 'lstm'? Choose from: gru, lstm
    """

    exit_code = 78

    @classmethod
    def of(cls, kind: str, name: str, choices: Iterable[str], hint: str = "") -> "UnknownName":
        """Returns the error that names what was asked for, what was probably meant, and all there is."""
        known = sorted(choices)
        shown = known if len(known) <= 40 else difflib.get_close_matches(name, known, n=8, cutoff=0.0)
        more = "" if shown is known else f", ... ({len(known)} in all)"
        choose = f"Choose from: {', '.join(shown) or '(none)'}{more}{hint}"
        return cls(f"No {kind} is called {name!r}.{did_you_mean(name, known)} {choose}")


class BundleError(ForecastError):
    """A bundle is incomplete, changed, or unsafe to load."""

    exit_code = 78


class NotFitted(ForecastError, RuntimeError):
    """`predict` or `transform` came before `fit`."""

    exit_code = 78


class ExportError(ForecastError):
    """The converter refused, or its result drifted from the model."""

    exit_code = 70


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?", or nothing where no choice is close."""
    folded = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return f" Did you mean {folded[close[0]]!r}?" if close else ""
