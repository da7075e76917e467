"""TA-Lib's indicators by TA-Lib's names: `RSI(14)`, `MACD(12, 26, 9)`, `BBANDS(20, nbdevup=2.5)`, `ATR`, `CDLDOJI`.

    rows       . . . . . . . . . [n a n] . . . . . . . . . .     a gap: TA-Lib would answer NaN ever after
    computed   |--- one run ---|         |--- one run ---|       so each run of complete rows is computed alone
    a run      lookback: NaN | memory: unsettled | settled       warmup = lookback + memory

Parameters are TA-Lib's, in its order or by its names; left out, they have its defaults. A function of one price reads
the target; one of several reads the columns open, high, low, close and volume, in capitals or not. `level` is TA-Lib's
flag "Output scale same as input", save for two that it sets otherwise (`_LEVEL`).

**How many rows a value remembers.** TA-Lib's `lookback` counts the rows to the first value. A recursion
`y[t] = y[t-1] + a (x[t] - y[t-1])` never quite forgets where it started: after `m` rows, `(1 - a)^m` of it is left.
That is below the resolution of float32, 2^-24 of the start, from

    settle(a) = ceil(24 ln 2 / -ln(1 - a))      EMA over p rows: a = 2/(p + 1), about 8.3 p rows
                                                Wilder's over p rows: a = 1/p, about 16.6 p rows

and recursions over recursions add up. `_MEMORY` says which function is made of which; a function that is neither there
nor in `_FINITE` is not offered, because nobody has said what it remembers. `_REFUSED` are those that never forget, that
remember as long as the data says, or that need what a feature does not have. Two limits: ratios of recursions (RSI,
CMO, ADX, TSI) forget the start *relative to what came since*, so where a price stands still for the whole warm-up they
still show what came before it; and a candle whose body equals its limit to the last bit may go either way.

This module sets none of TA-Lib's global settings (unstable periods, compatibility, candles) and expects its defaults.

Sources: TA-Lib, https://ta-lib.org/functions/, and its own table of functions (`talib.abstract`) for inputs, parameters
and flags; Wilder (1978), New Concepts in Technical Trading Systems; Kaufman (1995), Smarter Trading (KAMA's constants).
"""

import functools
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError
from . import Call, Feature, Stamps

_MOST = 100_000  # TA-Lib's limit of every period
_EXTRA = "pip install 'keras-forecast[indicators]'"


def settle(a: float) -> int:
    """Returns the rows after which a recursion with smoothing factor `a` holds less than 2^-24 of its start.

    Example:
        >>> settle(2 / 31), settle(1 / 14)  # the EMA of 30 rows, Wilder's mean of 14
        (250, 225)
    """
    return 0 if a >= 1 else math.ceil(24 * math.log(2) / -math.log1p(-a))


def _ema(period: float) -> int:
    return settle(2 / (period + 1))


def _wilder(period: float) -> int:
    return settle(1 / period)


_KAMA = settle((2 / 31) ** 2)  # the slowest that it can get, when the price goes nowhere

_MA_MEMORY: dict[int, Callable[[float], int]] = {  # by TA-Lib's number of a moving average, `matype`
    **dict.fromkeys((0, 2, 5, 9, 10), lambda p: 0),  # simple, weighted, triangular, Hull, none
    1: _ema,
    3: lambda p: 2 * _ema(p),  # DEMA
    4: lambda p: 3 * _ema(p),  # TEMA
    6: lambda p: _KAMA,
    8: lambda p: 6 * _ema(p),  # T3: six EMAs, one over the other
    12: _ema,  # ZLEMA
    13: _wilder,
}


def _ma(period: float, kind: float) -> int:
    if kind not in _MA_MEMORY:
        raise ConfigError(
            f"A matype must be one of {', '.join(map(str, sorted(_MA_MEMORY)))} "
            f"(0 simple, 1 exponential, 2 weighted, ...: TA-Lib's MA_Type). Received: {int(kind)}"
        )
    return _MA_MEMORY[int(kind)](period)


