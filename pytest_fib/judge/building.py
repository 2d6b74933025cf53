"""Building without judging: what a solution's compilers say, and nothing of what it computes."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from pytest_fib.border.ahead import NOTE_BYTES, Compiled, Example, Like
from pytest_fib.border.arena import ITEMSIZE
from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Build
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.text import escape
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.data.workload import Workload
from pytest_fib.errors import DataError
from pytest_fib.inputs.values import scalar_values
from pytest_fib.judge.candidate import Candidate
from pytest_fib.judge.failures import CandidateDied, CandidateError, CandidateTimeout
from pytest_fib.judge.memory import memory_page
from pytest_fib.judge.orders import order_for, uses_triton

if TYPE_CHECKING:
    from pytest_fib.judge.session import JudgeSession

DEFAULT_CAPABILITY = "9.0"
"""What Triton's kernels are compiled for where neither a device nor ``TVM_FFI_CUDA_ARCH_LIST`` says."""

_CAPABILITY = re.compile(r"\d+\.\d", re.ASCII)  # the first of several, without what nvcc adds (9.0a)


def try_build(
    session: JudgeSession, definition: Definition, loaded: LoadedSolution, workloads: Sequence[Workload]
) -> Build:
    """Compile and load ``loaded``, and compile the Triton kernels that it would launch on ``workloads``."""
    start = time.perf_counter()
    built = None
    remarks: tuple[str, ...] = ()
    if uses_triton(loaded.solution) and find_spec("triton") is not None:
        built, remark = _built_ahead(session, definition, loaded, workloads)
        remarks = (remark,) if remark else ()
    if built is None:
        built = replace(_built(session, definition, loaded), remarks=remarks)
    return replace(built, seconds=time.perf_counter() - start)


def _built(session: JudgeSession, definition: Definition, loaded: LoadedSolution) -> Build:
    output = ""
    limit = session.config.limits.build_timeout_s
    try:
        folder, _ = session.build(definition, loaded)
        order = order_for(definition, loaded.solution, artifact_dir=folder, threads=session.threads)
        with session.home(loaded, artifact_dir=folder) as keeper:
            candidate = session.start(keeper)
            try:
                candidate.load(order, limit)
            finally:
                candidate.kill()
                output = candidate.output.text()
    except CandidateError as error:
        return Build(0.0, error.log or error.status.value, output)
    return Build(0.0, output=output)


def _built_ahead(
    session: JudgeSession, definition: Definition, loaded: LoadedSolution, workloads: Sequence[Workload]
) -> tuple[Build | None, str]:
    """Load ``loaded`` where a device is pretended, and compile its kernels.

    Returns
    -------
    tuple
        What came of it; or None, and why that is impossible. Then the solution has to be built as any other.
    """
    examples = examples_of(definition, workloads)
    if not examples:
        return None, "no Triton kernel was compiled: no workload has shapes that tensors here can have"
    capability = _CAPABILITY.search(session.architecture)
    architecture = capability[0] if capability else DEFAULT_CAPABILITY
    order = replace(
        order_for(definition, loaded.solution, artifact_dir="", threads=session.threads),
        architecture=architecture,
        examples=examples,
    )
    limit = session.config.limits.build_timeout_s
    with session.home(loaded, ahead=True) as keeper:
        candidate = session.start(keeper)
        try:
            candidate.load(order, limit)
        except CandidateError as error:
            candidate.kill()
            said = error.log.strip().splitlines() or [error.status.value]
            return (
                None,
                f"no Triton kernel was compiled: without a device it does not load ({escape(said[-1])})",
            )
        try:
            with session.lock.working():
                compiled = _compile(candidate, limit)
            log = ""
        except CandidateError as error:
            compiled, log = Compiled(), error.log or error.status.value
        finally:
            candidate.kill()
    remarks = tuple(escape(remark, 400) for remark in compiled.remarks)
    kernels = tuple(escape(name, 80) for name in compiled.kernels)
    return Build(0.0, log, candidate.output.text(), architecture, kernels, remarks), ""


def _compile(candidate: Candidate, timeout_s: float) -> Compiled:
    """Have ``candidate`` compile its kernels; where it ends meanwhile, that is a failure if Triton was at work."""
    note = memory_page()
    try:
        return candidate.compile(note, timeout_s)
    except (CandidateDied, CandidateTimeout) as error:
        kernel = os.pread(note, NOTE_BYTES, 0).rstrip(b"\0").decode("utf-8", "replace")
        if kernel:
            raise CandidateError(
                f"Triton kernel {escape(kernel, 80)} does not compile: {error.log}",
                EvaluationStatus.COMPILE_ERROR,
            ) from None
        return Compiled(remarks=(f"what it launches is not known: {error.log}",))
    finally:
        os.close(note)


def examples_of(definition: Definition, workloads: Sequence[Workload]) -> tuple[Example, ...]:
    """Return the arguments of some of ``workloads``, without content: the smallest, the largest, three between."""
    found: dict[Example, int] = {}
    for workload in workloads:
        with suppress(DataError):
            example = _example(definition, workload)
            if example is not None:
                found.setdefault(example, _elements(example))
    ordered = sorted(found, key=lambda example: found[example])
    last = len(ordered) - 1
    return tuple(dict.fromkeys(ordered[last * part // 4] for part in (0, 4, 2, 1, 3) if ordered))


def _example(definition: Definition, workload: Workload) -> Example | None:
    """Return the arguments of ``workload``, None where torch has no such tensors."""
    axes = definition.resolve_axes(workload.axes)
    scalars = scalar_values(definition, workload, axes, np.random.default_rng(0))
    inputs = tuple(
        scalars[name] if shape is None else Like(shape, definition.inputs[name].dtype)
        for name, shape in definition.input_shapes(axes).items()
    )
    outputs = tuple(
        Like(shape or (), definition.outputs[name].dtype)
        for name, shape in definition.output_shapes(axes).items()
    )
    tensors = (item for item in (*inputs, *outputs) if isinstance(item, Like))
    return Example(inputs, outputs) if all(item.dtype in ITEMSIZE for item in tensors) else None


def _elements(example: Example) -> int:
    tensors = (item for item in (*example.inputs, *example.outputs) if isinstance(item, Like))
    return sum(math.prod(item.shape) for item in tensors)
