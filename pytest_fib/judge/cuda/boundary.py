"""What lies between two calls on a stream: the end of one kernel becoming visible and the start of the next.

A request of K calls shows how far apart calls are; their durations, as a profiler has them, are shorter by what lies
between. How much that is depends on the kernel, within bounds that kernels of the judge's own show, once per device.
Within these bounds a clock in the candidate's process is believed, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_MATTERS = 0.01  # of a call
_LOWER, _UPPER = 0.9, 1.1  # what the judge's own kernels show, at their least and most, is not all there is
# Kernels of the judge's own: one that does nothing, and some that leave little and much to be written back.
_SOURCE = """
import torch

a = b = None


def run(*arguments):
    global a, b
    if a is None:
        a, b = (torch.zeros({numel}, device="cuda") for _ in range(2))
    torch.add(a, 1.0, out=b)
"""
SOURCES = tuple(_SOURCE.format(numel=numel) for numel in (1, 1 << 18, 1 << 24))


@dataclass(frozen=True)
class Boundary:
    """Nanoseconds between two calls: at least and at most.

    ``alone`` is by how much longer a call takes, at most, that is the only one of its request: it meets a device that
    has just been given back, with its code in no cache.
    """

    least: float
    most: float
    alone: float = 0.0

    @classmethod
    def of(cls, seen: Sequence[float], alone: Sequence[float] = ()) -> Boundary:
        """Return the bounds from what kernels of the judge's own show; without any, nothing is believed."""
        return cls(
            _LOWER * max(0.0, min(seen, default=0.0)),
            _UPPER * max(0.0, *seen, 0.0),
            _UPPER * max(0.0, *alone, 0.0),
        )

    def matters(self, call_ns: float) -> bool:
        """Whether calls ``call_ns`` apart are so short that it makes a difference where in the bounds they are."""
        return self.most - self.least > _MATTERS * call_ns

    def between(self, call_ns: float, claim_ns: float) -> tuple[float, bool]:
        """Return what lies between calls ``call_ns`` apart, and whether the claim of their duration was of use.

        ``claim_ns`` is that of a clock in the candidate's process, 0 if there is none.
        """
        least, most = (min(bound, call_ns / 2) for bound in (self.least, self.most))
        if claim_ns <= 0:
            return least, False
        return min(max(call_ns - claim_ns, least), most), True