def _wilder_of(p: Mapping[str, float]) -> int:
    return _wilder(p["timeperiod"])


def _ema_of(p: Mapping[str, float]) -> int:
    return _ema(p["timeperiod"])


def _slower_ma(p: Mapping[str, float]) -> int:
    return max(_ma(p["fastperiod"], p["matype"]), _ma(p["slowperiod"], p["matype"]))


_MEMORY: dict[str, Callable[[Mapping[str, float]], int]] = {
    **dict.fromkeys(("RMA", "RSI", "CMO", "ATR", "NATR", "DX", "RVI"), _wilder_of),
    **dict.fromkeys(("PLUS_DI", "MINUS_DI", "PLUS_DM", "MINUS_DM"), _wilder_of),
    **dict.fromkeys(("EMA", "ZLEMA", "ERI", "EFI", "CVI"), _ema_of),
    **dict.fromkeys(("APO", "PPO", "PVO"), _slower_ma),
    **dict.fromkeys(("ADX", "ADXR"), lambda p: 2 * _wilder_of(p)),
    "ADOSC": lambda p: _ema(max(p["fastperiod"], p["slowperiod"])),  # what the sum below it held before cancels
    "BBANDS": lambda p: _ma(p["timeperiod"], p["matype"]),
    "DEMA": lambda p: 2 * _ema_of(p),
    "HA": lambda p: settle(1 / 2),
    "KAMA": lambda p: _KAMA,
    "KC": lambda p: max(_ema_of(p), _wilder(p["atrperiod"])),
    "KDJ": lambda p: _ma(p["slowk_period"], p["slowk_matype"]) + _ma(p["slowd_period"], p["slowd_matype"]),
    "MA": lambda p: _ma(p["timeperiod"], p["matype"]),
    "MACD": lambda p: _ema(max(p["fastperiod"], p["slowperiod"])) + _ema(p["signalperiod"]),
    "MACDEXT": lambda p: (
        max(_ma(p["fastperiod"], p["fastmatype"]), _ma(p["slowperiod"], p["slowmatype"]))
        + _ma(p["signalperiod"], p["signalmatype"])
    ),
    "MACDFIX": lambda p: _ema(26) + _ema(p["signalperiod"]),
    "MASSI": lambda p: 2 * _ema(p["fastperiod"]),
    "SMI": lambda p: sum(map(_ema, (p["fastperiod"], p["slowperiod"], p["signalperiod"]))),
    "STOCH": lambda p: _ma(p["slowk_period"], p["slowk_matype"]) + _ma(p["slowd_period"], p["slowd_matype"]),
    "STOCHF": lambda p: _ma(p["fastd_period"], p["fastd_matype"]),
    "STOCHRSI": lambda p: _wilder_of(p) + _ma(p["fastd_period"], p["fastd_matype"]),
    "T3": lambda p: 6 * _ema_of(p),
    "TEMA": lambda p: 3 * _ema_of(p),
    "TRIX": lambda p: 3 * _ema_of(p),
    "TSI": lambda p: _ema(p["firstperiod"]) + _ema(p["secondperiod"]),
}

_FINITE = """
    AC ACCBANDS ADR AO AROON AROONOSC AVGDEV AVGPRICE BOP CCI CMF CMOU COPPOCK DONCHIAN DPO ER FOSC FRACTAL HMA IMI
    LINEARREG LINEARREG_ANGLE LINEARREG_INTERCEPT LINEARREG_SLOPE MARKETFI MAX MEDPRICE MFI MIDPOINT MIDPRICE MIN MINMAX
    MOM PERCENTILE PERCENTRANK QSTICK ROC ROCP ROCR ROCR100 RVOL SMA STDDEV SUM TRANGE TRIMA TSF TYPPRICE ULTOSC VAR VHF
    VORTEX VWMA WCLPRICE WILLR WMA
"""  # of no more rows than TA-Lib's lookback
_TRANSFORMS = "ACOS ASIN ATAN CEIL COS COSH EXP FLOOR LN LOG10 SIN SINH SQRT TAN TANH"

