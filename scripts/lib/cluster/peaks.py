#!/usr/bin/env python3
"""Notes the peak memory of every pod, and of every program in it, until it is killed.

Usage: peaks.py CGROUP FILE

CGROUP is the kubelet's `cgroupRoot`. FILE is one JSON object: for each pod's UID `cgroup`, the peak that the kernel
counts for the whole pod (page cache and /tmp in memory are a part of it), `oom`, how often it killed there, and
`programs`: the peak resident size (VmHWM) of each program by its name. All are bytes. Control groups are gone soon
after their pod, so they are read ten times a second; the kernel's own peaks miss nothing in between.
"""

import glob
import json
import os
import re
import sys
import time

# version 1, version 2
PEAKS = ["memory.max_usage_in_bytes", "memory.peak"]
OOMS = ["memory.oom_control", "memory.events"]


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def first(directory, names):
    """The text of the first of these files that is there."""
    return next((text for text in (read(f"{directory}/{name}") for name in names) if text), "")


def program(pid):
    """Name and peak of a process."""
    status = read(f"/proc/{pid}/status")
    name = re.search(r"^Name:\s*(.*)$", status, re.M)
    peak = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.M)
    return (name[1], int(peak[1]) * 1024) if name and peak else (None, 0)


def look(root, pods):
    for directory in glob.glob(f"{root}/**/pod*-*", recursive=True):
        uid = os.path.basename(directory)[3:]
        pod = pods.setdefault(uid, {"cgroup": 0, "oom": 0, "programs": {}})
        pod["cgroup"] = max(pod["cgroup"], int(first(directory, PEAKS) or 0))
        for part in [directory, *glob.glob(f"{directory}/*/")]:
            kills = re.search(r"^oom_kill (\d+)$", first(part, OOMS), re.M)
            pod["oom"] = max(pod["oom"], int(kills[1]) if kills else 0)
            for pid in read(f"{part}/cgroup.procs").split():
                name, peak = program(pid)
                # Not yet the program, and the one that holds the pod's namespaces
                if name and not name.startswith("runc") and name not in ("exe", "sleep", "sh", "rm"):
                    pod["programs"][name] = max(pod["programs"].get(name, 0), peak)


def main(cgroup, path):
    root = "/sys/fs/cgroup/memory" if os.path.isdir("/sys/fs/cgroup/memory") else "/sys/fs/cgroup"
    pods, written = {}, None
    while True:
        look(f"{root}/{cgroup}", pods)
        text = json.dumps(pods)
        if text != written:
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(f"{path}.new", path)
            written = text
        time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
