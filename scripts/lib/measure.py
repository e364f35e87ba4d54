#!/usr/bin/env python3
"""Runs a command and prints one JSON line: wall seconds, CPU seconds and peak memory.

Usage: measure.py [--rate-file FILE] -- COMMAND…

CPU and peak resident memory are also given for each program of the command's process tree, read
from /proc every 20 ms (utime + stime, VmHWM: see proc(5)). The command's output goes to stderr.
"""
import json
import os
import resource
import subprocess
import sys
import time

TICK = os.sysconf("SC_CLK_TCK")


def descendants(root):
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
                children.setdefault(int(fields[1]), []).append(int(entry))
            except OSError:
                pass
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, []))
    return found


def sample(pid, seen):
    try:
        with open(f"/proc/{pid}/stat") as f:
            text = f.read()
        name = text[text.index("(") + 1 : text.rindex(")")]
        fields = text.rsplit(")", 1)[1].split()
        cpu = (int(fields[11]) + int(fields[12])) / TICK
        with open(f"/proc/{pid}/status") as f:
            peak = next((int(l.split()[1]) for l in f if l.startswith("VmHWM")), 0)
        seen[pid] = (name, cpu, max(peak, seen.get(pid, ("", 0, 0))[2]))
    except (OSError, StopIteration, ValueError):
        pass


def main():
    command = sys.argv[1:]
    if command and command[0] == "--":
        command = command[1:]
    seen = {}
    begun = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.Popen(command, stdout=sys.stderr)
    while True:
        for pid in descendants(child.pid):
            sample(pid, seen)
        try:
            status = child.wait(timeout=0.02)
            break
        except subprocess.TimeoutExpired:
            continue
    wall = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    programs = {}
    for name, cpu, peak in seen.values():
        entry = programs.setdefault(name, {"cpu": 0.0, "peak_kib": 0})
        entry["cpu"] = round(entry["cpu"] + cpu, 3)
        entry["peak_kib"] = max(entry["peak_kib"], peak)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"exit": status, "wall": round(wall, 3), "cpu": round(cpu, 3), "programs": programs}))
    return status


sys.exit(main())
