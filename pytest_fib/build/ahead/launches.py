"""Launches of Triton's kernels, caught: each is compiled for its arguments, as Triton would, and not run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from triton.runtime import Autotuner, JITFunction, KernelInterface, OutOfResources

from pytest_fib.build.ahead.content import Content
from pytest_fib.build.ahead.target import DriverLacks, Target
from pytest_fib.build.sources import own_file


@dataclass(frozen=True)
class Failure:
    """A kernel that does not compile, and what Triton raised; ``made_up`` where made-up content led to it."""

    kernel: Any
    error: Exception
    made_up: str


class Launches:
    """Everything that was launched.

    Parameters
    ----------
    target
        What is compiled for.
    content
        What the solution looked at.
    note
        Told the name of the kernel that is being compiled, and an empty one when it is.

    Attributes
    ----------
    sure, unsure
        The kernels that were compiled, by their ids; unsure ones only behind a look at made-up content.
    failures
        What did not compile, in order; not what an autotuner passes over as it would on a device.
    """

    def __init__(self, target: Target, content: Content, note: Callable[[str], None]) -> None:
        self._target = target
        self._content = content
        self._note = note
        self.sure: dict[int, Any] = {}
        self.unsure: dict[int, Any] = {}
        self.failures: list[Failure] = []

    def catch(self) -> None:
        """Compile instead of launching from here on, in this whole process."""
        compile_or_launch, tune = JITFunction.run, Autotuner.run

        def run(kernel: Any, *args: Any, grid: Any = None, warmup: bool = True, **named: Any) -> Any:
            # With warmup Triton compiles for these very arguments and does not launch.
            return self._compile(
                kernel, lambda: compile_or_launch(kernel, *args, grid=grid, warmup=True, **named)
            )

        def run_tuned(tuner: Any, *args: Any, **named: Any) -> Any:
            before = len(self.failures)
            tuner.do_bench = _first_that_compiles()
            result = tune(tuner, *args, **named)
            del self.failures[before:]
            return result

        JITFunction.run, Autotuner.run = run, run_tuned

    def _compile(self, kernel: Any, compile_it: Callable[[], Any]) -> Any:
        self._note(name_of(kernel))
        try:
            compiled = compile_it()
            shared = getattr(getattr(compiled, "metadata", None), "shared", 0)
            if shared > self._target.shared_bytes:  # Triton would say so when it loads the kernel
                raise OutOfResources(shared, self._target.shared_bytes, "shared memory")
        except DriverLacks:
            raise
        except Exception as error:  # Triton raises many things; the solution sees it too
            self.failures.append(Failure(kernel, error, self._content.place))
            raise
        finally:
            self._note("")
        (self.unsure if self._content.place else self.sure)[id(kernel)] = kernel
        return compiled

    @property
    def compiled(self) -> list[Any]:
        """All that were compiled."""
        return list({**self.sure, **self.unsure}.values())

    def forget(self, kernel: Any) -> None:
        """Leave out a kernel that is none of the solution's."""
        self.sure.pop(id(kernel), None)
        self.unsure.pop(id(kernel), None)

    def never_reached(self, modules: Iterable[ModuleType]) -> list[Any]:
        """Return the kernels of ``modules`` that were not launched, and are no part of one that was."""
        launched = [*self.compiled, *(failure.kernel for failure in self.failures)]
        known = {id(kernel): kernel for module in modules for kernel in _kernels_of(module)}
        left = {key: kernel for key, kernel in known.items() if key not in _with_parts(launched)}
        parts = {
            key
            for kernel in left.values()
            for part in _parts(kernel)
            if part is not kernel
            for key in _with_parts([part])
        }
        return [kernel for key, kernel in left.items() if key not in parts]


def name_of(kernel: Any) -> str:
    """Return the name of a kernel's function."""
    return str(getattr(kernel, "__name__", "?"))


def _first_that_compiles() -> Callable[..., list[float]]:
    """Return a benchmark for one tuning: the first configuration that compiles wins, the others are not tried."""
    found = False

    def bench(launch: Callable[[], object], quantiles: object = None, **_named: object) -> list[float]:
        nonlocal found
        if found:
            return [float("inf")] * 3
        launch()
        found = True
        return [0.0] * 3

    return bench


def _kernels_of(module: ModuleType) -> Iterator[Any]:
    """Yield the kernels that a module has by name and that are written in one of the solution's files."""
    for value in list(vars(module).values()):
        kernel = value
        while isinstance(kernel, KernelInterface) and not isinstance(kernel, JITFunction):
            kernel = getattr(kernel, "fn", None)  # autotune and heuristics wrap it
        if isinstance(kernel, JITFunction) and own_file(kernel.fn.__code__.co_filename):
            yield kernel


def _with_parts(kernels: Iterable[Any]) -> set[int]:
    """Return the ids of ``kernels`` and of all that they call, as far as names in their code tell."""
    found: set[int] = set()
    waiting = list(kernels)
    while waiting:
        kernel = waiting.pop()
        if id(kernel) not in found:
            found.add(id(kernel))
            waiting.extend(_parts(kernel))
    return found


def _parts(kernel: Any) -> Iterator[Any]:
    """Yield the kernels that are named in the code of ``kernel``, by themselves or as those of a module."""
    function = kernel.fn
    names = function.__code__.co_names
    found = [function.__globals__.get(name) for name in names]
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a cell that is still empty
            found.append(cell.cell_contents)
    for value in list(found):
        if isinstance(value, ModuleType):
            found.extend(getattr(value, name, None) for name in names)
    yield from (value for value in found if isinstance(value, JITFunction))
