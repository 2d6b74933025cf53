"""Null solutions: outputs that nobody computed. A rule that one of them passes, on some workload, says nothing there.

They run in this process, because they are ours; what is judged is the rule together with the workload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.workload import Workload
from pytest_fib.errors import NotJudgeable
from pytest_fib.inputs import InputPlan, Pool, plan_inputs
from pytest_fib.judge.arena import plausible
from pytest_fib.judge.config import JudgeConfig
from pytest_fib.judge.examination import tolerance_of
from pytest_fib.judge.reference import Reference
from pytest_fib.judge.rules import Calls, Choice, Verifier, choose
from pytest_fib.judge.schedule import MIN_VERIFIED

Outputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class _Call:
    """One call that null solutions answer: inputs, and the reference's outputs by name."""

    inputs: Mapping[str, torch.Tensor | int | float | bool]
    expected: Outputs
    in_place: tuple[str, ...]
    random: np.random.Generator

    @property
    def tensors(self) -> Outputs:
        """The inputs that are tensors and have elements."""
        tensors = {name: value for name, value in self.inputs.items() if isinstance(value, torch.Tensor)}
        return {name: tensor for name, tensor in tensors.items() if tensor.numel()}


def _zeros(call: _Call) -> Iterator[tuple[str, Outputs]]:
    yield "zeros", {name: torch.zeros_like(right) for name, right in call.expected.items()}


def _copies(call: _Call) -> Iterator[tuple[str, Outputs]]:
    """Every input in every output, and in each output the first input of its shape."""
    for source, tensor in call.tensors.items():
        yield f"input {source} copied", {n: _fitted(tensor, right) for n, right in call.expected.items()}
    if call.tensors:
        first = next(iter(call.tensors.values()))
        alike = {
            name: next((t for t in call.tensors.values() if t.shape == right.shape), first)
            for name, right in call.expected.items()
        }
        yield (
            "inputs of the same shape copied",
            {n: _fitted(alike[n], right) for n, right in call.expected.items()},
        )


def _one_row(call: _Call) -> Iterator[tuple[str, Outputs]]:
    """The first row of the reference's outputs in all rows; says nothing where there is only one."""
    rows = {name: right for name, right in call.expected.items() if right.ndim and len(right) > 1}
    if rows:
        spread = {name: right[:1].expand(right.shape).clone() for name, right in rows.items()}
        yield "one row everywhere", {**call.expected, **spread}


def _empty(call: _Call) -> Iterator[tuple[str, Outputs]]:
    """What was there before the call."""
    left: Outputs = {}
    for name, right in call.expected.items():
        before = (
            call.inputs[name]
            if name in call.in_place
            else plausible(right.numel(), right.dtype, call.random).view(right.shape)
        )
        assert isinstance(before, torch.Tensor)
        left[name] = before
    yield "nothing written", left


_NULLS = (_zeros, _copies, _one_row, _empty)


def _fitted(source: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the elements of ``source``, over and over, in the shape and dtype of ``like``."""
    flat = source.reshape(-1)
    times = -(-like.numel() // flat.numel())
    return flat.repeat(times)[: like.numel()].to(like.dtype).reshape(like.shape)


@dataclass
class Audit:
    """Which null solutions pass on the workloads of one definition.

    Parameters
    ----------
    definition
        Its rule is the one that ``config`` gives it.
    traceset_root
        Where captured tensors are; those that are absent are synthesized.
    config
        Secret, rules, tolerances and limits; nothing else of it matters here.
    """

    definition: Definition
    traceset_root: Path | None
    config: JudgeConfig
    _pools: list[Pool] = field(default_factory=list)

    def passing(self, workload: Workload) -> list[str]:
        """Return the null solutions that pass on ``workload``, in words.

        Raises
        ------
        NotJudgeable
            The workload has no valid inputs here, is too large, or its outputs have no elements.
        DataError
            The definition or the workload is broken.
        """
        plan = self._plan(workload)
        choice = choose(
            self.definition, tolerance_of(workload.tolerance), self.config.tolerance, lines=self.config.rules
        )
        shapes = self._shapes(workload, choice)
        if not any(np.prod(shape) for shape in shapes.values()):
            raise NotJudgeable("its outputs have no elements, so there is nothing to be wrong")
        reference = Reference(self.definition, choice.in_place)
        verifiers: dict[str, Verifier] = {}
        dropped: set[str] = set()
        wanted = MIN_VERIFIED
        number = 0
        while number < wanted and (not number or verifiers):
            inputs = {**plan.draw(number), **plan.scalars}
            outputs, _ = reference(inputs, shapes)
            expected = dict(zip(shapes, outputs, strict=True))
            call = _Call(inputs, expected, choice.in_place, np.random.default_rng(number))
            for name, got in (pair for null in _NULLS for pair in null(call)):
                if name in dropped:
                    continue
                verifier = verifiers.setdefault(name, choice.verifier(np.random.default_rng(number)))
                if _is_wrong(verifier, call, got, number, choice):
                    dropped.add(name)
                    del verifiers[name]
            number += 1
            if number == wanted:  # some rules want more before they decide
                wanted += max((verifier.further_calls(number) for verifier in verifiers.values()), default=0)
        return [name for name, verifier in verifiers.items() if verifier.conclude().mismatch is None]

    def _plan(self, workload: Workload) -> InputPlan:
        if not self._pools:
            self._pools.append(Pool(self.config.secret))
        plan = plan_inputs(
            self.definition,
            workload,
            traceset_root=self.traceset_root,
            secret=self.config.secret,
            synthesize_missing=True,
            pool=self._pools[0],
        )
        if plan.nbytes > self.config.limits.input_bytes:
            raise NotJudgeable(
                f"its inputs have {plan.nbytes / 1e9:.1f} GB, the limit is "
                f"{self.config.limits.input_bytes / 1e9:.1f} GB"
            )
        return plan

    def _shapes(self, workload: Workload, choice: Choice) -> dict[str, tuple[int, ...]]:
        shapes = self.definition.output_shapes(workload.axes)
        inputs = self.definition.input_shapes(workload.axes)
        shapes |= {name: inputs[name] for name in choice.in_place}
        return {name: shape or () for name, shape in shapes.items()}


def _is_wrong(verifier: Verifier, call: _Call, got: Outputs, number: int, choice: Choice) -> bool:
    # Whoever computes nothing leaves out what may be left out.
    calls = Calls(
        [number],
        [call.inputs],
        {name: tensor.unsqueeze(0) for name, tensor in got.items()},
        [list(call.expected.values())],
        [frozenset(choice.optional)],
    )
    return verifier.compare(calls).mismatch is not None
