"""When a job runs: five fields of cron, in the part of its language that every scheduler reads alike.

    0 22 * * 1-5
    |  | | |  `- weekdays, 0 to 6, 0 is Sunday
    |  | | `---- months, 1 to 12
    |  | `------ days of the month, 1 to 31
    |  `-------- hours, 0 to 23
    `----------- minutes, 0 to 59

A field is `*`, `*/5`, or numbers, ranges and ranges with steps with commas between them: `1,10-20,30-59/5`. Where both
days are given, either is enough. Left out is what schedulers read differently: names, 7 for Sunday, `@daily`, `5/10`,
and `*/2` for one kind of day beside the other.
"""

import re
from dataclasses import dataclass
from typing import Self

from pipelines.errors import ConfigError

_FIELDS = (
    ("minutes", 0, 59),
    ("hours", 0, 23),
    ("days of the month", 1, 31),
    ("months", 1, 12),
    ("weekdays", 0, 6),
)
_PART = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days


@dataclass(frozen=True)
class Cron:
    """A cron expression that was checked.

    Attributes:
        text: The expression, with single spaces.
        minutes: That it names, sorted; so are all fields.
        hours: In the job's time zone.
        days: Of the month; empty for `*`.
        months: January is 1.
        weekdays: Sunday is 0; empty for `*`.

    Example:
        >>> Cron.parse("*/20 22 * * 1-5")
        Cron(text='*/20 22 * * 1-5', minutes=(0, 20, 40), hours=(22,), days=(), months=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), weekdays=(1, 2, 3, 4, 5))
    """  # noqa: E501

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @classmethod
    def parse(cls, text: str, name: str = "schedule") -> Self:
        """Returns the expression of a text.

        Args:
            text: Five fields.
            name: What a message calls the text.

        Raises:
            ConfigError: It has not five fields, or one of them is wrong.
        """
        fields = text.split()
        if len(fields) != len(_FIELDS) or not text.isprintable():
            raise ConfigError(
                f"`{name}` must be five fields of cron: minutes, hours, days of the month, months, weekdays, such as "
                f"'0 22 * * 1-5'. Received: {text!r}"
            )
        values = [_values(field, *about, name=name, text=text) for field, about in zip(fields, _FIELDS, strict=True)]
        if "*" not in (fields[2], fields[4]) and "*" in fields[2][0] + fields[4][0]:
            raise ConfigError(
                f"`{name}` must not have */n for one kind of day beside the other, because schedulers read that "
                f"differently. Received: {text!r}. Write a range, such as 1-31/2."
            )
        minutes, hours, days, months, weekdays = values
        if fields[4] == "*" and min(days) > max(_LONGEST[month - 1] for month in months):
            raise ConfigError(f"`{name}` must name a day that its months have. Received: {text!r}")
        return cls(
            " ".join(fields),
            minutes,
            hours,
            () if fields[2] == "*" else days,
            months,
            () if fields[4] == "*" else weekdays,
        )

    def on(self, month: int, day: int, weekday: int) -> bool:
        """Returns whether a day is one of its days; of two kinds of day either is enough.

        Args:
            weekday: Sunday is 0.

        Example:
            >>> [Cron.parse("0 22 1 * 1").on(1, day, day % 7) for day in (1, 2, 8)]  # the 1st is a Monday
            [True, False, True]
        """
        if month not in self.months:
            return False
        if self.days and self.weekdays:
            return day in self.days or weekday in self.weekdays
        return (not self.days or day in self.days) and (not self.weekdays or weekday in self.weekdays)

    @property
    def gap(self) -> int:
        """The fewest minutes between two starts, as if each day were one of its days.

        Example:
            >>> [Cron.parse(text).gap for text in ("0 22 * * 1-5", "0 8,22 * * *", "*/20 * * * *")]
            [1440, 600, 20]
        """
        starts = [60 * hour + minute for hour in self.hours for minute in self.minutes]
        return min(b - a for a, b in zip(starts, [*starts[1:], starts[0] + 24 * 60], strict=True))


def _values(field: str, kind: str, low: int, high: int, *, name: str, text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        first, last, step = (None, None, None) if match is None else match.groups()
        start = low if first is None else int(first)
        end = high if first is None else int(last or first)
        lone = first is not None and last is None and step is not None
        if match is None or lone or not low <= start <= end <= high or (step is not None and int(step) < 1):
            raise ConfigError(
                f"`{name}` must have *, or numbers from {low} to {high} such as {low}, {low}-{high}, {low}-{high}/2 or "
                f"*/2, for its {kind}. Received: {field!r} in {text!r}"
            )
        found.update(range(start, end + 1, int(step or 1)))
    return tuple(sorted(found))
