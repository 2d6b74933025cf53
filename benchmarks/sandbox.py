"""What entering the sandbox costs, step by step, in milliseconds.

    python benchmarks/sandbox.py [--bare] [--json]

Prints the median over twenty entries of each step (from a process that has imported torch, as the zygote has; with
``--bare`` from one that has not, to tell the forks from the walls), the layers that were active, and the whole way
from the fork to the first line of the candidate. With ``--json``, the figures as one JSON object.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable

from pytest_fib.candidate.sandbox import Policy, Report, default_readable, landlock, launch, seccomp
from pytest_fib.candidate.sandbox import entry as steps
from pytest_fib.candidate.sandbox import launch as launching

REPEATS = 20

Times = dict[str, float]


def timed(times: Times, name: str, function: Callable[..., object]) -> Callable[..., object]:
    def call(*arguments: object) -> object:
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            times[name] = times.get(name, 0.0) + (time.perf_counter() - start) * 1e3

    return call


def instrument() -> Times:
    """Put a clock around each step; the figures travel to the candidate by fork, as the report does."""
    times: Times = {}
    module = sys.modules[launching.__module__]
    for place, name in (
        (module, "enter_namespaces"),
        (module, "enter_inside"),
        (module, "lock_down"),
        (steps, "become_nobody"),
        (steps, "enter_user_namespace"),
        (steps, "drop_all"),
        (landlock, "restrict"),
        (seccomp, "install"),
    ):
        setattr(place, name, timed(times, name, getattr(place, name)))
    return times


def one_entry(times: Times, policy: Policy) -> tuple[Times, Report]:
    reader, writer = os.pipe()
    times.clear()
    start = time.perf_counter()

    def main(report: Report) -> int:
        total = (time.perf_counter() - start) * 1e3
        os.write(writer, json.dumps([{**times, "whole way in": total}, report.to_text()]).encode())
        return 0

    pid = launch(policy, main, (writer,))
    os.close(writer)
    with open(reader, "rb") as answer:
        figures, text = json.loads(answer.read())
    os.waitpid(pid, 0)
    figures["whole way out"] = (time.perf_counter() - start) * 1e3 - figures["whole way in"]
    return figures, Report.from_text(text)


def one_fork() -> float:
    """Return the milliseconds from a plain fork to the first line of the child."""
    reader, writer = os.pipe()
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.write(writer, str((time.perf_counter() - start) * 1e3).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        figure = float(answer.read())
    os.waitpid(pid, 0)
    return figure


def main(arguments: list[str]) -> None:
    if "--bare" not in arguments:
        import torch  # noqa: F401
    times = instrument()
    policy = Policy(default_readable())
    entries = [one_entry(times, policy) for _ in range(REPEATS)]
    medians = {"a plain fork": statistics.median(one_fork() for _ in range(REPEATS))}
    for name in sorted(entries[0][0], key=list(entries[0][0]).index):
        medians[name] = statistics.median(figures[name] for figures, _report in entries)
    walls = sum(medians[name] for name in ("enter_namespaces", "enter_inside", "lock_down"))
    medians["the walls together"] = walls
    if "--json" in arguments:
        print(json.dumps({name: round(value, 3) for name, value in medians.items()}))
        return
    for name, value in medians.items():
        print(f"{name:24} {value:8.3f} ms")
    for layer in entries[0][1].layers:
        print(f"{layer.name:24} {'active' if layer.active else 'missing':8} {layer.reason}")


if __name__ == "__main__":
    main(sys.argv[1:])
