"""The candidate's side of a device: a context of its own, made after the fork, and the judge's memory in it."""

from __future__ import annotations

import torch

from pytest_fib.border.vmm import Driver

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
