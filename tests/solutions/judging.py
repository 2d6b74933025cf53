"""Runs solutions by hand, without the plugin; ``test_solutions`` runs this file once per language.

    python judging.py LANGUAGE SOLUTION...

Prints one JSON object: the name of each solution, and for each workload what is wrong (empty if nothing is) and
how many seconds the second call took.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.readers import read_definition, read_solution, read_workloads
from pytest_fib.data.solution import Solution, SourceFile
from pytest_fib.data.workload import Workload, WorkloadLine
from pytest_fib.inputs import Pool, plan_inputs
from pytest_fib.inputs.dtypes import TORCH
from pytest_fib.judge.rules.sampling import support

ROOT = Path(__file__).resolve().parents[2]
SECRET = bytes(32)
PREFILL_EDGES: list[dict[str, int]] = [
    {"total_q": 0, "num_pages": 2, "len_indptr": 1, "num_kv_indices": 0},
    {"total_q": 5, "num_pages": 2, "len_indptr": 3, "num_kv_indices": 0},
    {"total_q": 96, "num_pages": 200, "len_indptr": 6, "num_kv_indices": 240},
    {"total_q": 0, "num_pages": 2, "len_indptr": 2, "num_kv_indices": 2, "batch_size": 1},
    {"total_q": 5, "num_pages": 2, "len_indptr": 3, "num_kv_indices": 0, "batch_size": 2},
    {"total_q": 33, "num_pages": 9, "len_indptr": 2, "num_kv_indices": 5, "batch_size": 1},
]
EDGES: dict[str, list[dict[str, int]]] = {
    "rmsnorm": [{"batch_size": 0}, {"batch_size": 3}, {"batch_size": 250}],
    "gemm": [{"M": 0}, {"M": 65}, {"M": 128}],
    "gqa_paged": [
        {"batch_size": 0, "num_pages": 4, "len_indptr": 1, "num_kv_indices": 0},
        {"batch_size": 2, "num_pages": 4, "len_indptr": 3, "num_kv_indices": 0},
        {"batch_size": 1, "num_pages": 300, "len_indptr": 2, "num_kv_indices": 257},
        *PREFILL_EDGES,
    ],
    "mla_paged": [
        {"batch_size": 0, "num_pages": 4, "len_indptr": 1, "num_kv_indices": 0},
        {"batch_size": 2, "num_pages": 4, "len_indptr": 3, "num_kv_indices": 0},
        {"batch_size": 1, "num_pages": 300, "len_indptr": 2, "num_kv_indices": 257},
        *PREFILL_EDGES,
    ],
    "mla_ragged": [
        {"total_q": 0, "total_kv": 5, "len_indptr": 3},
        {"total_q": 9, "total_kv": 0, "len_indptr": 3},
        {"total_q": 33, "total_kv": 65, "len_indptr": 2},
    ],
    "dsa_paged": [
        {"num_tokens": 0, "num_pages": 4},
        {"num_tokens": 2, "num_pages": 0},
        {"num_tokens": 3, "num_pages": 1},
        {"batch_size": 0, "max_num_pages": 4, "num_pages": 8},
        {"batch_size": 2, "max_num_pages": 4, "num_pages": 0},
        {"batch_size": 3, "max_num_pages": 1, "num_pages": 2},
        {"batch_size": 2, "max_num_pages": 33, "num_pages": 40},
    ],
    "gqa_ragged": [
        {"len_indptr": 1, "total_q": 0, "total_kv": 0},
        {"len_indptr": 3, "total_q": 0, "total_kv": 5},
        {"len_indptr": 3, "total_q": 9, "total_kv": 0},
        {"len_indptr": 2, "total_q": 130, "total_kv": 131},
    ],
    "moe": [{"seq_len": 0}, {"seq_len": 5}, {"seq_len": 40}, {"seq_len": 64}],
    "rope": [
        {"num_tokens": 0, "num_qo_heads": 4, "num_kv_heads": 2, "max_seq_len": 0},
        {"num_tokens": 3, "num_qo_heads": 7, "num_kv_heads": 5, "max_seq_len": 2},
    ],
    "sampling": [{"batch_size": 0}, {"batch_size": 5}, {"batch_size": 33}],
    "gdn": [
        {"batch_size": 0},
        {"batch_size": 7},
        {"batch_size": 17},
        {"total_seq_len": 0, "num_seqs": 0, "len_cu_seqlens": 1},
        {"total_seq_len": 0, "num_seqs": 2, "len_cu_seqlens": 3},
        {"total_seq_len": 33, "num_seqs": 1, "len_cu_seqlens": 2},
        {"batch_size": 0, "seq_len": 2, "pool_size": 1},
        {"batch_size": 2, "seq_len": 5, "pool_size": 3},
        {"batch_size": 8, "seq_len": 2, "pool_size": 16},
        {"batch_size": 1, "seq_len": 33, "pool_size": 1},
    ],
    "mamba_ssu": [
        {"batch_size": 0, "state_cache_size": 2},
        {"batch_size": 3, "state_cache_size": 3},
        {"batch_size": 33, "state_cache_size": 64},
    ],
}


def workloads(definition: Definition) -> Iterator[Workload]:
    """Those of the trace set, and edges: empty batches and sequences, sizes beside those of blocks."""
    path = ROOT / "tracesets" / "mini" / "workloads" / definition.op_type / f"{definition.name}.jsonl"
    first = None
    for line in read_workloads(path):
        assert isinstance(line, WorkloadLine), line
        first = first or line.workload
        yield line.workload
    assert first is not None, path
    for axes in EDGES[definition.op_type]:
        if axes.keys() != first.axes.keys():  # another definition's
            continue
        name = "-".join(f"{axis}{size}" for axis, size in axes.items())
        yield first.model_copy(update={"uuid": f"edge-{name}", "axes": axes})


def reference(definition: Definition) -> Callable[..., Any]:
    namespace: dict[str, Any] = {}
    exec(compile(definition.reference or "", definition.name, "exec"), namespace)
    run: Callable[..., Any] = namespace["run"]
    return run


@cache
def module_of(sources: tuple[SourceFile, ...], entry_file: str, folder: Path) -> Any:
    """Write the sources and import, or compile and load, the entry file; once for equal sources."""
    package = folder / f"solution_{module_of.cache_info().misses}"
    for source in sources:
        path = package / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.content, encoding="utf-8")
    if entry_file.endswith(".py"):
        name = Path(entry_file).with_suffix("").as_posix().replace("/", ".")
        return importlib.import_module(f"{package.name}.{name}")
    import tvm_ffi
    import tvm_ffi.cpp

    files = [str(path) for path in package.rglob("*.cc")]
    flags = ["-O3", "-Wall", "-Werror"]
    return tvm_ffi.load_module(
        tvm_ffi.cpp.build("solution", cpp_files=files, extra_cflags=flags, build_directory=str(package))
    )


def entry_point(solution: Solution, folder: Path) -> Callable[..., Any]:
    module = module_of(solution.sources, solution.entry_file, folder)
    function: Callable[..., Any] = getattr(module, solution.entry_symbol)
    return function


def outputs_of(definition: Definition, workload: Workload) -> dict[str, torch.Tensor]:
    """Poisoned tensors for the outputs."""
    shapes = definition.output_shapes(workload.axes)
    return {
        name: torch.full(shapes[name] or (), torch.nan).to(TORCH[spec.dtype])
        for name, spec in definition.outputs.items()
    }


def results_of(
    function: Callable[..., Any], arguments: list[Any], passed: list[torch.Tensor]
) -> tuple[list[torch.Tensor], float]:
    """Call with outputs in ``passed``, or without them for their being returned; the results and the seconds."""
    start = time.perf_counter()
    returned = function(*arguments, *passed)
    seconds = time.perf_counter() - start
    if passed:
        assert returned is None, f"returned {type(returned).__name__} although outputs are passed"
        return passed, seconds
    return list(returned) if isinstance(returned, tuple) else [returned], seconds


def copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def judge(
    definition: Definition,
    workload: Workload,
    function: Callable[..., Any],
    passing: bool,
    run: Callable[..., Any],
) -> dict[str, Any]:
    plan = plan_inputs(definition, workload, traceset_root=None, secret=SECRET, pool=POOL)
    wrong, seconds = "", 0.0
    for number in (0, 1):
        drawn: dict[str, Any] = {**plan.draw(number), **plan.scalars}
        outputs = outputs_of(definition, workload)
        arguments = [copied(drawn[name]) for name in definition.inputs]
        got, seconds = results_of(function, arguments, list(outputs.values()) if passing else [])
        expected = run(**drawn)
        expected = expected if isinstance(expected, tuple) else (expected,)
        ratio = 0.95 if definition.op_type == "moe" else 1.0
        if definition.op_type == "sampling":
            got = [torch.where(may_be_drawn(got[0], drawn), expected[0], got[0])]
        for name, left, right in zip(outputs, got, expected, strict=True):
            wrong += mismatch(f"call {number} {name}", left, right, ratio)
        for name, left in zip(definition.inputs, arguments, strict=True):  # the reference writes into some
            if isinstance(left, torch.Tensor):
                wrong += mismatch(f"call {number} input {name}", left, drawn[name], 1.0)
    return {"wrong": wrong, "seconds": seconds}


def may_be_drawn(samples: torch.Tensor, drawn: dict[str, Any]) -> torch.Tensor:
    """Whether each sample is in its row's support; how they are distributed is the judge's to say."""
    if samples.numel() == 0:
        return torch.ones_like(samples, dtype=torch.bool)
    return support(drawn["probs"], drawn.get("top_k"), drawn.get("top_p")).allows(samples)


def outcome(*arguments: Any) -> dict[str, Any]:
    try:
        return judge(*arguments)
    except Exception:
        return {"wrong": traceback.format_exc(), "seconds": 0.0}


def mismatch(what: str, got: torch.Tensor, expected: torch.Tensor, ratio: float) -> str:
    """The official rule, an element fails if it is off by both 1e-2 and 1 %, but equal infinities match."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return f"{what}: {got.dtype} {tuple(got.shape)} for {expected.dtype} {tuple(expected.shape)}; "
    left, right = got.double(), expected.double()
    error = (left - right).abs()
    close = (error <= 1e-2) | (error <= 1e-2 * (right.abs() + 1e-8)) | (left == right)
    matched = close.double().mean().item() if close.numel() else 1.0
    return "" if matched >= ratio else f"{what}: {matched:.4f} match, worst off by {error.max().item()}; "


def judge_solution(path: str, folder: Path) -> dict[str, Any]:
    solution = read_solution(Path(path)).solution
    definitions = ROOT / "tracesets" / "mini" / "definitions"
    definition = read_definition(next(definitions.rglob(f"{solution.definition}.json")))
    run, passing = reference(definition), bool(solution.spec.destination_passing_style)
    try:
        function = entry_point(solution, folder)
    except Exception:
        return {"build": {"wrong": traceback.format_exc(), "seconds": 0.0}}
    return {
        workload.uuid: outcome(definition, workload, function, passing, run)
        for workload in workloads(definition)
    }


POOL = Pool(SECRET)

if __name__ == "__main__":
    if sys.argv[1] == "triton":
        from pytest_fib.build.triton_interpreter import ensure_correct

        assert ensure_correct() == ()
    with tempfile.TemporaryDirectory() as temporary:
        sys.path.insert(0, temporary)
        json.dump({path: judge_solution(path, Path(temporary)) for path in sys.argv[2:]}, sys.stdout)
