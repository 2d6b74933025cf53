"""Start a zygote: import what solutions need, run nothing, then fork candidates on request.

The judge starts this module with a scrubbed environment and one inherited socket, whose number is the first
argument; further arguments name the modules to import.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import socket
import sys

from pytest_fib.border.wire import Kind, Message, send
from pytest_fib.candidate.confine import begin_trial
from pytest_fib.candidate.limits import become_zygote
from pytest_fib.candidate.server import serve

_PREIMPORTED = (
    "pytest_fib.candidate.worker",
    "pytest_fib.candidate.randomness",
    "pytest_fib.build.python",
    "pytest_fib.build.cpp",
)


def main(argv: list[str]) -> int:
    """Import the modules named in ``argv[1:]`` and serve forks on the socket ``argv[0]`` until the judge is gone."""
    sock = socket.socket(fileno=int(argv[0]))
    become_zygote()
    faulthandler.enable()
    trial = begin_trial()
    for name in (*_PREIMPORTED, *argv[1:]):
        importlib.import_module(name)
    wrong: tuple[str, ...] = ()
    if "triton" in argv[1:]:
        wrong = importlib.import_module("pytest_fib.build.triton").prepare()
    probed = trial.report()
    # A collection in a child would touch, and so copy, every page that it shares with this process.
    gc.collect()
    gc.freeze()
    send(sock, Message(Kind.READY, text=", ".join(wrong)))
    serve(sock, probed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
