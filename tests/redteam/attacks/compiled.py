"""Compiled code that takes over the loop in its library, or what surrounds it (families 14, 15, 19, 24)."""

from __future__ import annotations

from redteam.cases import Attack
from redteam.sources import headers, source

_MINE = "the loop is mine"


_WAITS = "a thread looks for the wake"
_STARVED_S = 120.0  # at the idle priority, on a machine with other work


def _attack(
    family: int, name: str, file: str, says: str = _MINE, wall_s: float = 30.0, **macros: int
) -> Attack:
    return Attack(
        family=family,
        name=name,
        source=source(file, **macros),
        problem="narrow",
        language="cpp",
        files=headers(),
        honest_path=True,
        says=says,
        wall_s=wall_s,
    )


ATTACKS = (
    _attack(15, "compiled_works_between_wake_and_go", "lead.cc", LEAD_NS=18000, SLOW_AT_FIRST=0, BRIBE=0),
    # Who is slow in the first calls would have requests of one call, of which a lead is the most.
    _attack(
        19, "compiled_works_ahead_and_is_slow_at_first", "lead.cc", LEAD_NS=19000, SLOW_AT_FIRST=1, BRIBE=0
    ),
    _attack(24, "compiled_bribes_a_witness", "lead.cc", LEAD_NS=19000, SLOW_AT_FIRST=0, BRIBE=1),
    _attack(15, "child_without_a_first_thread", "helper.cc", HOG=0, SLOW_AT_FIRST=0),
    _attack(15, "child_without_a_first_thread_and_slow_at_first", "helper.cc", HOG=0, SLOW_AT_FIRST=1),
    _attack(19, "child_hogs_the_core_between_calls", "helper.cc", HOG=1, SLOW_AT_FIRST=0),
    _attack(14, "continued_by_a_timer", "continued.cc", SLOW_AT_FIRST=0),
    _attack(14, "continued_by_a_timer_and_slow_at_first", "continued.cc", SLOW_AT_FIRST=1),
    _attack(15, "waits_at_idle_priority", "idle_priority.cc", _WAITS, _STARVED_S, SLOW_AT_FIRST=0),
    _attack(
        15,
        "waits_at_idle_priority_and_slow_at_first",
        "idle_priority.cc",
        _WAITS,
        _STARVED_S,
        SLOW_AT_FIRST=1,
    ),
)
