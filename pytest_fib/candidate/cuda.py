"""The candidate's side of a device: a context of its own, made after the fork, and the judge's memory in it."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_size_t, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pytest_fib.border.arena import BEAT, CONTROL_BYTES, GO, REPLY_BYTES, WAKE
from pytest_fib.border.vmm import CudaError, DeviceBytes, Driver
from pytest_fib.candidate.cupti import ActivityClock

if TYPE_CHECKING:
    from pytest_fib.candidate.memory import Memory

_FOR_DEVICE, _READ_ONLY = 0x02, 0x08  # flags of registered host memory
_EQUAL = 1
_WORD_BYTES = 8
_DEVICE = "cuda:0"  # the only one that this process sees
# One thread says that it runs, by another number in the word for beats, and looks for "go" until it is there. The
# front end of a channel does the same without a kernel, but looks only now and then: some 8 µs later or earlier.
_GATE = b"""
.version 7.0
.target sm_70
.address_size 64
.visible .entry gate(.param .u64 go, .param .u32 sequence, .param .u64 beat)
{
  .reg .pred %shut;
  .reg .b32 %wanted, %seen;
  .reg .b64 %go, %beat, %count;
  ld.param.u64 %go, [go];
  ld.param.u32 %wanted, [sequence];
  ld.param.u64 %beat, [beat];
  ld.volatile.global.u64 %count, [%beat];
  add.s64 %count, %count, 1;
  st.volatile.global.u64 [%beat], %count;
  membar.sys;
WAIT:
  ld.volatile.global.u32 %seen, [%go];
  setp.ne.u32 %shut, %seen, %wanted;
  @%shut bra WAIT;
  ret;
}
"""


@dataclass(frozen=True)
class Gate:
    """Where the device sees the pages for control words and replies."""

    control: int
    reply: int


class CudaSide:
    """One process's use of its device; making it makes the context."""

    def __init__(self) -> None:
        torch.cuda.set_device(0)
        self._tiny = torch.zeros(1, device=_DEVICE)
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._driver = Driver(0)
        self._spin: c_void_p | None = None
        self._inner: ActivityClock | None = None
        self._blocks: dict[int, tuple[DeviceBytes, int]] = {}
        self.prime()

    def map(self, descriptor: int, nbytes: int) -> torch.Tensor:
        """Return device memory of the judge's as ``[nbytes]`` uint8."""
        block = self._driver.attach(descriptor, nbytes)
        self._blocks[block.address] = block, nbytes
        return torch.as_tensor(block, device=_DEVICE)

    def unmap(self, *blocks: Memory) -> None:
        """Give back what ``map`` returned, all of it."""
        for tensor in blocks:
            if isinstance(tensor, torch.Tensor) and tensor.data_ptr() in self._blocks:
                self._driver.free(*self._blocks.pop(tensor.data_ptr()))

    def hide(self, *pages: memoryview) -> None:
        """Have the device forget what ``gate`` showed it: another page may come to lie at the same address."""
        for words in pages:
            self._driver.check("cuMemHostUnregister", _address_of(words))

    def gate(self, control: memoryview, reply: memoryview) -> Gate | None:
        """Return where the device sees both pages, or None if it cannot be shown them, or cannot wait."""
        try:
            if self._spin is None:
                self._spin = self._load_gate()
            gate = Gate(
                self._shown(control, CONTROL_BYTES, _FOR_DEVICE | _READ_ONLY),
                self._shown(reply, REPLY_BYTES, _FOR_DEVICE),
            )
            self._launch(
                gate, control[GO]
            )  # for once an open one: what is new to a device waits for everything there
            self.finish()
            return gate
        except CudaError:
            return None

    def _load_gate(self) -> c_void_p:
        module, function = c_void_p(), c_void_p()
        self._driver.check("cuModuleLoadData", byref(module), _GATE)
        self._driver.check("cuModuleGetFunction", byref(function), module, b"gate")
        return function

    def _shown(self, words: memoryview, nbytes: int, flags: int) -> int:
        page = _address_of(words)
        self._driver.check("cuMemHostRegister_v2", page, c_size_t(nbytes), flags)
        address = c_uint64()
        self._driver.check("cuMemHostGetDevicePointer_v2", byref(address), page, 0)
        return address.value

    def wait_at(self, gate: Gate, sequence: int) -> None:
        """Let everything that is enqueued from now on wait until the control page says "go" to ``sequence``.

        Until it says "wake", nothing runs there: the device belongs to the judge, who writes inputs.
        """
        stream = c_void_p(torch.cuda.current_stream().cuda_stream)
        wake = c_uint64(gate.control + WAKE * _WORD_BYTES)
        self._driver.check("cuStreamWaitValue32_v2", stream, wake, c_uint32(sequence), _EQUAL)
        self._launch(gate, sequence)

    def _launch(self, gate: Gate, sequence: int) -> None:
        stream = c_void_p(torch.cuda.current_stream().cuda_stream)
        go, beat = c_uint64(gate.control + GO * _WORD_BYTES), c_uint64(gate.reply + BEAT * _WORD_BYTES)
        wanted = c_uint32(sequence)
        given = (c_void_p * 3)(*(ctypes.addressof(value) for value in (go, wanted, beat)))
        one = (1, 1, 1, 1, 1, 1)
        self._driver.check("cuLaunchKernel", self._spin, *one, 0, stream, given, None)

    def watch(self) -> None:
        """Note from now on when everything on the device begins and ends, as far as the driver says it."""
        if self._inner is None:
            self._inner = ActivityClock()
        self._inner.start()

    def watched(self, calls: int) -> int:
        """Return how long one of the ``calls`` calls since ``watch`` took, in picoseconds; 0 if that is unknown."""
        return 0 if self._inner is None else self._inner.stop(calls)

    def prime(self) -> None:
        """Bring this process's context back to the device: what ran there last was the judge's, 0.1 ms away."""
        with torch.cuda.stream(self._stream):
            self._tiny.add_(1)
        self._stream.synchronize()

    def finish(self) -> None:
        """Wait for everything that this process runs on the device, whatever the stream.

        Raises
        ------
        CudaError
            If some of it failed: an illegal address, a launch that cannot be.
        """
        self._driver.check("cuCtxSynchronize")


def _address_of(words: memoryview) -> c_void_p:
    return c_void_p(np.frombuffer(words, dtype=np.uint64).ctypes.data)
