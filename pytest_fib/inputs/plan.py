"""The plan of a workload's inputs: checked once, drawn call by call."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.text import escape
from pytest_fib.data.traceset import Traceset
from pytest_fib.data.workload import CustomInput, RandomInput, SafetensorsInput, ScalarInput, Workload
from pytest_fib.errors import DataError, NotJudgeable
from pytest_fib.inputs.captured import CapturedFiles
from pytest_fib.inputs.custom import CustomInputs
from pytest_fib.inputs.distributions import NORMAL, Distributions, varied_inputs
from pytest_fib.inputs.dtypes import TORCH
from pytest_fib.inputs.keys import Stream
from pytest_fib.inputs.pool import DevicePool, Pool
from pytest_fib.inputs.recipes import Plain, Problem, Recipe
from pytest_fib.inputs.scalars import Scalar, converted
from pytest_fib.inputs.sources import Constant, Drawing, Drawn, Source, TensorLayout
from pytest_fib.inputs.structured import GENERATORS
from pytest_fib.inputs.values import scalar_values

_SMALL_BYTES = 1 << 16  # that cost the CPU less than the few operations of a device
_TOGETHER = 4  # calls from which it pays to draw small inputs on a device, for all of them at once


class InputPlan:
    """What the inputs of one workload look like, and how each call's content is drawn.

    Attributes
    ----------
    tensors
        Shape and dtype of every tensor input, in the definition's order.
    scalars
        Value of every scalar input, in the definition's order; the same at every call.
    synthesized
        The inputs whose captured tensors are absent and that are drawn instead.
    nbytes
        Bytes of all tensors of one call.
    """

    def __init__(
        self,
        tensors: Mapping[str, TensorLayout],
        scalar_values: Mapping[str, Scalar],
        sources: Mapping[str, Source],
        synthesized: tuple[str, ...],
        device: str,
        distributions: Distributions | None = None,
        bulk: DevicePool | None = None,
    ) -> None:
        self.tensors = dict(tensors)
        self.scalars = dict(scalar_values)
        self.synthesized = synthesized
        self.nbytes = sum(layout.nbytes for layout in self.tensors.values())
        self._sources = dict(sources)
        self._device = torch.device(device)
        self._distributions = distributions
        self._bulk = bulk

    @property
    def varied(self) -> bool:
        """Whether some calls have another distribution than the usual one."""
        return self._distributions is not None

    def distribution(self, call: int) -> str:
        """Return what the plain random float inputs of ``call`` are like: ``normal`` or something else."""
        return NORMAL if self._distributions is None else self._distributions.of(call)

    def draw(
        self,
        call: int,
        out: Mapping[str, torch.Tensor] | None = None,
        only: Collection[str] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return the input tensors of one call, contiguous, on the plan's device.

        Equal calls give equal content; different calls give independent content in every input that is drawn,
        while captured inputs and those that the workload states stay the same. The tensors are to be treated
        as read-only.

        Parameters
        ----------
        call
            Any integer in [0, 2^64).
        out
            Tensors to fill instead of new ones, by name: contiguous, with the plan's shape and dtype, not
            necessarily for all inputs. Drawing into them saves a copy of the bulk data.
        only
            The names of the inputs that are wanted; None for all.
        """
        given = out or {}
        direct = {name: tensor for name, tensor in given.items() if tensor.device.type == "cpu"}
        drawing = Drawing(call, self.distribution(call), self._sources, direct)
        drawn: dict[str, torch.Tensor] = {}
        for name in self._sources:
            if only is None or name in only:
                made = self._made_there(name, drawing, given.get(name))
                drawn[name] = drawing.tensor(name) if made is None else made
        for name, tensor in given.items():
            if name in drawn and drawn[name] is not tensor:
                drawn[name] = tensor.copy_(drawn[name])
        return {name: tensor.to(self._device) for name, tensor in drawn.items()}

    def _made_there(self, name: str, drawing: Drawing, out: torch.Tensor | None) -> torch.Tensor | None:
        """Return an input that is made on the device, or None if it is not, or not wanted there."""
        if self._bulk is None or (out is not None and out.device.type != self._bulk.device.type):
            return None
        return self._sources[name].draw_on(self._bulk, drawing, out)

    def draw_many(self, calls: Iterable[int]) -> list[dict[str, torch.Tensor]]:
        """Return the inputs of several calls, each as :meth:`draw` returns them."""
        numbers = list(calls)
        if self._bulk is None or len(numbers) < _TOGETHER:
            return [self.draw(call) for call in numbers]
        return self._drawn_together(numbers, self._bulk)

    def _drawn_together(self, calls: Sequence[int], pool: DevicePool) -> list[dict[str, torch.Tensor]]:
        kinds = {call: self.distribution(call) for call in calls}
        constant = {name for name, source in self._sources.items() if isinstance(source, Constant)}
        same = self.draw(calls[0], only=constant) if constant else {}
        found = {call: dict(same) for call in calls}
        for name, source in self._sources.items():
            if isinstance(source, Drawn):
                for call, tensor in source.draw_together(pool, kinds).items():
                    found[call][name] = tensor
        for call, inputs in found.items():
            if len(inputs) == len(self._sources):
                continue
            drawing = Drawing(call, kinds[call], self._sources, {})
            for name in self._sources.keys() - inputs.keys():
                made = self._sources[name].draw_on(pool, drawing, None, _SMALL_BYTES)
                if made is not None:
                    inputs[name] = made
            missing = self._sources.keys() - inputs.keys()
            if missing:
                inputs.update(self.draw(call, only=missing))
        return [{name: found[call][name] for name in self._sources} for call in calls]


