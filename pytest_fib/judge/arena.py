"""The judge's side of the memory arena: sealed memory files, secret content, poison and guard zones.

All memory is made and sealed here. The candidate maps inputs and control words read-only; a size that it could
change would kill the judge with SIGBUS, so sizes are sealed too.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from pytest_fib.border.arena import CONTROL_BYTES, GUARD, REPLY_BYTES, Plan, Region
from pytest_fib.judge.memory import SIZE_SEALS, memory_file

_F_SEAL_FUTURE_WRITE = 0x10
_SAMPLES = 256
_POISON_SCALE = 4.0
_POISON_BLOCK = 1 << 16  # elements that are drawn; longer outputs repeat them

Bytes: TypeAlias = npt.NDArray[np.uint8]


class File:
    """A memory file and the judge's writable mapping of it."""

    def __init__(self, nbytes: int, name: str, candidate_writes: bool) -> None:
        self.fd = memory_file(nbytes, name)
        self.map = mmap.mmap(self.fd, nbytes)
        seals = SIZE_SEALS if candidate_writes else SIZE_SEALS | _F_SEAL_FUTURE_WRITE
        try:
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, seals)
        except OSError:  # kernels before 5.1 know no seal on future mappings
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, SIZE_SEALS)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


class Arena(Protocol):
    """What a bench needs of the judge's side of an arena; ``JudgeArena`` says what each part does."""

    plan: Plan
    control: memoryview
    reply: memoryview

    @property
    def fds(self) -> tuple[int, int, int, int]:
        """Descriptors of inputs, outputs, control and reply."""

    def fill(self, request: int, sets: range, contents: Sequence[Mapping[str, torch.Tensor]]) -> None:
        """Write the inputs of the calls of ``request``, poison, and inputs written in place."""

    def inputs_of(self, index: int) -> dict[str, torch.Tensor]:
        """Return views of the inputs in set ``index``."""

    def clear(self, sets: Iterable[int]) -> None:
        """Overwrite inputs and outputs of ``sets``."""

    def prepare(self, requests: Sequence[range]) -> None:
        """Draw the secrets of the next requests."""

    def settle(self) -> bool:
        """Wait until all this is done; return whether nothing of the candidate's ran meanwhile."""

    def await_idle(self) -> None:
        """Wait until nothing of the candidate's runs beside its processes."""

    def untouched(self, request: int, taken: torch.Tensor, names: Sequence[str]) -> list[frozenset[str]]:
        """Return of each set the outputs among ``names`` that are poison still."""

    def sample(self, request: int) -> None:
        """Read secret positions of the outputs."""

    def take(self, sets: range) -> torch.Tensor:
        """Return the bytes of the outputs in ``sets``."""

    def sample_agrees(self, request: int, taken: torch.Tensor) -> bool:
        """Whether the bytes taken are those that were sampled."""

    def guards_intact(self, request: int, taken: torch.Tensor) -> bool:
        """Whether nothing was written around the outputs."""

    def changed(self, sets: range, contents: Sequence[Mapping[str, torch.Tensor]]) -> str:
        """Return the name of an input that is no longer what ``fill`` wrote; empty if there is none."""

    def close(self) -> None:
        """Give the memory back."""


