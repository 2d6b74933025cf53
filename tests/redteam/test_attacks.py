from __future__ import annotations

import pytest
import torch

from pytest_fib.data.text import slug
from redteam.attacks import ATTACKS
from redteam.cases import Attack
from redteam.runner import LEAK, Lab


def skip_if_impossible(attack: Attack, lab: Lab) -> None:
    if attack.cuda and not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    if attack.needs and attack.needs not in lab.layers():
        pytest.skip(f"stopped by the layer {attack.needs!r}, which is not active here")


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(
            attack,
            marks=[pytest.mark.cuda] if attack.cuda else [],
            id=f"{attack.family:02}-{slug(attack.name)}",
        )
        for attack in ATTACKS
    ],
)
def test_no_attack_wins(lab: Lab, attack: Attack) -> None:
    skip_if_impossible(attack, lab)
    outcome = lab.judge(attack)
    said = f"{attack.name}: {outcome.explain()}"
    assert LEAK not in outcome.evaluation.output + outcome.evaluation.log, said
    assert attack.says in outcome.evaluation.output, f"the trick was not at work: {said}"
    assert outcome.wall_s < attack.wall_s, said
    assert attack.honest_path or not outcome.passed, said
    assert not outcome.passed or not lab.too_fast(attack, outcome), said
    assert lab.canaries.touched() == [], said
    assert lab.left_running() == [], said


@pytest.mark.parametrize(
    "attack", [attack for attack in ATTACKS if "unsupported" in attack.name], ids=lambda attack: attack.name
)
def test_no_solution_gets_itself_skipped(lab: Lab, attack: Attack) -> None:
    """A skip would be raised as NotJudgeable."""
    found = lab.judge(attack).evaluation
    assert found.status.value in ("RUNTIME_ERROR", "COMPILE_ERROR")
    if attack.name.startswith("sends"):
        assert "a message that no candidate of ours sends" in found.log
    else:
        assert "NotJudgeable: not on this machine" in found.log


def test_every_family_is_attacked() -> None:
    assert {attack.family for attack in ATTACKS} == set(range(1, 41))


def test_no_attack_is_listed_twice() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names)
