"""A service and a timer of systemd, for a user.

Runs do not overlap: a timer does not start a service that runs. Of the runs that were missed while the machine was off,
one is caught up. A run that ended with 69, 75 or 143 is repeated every ten minutes, four times.

The service is of type exec, because systemd refuses RestartForceExitStatus for oneshot.
"""

from pathlib import Path
from string import Template

from ..cron import Cron
from . import Plan

_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_ALL = (60, 24, 12)

_SERVICE = Template("""\
# ~/.config/systemd/user/$unit.service
# It runs without a login after `loginctl enable-linger`. `journalctl --user -u $unit` shows what was said.
[Unit]
Description=Forecasts of the job $name
StartLimitIntervalSec=${window}min
StartLimitBurst=5

[Service]
Type=exec
WorkingDirectory=$folder
Environment=$home
${variables}ExecStart=$command
# The source failed, another run holds the lock, or the run was ended.
RestartForceExitStatus=69 75 143
RestartSec=10min
""")

_TIMER = Template("""\
# ~/.config/systemd/user/$unit.timer, then:
#     systemctl --user daemon-reload
#     systemctl --user enable --now $unit.timer
[Unit]
Description=When the job $name runs

[Timer]
$times
Persistent=true

[Install]
WantedBy=timers.target
""")


def files(plan: Plan) -> dict[str, str]:
    """Returns the two units."""
    service = _SERVICE.substitute(
        unit=plan.slug,
        name=plan.name,
        window=plan.cron.gap * 5 // 6,  # shorter than from one start to the next, which is never refused
        folder=_line(f"{plan.home}/"),
        home=_word(f"FORECAST_HOME={plan.home}"),
        variables=_environment(plan),
        command=f"{_program(plan.program)} job run {_argument(plan.job)}",
    )
    times = "\n".join(f"OnCalendar={time} {plan.zone}" for time in on_calendar(plan.cron))
    return {
        f"{plan.slug}.service": service,
        f"{plan.slug}.timer": _TIMER.substitute(unit=plan.slug, name=plan.name, times=times),
    }


def on_calendar(cron: Cron) -> list[str]:
    """Returns a cron expression as systemd writes it; two where either of two kinds of day is enough.

    Example:
        >>> on_calendar(Cron.parse("0,30 22 1 * 1-2"))
        ['*-*-01 22:00,30:00', 'Mon,Tue *-*-* 22:00,30:00']
    """
    minutes, hours, months = (
        "*" if len(values) == count else _numbers(values)
        for values, count in zip((cron.minutes, cron.hours, cron.months), _ALL, strict=True)
    )
    weekdays = ",".join(_WEEKDAYS[day] for day in cron.weekdays)
    days = ([("", _numbers(cron.days))] if cron.days else []) + ([(f"{weekdays} ", "*")] if cron.weekdays else [])
    return [f"{weekday}*-{months}-{day} {hours}:{minutes}:00" for weekday, day in days or [("", "*")]]


def _numbers(values: tuple[int, ...]) -> str:
    return ",".join(f"{value:02d}" for value in values)


def _environment(plan: Plan) -> str:
    if not plan.variables:
        return ""
    wanted = ", ".join(f"{name}=" for name in plan.variables)
    return f"# A file that only you may read, with: {wanted}\nEnvironmentFile={_line(f'{plan.home}/{plan.slug}.env')}\n"


def _line(text: str) -> str:
    """Returns a setting that systemd takes as it is to the end of the line, but for its own names that begin with %."""
    return text.replace("%", "%%")


def _program(path: Path) -> str:
    """Returns the program; one whose name systemd refuses, however it is quoted, becomes the argument of another."""
    return f"/usr/bin/nice -n 0 {_argument(path)}" if set(str(path)) & set("'\"\\") else _word(path)


def _argument(value: object) -> str:
    """Returns one quoted word behind a program, where $ would begin a variable."""
    return _word(value).replace("$", "$$")


def _word(value: object) -> str:
    """Returns one quoted word."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_line(text)}"'
