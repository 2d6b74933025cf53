"""The table of honest kernels that a suspicious judge might wrong."""

from __future__ import annotations

from redteam.cases import Honest
from redteam.honest import compiled, concurrent, objects, shapes_of_code, side_effects

HONEST: tuple[Honest, ...] = (
    *concurrent.HONEST,
    *objects.HONEST,
    *shapes_of_code.HONEST,
    *side_effects.HONEST,
    *compiled.HONEST,
)
