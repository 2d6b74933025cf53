"""Calls of the judge's own from C++: see ``border.idle``. They go the way that calls of C++ solutions go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_fib.border.order import Order
from pytest_fib.build import cpp

build, argument, loop = cpp.build, cpp.argument, cpp.loop


def load(order: Order) -> Callable[..., Any]:
    """Return the compiled function, which takes any arguments."""
    module = cpp.library(order)
    work = order.work
    module["prepare"](work.ns, work.nbytes, work.places, *work.requests)
    run: Callable[..., Any] = module["run"]
    return run