def plan_inputs(
    definition: Definition,
    workload: Workload,
    *,
    traceset_root: Path | None,
    secret: bytes,
    synthesize_missing: bool = False,
    device: str = "cpu",
    pool: Pool | None = None,
    captured: CapturedFiles | None = None,
    vary: bool = False,
) -> InputPlan:
    """Plan the inputs of ``workload``; reads headers of captured files and allocates nothing that axes size.

    Parameters
    ----------
    traceset_root
        The folder that paths of captured tensors are relative to; None if there is none.
    secret
        32 bytes from which all content is derived.
    synthesize_missing
        Draw structured stand-ins for captured tensors that are absent.
    device
        Where ``InputPlan.draw`` puts the tensors.
    pool
        The pool made from the same secret, to be shared by all plans of a session; None makes one.
    captured
        The tensor files, to be shared by all plans of a session; None shares none.
    vary
        Give the plain random inputs of a secret share of the calls other distributions, where that makes sense.

    Raises
    ------
    NotJudgeable
        A captured tensor is absent, a dtype cannot be held in a tensor here, or no valid content exists.
    DataError
        Workload, definition and captured files contradict each other.
    """
    planner = _Planner(
        definition,
        workload,
        traceset_root,
        secret,
        synthesize_missing,
        pool or Pool(secret),
        captured or CapturedFiles(),
    )
    return planner.plan(device, vary)


