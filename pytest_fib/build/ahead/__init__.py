"""Triton's kernels, compiled ahead of any call and without a device.

The entry point is called with tensors that have no content, on a device that is not there, and each kernel that it
launches is compiled for the arguments that it is launched with. So the solution itself says which specialisations
there are. Whatever keeps it from going on is remarked and is no failure: a device might not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
import triton

from pytest_fib.border.ahead import NOTE_BYTES, Compiled, Example, Like
from pytest_fib.border.order import Order
from pytest_fib.build import BuildError
from pytest_fib.build.ahead.content import META, Content
from pytest_fib.build.ahead.device import pretend_device
from pytest_fib.build.ahead.launches import Launches, name_of
from pytest_fib.build.ahead.probe import launch_known_kernel
from pytest_fib.build.ahead.target import PretendedDriver, Target
from pytest_fib.build.ahead.words import compile_error, gist, names, place_of
from pytest_fib.build.sources import own_file

_ALWAYS_TRIED = 2  # examples; the others only while there are kernels that no launch has reached


class Ahead:
    """Compiles the kernels of the solution that ``order`` describes; made before it is loaded, used once.

    From then on this process believes in a device, and launches nothing: it is good for nothing else.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._target = Target.of(order.architecture)
        self._content = Content()
        self._note = -1
        self._tried = 0
        self._launches = Launches(self._target, self._content, self._write_note)
        triton.runtime.driver.set_active(PretendedDriver(self._target))
        pretend_device(self._content, self._target)
        self._launches.catch()

    def compile(self, entry: Callable[..., Any], destination_passing: bool, note: int) -> Compiled:
        """Call ``entry`` with every example of the order, and compile what it launches.

        Parameters
        ----------
        entry
            The solution's entry point.
        destination_passing
            Whether it takes the outputs as well.
        note
            A memory file for the name of the kernel that is being compiled: if Triton's compiler ends this process,
            the judge reads it there.

        Raises
        ------
        BuildError
            If a kernel does not compile.
        """
        self._note = note
        problem = self._try_known_kernel()
        if problem:
            return Compiled(remarks=(problem,))
        stop: BaseException | None = None
        for example in self._order.examples:
            if self._tried >= _ALWAYS_TRIED and not self._launches.never_reached(_own_modules()):
                break
            self._tried += 1
            error = self._call(entry, example, destination_passing)
            for failure in self._launches.failures:
                if not failure.made_up and _comes_from(error, failure.error):
                    raise BuildError(compile_error(failure, self._order.sources, self._target.shown))
            if stop is None:
                stop = error
        compiled = tuple(name_of(kernel) for kernel in self._launches.compiled)
        return Compiled(compiled, tuple(self._remarks(stop)))

    def _try_known_kernel(self) -> str:
        """Return why Triton can compile nothing here, empty if it can."""
        try:
            known = launch_known_kernel()
        except Exception as error:  # whatever this Triton does differently: no solution is to blame
            return (
                f"no Triton kernel was compiled: Triton {triton.__version__} does not compile a known one without a "
                f"device ({gist(error)})"
            )
        self._launches.forget(known)
        return ""

    def _call(
        self, entry: Callable[..., Any], example: Example, destination_passing: bool
    ) -> BaseException | None:
        """Call the entry point; return what it raised, if it did."""
        arguments = [*example.inputs, *(example.outputs if destination_passing else ())]
        self._content.begin()
        try:
            entry(*map(_argument, arguments))
        except BaseException as error:  # it is the solution's, and only tells where it went no further
            return error
        return None

    def _remarks(self, stop: BaseException | None) -> Iterator[str]:
        yield from self._on_failures()
        yield from self._on_made_up()
        launches, entry = self._launches, self._order.entry_symbol
        left = launches.never_reached(_own_modules())
        found_some = bool(left or launches.compiled or launches.failures)
        if stop is None:
            tried = "1 workload" if self._tried == 1 else f"{self._tried} workloads"
            why = f"{entry} launches no other kernel for the shapes of {tried}"
        else:
            why = f"without a device {entry} stops at {place_of(stop) or 'an unknown place'} ({gist(stop)})"
        if left:
            yield f"{names(left)} not compiled: {why}"
        elif not found_some and self._order.language == "triton":
            yield f"no Triton kernel was compiled: {why}"
        elif (
            found_some
            and stop is not None
            and not any(_comes_from(stop, one.error) for one in launches.failures)
        ):
            yield f"{why}, and what it launches behind that was not compiled"

    def _on_failures(self) -> Iterator[str]:
        """Say which kernels do not compile though that is no failure of the solution."""
        for failure in {id(failure.kernel): failure for failure in self._launches.failures}.values():
            name, said = name_of(failure.kernel), gist(failure.error)
            if failure.made_up:
                yield f"{name} does not compile with made-up values for what is read at {failure.made_up}: {said}"
            else:
                yield f"{name} does not compile, which the solution deals with: {said}"

    def _on_made_up(self) -> Iterator[str]:
        """Say which kernels were compiled only where the solution had read from the device."""
        launches, place = self._launches, self._content.first_place
        unsure = [kernel for key, kernel in launches.unsure.items() if key not in launches.sure]
        if unsure:
            yield f"{names(unsure)} compiled with made-up values for what {self._order.entry_symbol} reads at {place}"
        elif place and not any(failure.made_up for failure in launches.failures):
            yield f"{self._order.entry_symbol} reads from the device at {place}, where values were made up"

    def _write_note(self, name: str) -> None:
        if self._note >= 0:
            os.pwrite(self._note, name.encode("utf-8", "replace")[:NOTE_BYTES].ljust(NOTE_BYTES, b"\0"), 0)


def _argument(item: Like | int | float | bool) -> Any:
    if isinstance(item, Like):
        return torch.empty(item.shape, dtype=getattr(torch, item.dtype), device=META)
    return item


def _comes_from(error: BaseException | None, origin: BaseException) -> bool:
    """Whether ``error`` is ``origin``, or was raised from it or in its handling."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if error is origin:
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _own_modules() -> list[ModuleType]:
    modules = list(sys.modules.values())
    return [module for module in modules if own_file(getattr(module, "__file__", None) or "")]
