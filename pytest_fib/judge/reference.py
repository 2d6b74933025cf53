"""The reference implementation: trusted code of the dataset, run in the judge's process and called by name."""

from __future__ import annotations

import inspect
import linecache
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.text import escape
from pytest_fib.errors import DataError, NotJudgeable
from pytest_fib.judge.float64 import NARROW, float64

Inputs = Mapping[str, "torch.Tensor | int | float | bool"]


class Reference:
    """The callable reference of one definition.

    Parameters
    ----------
    definition
        Its ``reference`` is Python source that defines ``run``.
    in_place
        Inputs that it writes and whose content afterwards counts among the outputs, behind those of the definition.
    device
        Where its inputs are. A reference that does not run there runs on the CPU.

    Raises
    ------
    NotJudgeable
        If there is no reference to run.
    DataError
        If the source does not define a callable ``run``.
    """

    def __init__(self, definition: Definition, in_place: tuple[str, ...] = (), device: str = "cpu") -> None:
        problem = definition.reference_problem()
        if problem is not None:
            raise NotJudgeable(problem)
        self._definition = definition
        self._title = _title(definition)
        self._in_place = in_place
        self._names = (*definition.outputs, *in_place)
        specs = {**definition.inputs, **definition.outputs}
        self._dtypes: dict[str, torch.dtype] = {
            name: getattr(torch, specs[name].dtype) for name in self._names
        }
        self._run = _compile(definition)
        self._by_name = _takes_names(self._run, list(definition.inputs))
        self._written: tuple[str, ...] | None = None  # known after the first call
        self._device = device
        self._runs_on = device

    def __call__(
        self, inputs: Inputs, shapes: Mapping[str, tuple[int, ...]]
    ) -> tuple[list[torch.Tensor], int]:
        """Return the outputs, those in place last, and the nanoseconds that computing them took.

        ``inputs`` are left as they are: a reference that writes into its arguments is given copies.

        Raises
        ------
        DataError
            If the reference raises, or returns something else than the definition says.
        """
        if self._runs_on != "cpu":
            try:
                return self._computed(inputs, shapes)
            except (DataError, torch.cuda.OutOfMemoryError):
                torch.cuda.empty_cache()
                outputs = self._on_cpu(inputs, shapes)
                self._runs_on = "cpu"  # it does know the answer, but not on a device
                return outputs
        if self._device != "cpu":
            return self._on_cpu(inputs, shapes)
        return self._computed(inputs, shapes)

    def _on_cpu(
        self, inputs: Inputs, shapes: Mapping[str, tuple[int, ...]]
    ) -> tuple[list[torch.Tensor], int]:
        near = {name: _moved(value, "cpu") for name, value in inputs.items()}
        outputs, elapsed = self._computed(near, shapes)
        return [output.to(self._device) for output in outputs], elapsed

    def _computed(
        self, inputs: Inputs, shapes: Mapping[str, tuple[int, ...]]
    ) -> tuple[list[torch.Tensor], int]:
        if self._in_place or self._written != ():
            inputs = {name: _copy(value) for name, value in inputs.items()}
        before = _versions(inputs) if self._written is None else {}
        start = time.perf_counter_ns()
        try:
            with torch.no_grad():
                result = self._called(inputs)
                if self._runs_on != "cpu":
                    torch.cuda.synchronize(self._runs_on)
        except Exception as error:  # the dataset's code may raise anything
            raise DataError(
                f"{self._title} raised {type(error).__name__}: {escape(str(error), 400)}; "
                "correct the definition or the workload"
            ) from error
        elapsed = time.perf_counter_ns() - start
        if self._written is None:
            after = _versions(inputs)
            self._written = tuple(name for name, version in before.items() if after[name] != version)
        return self._outputs(result, inputs, shapes), elapsed

    @property
    def undeclared(self) -> tuple[str, ...]:
        """The inputs that the first call wrote although nothing says that they are written in place."""
        return tuple(name for name in self._written or () if name not in self._in_place)

    def in_float64(
        self, inputs: Inputs, shapes: Mapping[str, tuple[int, ...]]
    ) -> list[torch.Tensor | None] | None:
        """Return the outputs computed in float64 throughout, or None where this reference cannot be run so.

        ``inputs`` are those of a call; floats of at least 16 bits are widened here. In place of outputs that are no
        floats there is None.
        """
        if self._runs_on != self._device:
            return None
        wide = {name: _widened(value) for name, value in inputs.items()}
        try:
            with torch.no_grad(), float64():
                result = self._called(wide)
        except (
            Exception
        ):  # it asks for a type, looks at bits, or is broken: that is reported where it decides
            return None
        try:
            values = self._values(result, wide)
        except DataError:
            return None
        outputs: list[torch.Tensor | None] = []
        for (name, shape), value in zip(shapes.items(), values, strict=True):
            if not self._dtypes[name].is_floating_point:
                outputs.append(None)
                continue
            if not isinstance(value, torch.Tensor):
                return None
            if value.dtype is not torch.float64 or tuple(value.shape) != shape:
                return None
            outputs.append(value)
        return outputs

    def _called(self, inputs: Inputs) -> object:
        if self._by_name:
            return self._run(**inputs)
        return self._run(*(inputs[name] for name in self._definition.inputs))

    def _values(self, result: object, inputs: Inputs) -> list[object]:
        names = list(self._definition.outputs)
        if isinstance(result, Mapping):
            values = [result.get(name) for name in names]
        elif isinstance(result, (tuple, list)):
            values = list(result)
        else:
            values = [result]
        if len(values) != len(names):
            raise DataError(
                f"{self._title} returned {len(values)} values for {len(names)} outputs; "
                "correct the definition"
            )
        return [*values, *(inputs[name] for name in self._in_place)]

    def _outputs(
        self, result: object, inputs: Inputs, shapes: Mapping[str, tuple[int, ...]]
    ) -> list[torch.Tensor]:
        values = self._values(result, inputs)
        return [
            self._output(name, value, shapes[name]) for name, value in zip(self._names, values, strict=True)
        ]

    def _output(self, name: str, value: object, shape: tuple[int, ...]) -> torch.Tensor:
        dtype = self._dtypes[name]
        if not isinstance(value, torch.Tensor):
            value = self._tensor(name, value, dtype)
        if self._runs_on != "cpu":
            value = value.to(self._runs_on)
        if value.shape != shape or value.dtype != dtype:
            raise DataError(
                f"{self._title} returned {name} as {list(value.shape)} {value.dtype}, "
                f"the definition says {list(shape)} {dtype}; correct the definition"
            )
        return value

    def _tensor(self, name: str, value: object, dtype: torch.dtype) -> torch.Tensor:
        try:
            return torch.tensor(value, dtype=dtype)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise DataError(
                f"{self._title} returned {name} as {type(value).__name__}, which is no tensor; correct the definition"
            ) from None


