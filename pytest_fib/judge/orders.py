"""From a solution to what a candidate is told: the order, the zygote that fits, and whether it can be judged here."""

from __future__ import annotations

import importlib.util
import re
import shutil

from pytest_fib.border.arena import ITEMSIZE
from pytest_fib.border.order import Order
from pytest_fib.data.definition import Definition
from pytest_fib.data.solution import Solution
from pytest_fib.data.text import escape
from pytest_fib.errors import NotJudgeable
from pytest_fib.judge.zygote import ZygoteKind, search_path

SUPPORTED = ("python", "triton", "cpp")
_LOW_PRECISION = re.compile(r"bfloat16|bf16|float8|fp8|e4m3|e5m2", re.IGNORECASE)


def check_supported(definition: Definition, solution: Solution) -> None:
    """Raise NotJudgeable if this solution's language or this definition's dtypes cannot be judged here."""
    language = solution.spec.language
    if language not in SUPPORTED:
        raise NotJudgeable(
            f"language {escape(language, 40)} cannot be judged here: use one of {', '.join(SUPPORTED)}"
        )
    if language == "cpp" and solution.spec.binding == "torch":
        raise NotJudgeable("binding torch cannot be judged here: export the entry point through tvm-ffi")
    for name, spec in (*definition.inputs.items(), *definition.outputs.items()):
        if spec.shape is not None and spec.dtype not in ITEMSIZE:
            raise NotJudgeable(f"{escape(name, 60)} has dtype {spec.dtype}, which cannot be judged here")
    for name, module in (("triton", "triton"), ("cpp", "tvm_ffi")):
        if language == name and importlib.util.find_spec(module) is None:
            raise NotJudgeable(f"{name} solutions need a package: pip install 'pytest-fib[{name}]'")
    for tool in ("c++", "ninja") if language == "cpp" else ():
        if shutil.which(tool, path=search_path()) is None:
            raise NotJudgeable(f"cpp solutions need the command {tool}: install a C++ compiler and ninja")


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


def zygote_kind(solution: Solution, threads: int) -> ZygoteKind:
    """Return the zygote whose imports serve ``solution`` best; importing too little only costs time."""
    text = "\n".join(source.content for source in solution.sources)
    wanted = {
        "triton": solution.spec.language == "triton" or "triton" in text,
        "tvm_ffi": solution.spec.language == "cpp" or "tvm_ffi" in text,
    }
    modules = [
        name for name, needed in wanted.items() if needed and importlib.util.find_spec(name) is not None
    ]
    return ZygoteKind(("torch", *modules), interpret_triton=True, threads=threads)


def order_for(
    definition: Definition,
    solution: Solution,
    *,
    artifact_dir: str,
    threads: int,
    optional: tuple[str, ...] = (),
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
        optional=optional,
    )


def noop_order(order: Order, source: str) -> Order:
    """Return the order for a solution that does nothing with the same arguments."""
    return Order(
        language="python",
        entry_file="noop.py",
        entry_symbol="run",
        sources={"noop.py": source},
        destination_passing=True,
        inputs=order.inputs,
        outputs=order.outputs,
        artifact_dir="",
        threads=order.threads,
    )
