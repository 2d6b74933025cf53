"""What one item does must not be seen in the next: same verdict, same latency, nothing left behind."""

from __future__ import annotations

import pytest

from redteam.attacks import ATTACKS
from redteam.cases import Attack
from redteam.runner import Lab
from redteam.test_attacks import skip_if_impossible

_NEIGHBOURS = (
    "leaves_without_a_word",
    "stops_itself",
    "orphans",
    "rounding_mode_and_denormals",
    "operators_of_our_own",
    "statistics_of_our_own",
    "busy_processes_left_behind",
    "takes_the_judges_core",
    "busy_while_the_hand_over_is_measured",
    "holds_the_machine_lock",
    "attacks_whoever_started_it",
    "slows_the_calibration",
    "many_print_without_end",
)


@pytest.mark.parametrize(
    "attack", [attack for attack in ATTACKS if attack.name in _NEIGHBOURS], ids=lambda attack: attack.name
)
def test_the_next_item_is_judged_as_if_nothing_had_been(lab: Lab, attack: Attack) -> None:
    """A busy machine can make one measurement slow, but not three directly after the same attack.

    A virtual machine may be twice as slow for minutes, so each is held against one made just before the attack, too.
    """
    skip_if_impossible(attack, lab)
    usual = lab.quiet_cost_ms()
    seen = []
    for _ in range(3):
        before = lab.plain().latency_ms
        lab.judge(attack)
        seen.append((before, lab.plain().latency_ms))
        assert lab.left_running() == []  # what is left would slow down both
        if 0.6 * usual < seen[-1][1] < 1.5 * max(usual, before):
            return
    pytest.fail(f"{usual:.4f} ms; before and after {attack.name}: {seen}")


def test_sessions_leave_nothing_behind(lab: Lab) -> None:
    assert lab.left_running() == []
    assert lab.canaries.touched() == []
