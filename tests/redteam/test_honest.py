from __future__ import annotations

import pytest

from redteam.honest import HONEST, Honest
from redteam.runner import Lab


@pytest.mark.parametrize("kernel", HONEST, ids=lambda kernel: kernel.name)
def test_honest_but_unusual_kernels_pass(lab: Lab, kernel: Honest) -> None:
    # Where strict, every remark on numerics is a failure; no limit of time is what these kernels are about.
    outcome = lab.judge(kernel, strict=True, patience="patient")
    assert outcome.passed, outcome.explain()
    assert outcome.evaluation.verified_calls >= 20
    assert not outcome.evaluation.integrity_detail


def test_there_are_enough_of_them() -> None:
    names = [kernel.name for kernel in HONEST]
    assert len(names) >= 25
    assert len(set(names)) == len(names)
