"""One workload as one solution meets it: inputs, the memory they come in, and the bench on which calls are made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_fib.border.arena import Plan, Region
from pytest_fib.data.definition import Definition
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.workload import Workload
from pytest_fib.errors import NotJudgeable
from pytest_fib.inputs import InputPlan, plan_inputs
from pytest_fib.judge.arena import Arena, dtype_name
from pytest_fib.judge.bench import Bench
from pytest_fib.judge.numerics import Samples
from pytest_fib.judge.orders import calls_are_compiled
from pytest_fib.judge.reference import Reference
from pytest_fib.judge.rules import Choice
from pytest_fib.judge.verification import Tally, Verification

if TYPE_CHECKING:
    from pytest_fib.judge.session import JudgeSession

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Setting:
    """What is made anew for every workload.

    Attributes
    ----------
    choice
        The judging rule, and which inputs are written in place.
    traceset_root
        Where files that the workload names are.
    """

    session: JudgeSession
    definition: Definition
    workload: Workload
    loaded: LoadedSolution
    choice: Choice
    traceset_root: Path | None

    @property
    def reference(self) -> Reference:
        """The compiled reference."""
        return self.session.reference(self.definition, self.choice.in_place)

    def random(self, purpose: str) -> np.random.Generator:
        """Return secret randomness, the same again for the same purpose."""
        text = f"{purpose}\0{self.workload.uuid}\0{self.loaded.solution.content_hash}"
        secret = self.session.config.secret
        digest = hashlib.blake2b(text.encode(), key=secret, digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))

    def inputs(self, workload: Workload | None = None, vary: bool | None = None) -> InputPlan:
        """Return what draws the inputs of ``workload``, of this one if it is None.

        ``vary`` is whether some calls have other inputs than normal ones; by default as the rule wants it.
        """
        config = self.session.config
        return plan_inputs(
            self.definition,
            workload or self.workload,
            traceset_root=self.traceset_root,
            secret=config.secret,
            synthesize_missing=config.synthesize_missing,
            pool=self.session.pool,
            captured=self.session.captured,
            device=config.device,
            vary=self.choice.varied if vary is None else vary,
        )

    def output_shapes(self, workload: Workload | None = None) -> Shapes:
        """Return the shapes of the outputs on ``workload``, then of the inputs that are written in place."""
        axes = (workload or self.workload).axes
        shapes = self.definition.output_shapes(axes)
        inputs = self.definition.input_shapes(axes)
        shapes |= {name: inputs[name] for name in self.choice.in_place}
        return {name: shape or () for name, shape in shapes.items()}

    def plan(self, inputs: InputPlan, shapes: Shapes, sets: int | None = None) -> Plan:
        """Return where inputs and outputs lie in memory, for as many calls at once as is useful, or ``sets``.

        Raises
        ------
        NotJudgeable
            If one call needs more memory than is allowed.
        """
        tensors = {name: (layout.shape, dtype_name(layout.dtype)) for name, layout in inputs.tensors.items()}
        written = {name: tensors.pop(name) for name in self.choice.in_place}
        outputs = {name: (shapes[name], spec.dtype) for name, spec in self.definition.outputs.items()}
        outputs |= written
        one = Region.plan(tensors, 1), Region.plan(outputs, 1)
        per_set = one[0].stride + one[1].stride
        limit = self.session.config.limits.input_bytes
        if 2 * per_set > limit:
            raise NotJudgeable(
                f"one call needs {2 * per_set / 1e9:.1f} GB for inputs and outputs on both sides, the limit is "
                f"{limit / 1e9:.1f} GB: judge it on a larger machine"
            )
        place = self.session.place
        sets = max(1, min(sets or place.most_sets, place.arena_bytes // per_set))
        return Plan(
            inputs=Region.plan(tensors, sets),
            outputs=Region.plan(outputs, sets, before=len(tensors)),
            arguments=tuple(self.definition.inputs),
            scalars=inputs.scalars,
            # Triton's interpreter copies every argument back after a launch, changed or not.
            writable_inputs=place.shares_writable or self._mentions_triton(),
            in_place=self.choice.in_place,
            cuda=place.is_device,
        )

    def _mentions_triton(self) -> bool:
        solution = self.loaded.solution
        sources = (source.content for source in solution.sources)
        return solution.spec.language == "triton" or any("triton" in content for content in sources)

    def bench(self, inputs: InputPlan, arena: Arena, shapes: Shapes, tally: Tally) -> Bench:
        """Return what stays the same for all calls, counted in ``tally``."""
        config = self.session.config
        return Bench(
            arena=arena,
            inputs=inputs,
            verification=Verification(
                reference=self.reference,
                verifier=self.choice.verifier(self.random("rule")),
                output_shapes=shapes,
                layout=arena.plan.outputs,
                samples=Samples(self.random("samples")) if self.choice.elementwise else None,
                may_leave_out=bool(self.choice.optional),
            ),
            timeout_s=config.limits.timeout_s,
            cores=self.session.cores if config.sampling.timing else None,
            random=self.random("verify"),
            tally=tally,
            optional=self.choice.optional,
            device=config.device,
            compiled=calls_are_compiled(self.loaded.solution),
        )