_FOREVER = "its value depends on the first row for ever, so that a job that reads fewer rows would compute another"
_ADAPTS = "how long it remembers depends on the data, so that no number of warm-up rows is known to be enough"
_ONE_ROW = "it is arithmetic within one row. Compute it as a column of the data instead"
_REFUSED = {
    **dict.fromkeys(("AD", "OBV", "PVT", "NVI", "PVI"), f"{_FOREVER}. Use CMF, MFI or EFI instead"),
    "WAD": f"{_FOREVER}. Use WILLR or CCI instead",
    "CUMSUM": f"{_FOREVER}. Use SUM instead",
    "VWAP": f"{_FOREVER}. Use VWMA instead",
    **dict.fromkeys(("SAR", "SAREXT", "SUPERTREND"), f"{_ADAPTS}. Use KC or DONCHIAN instead"),
    **dict.fromkeys(
        ("HT_DCPERIOD", "HT_DCPHASE", "HT_PHASOR", "HT_SINE", "HT_TRENDMODE"), f"{_ADAPTS}. Use DPO instead"
    ),
    **dict.fromkeys(("HT_TRENDLINE", "MAMA"), f"{_ADAPTS}. Use KAMA or T3 instead"),
    **dict.fromkeys(("MAXINDEX", "MININDEX", "MINMAXINDEX"), "it counts rows from the first. Use AROON instead"),
    **dict.fromkeys(("ADD", "DIV", "MULT", "SUB"), _ONE_ROW),
    **dict.fromkeys(_TRANSFORMS.split(), _ONE_ROW),
    **dict.fromkeys(
        ("BETA", "CORREL"), "it compares two series of your choice. Compute it as a column of the data instead"
    ),
    "MAVP": "it takes a period for every row. Use MA with one period instead",
}

_LEVEL = {"AVGDEV": False, "SUM": True}  # a deviation is a distance, not a level; a sum of prices moves with them


def names() -> tuple[str, ...]:
    """Returns the functions of the installed TA-Lib that keep the two rules; none where it is not installed."""
    return tuple(sorted(name for name in _installed() if _known(name)))


def why_not(name: str) -> str:
    """Returns why a name of TA-Lib is not in `names`; empty for what is no name of TA-Lib."""
    installed = _installed()
    if name in _REFUSED:
        return f"TA-Lib's `{name}` is not a feature: {_REFUSED[name]}."
    if not installed and name.isupper():
        return f"`{name}` reads like one of TA-Lib's indicators, and TA-Lib is not installed. Run: {_EXTRA}"
    if _known(name) and not name.startswith("CDL"):
        return f"`{name}` needs a newer TA-Lib than the one installed. Run: pip install --upgrade TA-Lib"
    if name in installed:
        return f"TA-Lib's `{name}` is not a feature: how many rows it remembers is not known. Use another function."
    return ""


def make(call: Call, target: str, columns: Sequence[str]) -> Feature:
    """Returns one of TA-Lib's indicators.

    Raises:
        ConfigError: A parameter is unknown, of the wrong kind or out of TA-Lib's range, or a column is missing.

    Example:
        >>> make(Call.parse("MACD(12, 26, 9)"), "Close", ["Close", "Volume"]).columns
        ('MACD(12, 26, 9).macd', 'MACD(12, 26, 9).macdsignal', 'MACD(12, 26, 9).macdhist')
    """
    import talib

    info = _function(call.name).info
    parameters = call.bind(info["parameters"])
    lookback = _lookback(call.name, parameters, info["parameters"])
    memory = _MEMORY[call.name](parameters) if call.name in _MEMORY else 0
    inputs = _inputs(call.name, info["input_names"], target, columns)
    outputs = info["output_names"]
    settings = "".join(f", {name}={value:g}" for name, value in parameters.items())
    return Feature(
        name=call.text,
        columns=(call.text,) if len(outputs) == 1 else tuple(f"{call.text}.{output}" for output in outputs),
        inputs=inputs,
        level=_LEVEL.get(call.name, "Output scale same as input" in (info["function_flags"] or ())),
        warmup=lookback + memory,
        known=False,
        compute=_by_runs(functools.partial(getattr(talib, call.name), **parameters), lookback, len(outputs)),
        means=f"TA-Lib {call.name} of {', '.join(inputs)}{settings}.",
    )


