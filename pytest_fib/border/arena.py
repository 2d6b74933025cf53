"""The memory arena: where the inputs and outputs of each call lie in shared memory.

The judge creates three sealed memory files and one more for replies:

========== ======================= ============================================================
file       candidate's view        content
========== ======================= ============================================================
inputs     read-only (or writable) ``sets`` copies of the input tensors
outputs    writable                ``sets`` copies of the output tensors, guard zones around each
control    read-only               what the judge says: the request number and the number of calls
reply      writable                what the candidate says: ready, done, failed; a beat
========== ======================= ============================================================

A *set* is what one call reads and writes; a request of K calls uses K sets, so that no call sees another's data.
Layouts are computed once by the judge and sent as text; the candidate maps what it is told.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass

PAGE = mmap.PAGESIZE
GUARD = 256  # bytes of secret pattern before and after every output
ALIGN = 256  # at least what vector loads and DLPack consumers expect
# Tensors that all begin on a page boundary compete for the same cache sets; each begins a different number of
# cache lines into its page instead, as tensors of an ordinary allocator do.
_STAGGER = 5 * ALIGN

# Words of the control page (written by the judge) and of the reply page (written by the candidate): 64-bit each,
# on cache lines of their own.
GO = 0
CALLS = 8
FIRST = 16
WAKE = 24  # on a device: the candidate that is resumed has its context brought back before it waits for "go"
ENQUEUE = 32  # on a device: the calls of that request are to be enqueued behind a gate that "go" opens
INNER = 40  # on a device: those calls are to be timed by a clock in the candidate's process as well
READY = 0
DONE = 8
FAILED = 16
BEAT = 24
ENQUEUED = 32
CLAIM = 40  # picoseconds of one call by the clock in the candidate's process
CONTROL_BYTES = PAGE
REPLY_BYTES = PAGE

ITEMSIZE = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "bool": 1,
}


@dataclass(frozen=True)
class Slot:
    """Where one tensor lies inside a set: byte offset, shape and dtype name (contiguous, row-major)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int

    @property
    def numel(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def nbytes(self) -> int:
        """Number of bytes."""
        return self.numel * ITEMSIZE[self.dtype]


@dataclass(frozen=True)
class Region:
    """The tensors of one memory file: ``sets`` copies of ``slots``, ``stride`` bytes apart."""

    slots: tuple[Slot, ...]
    stride: int
    sets: int

    @property
    def nbytes(self) -> int:
        """Size of the memory file in bytes: whole pages, at least one."""
        return max(PAGE, -(-self.stride * self.sets // PAGE) * PAGE)

    @classmethod
    def plan(cls, tensors: dict[str, tuple[tuple[int, ...], str]], sets: int, before: int = 0) -> Region:
        """Lay out ``tensors`` (name to shape and dtype name) with a guard zone before and after each.

        ``before`` is how many tensors of other memory files are used in the same call.
        """
        slots = []
        offset = 0
        for index, (name, (shape, dtype)) in enumerate(tensors.items(), before):
            offset = _align(offset + GUARD) + (index * _STAGGER) % PAGE
            slots.append(Slot(name, shape, dtype, offset))
            offset += slots[-1].nbytes + GUARD
        return cls(tuple(slots), max(ALIGN, _align(offset)), sets)


@dataclass(frozen=True)
class Plan:
    """Everything that a candidate needs to know to map the arena and make arguments from it.

    ``arguments`` lists the names of the definition's inputs in order; a name that is no tensor of ``inputs`` is a
    scalar, found in ``scalars``, or one of ``in_place``: inputs that the solution has to write, which lie behind the
    outputs and hold their content when a call begins. With ``cuda``, inputs and outputs are device memory.
    """

    inputs: Region
    outputs: Region
    arguments: tuple[str, ...]
    scalars: dict[str, int | float | bool]
    writable_inputs: bool
    in_place: tuple[str, ...] = ()
    cuda: bool = False

    def to_text(self) -> str:
        """Return the plan as JSON text."""
        return json.dumps(
            {
                "inputs": _region_to_json(self.inputs),
                "outputs": _region_to_json(self.outputs),
                "arguments": self.arguments,
                "scalars": self.scalars,
                "writable_inputs": self.writable_inputs,
                "in_place": self.in_place,
                "cuda": self.cuda,
            }
        )

    @classmethod
    def from_text(cls, text: str) -> Plan:
        """Read what ``to_text`` wrote (the judge is the only sender)."""
        raw = json.loads(text)
        return cls(
            _region_from_json(raw["inputs"]),
            _region_from_json(raw["outputs"]),
            tuple(raw["arguments"]),
            raw["scalars"],
            raw["writable_inputs"],
            tuple(raw["in_place"]),
            raw["cuda"],
        )


def _align(offset: int) -> int:
    return -(-offset // ALIGN) * ALIGN


def _region_to_json(region: Region) -> dict[str, object]:
    slots = [[slot.name, slot.shape, slot.dtype, slot.offset] for slot in region.slots]
    return {"slots": slots, "stride": region.stride, "sets": region.sets}


def _region_from_json(raw: dict[str, object]) -> Region:
    slots = tuple(Slot(name, tuple(shape), dtype, offset) for name, shape, dtype, offset in raw["slots"])  # type: ignore[attr-defined]
    return Region(slots, raw["stride"], raw["sets"])  # type: ignore[arg-type]
