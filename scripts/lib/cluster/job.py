#!/usr/bin/env python3
"""Changes a Job, as `kubectl create job --from=cronjob/… --dry-run=client -o json` prints it, on its way to `kubectl apply`.

Usage: job.py [--args WORD…] [--cpu CPU] [--memory SIZE] [--env NAME=VALUE] [--once]

What is not named stays as the CronJob has it. --once: one try, whatever the exit code.
"""

import argparse
import json
import sys

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("--args", nargs="+")
parser.add_argument("--cpu")
parser.add_argument("--memory")
parser.add_argument("--env")
parser.add_argument("--once", action="store_true")
wanted = parser.parse_args()

job = json.load(sys.stdin)
container = job["spec"]["template"]["spec"]["containers"][0]
if wanted.args:
    # Where the output goes stays as it is.
    container["args"] = wanted.args + [word for word in container["args"] if word in ("--json", "--log-format=json")]
for kind, size in (("cpu", wanted.cpu), ("memory", wanted.memory)):
    if size:
        for group in ("requests", "limits"):
            container["resources"][group][kind] = size
if wanted.env:
    name, value = wanted.env.split("=", 1)
    container.setdefault("env", []).append({"name": name, "value": value})
if wanted.once:
    job["spec"]["backoffLimit"] = 0
    # Only allowed beside a rule for each of its indexes
    job["spec"].pop("backoffLimitPerIndex", None)
json.dump(job, sys.stdout)
