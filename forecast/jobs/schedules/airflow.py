"""A DAG of Airflow 2.4 or newer, for its folder of DAGs.

Runs do not overlap: one at a time. A run that was missed is not caught up; one that is cleared runs as of its own time,
because that time is `--as-of`. A run that ended with 69, 75 or 143 is repeated every ten minutes, four times; any other
code fails at once, which a BashOperator cannot tell apart.
"""

from string import Template

from . import Plan

_TEXT = Template('''\
"""Runs the job $name of keras-forecast; put this file into Airflow's folder of DAGs."""

import os
import subprocess
from datetime import timedelta

import pendulum
from airflow.exceptions import AirflowException, AirflowFailException

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

HOME = $home
COMMAND = [$program, "job", "run", $job]
AGAIN = (69, 75, 143, -15)  # the source failed, try again later, it was ended


@dag(
    dag_id=$slug,
    schedule=$cron,
    start_date=pendulum.datetime(2024, 1, 1, tz=$zone),
    catchup=False,
    max_active_runs=1,
)
def forecast_job():
    @task(retries=4, retry_delay=timedelta(minutes=10))
    def run(data_interval_end=None):
        as_of = [] if data_interval_end is None else ["--as-of", data_interval_end.isoformat()]
        code = subprocess.run([*COMMAND, *as_of], cwd=HOME, env={**os.environ, "FORECAST_HOME": HOME}).returncode
        if code in AGAIN:
            raise AirflowException(f"Exit code {code}: try again.")
        if code:
            raise AirflowFailException(f"Exit code {code}: a repair is needed.")

    run()


forecast_job()
''')


def files(plan: Plan) -> dict[str, str]:
    """Returns the DAG's file."""
    text = _TEXT.substitute(
        name=plan.name,
        slug=repr(plan.slug),
        cron=repr(plan.cron.text),
        zone=repr(plan.zone),
        home=repr(str(plan.home)),
        program=repr(str(plan.program)),
        job=repr(str(plan.job)),
    )
    return {f"{plan.slug.replace('-', '_')}.py": text}
