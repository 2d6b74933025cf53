"""The table of our own attacks, by what they go for."""

from __future__ import annotations

from redteam.attacks import (
    building,
    clocks,
    compiled,
    deferral,
    gpu,
    harness,
    memory,
    outside,
    process,
    results,
    reuse,
    speculation,
)
from redteam.cases import Attack

ATTACKS: tuple[Attack, ...] = (
    *reuse.ATTACKS,
    *speculation.ATTACKS,
    *memory.ATTACKS,
    *deferral.ATTACKS,
    *gpu.ATTACKS,
    *clocks.ATTACKS,
    *compiled.ATTACKS,
    *harness.ATTACKS,
    *results.ATTACKS,
    *process.ATTACKS,
    *outside.ATTACKS,
    *building.ATTACKS,
)
