"""The judge's side of an arena in device memory: written, poisoned, sampled and taken in the judge's own context.

Two contexts share a device by turns: bringing the other one back costs 0.15 ms, and while work of one is under way
the other waits for the end of a time slice, about 2 ms. So how long the judge's own work takes before "go", by the
device's clock, shows whether anybody else was at work, and what is read at "done" is read by a copy engine, which
waits for nobody.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from ctypes import Structure, c_int, c_size_t, c_uint64, c_void_p

import numpy as np
import torch

from pytest_fib.border.arena import CONTROL_BYTES, REPLY_BYTES, Plan, Region, Slot
from pytest_fib.border.vmm import DeviceBytes, Driver
from pytest_fib.judge.arena import File, guard_offsets, poisons
from pytest_fib.judge.cuda.device import Device

_CARRIERS = {
    1: torch.uint8,
    2: torch.int16,
    4: torch.int32,
    8: torch.int64,
}  # by item size: integers of as many bits
# Of what is sampled: pieces at equal distances, which is what a copy engine reads at once.
_ROWS, _WIDTH = 256, 16
_FROM_DEVICE, _TO_HOST = 2, 1
_LESSONS = 3
_POISONS = 3  # drawn on the CPU, which takes longer than anything else here
# What the judge's own work may take longer than it did. While another context is at work, even for a moment, it is
# away for 0.3 ms and more: two switches.
_SLACK_MS = 0.2


class _Copy(Structure):
    """``CUDA_MEMCPY2D``."""

    _fields_ = (
        *(("source_x", c_size_t), ("source_y", c_size_t), ("source_type", c_int)),
        *(
            ("source_host", c_void_p),
            ("source", c_uint64),
            ("source_array", c_void_p),
            ("source_pitch", c_size_t),
        ),
        *(("target_x", c_size_t), ("target_y", c_size_t), ("target_type", c_int)),
        *(
            ("target", c_void_p),
            ("target_device", c_uint64),
            ("target_array", c_void_p),
            ("target_pitch", c_size_t),
        ),
        *(("width", c_size_t), ("height", c_size_t)),
    )


class CudaArena:
    """Inputs and outputs of one workload in device memory, ``plan.inputs.sets`` sets of it; see ``JudgeArena``.

    Parameters
    ----------
    plan
        The layout; ``plan.cuda`` is set.
    random
        Secret randomness for poison, guard zones and sampled positions.
    device
        Where.
    """

    def __init__(self, plan: Plan, random: np.random.Generator, device: Device) -> None:
        self.plan = plan
        self._random = random
        self._device = device
        self._driver: Driver = device.driver
        self._blocks: list[tuple[DeviceBytes, int, int]] = []
        self._in = self._allocate(plan.inputs.nbytes)
        self._out = self._allocate(plan.outputs.nbytes)
        self._control = File(CONTROL_BYTES, "fib-control", False)
        self._reply = File(REPLY_BYTES, "fib-reply", True)
        self.control = memoryview(self._control.map).cast("Q")
        self.reply = memoryview(self._reply.map).cast("Q")
        self._lent = Region(
            tuple(slot for slot in plan.outputs.slots if slot.name in plan.in_place),
            plan.outputs.stride,
            plan.outputs.sets,
        )
        self._poisons = torch.from_numpy(poisons(plan.outputs, random, _POISONS)).to(device.name)
        self._guards = torch.from_numpy(guard_offsets(plan.outputs)).to(device.name)
        self._guard_values = self._poisons[:, self._guards]
        self._filled: dict[str, torch.Tensor] = {}
        self._starts: list[int] = []
        self._variants = np.zeros((0, 0), dtype=np.int64)
        self._lattices: list[tuple[int, int, int]] = []
        self._sampled = torch.zeros(_ROWS * _WIDTH, dtype=torch.uint8, pin_memory=True)
        self._calls = 0
        self._least_ms = self._call_ms = 0.0
        self._learn()
        self._stream = torch.cuda.Stream(device.name)  # type: ignore[no-untyped-call]

    @property
    def fds(self) -> tuple[int, int, int, int]:
        """Descriptors of inputs, outputs, control and reply, in the order in which a candidate maps them."""
        return self._blocks[0][2], self._blocks[1][2], self._control.fd, self._reply.fd

    def fill(self, request: int, sets: range, contents: Sequence[Mapping[str, torch.Tensor]]) -> None:
        """Write the inputs of the calls of ``request``, poison, and inputs written in place; a set for each call.

        What is written is made before, so that the device is at work without a pause from the first byte that the
        candidate could see to the end of ``settle``.
        """
        self._filled = {
            slot.name: _stacked(contents, slot.name) for slot in (*self.plan.inputs.slots, *self._lent.slots)
        }
        variants = torch.from_numpy(self._variants[request, : len(sets)]).to(self._device.name)
        views = {slot.name: _all(self._in, self.plan.inputs, slot, sets) for slot in self.plan.inputs.slots}
        lent = {slot.name: _all(self._out, self._lent, slot, sets) for slot in self._lent.slots}
        stride = self.plan.outputs.stride
        out = self._out[sets.start * stride : sets.stop * stride].view(len(sets), stride)
        self._device.synchronize()
        self._calls = len(sets)
        self._device.begin()
        for name, view in views.items():
            view.copy_(self._filled[name])
        torch.index_select(self._poisons.view(torch.int64), 0, variants, out=out.view(torch.int64))
        for name, view in lent.items():
            view.copy_(self._filled[name])

    def changed(self, sets: range, contents: Sequence[Mapping[str, torch.Tensor]]) -> str:
        """Return the name of an input that is no longer what ``fill`` wrote; empty if there is none."""
        same = {
            slot.name: (
                _bits(_all(self._in, self.plan.inputs, slot, sets)) == _bits(self._filled[slot.name])
            ).all()
            for slot in self.plan.inputs.slots
            if slot.nbytes
        }
        if not same:
            return ""
        found = torch.stack(list(same.values())).tolist()
        return next((name for name, equal in zip(same, found, strict=True) if not equal), "")

    def inputs_of(self, index: int) -> dict[str, torch.Tensor]:
        """Return views of the inputs in set ``index``."""
        return _views(self._in, self.plan.inputs, index)

    def clear(self, sets: Iterable[int]) -> None:
        """Overwrite inputs and outputs of ``sets``, so that whoever comes next cannot read what was there."""
        for index in sets:
            for view in self.inputs_of(index).values():
                view.zero_()
            stride = self.plan.outputs.stride
            self._out[index * stride : (index + 1) * stride].copy_(self._poisons[0])

    def prepare(self, requests: Sequence[range]) -> None:
        """Draw the secrets of the next requests, which use these sets: poisons and sampled positions."""
        self._starts = [sets.start for sets in requests]
        most = max(len(sets) for sets in requests)
        self._variants = self._random.integers(len(self._poisons), size=(len(requests), most))
        self._lattices = [self._lattice(sets) for sets in requests]

    def _lattice(self, sets: range) -> tuple[int, int, int]:
        """Return secret offset, distance and number of the pieces to sample in ``sets``."""
        begin, nbytes = sets.start * self.plan.outputs.stride, len(sets) * self.plan.outputs.stride
        if nbytes <= _ROWS * _WIDTH:
            return begin, _WIDTH, nbytes // _WIDTH
        most = (nbytes - _WIDTH) // (_ROWS - 1)
        distance = int(self._random.integers(max(_WIDTH, most // 2), most, endpoint=True))
        slack = nbytes - _WIDTH - distance * (_ROWS - 1)
        return begin + int(self._random.integers(slack, endpoint=True)), distance, _ROWS

    def settle(self) -> bool:
        """Drive what was written out of the L2 cache; return whether nobody else was at work since ``fill``."""
        self._device.flush()
        return self._device.took_ms() < self._least_ms + self._calls * self._call_ms + _SLACK_MS

    def _learn(self) -> None:
        """Find out what ``fill`` and ``settle`` take, while no candidate has this memory yet."""
        slots = (*self.plan.inputs.slots, *self._lent.slots)
        empty = {
            slot.name: torch.zeros(slot.shape, dtype=getattr(torch, slot.dtype), device=self._device.name)
            for slot in slots
        }
        most = self.plan.inputs.sets
        self.prepare([range(most)])
        took: dict[int, float] = {}
        for calls in (1, most):
            for _ in range(_LESSONS):
                self.fill(0, range(calls), [empty] * calls)
                self._device.flush()
                took[calls] = min(took.get(calls, math.inf), self._device.took_ms())
        self._least_ms = took[1]
        self._call_ms = max(0.0, took[most] - took[1]) / max(1, most - 1)

    def await_idle(self) -> None:
        """Wait until the candidate's context leaves the device to ours, which it does when it has nothing to do."""
        self._device.touch()
        self._device.synchronize()

    def untouched(self, request: int, taken: torch.Tensor, names: Sequence[str]) -> list[frozenset[str]]:
        """Return of each set of ``request`` the outputs among ``names`` that are poison still, to the last byte."""
        poison = self._poisons[torch.from_numpy(self._variants[request, : len(taken)])]
        left: list[set[str]] = [set() for _ in taken]
        for slot in self.plan.outputs.slots:
            if slot.name in names and slot.nbytes:
                part = slice(slot.offset, slot.offset + slot.nbytes)
                same = (taken[:, part] == poison[:, part]).all(dim=1).tolist()
                for found in (found for found, still in zip(left, same, strict=True) if still):
                    found.add(slot.name)
        return [frozenset(found) for found in left]

    def sample(self, request: int) -> None:
        """Have the copy engine read the secret positions of ``request``, whatever else the device does."""
        offset, distance, rows = self._lattices[request]
        copy = _Copy(
            source_type=_FROM_DEVICE,
            source=self._blocks[1][0].address + offset,
            source_pitch=distance,
            target_type=_TO_HOST,
            target=self._sampled.data_ptr(),
            target_pitch=_WIDTH,
            width=_WIDTH,
            height=rows,
        )
        stream = c_void_p(self._stream.cuda_stream)
        self._driver.check("cuMemcpy2DAsync_v2", ctypes.byref(copy), stream)
        self._driver.check("cuStreamSynchronize", stream)

    def take(self, sets: range) -> torch.Tensor:
        """Return the bytes of the outputs in ``sets`` as ``[sets, stride]`` uint8 of our own."""
        stride = self.plan.outputs.stride
        return self._out[sets.start * stride : sets.stop * stride].view(len(sets), stride).clone()

    def sample_agrees(self, request: int, taken: torch.Tensor) -> bool:
        """Whether the bytes taken are those that were there at "done"."""
        offset, distance, rows = self._lattices[request]
        inside = offset - self._starts[request] * self.plan.outputs.stride
        now = taken.reshape(-1).as_strided((rows, _WIDTH), (distance, 1), inside)
        return torch.equal(now.cpu().reshape(-1), self._sampled[: rows * _WIDTH])

    def guards_intact(self, request: int, taken: torch.Tensor) -> bool:
        """Whether nothing was written around the outputs."""
        variants = torch.from_numpy(self._variants[request, : len(taken)])
        return torch.equal(taken[:, self._guards], self._guard_values[variants])

    def close(self) -> None:
        """Unmap the memory and close the descriptors."""
        self._device.synchronize()
        self._filled.clear()
        del self._in, self._out
        for block, nbytes, descriptor in self._blocks:
            self._driver.free(block, nbytes)
            os.close(descriptor)
        for file in (self._control, self._reply):
            file.close()

    def _allocate(self, nbytes: int) -> torch.Tensor:
        block, descriptor = self._driver.allocate(nbytes)
        self._blocks.append((block, nbytes, descriptor))
        return torch.as_tensor(block, device=self._device.name)


