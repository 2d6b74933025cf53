"""Kernels of known kind for the benchmarks of a device, as trace sets have them: definition, workload, solution.

No command, and no torch either: only texts and numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_fib.data.definition import Definition
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.data.workload import Workload

HIDDEN = 4096
ROUNDS, UNROLLED = 480_000, 16  # of four cycles each: about a millisecond at 1.98 GHz


def _definition(
    name: str,
    reference: str,
    inputs: dict[str, list[str]],
    outputs: dict[str, list[str]],
    dtype: str,
    **axes: int,
) -> dict[str, Any]:
    names = dict.fromkeys(axis for shape in (*inputs.values(), *outputs.values()) for axis in shape)
    return {
        "name": name,
        "op_type": name.split("_")[0],
        "axes": {
            axis: {"type": "const", "value": axes[axis]} if axis in axes else {"type": "var"}
            for axis in names
        },
        "inputs": {name: {"shape": shape, "dtype": dtype} for name, shape in inputs.items()},
        "outputs": {name: {"shape": shape, "dtype": dtype} for name, shape in outputs.items()},
        "reference": reference,
    }


def _solution(name: str, definition: dict[str, Any], source: str) -> dict[str, Any]:
    return {
        "name": name,
        "definition": definition["name"],
        "author": "bench",
        "spec": {
            "language": "triton" if "triton" in source else "python",
            "target_hardware": ["cuda"],
            "entry_point": "main.py::run",
            "destination_passing_style": True,
        },
        "sources": [{"path": "main.py", "content": source}],
    }


RMSNORM = _definition(
    f"rmsnorm_h{HIDDEN}",
    """
import torch

def run(hidden_states, weight):
    x = hidden_states.float()
    scale = torch.rsqrt((x * x).mean(dim=1, keepdim=True) + 1e-6)
    return (x * scale * weight.float()).to(hidden_states.dtype)
""",
    {"hidden_states": ["batch_size", "hidden_size"], "weight": ["hidden_size"]},
    {"output": ["batch_size", "hidden_size"]},
    "bfloat16",
    hidden_size=HIDDEN,
)
RMSNORM_TRITON = _solution(
    "rmsnorm_of_a_row",
    RMSNORM,
    f"""
import triton
import triton.language as tl


@triton.jit
def normalise(x, w, y, WIDTH: tl.constexpr):
    column = tl.arange(0, WIDTH)
    at = tl.program_id(0) * WIDTH + column
    values = tl.load(x + at).to(tl.float32)
    scale = tl.rsqrt(tl.sum(values * values, axis=0) / WIDTH + 1e-6)
    tl.store(y + at, (values * scale * tl.load(w + column).to(tl.float32)).to(tl.bfloat16))


def run(hidden_states, weight, output):
    normalise[(hidden_states.shape[0],)](hidden_states, weight, output, WIDTH={HIDDEN}, num_warps=8)
""",
)

ROWS = {"x": ["rows", "width"]}, {"y": ["rows", "width"]}
COPY = _definition("copy_w1024", "def run(x):\n    return x.clone()\n", *ROWS, "float32", width=1024)
COPY_TRITON = _solution(
    "copy_of_a_row",
    COPY,
    """
import triton
import triton.language as tl


