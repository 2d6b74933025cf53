"""From a solution to what a candidate is told: the order, the zygote that fits, and whether it can be judged here."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from dataclasses import replace
from functools import cache

import torch

from pytest_fib.border.arena import ITEMSIZE
from pytest_fib.border.idle import NO_WORK, SOURCE, Work
from pytest_fib.border.order import Order
from pytest_fib.data.definition import Definition
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.data.text import escape
from pytest_fib.errors import NoDevice, NotJudgeable
from pytest_fib.judge.libraries import include_folders, missing_headers
from pytest_fib.judge.zygote import ZygoteKind, search_path

SUPPORTED = ("python", "triton", "cpp", "cuda")
_COMPILED = ("cpp", "cuda")
_LINKED = ("cublas", "cudnn", "cutlass", "cuda", "torch", "tvm-ffi", "tvm_ffi", "apache-tvm-ffi")
_PACKAGES = (("triton", "triton", "triton"), ("cpp", "tvm_ffi", "cpp"), ("cuda", "tvm_ffi", "cpp"))
_TOOLS = {
    "c++": "install a C++ compiler and ninja",
    "ninja": "install a C++ compiler and ninja",
    "nvcc": "install the CUDA toolkit and put its bin folder on PATH",
}
_LOW_PRECISION = re.compile(r"bfloat16|bf16|float8|fp8|e4m3|e5m2", re.IGNORECASE)


def check_supported(definition: Definition, solution: Solution, device: str = "cpu") -> None:
    """Raise NotJudgeable if this solution's language or this definition's dtypes cannot be judged on ``device``."""
    check_buildable(solution)
    spec = solution.spec
    if spec.language == "cuda" and device == "cpu":
        raise NoDevice("cuda solutions need an NVIDIA GPU: use --fib-device=cuda where there is one")
    if spec.language == "cpp" and device != "cpu" and not runs_on_gpu(solution):
        raise NotJudgeable("this cpp solution names only cpu as its target_hardware: use --fib-device=cpu")
    for name, tensor in (*definition.inputs.items(), *definition.outputs.items()):
        if tensor.shape is not None and tensor.dtype not in ITEMSIZE:
            raise NotJudgeable(f"{escape(name, 60)} has dtype {tensor.dtype}, which cannot be judged here")


def check_buildable(solution: Solution) -> None:
    """Raise NotJudgeable if ``solution`` cannot be built here; no device is needed to build."""
    language = solution.spec.language
    if language not in SUPPORTED:
        raise NotJudgeable(
            f"language {escape(language, 40)} cannot be judged here: use one of {', '.join(SUPPORTED)}"
        )
    extends_torch = is_torch_extension(solution)
    if extends_torch and language == "cuda" and torch.version.cuda is None:
        raise NotJudgeable(
            "cuda solutions with binding torch need a torch that was built for CUDA, which this one was not: install "
            "one, or export the entry point through tvm-ffi"
        )
    strange = [name for name in solution.spec.dependencies if name.lower() not in _LINKED]
    if language == "cuda" and strange:
        raise NotJudgeable(
            f"the dependency {escape(strange[0], 60)} cannot be linked here: put its headers among the sources, or "
            f"use {' or '.join(_LINKED[:3])}"
        )
    for name in missing_headers(solution.spec.dependencies, os.environ) if language in _COMPILED else ():
        raise NotJudgeable(
            f"the headers of {escape(name, 60)} are not on this machine: unpack them and set CUTLASS_PATH to the "
            "folder that has include/cutlass, or pip install nvidia-cutlass"
        )
    for name, module, extra in _PACKAGES:
        if language == name and not extends_torch and importlib.util.find_spec(module) is None:
            raise NotJudgeable(f"{name} solutions need a package: pip install 'pytest-fib[{extra}]'")
    for tool, remedy in _TOOLS.items() if language in _COMPILED else ():
        if shutil.which(tool, path=search_path()) is None and (tool != "nvcc" or language == "cuda"):
            raise NotJudgeable(f"{language} solutions need the command {tool}: {remedy}")


def check_interpreter(definition: Definition, solution: Solution, problems: str) -> None:
    """Raise NotJudgeable if ``problems`` of Triton's interpreter could touch what this solution computes.

    Without bfloat16 and float8 in sight the interpreter is right as it comes.
    """
    dtypes = {spec.dtype for spec in (*definition.inputs.values(), *definition.outputs.values())}
    texts = (*dtypes, *(source.content for source in solution.sources))
    if problems and any(_LOW_PRECISION.search(text) for text in texts):
        raise NotJudgeable(
            f"the interpreter of the installed Triton computes {problems} wrongly: use a version that "
            "docs/solutions.md lists, or a GPU"
        )


def is_torch_extension(solution: Solution) -> bool:
    """Whether ``solution`` is C++ or CUDA that is called through torch."""
    return solution.spec.language in _COMPILED and solution.spec.binding == "torch"


def runs_on_gpu(solution: Solution) -> bool:
    """Whether ``solution`` says that it is written for something else than a CPU."""
    spec = solution.spec
    return spec.language == "cuda" or any(target.lower() != "cpu" for target in spec.target_hardware)


def uses_triton(solution: Solution) -> bool:
    """Whether ``solution`` is Triton's, or Python that speaks of it."""
    language = solution.spec.language
    return language == "triton" or (
        language == "python" and any("triton" in source.content for source in solution.sources)
    )


