"""A CronJob of Kubernetes 1.31 or newer, and the volume that its runs share.

Runs do not overlap: `Forbid` skips the second. A run that was missed is caught up within an hour. A run that ended with
a code that asks for a repair is not repeated; 69, 75 and a killed container are, up to six times in ten minutes and
more, and a pod that the cluster itself moved does not count.
"""

import json
from string import Template

from . import Plan

_HOME = "/forecast"

_TEXT = Template("""\
# kubectl apply -f $slug.yaml
# The volume holds saved_models, the job file at $job, and what the job file names; outputs go there, too.
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: $slug
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 10Gi
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: $slug
spec:
  schedule: $cron
  timeZone: $zone
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 3600
  jobTemplate:
    spec:
      backoffLimit: 6
      podFailurePolicy:
        rules:
          - action: Ignore
            onPodConditions:
              - type: DisruptionTarget
          - action: FailJob
            onExitCodes:
              operator: In
              values: [1, 2, 64, 65, 66, 67, 68, 70, 71, 72, 73, 74, 76, 77, 78]
          # Counted and repeated: 69, the source failed; 75, try again later; 137 and 143, it was killed.
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: forecast
              image: $image
              command: [forecast, job, run, $argument]
              workingDir: $home
              env:
                - name: FORECAST_HOME
                  value: $home
${variables}              volumeMounts:
                - name: home
                  mountPath: $home
          volumes:
            - name: home
              persistentVolumeClaim:
                claimName: $slug
""")

_SECRET = Template("""\
                - name: $name
                  valueFrom:
                    secretKeyRef:
                      name: $slug
                      key: $name
""")


def files(plan: Plan) -> dict[str, str]:
    """Returns the manifest of both."""
    inside = plan.job.relative_to(plan.home) if plan.job.is_relative_to(plan.home) else plan.job.name
    job = f"{_HOME}/{inside}"
    secrets = (_SECRET.substitute(name=json.dumps(name), slug=plan.slug) for name in plan.variables)
    text = _TEXT.substitute(
        slug=plan.slug,
        job=job,
        cron=json.dumps(plan.cron.text),
        zone=json.dumps(plan.zone),
        image=json.dumps(plan.image, ensure_ascii=False),
        argument=json.dumps(job.replace("$", "$$"), ensure_ascii=False),  # $(NAME) would be a variable
        home=_HOME,
        variables="".join(secrets),
    )
    return {f"{plan.slug}.yaml": text}