def _stacked(contents: Sequence[Mapping[str, torch.Tensor]], name: str) -> torch.Tensor:
    """Return ``[calls, *shape]``, without a copy where there is one call only."""
    if len(contents) == 1:
        return contents[0][name].unsqueeze(0)
    return torch.stack([inputs[name] for inputs in contents])


def _all(memory: torch.Tensor, region: Region, slot: Slot, sets: range) -> torch.Tensor:
    """Return ``[sets, *shape]``: a view of one tensor in each of ``sets``."""
    kind: torch.dtype = getattr(torch, slot.dtype)
    if slot.numel == 0:
        return torch.empty((len(sets), *slot.shape), dtype=kind, device=memory.device)
    whole = memory[: region.stride * region.sets].view(kind)
    inner = torch.empty(slot.shape, device="meta").stride()
    stride = region.stride // kind.itemsize
    return whole.as_strided(
        (len(sets), *slot.shape), (stride, *inner), sets.start * stride + slot.offset // kind.itemsize
    )


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the same elements as integers: NaN is equal to itself there."""
    return tensor.view(_CARRIERS[tensor.itemsize])


def _views(memory: torch.Tensor, region: Region, index: int) -> dict[str, torch.Tensor]:
    start = region.stride * index
    return {slot.name: _view(memory, start + slot.offset, slot) for slot in region.slots}


def _view(memory: torch.Tensor, offset: int, slot: Slot) -> torch.Tensor:
    return memory[offset : offset + slot.nbytes].view(getattr(torch, slot.dtype)).view(slot.shape)
