"""Shapes of a definition: hypothesis draws them, within the memory that they may take, and they become workloads."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from math import prod

from hypothesis import reject
from hypothesis import strategies as st

from pytest_fib.data.definition import Definition
from pytest_fib.data.dtypes import ITEMSIZE
from pytest_fib.data.fuzzing import Shape
from pytest_fib.data.trace import Trace
from pytest_fib.data.workload import CustomInput, Input, RandomInput, ScalarInput, Workload
from pytest_fib.errors import DataError
from pytest_fib.fuzz.axes import Axes
from pytest_fib.fuzz.sizes import EDGES, LARGEST, first_place, last_place, size_at

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "fuzz.pytest-fib")
MOST_ABOVE_LEAST = 4096
LEAST_ROOM, MOST_ROOM = 256 << 10, 64 << 20
_SMALLER = 64  # smaller sizes of one axis that are tried, besides edges


class Shapes:
    """The shapes of ``definition`` that are worth judging.

    Parameters
    ----------
    definition
        Whose variable axes are drawn.
    published
        Its workloads. Shapes take no more memory than the largest of them, which says what the solution is meant for,
        within [LEAST_ROOM, MOST_ROOM] bytes beyond the smallest shape that there is. The first one lends its scalars,
        its tolerance and the inputs that the definition makes itself.
    """

    def __init__(self, definition: Definition, published: Iterable[Workload] = ()) -> None:
        self.definition = definition
        self._axes = Axes(definition)
        self._published = list(published)

    @cached_property
    def room(self) -> int:
        """Bytes that the inputs and outputs of a shape may take."""
        smallest = self._nbytes_or_none(self._smallest({})) or 0
        largest = max((self._nbytes_or_none(workload.axes) or 0 for workload in self._published), default=0)
        return smallest + min(max(largest - smallest, LEAST_ROOM), MOST_ROOM)

    def strategy(self) -> st.SearchStrategy[Shape]:
        """Return what hypothesis draws: plain content before edges, then the free axes in their order."""

        @st.composite
        def shapes(draw: st.DrawFn) -> Shape:
            edges = draw(st.booleans()) if self._has_lengths else False
            free: dict[str, int] = {}
            for axis in self._axes.free:
                least, most = self._range(axis, free)
                free[axis] = draw(st.integers(first_place(least), last_place(most)).map(size_at))
            try:
                return self._shape(free, edges)
            except DataError:
                reject()

        return shapes()

    def smaller(self, shape: Shape) -> Iterator[Shape]:
        """Yield shapes that differ from ``shape`` in one thing that is smaller: content, or one of the free axes."""
        free = dict(zip(self._axes.free, shape.drawn, strict=True))
        if shape.edges:
            yield self._shape(free, False)
        for axis, drawn in free.items():
            before = {name: free[name] for name in self._axes.free[: self._axes.free.index(axis)]}
            least = self._axes.bounds(axis, before)[0]
            few = range(least, drawn)[:_SMALLER]
            for size in (*few, *(edge for edge in EDGES if few.stop <= edge < drawn)):
                with suppress(DataError):
                    yield self._shape({**free, axis: size}, shape.edges)

    def _shape(self, free: Mapping[str, int], edges: bool) -> Shape:
        return Shape(self._axes.complete(free), edges, tuple(free.values()))

    def nbytes(self, axes: Mapping[str, int]) -> int:
        """Return the bytes of all inputs and outputs; raises DataError where the definition has no such shape."""
        specs = {**self.definition.inputs, **self.definition.outputs}
        shapes = {**self.definition.input_shapes(axes), **self.definition.output_shapes(axes)}
        return sum(int(prod(shape) * ITEMSIZE[specs[name].dtype]) for name, shape in shapes.items() if shape)

    def workload(self, shape: Shape) -> Workload:
        """Return the workload of ``shape``; equal shapes have equal workloads."""
        key = json.dumps([self.definition.name, shape.axes, shape.edges])
        inputs: dict[str, Input] = {name: self._input(name) for name in self.definition.inputs}
        random = next((name for name, item in inputs.items() if isinstance(item, RandomInput)), None)
        if shape.edges and random is not None:
            inputs[random] = RandomInput(edges=True)
        tolerance = self._published[0].tolerance if self._published else None
        return Workload(
            axes=dict(shape.axes), inputs=inputs, uuid=str(uuid.uuid5(NAMESPACE, key)), tolerance=tolerance
        )

    @cached_property
    def _has_lengths(self) -> bool:
        """Whether an input may say how long sequences are: a vector of integers."""
        return any(
            spec.shape is not None and len(spec.shape) == 1 and spec.dtype in ("int32", "int64")
            for spec in self.definition.inputs.values()
        )

    def _range(self, axis: str, free: Mapping[str, int]) -> tuple[int, int]:
        """Return the sizes between which ``axis`` is drawn, given those that are drawn already."""
        least, most = self._axes.bounds(axis, free)
        ceiling = min(least + MOST_ABOVE_LEAST, LARGEST - 1, *(() if most is None else (most,)))
        if ceiling < least:
            reject()
        fits, too_large = least, ceiling + 1
        while too_large - fits > 1:
            middle = (fits + too_large) // 2
            nbytes = self._nbytes_or_none(self._smallest({**free, axis: middle}))
            if nbytes is None or nbytes <= self.room:
                fits = middle
            else:
                too_large = middle
        return least, fits

    def _nbytes_or_none(self, axes: Mapping[str, int]) -> int | None:
        """Return the bytes, or None where there is no such shape."""
        try:
            return self.nbytes(axes)
        except DataError:
            return None

    def _smallest(self, free: Mapping[str, int]) -> dict[str, int]:
        """Return the smallest sizes of all axes, given some of the free ones."""
        sizes = dict(free)
        for axis in self._axes.free:
            if axis not in sizes:
                sizes[axis] = self._axes.bounds(axis, sizes)[0]
        return self._axes.sizes(sizes)

    def _input(self, name: str) -> Input:
        item = self._published[0].inputs.get(name) if self._published else None
        return item if isinstance(item, (ScalarInput, CustomInput)) else RandomInput()


def workload_line(definition: str, workload: Workload) -> str:
    """Return a workload as a line for the definition's ``.jsonl`` file, with what the official schema leaves out."""
    line = json.loads(Trace(definition=definition, workload=workload).to_json_line())
    for name, item in workload.inputs.items():
        if isinstance(item, RandomInput) and item.edges:
            line["workload"]["inputs"][name]["edges"] = True
    if workload.tolerance is not None:
        line["workload"]["tolerance"] = workload.tolerance.model_dump(mode="json", exclude_none=True)
    return json.dumps(line)
