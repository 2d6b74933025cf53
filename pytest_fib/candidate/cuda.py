"""The candidate's side of a device: a context of its own, made after the fork, and the judge's memory in it."""

from __future__ import annotations

from ctypes import byref, c_size_t, c_uint32, c_uint64, c_void_p

import numpy as np
import torch

from pytest_fib.border.arena import GO, WAKE
from pytest_fib.border.vmm import CudaError, Driver

_REGISTER = 0x02 | 0x08  # mapped for the device, which only reads it
_EQUAL = 1
_WORD_BYTES = 8
_DEVICE = "cuda:0"  # the only one that this process sees


class CudaSide:
    """One process's use of its device; making it makes the context."""

    def __init__(self) -> None:
        torch.cuda.set_device(0)
        self._tiny = torch.zeros(1, device=_DEVICE)
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._driver = Driver(0)
        self.prime()

    def map(self, descriptor: int, nbytes: int) -> torch.Tensor:
        """Return device memory of the judge's as ``[nbytes]`` uint8."""
        return torch.as_tensor(self._driver.attach(descriptor, nbytes), device=_DEVICE)

    def gate(self, control: memoryview, nbytes: int) -> int:
        """Return where the device sees the page ``control``, or 0 if it cannot be shown it."""
        try:
            page = np.frombuffer(control, dtype=np.uint64)
            self._driver.check(
                "cuMemHostRegister_v2", c_void_p(page.ctypes.data), c_size_t(nbytes), _REGISTER
            )
            address = c_uint64()
            self._driver.check("cuMemHostGetDevicePointer_v2", byref(address), c_void_p(page.ctypes.data), 0)
        except CudaError:
            return 0
        return address.value

    def wait_at(self, gate: int, sequence: int) -> None:
        """Let everything that is enqueued from now on wait until the page at ``gate`` says "go" to ``sequence``.

        A stream that has waited for long is looked after more seldom, so it waits for the wake first.
        """
        stream = c_void_p(torch.cuda.current_stream().cuda_stream)
        for word in (WAKE, GO):
            address = c_uint64(gate + word * _WORD_BYTES)
            self._driver.check("cuStreamWaitValue32_v2", stream, address, c_uint32(sequence), _EQUAL)

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
