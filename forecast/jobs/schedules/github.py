"""A workflow of GitHub Actions, for `.github/workflows` of the repository that holds the job file and its bundle.

Runs do not overlap: they are one concurrency group. GitHub starts late at busy times, and now and then not at all; a
run that was missed is not caught up, and a public repository without a change for 60 days has no runs. A run that ended
with 69 or 75 is repeated after one, five and fifteen minutes. A machine of its own for each run keeps nothing: the
output is an artifact, and no run is ever "unchanged".
"""

import json
import os
from importlib.metadata import version
from pathlib import Path
from string import Template

from . import Plan

_TEXT = Template("""\
# .github/workflows/$slug.yml; the repository must hold the job file, its bundle in saved_models/, and its rows.
name: $slug

on:
  schedule:
    - cron: $cron
      timezone: $zone # without this key GitHub reads UTC
  workflow_dispatch:

concurrency:
  group: $slug
  cancel-in-progress: false

permissions:
  contents: read

jobs:
  forecast:
    runs-on: ubuntu-latest
    timeout-minutes: 120
    env:
      FORECAST_HOME: $${{ github.workspace }}
      JOB: $job
${variables}    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: python -m pip install keras-forecast==$version
      - name: Run the job; again later where that may help
        run: |
          for pause in 60 300 900 0; do
            code=0
            forecast job run "$$JOB" || code=$$?
            case $$code in 69|75) sleep $$pause ;; *) exit $$code ;; esac
          done
          exit $$code
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: $slug
          path: $output
          if-no-files-found: ignore
""")


def files(plan: Plan) -> dict[str, str]:
    """Returns the workflow."""
    folders = (plan.job.parent, *plan.job.parent.parents)
    root = next((folder for folder in folders if (folder / ".git").exists()), plan.job.parent)
    text = _TEXT.substitute(
        slug=plan.slug,
        cron=json.dumps(plan.cron.text),
        zone=json.dumps(plan.zone),
        job=_value(_inside(plan.job, root)),
        output=_value(_inside(plan.output, plan.home if plan.output.is_relative_to(plan.home) else root)),
        variables="".join(f"      {name}: ${{{{ secrets.{name} }}}}\n" for name in plan.variables),
        version=version("keras-forecast"),
    )
    return {f"{plan.slug}.yml": text}


def _inside(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _value(text: str) -> str:
    """Returns a YAML string in which GitHub finds no expression of its own."""
    return json.dumps(text.replace("${{", "${{ '${{' }}"), ensure_ascii=False)
