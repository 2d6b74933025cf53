"""The candidate's view of the memory arena: torch tensors over mappings that the judge owns."""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

from pytest_fib.border.arena import CONTROL_BYTES, REPLY_BYTES, Plan, Region

if TYPE_CHECKING:
    from pytest_fib.candidate.cuda import CudaSide, Gate

Memory: TypeAlias = "mmap.mmap | torch.Tensor"


@dataclass(frozen=True)
class Mapping:
    """The four memory files as this process sees them.

    On a device, inputs and outputs are memory of ``cuda``, which sees the words at ``gate``, if it can be shown them.
    """

    plan: Plan
    inputs: Memory
    outputs: Memory
    control: memoryview
    reply: memoryview
    cuda: CudaSide | None = None
    gate: Gate | None = None

    def leave(self) -> None:
        """Unmap what is memory of a device, which nothing may use any more; other memory goes with its last view."""
        if self.cuda is not None:
            if self.gate is not None:
                self.cuda.hide(self.control, self.reply)
            self.cuda.unmap(self.inputs, self.outputs)

    def input_tensors(self, index: int) -> list[torch.Tensor]:
        """Return the input tensors of set ``index`` in the order of the arena's slots."""
        return _tensors(self.inputs, self.plan.inputs, index)

    def output_tensors(self, index: int) -> list[torch.Tensor]:
        """Return the output tensors of set ``index`` in definition order, then the inputs written in place."""
        return _tensors(self.outputs, self.plan.outputs, index)


def map_arena(plan: Plan, fds: list[int], cuda: CudaSide | None = None) -> Mapping:
    """Map the memory files ``fds`` = inputs, outputs, control, reply."""
    inputs, outputs, control, reply = fds
    words = (
        memoryview(mmap.mmap(control, CONTROL_BYTES, prot=mmap.PROT_READ)).cast("Q"),
        memoryview(mmap.mmap(reply, REPLY_BYTES)).cast("Q"),
    )
    if cuda is not None:
        blocks = cuda.map(inputs, plan.inputs.nbytes), cuda.map(outputs, plan.outputs.nbytes)
        return Mapping(plan, *blocks, *words, cuda, cuda.gate(*words))
    access = mmap.PROT_READ | mmap.PROT_WRITE if plan.writable_inputs else mmap.PROT_READ
    return Mapping(
        plan,
        mmap.mmap(inputs, plan.inputs.nbytes, prot=access),
        mmap.mmap(outputs, plan.outputs.nbytes),
        *words,
    )


@contextmanager
def read_only_on_purpose() -> Iterator[None]:
    """Silence torch, which warns that it cannot write to a read-only mapping: that is what the mapping is for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _tensors(memory: Memory, region: Region, index: int) -> list[torch.Tensor]:
    start = region.stride * index
    return [_tensor(memory, start + slot.offset, slot.numel, slot.shape, slot.dtype) for slot in region.slots]


def _tensor(memory: Memory, offset: int, numel: int, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    kind: torch.dtype = getattr(torch, dtype)
    if isinstance(memory, torch.Tensor):
        return memory[offset : offset + numel * kind.itemsize].view(kind).view(shape)
    if numel == 0:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(memory, dtype=kind, count=numel, offset=offset).view(shape)