class JudgeArena:
    """Inputs, outputs, control and reply memory of one workload, ``plan.inputs.sets`` sets of it.

    Parameters
    ----------
    plan
        The layout.
    random
        Secret randomness for poison, guard zones and sampled positions.
    """

    def __init__(self, plan: Plan, random: np.random.Generator) -> None:
        self.plan = plan
        self._random = random
        self._inputs = File(plan.inputs.nbytes, "fib-inputs", plan.writable_inputs)
        self._outputs = File(plan.outputs.nbytes, "fib-outputs", True)
        self._control = File(CONTROL_BYTES, "fib-control", False)
        self._reply = File(REPLY_BYTES, "fib-reply", True)
        self.control = memoryview(self._control.map).cast("Q")
        self.reply = memoryview(self._reply.map).cast("Q")
        self._out = np.frombuffer(self._outputs.map, dtype=np.uint8)
        self._views: list[dict[str, torch.Tensor]] = []
        self._lent = Region(
            tuple(slot for slot in plan.outputs.slots if slot.name in plan.in_place),
            plan.outputs.stride,
            plan.outputs.sets,
        )
        self._poisons = poisons(plan.outputs, random)
        self._guards = guard_offsets(plan.outputs)
        self._guard_values = self._poisons[:, self._guards]
        self._payload = _payload_offsets(plan.outputs)
        self._starts = np.zeros(0, dtype=np.int64)
        self._variants = np.zeros((0, 0), dtype=np.int64)
        self._positions = np.zeros((0, _SAMPLES), dtype=np.int64)
        self._sampled = np.zeros((0, _SAMPLES), dtype=np.uint8)

    @property
    def fds(self) -> tuple[int, int, int, int]:
        """Descriptors of inputs, outputs, control and reply, in the order in which a candidate maps them."""
        return self._inputs.fd, self._outputs.fd, self._control.fd, self._reply.fd

    def fill(self, request: int, sets: range, contents: Sequence[Mapping[str, torch.Tensor]]) -> None:
        """Write the inputs of the calls of ``request``, poison, and inputs written in place; a set for each call."""
        for index, inputs in zip(sets, contents, strict=True):
            for name, view in self.inputs_of(index).items():
                view.copy_(inputs[name])
            self._poison(request, index)
            self._lend(index, inputs)

    def inputs_of(self, index: int) -> dict[str, torch.Tensor]:
        """Return views of the inputs in set ``index`` as the candidate sees them now."""
        while len(self._views) <= index:
            self._views.append(_views(self._inputs.map, self.plan.inputs, len(self._views)))
        return self._views[index]

    def clear(self, sets: Iterable[int]) -> None:
        """Overwrite inputs and outputs of ``sets``, so that whoever comes next cannot read what was there."""
        for index in sets:
            for view in self.inputs_of(index).values():
                view.zero_()
            start = index * self.plan.outputs.stride
            self._out[start : start + self.plan.outputs.stride] = self._poisons[0]

    def prepare(self, requests: Sequence[range]) -> None:
        """Draw the secrets of the next requests, which use these sets: poisons and sampled positions."""
        count = len(requests)
        lengths = np.array([len(sets) for sets in requests], dtype=np.int64)
        self._starts = np.array([sets.start for sets in requests], dtype=np.int64)
        self._variants = self._random.integers(len(self._poisons), size=(count, int(lengths.max())))
        self._sampled = np.zeros((count, _SAMPLES), dtype=np.uint8)
        if len(self._payload) == 0:
            self._positions = np.repeat(self._starts[:, None] * self.plan.outputs.stride, _SAMPLES, axis=1)
            return
        draw = self._random.random((3, count, _SAMPLES))
        which = (draw[0] * len(self._payload)).astype(np.int64)
        inside = (draw[1] * self._payload[which, 1]).astype(np.int64)
        sets = self._starts[:, None] + (draw[2] * lengths[:, None]).astype(np.int64)
        self._positions = self._payload[which, 0] + inside + sets * self.plan.outputs.stride

    def _poison(self, request: int, index: int) -> None:
        """Overwrite the outputs and guard zones of set ``index`` with the plausible values of ``request``."""
        start = index * self.plan.outputs.stride
        variant = self._variants[request, index - self._starts[request]]
        self._out[start : start + self.plan.outputs.stride] = self._poisons[variant]

    def _lend(self, index: int, inputs: Mapping[str, torch.Tensor]) -> None:
        """Put the inputs that are written in place where the poison of set ``index`` is."""
        if self._lent.slots:
            for name, view in _views(self._outputs.map, self._lent, index).items():
                view.copy_(inputs[name])

    def untouched(self, request: int, taken: torch.Tensor, names: Sequence[str]) -> list[frozenset[str]]:
        """Return of each set of ``request`` the outputs among ``names`` that are poison still, to the last byte."""
        poison = self._poisons[self._variants[request, : len(taken)]]
        left: list[set[str]] = [set() for _ in taken]
        for slot in self.plan.outputs.slots:
            if slot.name in names and slot.nbytes:
                part = slice(slot.offset, slot.offset + slot.nbytes)
                same = (taken.numpy()[:, part] == poison[:, part]).all(axis=1)
                for index in np.flatnonzero(same).tolist():
                    left[index].add(slot.name)
        return [frozenset(found) for found in left]

    def sample(self, request: int) -> None:
        """Read the secret positions of ``request``: the only reading of outputs inside a timed interval."""
        np.take(self._out, self._positions[request], out=self._sampled[request], mode="clip")

    def take(self, sets: range) -> torch.Tensor:
        """Return the bytes of the outputs in ``sets`` as ``[sets, stride]`` uint8 of our own."""
        stride = self.plan.outputs.stride
        return torch.from_numpy(
            self._out[sets.start * stride : sets.stop * stride].reshape(len(sets), stride).copy()
        )

    def sample_agrees(self, request: int, taken: torch.Tensor) -> bool:
        """Whether the bytes taken are those that were there when the clock was read."""
        positions = self._positions[request] - self._starts[request] * self.plan.outputs.stride
        return bool((taken.numpy().reshape(-1)[positions] == self._sampled[request]).all())

    def guards_intact(self, request: int, taken: torch.Tensor) -> bool:
        """Whether nothing was written around the outputs."""
        expected = self._guard_values[self._variants[request, : len(taken)]]
        return np.array_equal(np.take(taken.numpy(), self._guards, axis=1), expected)

    def changed(self, sets: range, contents: Sequence[Mapping[str, torch.Tensor]]) -> str:
        """Return the name of an input that is no longer what ``fill`` wrote; empty if there is none, or cannot be."""
        if self.plan.writable_inputs:
            for index, inputs in zip(sets, contents, strict=True):
                for name, now in self.inputs_of(index).items():
                    if not torch.equal(bytes_of(now), bytes_of(inputs[name])):
                        return name
        return ""

    def settle(self) -> bool:
        """Nothing is left to be done before a candidate may start: what was written is there."""
        return True

    def await_idle(self) -> None:
        """Nothing runs beside the candidate's processes."""

    def close(self) -> None:
        """Close the descriptors; the mappings go when nothing refers to them."""
        for file in (self._inputs, self._outputs, self._control, self._reply):
            file.close()


