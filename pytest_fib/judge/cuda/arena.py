"""The judge's side of an arena in device memory: written, poisoned, sampled and taken in the judge's own context.

Two contexts share a device by turns: bringing the other one back costs 0.1 to 0.2 ms, and while work of one is
under way the other waits for the end of a time slice, about 2 ms. So the judge's own work before "go" shows whether
the candidate's is at an end, and what is read at "done" is read by a copy engine, which waits for nobody.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from ctypes import Structure, c_int, c_size_t, c_uint64, c_void_p

import numpy as np
import torch

from pytest_fib.border.arena import CONTROL_BYTES, REPLY_BYTES, Plan, Region, Slot
from pytest_fib.border.vmm import DeviceBytes, Driver
from pytest_fib.judge.arena import File, guard_offsets, poisons
from pytest_fib.judge.cuda.device import Device
from pytest_fib.judge.failures import DeviceBusy

_ROWS, _WIDTH = (
    256,
    16,
)  # of what is sampled: pieces at equal distances, which is what a copy engine reads at once
_IDLE_S = 1e-3  # own work takes 0.2 ms where nobody else is at work, and more than 2 ms where somebody is
_PATIENCE_S = 2.0
_FROM_DEVICE, _TO_HOST = 2, 1


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
        self._poisons = torch.from_numpy(poisons(plan.outputs, random)).to(device.name)
        self._guards = torch.from_numpy(guard_offsets(plan.outputs)).to(device.name)
        self._guard_values = self._poisons[:, self._guards]
        self._starts: list[int] = []
        self._variants = np.zeros((0, 0), dtype=np.int64)
        self._lattices: list[tuple[int, int, int]] = []
        self._sampled = torch.zeros(_ROWS * _WIDTH, dtype=torch.uint8, pin_memory=True)
        self._stream = torch.cuda.Stream(device.name)  # type: ignore[no-untyped-call]

    @property
    def fds(self) -> tuple[int, int, int, int]:
        """Descriptors of inputs, outputs, control and reply, in the order in which a candidate maps them."""
        return self._blocks[0][2], self._blocks[1][2], self._control.fd, self._reply.fd

    def fill(self, index: int, inputs: Mapping[str, torch.Tensor]) -> None:
        """Copy the inputs of one call into set ``index``."""
        for name, view in self.inputs_of(index).items():
            view.copy_(inputs[name])

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

    def poison(self, request: int, index: int) -> None:
        """Overwrite the outputs and guard zones of set ``index`` with the plausible values of ``request``."""
        stride = self.plan.outputs.stride
        variant = int(self._variants[request, index - self._starts[request]])
        self._out[index * stride : (index + 1) * stride].copy_(self._poisons[variant])

    def lend(self, index: int, inputs: Mapping[str, torch.Tensor]) -> None:
        """Put the inputs that are written in place where the poison of set ``index`` is."""
        for name, view in _views(self._out, self._lent, index).items():
            view.copy_(inputs[name])

    def settle(self) -> None:
        """Wait until everything is written, drive it out of the L2 cache, and see that nobody else is at work.

        Raises
        ------
        DeviceBusy
            If somebody is, and does not come to an end.
        """
        self._device.synchronize()
        end = time.monotonic() + _PATIENCE_S
        while not self._undisturbed():
            if time.monotonic() > end:
                raise DeviceBusy(
                    "the device is not idle between requests: the candidate, or another program, is at work on it"
                )

    def _undisturbed(self) -> bool:
        start = time.perf_counter()
        self._device.flush()
        self._device.synchronize()
        return time.perf_counter() - start < _IDLE_S + self._device.flush_s

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


def _views(memory: torch.Tensor, region: Region, index: int) -> dict[str, torch.Tensor]:
    start = region.stride * index
    return {slot.name: _view(memory, start + slot.offset, slot) for slot in region.slots}


def _view(memory: torch.Tensor, offset: int, slot: Slot) -> torch.Tensor:
    return memory[offset : offset + slot.nbytes].view(getattr(torch, slot.dtype)).view(slot.shape)