def zygote_kind(
    solution: Solution, threads: int, visible: str = "", architecture: str = "", ahead: bool = False
) -> ZygoteKind:
    """Return the zygote whose imports serve ``solution`` best; importing too little only costs time.

    ``visible`` is the CUDA device that its candidates see, empty for the CPU; ``architecture`` is that device's.
    Those that compile Triton's kernels ``ahead`` see none, and do not interpret them.
    """
    text = "\n".join(source.content for source in solution.sources)
    if ahead:
        visible = ""
    wanted = {
        "triton": solution.spec.language == "triton" or "triton" in text,
        "tvm_ffi": (solution.spec.language in _COMPILED and not is_torch_extension(solution))
        or "tvm_ffi" in text,
    }
    if visible:  # importing it asks for devices, after which no fork may use one
        del wanted["tvm_ffi"]
    modules = [
        name for name, needed in wanted.items() if needed and importlib.util.find_spec(name) is not None
    ]
    if visible:
        modules.append("pytest_fib.candidate.cuda")
    return ZygoteKind(
        ("torch", *modules),
        interpret_triton=not (visible or ahead),
        threads=threads,
        visible=visible,
        architecture=architecture,
    )


def order_for(
    definition: Definition,
    solution: Solution,
    *,
    artifact_dir: str,
    threads: int,
    device: str = "cpu",
    optional: tuple[str, ...] = (),
    cache_dir: str = "",
) -> Order:
    """Return what a candidate needs to build and load ``solution``."""
    return Order(
        language=solution.spec.language,
        entry_file=solution.entry_file,
        entry_symbol=solution.entry_symbol,
        sources={source.path: source.content for source in solution.sources},
        destination_passing=solution.spec.destination_passing_style,
        inputs=len(definition.inputs),
        outputs=tuple(definition.outputs),
        artifact_dir=artifact_dir,
        threads=threads,
        device=device,
        optional=optional,
        dependencies=solution.spec.dependencies,
        cache_dir=cache_dir,
        include_paths=include_folders(solution.spec.dependencies, os.environ),
        binding="torch" if is_torch_extension(solution) else "",
    )


def order_of_ours(order: Order, source: str) -> Order:
    """Return the order for ``source``, Python of the judge's own that is given the same arguments."""
    return Order(
        language="python",
        entry_file="ours.py",
        entry_symbol="run",
        sources={"ours.py": source},
        destination_passing=True,
        inputs=order.inputs,
        outputs=order.outputs,
        artifact_dir="",
        threads=order.threads,
    )


def idle_order(order: Order, work: Work = NO_WORK, artifact_dir: str = "") -> Order:
    """Return the order for calls that do nothing but ``work``, compiled if there is an ``artifact_dir``."""
    ours = order_of_ours(order, "")
    return replace(
        ours,
        language="idle_cpp" if artifact_dir else "idle",
        sources={},
        artifact_dir=artifact_dir,
        work=work,
    )


def calls_are_compiled(solution: Solution) -> bool:
    """Whether nothing but compiled code is between "go" and "done" of ``solution``: see ``build.loop``."""
    spec = solution.spec
    return (
        spec.language == "cpp"
        and spec.destination_passing_style is not False
        and not is_torch_extension(solution)
    )


@cache
def compiled_idle() -> LoadedSolution:
    """Return what is built so that idle calls can go the way of C++ solutions: a solution of the judge's own."""
    source = {"path": SOURCE.name, "content": SOURCE.read_text()}
    raw = {
        "name": "idle",
        "definition": "idle",
        "author": "pytest-fib",
        "spec": {"language": "cpp", "target_hardware": ["cpu"], "entry_point": f"{SOURCE.name}::run"},
        "sources": [source],
    }
    return LoadedSolution(Solution.model_validate(raw), SOURCE)
