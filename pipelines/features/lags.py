"""The target's own past: earlier values, changes, and moving mean and deviation.

    name               value at row t                                               level   warmup
    lag(n)             x[t - n]                                                     yes     n
    diff(n)            x[t] - x[t - n]                                              no      n
    returns(n)         x[t] / x[t - n] - 1, NaN where x[t - n] is 0                 no      n
    log_returns(n)     ln(x[t] / x[t - n]), NaN where either is not above 0         no      n
    rolling_mean(n)    mean of x[t - n + 1], ..., x[t]                              yes     n - 1
    rolling_std(n)     their sample deviation: divided by n - 1, as pandas does     no      n - 1

`n` counts rows, not days, and is 1 where it is left out; 20 for the rolling ones, Bollinger's choice. The first
`warmup` rows are NaN, and a row is NaN where any of the rows that it reads is NaN or infinite.

Every value is a function of its own rows alone, to the last bit. Running sums are faster, but carry the rounding of the
whole past along: a job that reads 500 rows would then differ from training. So are the deviations taken from
`x[t]`, not from 0: of prices near 100,000 that move by a cent, `E[x^2] - E[x]^2` has two correct digits at best (Chan,
Golub and LeVeque (1983), Algorithms for computing the sample variance, section on shifted data,
https://doi.org/10.1080/00031305.1983.10483115).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError
from . import Call, Feature, Stamps


def _lag(x: np.ndarray, n: int) -> np.ndarray:
    return x[:-n]


def _diff(x: np.ndarray, n: int) -> np.ndarray:
    return x[n:] - x[:-n]


def _returns(x: np.ndarray, n: int) -> np.ndarray:
    return x[n:] / x[:-n] - 1


def _log_returns(x: np.ndarray, n: int) -> np.ndarray:
    logs = np.log(np.where(x > 0, x, np.nan))
    return logs[n:] - logs[:-n]


def _rolling_mean(x: np.ndarray, n: int) -> np.ndarray:
    return x[n - 1 :] + _mean_offset(x, n)


def _rolling_std(x: np.ndarray, n: int) -> np.ndarray:
    now, offset = x[n - 1 :], _mean_offset(x, n)
    squares = np.zeros(len(now))
    for k in range(n):
        squares += (x[k : k + len(now)] - now - offset) ** 2
    return np.sqrt(squares / (n - 1))


def _mean_offset(x: np.ndarray, n: int) -> np.ndarray:
    """Returns the mean of the last `n` rows less the last of them; exactly 0 where nothing moves."""
    now = x[n - 1 :]
    total = np.zeros(len(now))
    for k in range(n):  # over the window, not over the rows: each row adds up in the same order, wherever it lies
        total += x[k : k + len(now)] - now
    return total / n


@dataclass(frozen=True)
class _Kind:
    compute: Callable[[np.ndarray, int], np.ndarray]  # (T,) and n -> (T - warmup,)
    formula: str
    level: bool = False
    default: int = 1
    least: int = 1
    spare: int = 0  # warmup is n - spare


_KINDS = {
    "lag": _Kind(_lag, "{target}, {n} rows earlier", level=True),
    "diff": _Kind(_diff, "{target} minus {target} {n} rows earlier"),
    "returns": _Kind(_returns, "{target} / {target} {n} rows earlier - 1"),
    "log_returns": _Kind(_log_returns, "Natural logarithm of {target} / {target} {n} rows earlier"),
    "rolling_mean": _Kind(_rolling_mean, "Mean of the last {n} rows of {target}", level=True, default=20, spare=1),
    "rolling_std": _Kind(
        _rolling_std, "Sample standard deviation of the last {n} rows of {target}", default=20, least=2, spare=1
    ),
}


def names() -> tuple[str, ...]:
    """Returns the features of this family."""
    return tuple(_KINDS)


def make(call: Call, target: str, columns: Sequence[str]) -> Feature:
    """Returns a feature of the target's past rows.

    Raises:
        ConfigError: `n` is not an integer, or too small.

    Example:
        >>> change = make(Call.parse("diff(2)"), "Close", ["Close"])
        >>> change.compute(np.array([[1.0], [2.0], [4.0], [7.0]]), np.arange(4)).T
        array([[nan, nan,  3.,  5.]])
    """
    kind = _KINDS[call.name]
    n = int(call.bind({"n": kind.default})["n"])
    if n < kind.least:
        raise ConfigError(f"`n` of {call.name} must be an integer >= {kind.least}. Received: {n}")
    warmup = n - kind.spare

    def compute(values: np.ndarray, stamps: Stamps) -> np.ndarray:
        x = np.asarray(values, dtype=np.float64)[:, 0]  # (T,)
        column = np.full(len(x), np.nan)
        if len(x) > warmup:
            with np.errstate(all="ignore"):
                column[warmup:] = kind.compute(x, n)
        column[~np.isfinite(column)] = np.nan
        return column[:, None]  # (T, 1)

    return Feature(
        name=call.text,
        columns=(call.text,),
        inputs=(target,),
        level=kind.level,
        warmup=warmup,
        known=False,
        compute=compute,
        means=f"{kind.formula.format(target=target, n=n)}.",
    )
