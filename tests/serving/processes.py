"""The processes of a running server, and versions that do something to the process that loads them."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress

import psutil

ODD = '''
import os, signal, sys, time

def odd(event, args):
    """Do something to a process of the server that opens a marked version."""
    if event != "open" or not str(args[0]).endswith("scorer.json"):
        return
    for each in os.environ["PYTHON_ODD_VERSION"].split(","):
        mark, _, what = each.partition("=")
        if mark not in str(args[0]):
            continue
        if what == "kill":
            os.kill(os.getpid(), signal.SIGFPE)
        if what == "loop":
            while True:
                pass
        if what == "grow":
            kept = bytearray(64 * 2**30)
        if what == "raise":
            raise RuntimeError("odd\\nversion")
        if what == "kill worker" and "serving.worker" in sys.orig_argv:
            os.kill(os.getpid(), signal.SIGFPE)
        if what == "slow worker" and "serving.worker" in sys.orig_argv:
            time.sleep(60)

if {"serving.worker", "serving.runtimes.rehearsal"} & set(sys.orig_argv):
    sys.addaudithook(odd)
'''


def processes_of(served, module="serving.worker"):
    """Return a server's processes of one kind, the oldest first."""
    found = psutil.Process(served.process.pid).children()
    return [each for each in found if module in _words(each)]


def _words(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def until(condition, *, seconds=60.0):
    """Return the seconds until a condition holds; a connection that ends with its worker says nothing."""
    began = time.monotonic()
    while True:
        with suppress(OSError):
            if condition():
                return time.monotonic() - began
        assert time.monotonic() - began < seconds
        time.sleep(0.01)


def pace():
    """Return how many times as long as on a quiet machine a process takes to start just now; at least 1."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import onnxruntime"], check=True)
    return max(1.0, (time.monotonic() - began) / 0.25)


def mark(monkeypatch, folder, **versions):
    """Have whoever serves or tries a version do something odd: what to do = words in the path of its files."""
    (folder / "sitecustomize.py").write_text(ODD)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    marks = ",".join(f"{words}={what.replace('_', ' ')}" for what, words in versions.items())
    monkeypatch.setenv("PYTHON_ODD_VERSION", marks)