@triton.jit
def copy(x, y, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    tl.store(y + at, tl.load(x + at))


def run(x, y):
    copy[(x.shape[0],)](x, y, WIDTH=1024)
""",
)
ADDITION = _definition("addition_w1024", "def run(x):\n    return x + 1\n", *ROWS, "float32", width=1024)
ADDITION_TORCH = _solution(
    "addition_in_torch", ADDITION, "import torch\n\n\ndef run(x, y):\n    torch.add(x, 1, out=y)\n"
)

PRODUCT = _definition(
    "matmul",
    "def run(a, b):\n    return a @ b\n",
    {"a": ["m", "k"], "b": ["k", "n"]},
    {"c": ["m", "n"]},
    "bfloat16",
)
PRODUCT_TORCH = _solution(
    "matmul_in_torch", PRODUCT, "import torch\n\n\ndef run(a, b, c):\n    torch.matmul(a, b, out=c)\n"
)

# Each round is one operation that waits for the one before, and changes nothing: x / 2 + x / 2.
LONG = _definition("halves_w128", "def run(x):\n    return x.clone()\n", *ROWS, "float32", width=128)
LONG_TRITON = _solution(
    "halves_of_a_row",
    LONG,
    f"""
import triton
import triton.language as tl


@triton.jit
def repeat(x, y, rounds, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    value = tl.load(x + at)
    half = value * 0.5
    for _ in range(rounds):
        for _ in tl.static_range({UNROLLED}):
            value = value * 0.5 + half
    tl.store(y + at, value)


def run(x, y):
    repeat[(x.shape[0],)](x, y, {ROUNDS // UNROLLED}, WIDTH=128, num_warps=4)
""",
)


@dataclass(frozen=True)
class Kernel:
    """A solution on a workload of its definition."""

    name: str
    definition: dict[str, Any]
    solution: dict[str, Any]
    axes: dict[str, int]

    @property
    def source(self) -> str:
        """The text of the solution."""
        text: str = self.solution["sources"][0]["content"]
        return text

    def tensors(self, which: str) -> list[tuple[tuple[int, ...], str]]:
        """Return shape and dtype of ``inputs`` or ``outputs``, in the order of the definition."""
        sizes = {name: axis.get("value") for name, axis in self.definition["axes"].items()} | self.axes
        return [
            (tuple(sizes[axis] for axis in spec["shape"]), spec["dtype"])
            for spec in self.definition[which].values()
        ]

    def judged(self, number: int = 0) -> tuple[Definition, Workload, LoadedSolution]:
        """Return what a judge evaluates; workloads of another number have other inputs."""
        return (
            Definition.model_validate(self.definition),
            Workload.model_validate(workload(self.definition, f"{self.name}-{number}", self.axes)),
            LoadedSolution(Solution.model_validate(self.solution), Path(f"{self.solution['name']}.json")),
        )


def workload(definition: dict[str, Any], uuid: str, axes: dict[str, int]) -> dict[str, Any]:
    """Return a workload with random inputs."""
    return {"uuid": uuid, "axes": axes, "inputs": {name: {"type": "random"} for name in definition["inputs"]}}


def _rows(what: str, definition: dict[str, Any], solution: dict[str, Any], mib: float) -> Kernel:
    return Kernel(f"{what} {mib:g} MB", definition, solution, {"rows": round(mib * 256)})


def _product(size: int) -> Kernel:
    return Kernel(f"matmul {size}", PRODUCT, PRODUCT_TORCH, dict.fromkeys("mnk", size))


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel(f"rmsnorm 64x{HIDDEN}", RMSNORM, RMSNORM_TRITON, {"batch_size": 64}),
        *(_rows("copy", COPY, COPY_TRITON, mib) for mib in (0.5, 4, 64)),
        *(_rows("addition", ADDITION, ADDITION_TORCH, mib) for mib in (0.5, 64)),
        *(_product(size) for size in (512, 2048, 4096)),
        Kernel("1 ms", LONG, LONG_TRITON, {"rows": 132}),
    )
}


def chosen(names: Iterable[str], parts: list[str]) -> list[Kernel]:
    """Return the kernels of ``names`` that have one of ``parts`` in their name; all of them without parts."""
    found = [KERNELS[name] for name in names if not parts or any(part in name for part in parts)]
    if not found:
        raise SystemExit(f"no kernel is called so: choose among {', '.join(names)}")
    return found


def need_device(device: str) -> None:
    """End the command unless ``device`` is there."""
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device here, and this measures one")


def write_traceset(
    folder: Path, definition: dict[str, Any], solution: dict[str, Any], workloads: list[dict[str, Any]]
) -> None:
    """Write a trace set of one definition with one solution."""
    lines = [
        {"definition": definition["name"], "workload": each, "solution": None, "evaluation": None}
        for each in workloads
    ]
    for room, name, text in (
        ("definitions", f"{definition['name']}.json", json.dumps(definition)),
        ("solutions", f"{solution['name']}.json", json.dumps(solution)),
        ("workloads", f"{definition['name']}.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines)),
    ):
        path = folder / room / definition["op_type"] / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