def tensors_of(taken: torch.Tensor, region: Region) -> dict[str, torch.Tensor]:
    """Return the outputs in ``taken`` (``[calls, stride]`` uint8) as one tensor ``[calls, *shape]`` per output."""
    calls = len(taken)
    tensors = {}
    for slot in region.slots:
        kind: torch.dtype = getattr(torch, slot.dtype)
        part = taken[:, slot.offset : slot.offset + slot.nbytes].contiguous()
        tensors[slot.name] = (
            part.view(kind).view(calls, *slot.shape)
            if slot.numel
            else torch.empty((calls, *slot.shape), dtype=kind, device=taken.device)
        )
    return tensors


def bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bytes of a contiguous tensor as a flat one (a tensor without dimensions has no other view)."""
    if tensor.numel() == 0:  # its stride may be anything
        return torch.empty(0, dtype=torch.uint8)
    return tensor.reshape(-1).view(torch.uint8)


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of ``dtype`` in the schema, e.g. ``bfloat16``."""
    return str(dtype).removeprefix("torch.")


def _views(memory: mmap.mmap, region: Region, index: int) -> dict[str, torch.Tensor]:
    views = {}
    for slot in region.slots:
        kind: torch.dtype = getattr(torch, slot.dtype)
        if slot.numel == 0:
            views[slot.name] = torch.empty(slot.shape, dtype=kind)
            continue
        offset = region.stride * index + slot.offset
        views[slot.name] = torch.frombuffer(memory, dtype=kind, count=slot.numel, offset=offset).view(
            slot.shape
        )
    return views


def poisons(region: Region, random: np.random.Generator, most: int = 8) -> Bytes:
    """Return at most ``most`` byte patterns ``[variants, stride]``: values that a kernel might compute, no NaN.

    Zeros or NaN would tell a candidate that nothing has been written yet; they would also make a kernel that
    accumulates into its output look right.
    """
    variants = max(1, min(most, (32 << 20) // region.stride))
    pattern: Bytes = random.integers(0, 256, (variants, region.stride), dtype=np.uint8)
    for slot in region.slots:
        for row in pattern if slot.numel else ():
            content = plausible(slot.numel, getattr(torch, slot.dtype), random)
            row[slot.offset : slot.offset + slot.nbytes] = content.view(torch.uint8).numpy()
    return pattern


def plausible(count: int, kind: torch.dtype, random: np.random.Generator) -> torch.Tensor:
    """Return ``count`` values that a kernel might have computed: what outputs hold before a call."""
    if kind.is_floating_point:
        # A float32 block is repeated for large outputs: poison has to differ from call to call and from the truth.
        block = random.standard_normal(min(count, _POISON_BLOCK), dtype=np.float32) * np.float32(
            _POISON_SCALE
        )
        return torch.from_numpy(np.resize(block, count)).to(kind)
    if kind is torch.bool:
        return torch.from_numpy(random.integers(0, 2, count).astype(np.bool_))
    return torch.from_numpy(random.integers(0, 120, count)).to(kind)


def guard_offsets(region: Region) -> npt.NDArray[np.int64]:
    """Return the offsets of all bytes of guard zones within one set."""
    zones: list[range] = []
    for slot in region.slots:
        end = slot.offset + slot.nbytes
        zones += [range(slot.offset - GUARD, slot.offset), range(end, end + GUARD)]
    flat: Sequence[int] = [offset for zone in zones for offset in zone]
    return np.array(flat, dtype=np.int64)


def _payload_offsets(region: Region) -> npt.NDArray[np.int64]:
    """Return ``[outputs, 2]``: byte offset and length of every output that has bytes."""
    spans = [(slot.offset, slot.nbytes) for slot in region.slots if slot.nbytes]
    return np.array(spans, dtype=np.int64).reshape(-1, 2)
