"""Counts and tolerances by name: one line per kind of definition, the first that fits counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal

Profile = Literal["default", "quick", "mlsys26"]


@dataclass(frozen=True)
class Track:
    """How definitions are judged whose op type or name ``pattern`` (a glob) fits; None: as the rule says."""

    pattern: str
    warmup_runs: int
    iterations: int
    trials: int
    rtol: float | None = None
    atol: float | None = None
    required_matched_ratio: float | None = None

    def fits(self, definition: str, op_type: str) -> bool:
        """Whether the line speaks of a definition."""
        return fnmatchcase(definition, self.pattern) or fnmatchcase(op_type, self.pattern)


PROFILES: Mapping[Profile, tuple[Track, ...]] = MappingProxyType(
    {
        "default": (Track("*", 10, 30, 5),),
        "quick": (Track("*", 2, 20, 1),),
        # The commands of the MLSys 2026 contest; what they leave open is as FlashInfer-Bench has it.
        "mlsys26": (
            Track("moe", 10, 50, 3, rtol=0.3, atol=1.0, required_matched_ratio=0.9),
            Track("gdn_prefill*", 1, 5, 3),
            Track("*", 10, 50, 3),
        ),
    }
)


def track_of(profile: Profile, definition: str, op_type: str) -> Track:
    """Return the line of ``profile`` that speaks of a definition."""
    return next(track for track in PROFILES[profile] if track.fits(definition, op_type))
