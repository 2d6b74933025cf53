"""From what the judge allows to walls around a candidate: the sandbox's policy, put on in three steps."""

from __future__ import annotations

from functools import lru_cache

from pytest_fib.border.order import Confinement
from pytest_fib.candidate.sandbox import (
    Policy,
    Report,
    Trial,
    default_readable,
    enter_inside,
    enter_namespaces,
    lock_down,
    nvidia_devices,
)


class Walls:
    """A policy and the layers of it that hold so far in this process; ``probed`` says why some were left out."""

    def __init__(self, policy: Policy, report: Report, probed: Report) -> None:
        self._policy = policy
        self._report = report
        self._probed = probed

    def enter(self) -> None:
        """Give the namespaces their contents; process 1 of them calls this before it forks."""
        self._report = enter_inside(self._policy, self._report)

    def lock_down(self) -> str:
        """Take from the calling process what untrusted code must not have; return the layers as text."""
        self._report = lock_down(self._policy, self._report)
        return self._report.explained_by(self._probed).to_text()


def begin_trial() -> Trial:
    """Find out which layers this machine allows, beside whatever this process has to do meanwhile."""
    return Trial(Policy(readable_by_default()))


def around(confinement: Confinement, probed: Report) -> Walls:
    """Leave this process's namespaces for ``confinement``; the next fork of this process is inside the new ones.

    Layers that did not hold in ``probed`` are not tried.
    """
    policy = Policy(
        readable=(*readable_by_default(), *confinement.readable),
        artifact_dir=confinement.artifact_dir or None,
        build_dir=confinement.build_dir or None,
        scratch_dir=confinement.scratch_dir or None,
        devices=nvidia_devices(only=confinement.gpu) if confinement.cuda else (),
        cuda=confinement.cuda,
        without=frozenset(confinement.without),
    ).adapted(probed)
    return Walls(policy, enter_namespaces(policy), probed)


@lru_cache(maxsize=1)
def readable_by_default() -> tuple[str, ...]:
    """Return what every candidate may read; found out once, in the zygote."""
    return default_readable()