def _by_runs(function: Callable[..., Any], lookback: int, width: int) -> Callable[[np.ndarray, Stamps], np.ndarray]:
    """Returns a `compute` that starts anew after every row that is not complete."""

    def compute(values: np.ndarray, stamps: Stamps) -> np.ndarray:
        values = np.asarray(values, dtype=np.float64)
        result = np.full((len(values), width), np.nan)
        complete = np.isfinite(values).all(axis=1)  # (T,)
        edges = np.flatnonzero(np.diff(complete, prepend=False, append=False))  # start, end, start, end, ...
        for start, end in edges.reshape(-1, 2):
            if end - start > lookback:  # a shorter run has no value
                found = function(*(np.ascontiguousarray(column) for column in values[start:end].T))
                found = np.column_stack(found if isinstance(found, tuple | list) else [found])  # (run, width)
                result[start + lookback : end] = found[lookback:]  # TA-Lib fills integers with 0 before, not NaN
        result[~np.isfinite(result)] = np.nan
        return result

    return compute


def _installed() -> Sequence[str]:
    try:
        import talib
    except ImportError:
        return ()
    functions: list[str] = talib.get_functions()
    return functions


def _known(name: str) -> bool:
    return (
        name in _FINITE.split() or name in _MEMORY or name.startswith("CDL")
    )  # candles compare a fixed number of rows


def _inputs(name: str, wanted: Mapping[str, Any], target: str, columns: Sequence[str]) -> tuple[str, ...]:
    if list(wanted) == ["price"]:
        return (target,)
    roles = [role for value in wanted.values() for role in ([value] if isinstance(value, str) else value)]
    found = {role: [column for column in columns if column.lower() == role] for role in roles}
    if any(len(matches) != 1 for matches in found.values()):
        problem = ", ".join(f"{role} {len(matches)} times" for role, matches in found.items() if len(matches) != 1)
        raise ConfigError(
            f"`{name}` reads the columns {', '.join(roles)}, each of which must be there once, in capitals or not. "
            f"Received: {', '.join(columns) or 'no columns'} ({problem}). "
            f"Give the data these columns, or take {name} out of `features`."
        )
    return tuple(matches[0] for matches in found.values())


def _lookback(name: str, parameters: Mapping[str, float], defaults: Mapping[str, float]) -> int:
    """Returns TA-Lib's lookback.

    Raises:
        ConfigError: TA-Lib does not accept the parameters.
    """
    lookback = _ask(name, parameters)
    if lookback >= 0:
        return lookback
    for key, value in parameters.items():
        if _ask(name, {**defaults, key: value}) >= 0:
            continue
        if isinstance(defaults[key], int):
            accepted = [n for n in (*range(301), _MOST) if _ask(name, {**defaults, key: n}) >= 0]
            must = f"an integer >= {accepted[0]}" + (f" and <= {accepted[-1]}" if accepted[-1] != 300 else "")
        else:
            must = f"a number that TA-Lib accepts, such as its default {defaults[key]:g}"
        raise ConfigError(f"`{key}` of {name} must be {must}. Received: {value:g}")
    raise ConfigError(f"TA-Lib must accept the parameters of {name} together. Received: {dict(parameters)}")


def _ask(name: str, parameters: Mapping[str, float]) -> int:
    """Returns the lookback for these parameters; negative where TA-Lib refuses them."""
    if any(isinstance(value, int) and abs(value) > _MOST for value in parameters.values()):
        return -1
    function = _function(name)
    function.set_parameters(dict(parameters))
    return int(function.lookback)


def _function(name: str) -> Any:
    """Returns TA-Lib's own description of a function, with parameters of its own."""
    abstract: Any = importlib.import_module("talib.abstract")
    return abstract.Function(name)
