"""Into how many rows a window is cut, where a model reads it segment by segment."""

import math

from pipelines.errors import ConfigError

from . import Shapes

LONGEST = 48  # rows that a segment has by default, at most


def segment_of(asked: int | None, shapes: Shapes, of: str) -> int:
    """Returns the rows of a segment.

    Args:
        asked: By the user; None chooses.
        shapes: Lengths of windows, and of a season.
        of: "lookback" where segments divide the lookback, "both" where they divide the horizon, too.

    Raises:
        ConfigError: They do not.

    Example:
        >>> segment_of(None, Shapes(lookback=720, horizon=96, season=24), "both")
        24
        >>> segment_of(None, Shapes(lookback=60, horizon=5), "both")
        5
    """
    lengths = {"lookback": shapes.lookback} | ({"horizon": shapes.horizon} if of == "both" else {})
    if asked is not None:
        for name, length in lengths.items():
            if length % asked:
                near = sorted(_divisors(math.gcd(*lengths.values())), key=lambda d: (abs(d - asked), d))[:3]
                raise ConfigError(
                    f"`segment` must divide the {name} of {length} rows. Received: {asked}. Choose "
                    f"{_or(sorted(near))}, or a {name} of {max(1, round(length / asked)) * asked} rows."
                )
        return asked
    whole = math.gcd(*lengths.values())
    if 1 < shapes.season <= LONGEST and whole % shapes.season == 0:
        return shapes.season
    able = [d for d in _divisors(whole) if d <= LONGEST]
    return max(able) if of == "both" else min(able, key=lambda d: (abs(d - math.sqrt(whole)), d))


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def _or(numbers: list[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last
