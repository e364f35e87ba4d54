#!/usr/bin/env python3
"""Prints what each pod of scripts/test-cluster took: seconds, exit code, peak memory.

Usage: table.py PEAKS ROW…

PEAKS is the file of peaks.py; a ROW is `JOB UID EXIT-CODE STARTED FINISHED LIMIT`.
"""

import json
import sys
from datetime import datetime


def mebibytes(size):
    return f"{size / 1048576:.0f}"


with open(sys.argv[1], encoding="utf-8") as file:
    peaks = json.load(file)
table = [["pod of", "exit", "seconds", "limit", "peak MiB", "programs (resident MiB)"]]
for row in sys.argv[2:]:
    job, uid, code, started, finished, limit = row.split()
    seconds = (datetime.fromisoformat(finished[:19]) - datetime.fromisoformat(started[:19])).seconds
    peak = peaks.get(uid, {"cgroup": 0, "programs": {}})
    programs = sorted(peak["programs"].items(), key=lambda item: -item[1])
    names = ", ".join(f"{name} {mebibytes(size)}" for name, size in programs)
    table.append([job, code, str(seconds), limit, mebibytes(peak["cgroup"]), names])
widths = [max(len(row[column]) for row in table) for column in range(5)]
for row in table:
    print("  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 5)), row[5]]))
