"""What is made sure of before a run collects anything: the sandbox that it demands, and a judge that is right."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from pytest_fib.bridge.xdist import is_worker
from pytest_fib.data.layers import describe, missing_layers, refusal
from pytest_fib.judges import judge_factory
from pytest_fib.report.text import for_encoding

if TYPE_CHECKING:
    from pytest_fib.session import FibSession


class Preflight:
    """The checks of one run; they happen in the controller, and only in a run that judges."""

    def __init__(self, fib: FibSession) -> None:
        self._fib = fib

    def check(self) -> None:
        """Refuse the run if what its settings demand is not so.

        Raises
        ------
        pytest.UsageError
            A layer of the sandbox is missing, or the selftest came out wrong: one sentence.
        """
        settings = self._fib.settings
        if settings.require_sandbox and self._applies:
            missing = missing_layers(self._layers)
            if missing:
                raise pytest.UsageError(refusal(missing))
        if settings.selftest and self._applies:
            self._check_judge()

    def header(self) -> list[str]:
        """Return a line on device and sandbox, where the sandbox is demanded or ``-v`` asks for it."""
        demanded, verbosity = self._fib.settings.require_sandbox, self._fib.config.get_verbosity()
        if not self._applies or not (demanded or verbosity > 0):
            return []
        return [f"fib: device {self._device()}, {describe(self._layers)}"]

    @property
    def _applies(self) -> bool:
        config = self._fib.config
        return not is_worker(config) and not config.option.collectonly

    def _device(self) -> str:
        """The device, without importing torch for it: what ``auto`` means where NVIDIA's driver has devices."""
        from pytest_fib.candidate.sandbox.policy import nvidia_devices

        device = self._fib.settings.device
        if device != "auto":
            return device
        return "auto (a GPU for solutions that are written for one, else cpu)" if nvidia_devices() else "cpu"

    @cached_property
    def _layers(self) -> list[tuple[str, bool, str]]:
        """The layers that this machine allows; finding out takes about 0.1 s."""
        from pytest_fib.candidate.sandbox.probe import probe

        report = probe(cuda=self._fib.settings.device.startswith("cuda"))
        return [(layer.name, layer.active, layer.reason) for layer in report.layers]

    def _check_judge(self) -> None:
        from pytest_fib.selftest import run_selftest

        wrong = run_selftest(judge_factory(self._fib.config), self._write)
        if wrong:
            raise pytest.UsageError(wrong)

    def _write(self, line: str) -> None:
        config = self._fib.config
        if config.get_verbosity() >= 0:
            config.get_terminal_writer().line(for_encoding(line, sys.stdout.encoding))