def _title(definition: Definition) -> str:
    return f"the reference of {escape(definition.name, 80)}"


def _compile(definition: Definition) -> Callable[..., Any]:
    name = f"<reference of {definition.name}>"
    source = definition.reference.replace("\r\n", "\n")
    # Tracebacks and TorchScript look the source up here.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"__name__": f"fib_reference_{definition.name}"}
    try:
        exec(compile(source, name, "exec"), namespace)
    except Exception as error:  # the dataset's code may raise anything
        raise DataError(
            f"{_title(definition)} cannot be imported: {type(error).__name__}: {escape(str(error), 400)}; correct it"
        ) from error
    run: Callable[..., Any] | None = namespace.get("run")
    if not callable(run):
        raise DataError(f"{_title(definition)} defines no function run: add it")
    return run


def _takes_names(run: Callable[..., Any], names: list[str]) -> bool:
    try:
        parameters = inspect.signature(run).parameters
    except (TypeError, ValueError):
        return False
    return set(parameters) == set(names)


def _widened(value: torch.Tensor | int | float | bool) -> torch.Tensor | int | float | bool:
    if not isinstance(value, torch.Tensor):
        return value
    return value.to(torch.float64) if value.dtype in NARROW else value.clone()


def _versions(inputs: Inputs) -> dict[str, int]:
    """Return how often each tensor has been written to, as torch counts."""
    return {name: value._version for name, value in inputs.items() if isinstance(value, torch.Tensor)}


def _moved(value: torch.Tensor | int | float | bool, device: str) -> torch.Tensor | int | float | bool:
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _copy(value: torch.Tensor | int | float | bool) -> torch.Tensor | int | float | bool:
    return value.clone() if isinstance(value, torch.Tensor) else value