class _Planner:
    def __init__(
        self,
        definition: Definition,
        workload: Workload,
        traceset_root: Path | None,
        secret: bytes,
        synthesize_missing: bool,
        pool: Pool,
        files: CapturedFiles,
    ) -> None:
        self._definition = definition
        self._workload = workload
        self._traceset = None if traceset_root is None else Traceset(traceset_root)
        self._secret = secret
        self._synthesize_missing = synthesize_missing
        self._pool = pool
        self._files = files
        self._axes = definition.resolve_axes(workload.axes)
        self._layouts = self._plan_layouts()
        self._generator = GENERATORS.get(definition.op_type)

    def plan(self, device: str, vary: bool) -> InputPlan:
        self._check_names()
        captured, absent = self._captured()
        values = self._scalars()
        fixed = captured | self._stated() | self._custom(values)
        problem = self._problem(frozenset(self._layouts.keys() - fixed.keys()))
        self._check_captured(problem, captured)
        recipes = self._recipes(problem, absent)
        random = problem.drawn.difference(absent)
        varied = varied_inputs(self._definition, recipes, random) if vary else frozenset()
        sources = {
            name: fixed.get(name) or self._drawn(name, recipes.get(name, Plain()), name in varied)
            for name in self._layouts
        }
        distributions = Distributions(self._stream("distribution")) if varied else None
        bulk = None if device == "cpu" else self._pool.on(torch.device(device))
        return InputPlan(self._layouts, values, sources, absent, device, distributions, bulk)

    def _plan_layouts(self) -> dict[str, TensorLayout]:
        layouts: dict[str, TensorLayout] = {}
        for name, shape in self._definition.input_shapes(self._axes).items():
            dtype = self._definition.inputs[name].dtype
            if shape is None:
                continue
            if dtype not in TORCH:
                raise NotJudgeable(
                    f"{self._words(name)} has dtype {dtype}, which tensors here cannot hold; judge it elsewhere"
                )
            layouts[name] = TensorLayout(shape, TORCH[dtype])
        return layouts

    def _problem(self, drawn: frozenset[str]) -> Problem:
        inputs = self._definition.inputs
        return Problem(
            definition=self._definition.name,
            workload=self._workload.uuid,
            axes=self._axes,
            shapes={name: layout.shape for name, layout in self._layouts.items()},
            dtypes={name: inputs[name].dtype for name in self._layouts},
            drawn=drawn,
            edges=any(
                isinstance(item, RandomInput) and item.edges for item in self._workload.inputs.values()
            ),
        )

    def _check_names(self) -> None:
        for name in self._workload.inputs:
            if name not in self._definition.inputs:
                raise DataError(
                    f"{self._words(name)} is unknown to definition '{escape(self._definition.name, 80)}'; "
                    "correct its name"
                )

    def _words(self, name: str) -> str:
        return f"input '{escape(name, 60)}' of workload {escape(self._workload.uuid, 80)}"

    def _stream(self, *subject: str) -> Stream:
        return Stream(self._secret, self._definition.name, self._workload.uuid, *subject)

    def _scalars(self) -> dict[str, Scalar]:
        rng = self._stream("scalars").generator(0)
        return scalar_values(self._definition, self._workload, self._axes, rng)

    def _captured(self) -> tuple[dict[str, Source], tuple[str, ...]]:
        sources: dict[str, Source] = {}
        absent = []
        for name, layout in self._layouts.items():
            item = self._workload.inputs.get(name)
            if isinstance(item, SafetensorsInput):
                path = self._located(item)
                if path is None:
                    absent.append(name)
                else:
                    sources[name] = self._files.source(path, item, name, layout)
        return sources, tuple(absent)

    def _located(self, item: SafetensorsInput) -> Path | None:
        try:
            if self._traceset is None:
                raise NotJudgeable(
                    f"tensor file '{escape(item.path)}' belongs to no dataset folder; "
                    "pass --fib-synthesize-missing"
                )
            return self._traceset.resolve_blob(item.path)
        except NotJudgeable:
            if self._synthesize_missing:
                return None
            raise

    def _check_captured(self, problem: Problem, captured: Mapping[str, Source]) -> None:
        if self._generator is None:
            return
        given = {
            name: source.content.view(-1).to(torch.int64).numpy()
            for name, source in captured.items()
            if isinstance(source, Constant) and not self._layouts[name].dtype.is_floating_point
        }
        self._generator.check(problem, given)

    def _custom(self, values: Mapping[str, Scalar]) -> dict[str, Source]:
        names = [name for name in self._layouts if isinstance(self._workload.inputs.get(name), CustomInput)]
        if not names:
            return {}
        inputs = CustomInputs(self._definition, {**self._axes, **values}, self._stream("custom"))
        return {name: inputs.source(name, self._layouts[name]) for name in names}

    def _recipes(self, problem: Problem, absent: Iterable[str]) -> dict[str, Recipe]:
        known = self._generator.recipes(problem) if self._generator else {}
        for name in absent:
            if name not in known and not self._layouts[name].dtype.is_floating_point:
                raise NotJudgeable(
                    f"{self._words(name)} has no stand-in yet for op type "
                    f"'{escape(self._definition.op_type, 60)}'; fetch the dataset's blobs"
                )
        return known

    def _stated(self) -> dict[str, Source]:
        sources: dict[str, Source] = {}
        for name, layout in self._layouts.items():
            item = self._workload.inputs.get(name)
            if isinstance(item, ScalarInput):
                sources[name] = self._stated_source(name, item, layout)
        return sources

    def _stated_source(self, name: str, item: ScalarInput, layout: TensorLayout) -> Source:
        if layout.shape != ():
            raise DataError(
                f"{self._words(name)} is stated as a scalar, but definition "
                f"'{escape(self._definition.name, 80)}' has a tensor there; correct one of them"
            )
        dtype = self._definition.inputs[name].dtype
        value = converted(name, dtype, item.value, self._workload.uuid)
        return Constant(lambda: torch.tensor(value, dtype=layout.dtype))

    def _drawn(self, name: str, recipe: Recipe, varied: bool) -> Source:
        dtype = self._definition.inputs[name].dtype
        return Drawn(self._layouts[name], dtype, recipe, self._stream("tensor", name), self._pool, varied)
