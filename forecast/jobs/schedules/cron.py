"""A line of cron: the simplest, and the one that promises least.

Runs may overlap: the job's own lock ends the second with 75. A run that was missed is lost. A run that failed is not
repeated before the next one is due; the code goes into a mail, standard error into a log file.
"""

import shlex
from string import Template

from . import Plan

_TEXT = Template("""\
# Paste this into the table that `crontab -e` opens.
# A run that fails sends a mail; it names the exit code, and the log says why:
#     $log
# MAILTO=you@example.org
$variables# cronie reads CRON_TZ, for all lines below it; Debian's cron does not, and takes the machine's zone.
CRON_TZ=$zone
$cron $command
""")


def files(plan: Plan) -> dict[str, str]:
    """Returns the lines of a crontab."""
    log = plan.home / f"{plan.slug}.log"
    home = _word(plan.home)
    run = f"cd {home} && FORECAST_HOME={home} {_word(plan.program)} job run {_word(plan.job)}"
    return {
        f"{plan.slug}.crontab": _TEXT.substitute(
            log=log,
            variables="".join(
                f"# The job needs this variable; keep the table secret.\n# {v}=\n" for v in plan.variables
            ),
            zone=plan.zone,
            cron=plan.cron.text,
            command=f"{run} >/dev/null 2>>{_word(log)} || echo 'Job {plan.name} ended with exit code' $?",
        )
    }


def _word(value: object) -> str:
    """Returns one word for cron and then sh: cron ends a command at a % that has no backslash, and takes the backslash.

    A path's own backslash before ours would make the two a pair, so '' stands between them.
    """
    return shlex.quote(str(value)).replace("\\%", "\\''%").replace("%", "\\%")
