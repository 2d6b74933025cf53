"""What the readers tolerate and the official schema does not have: pure functions on parsed JSON.

Each yields sentences that begin with the field, as the errors of the readers do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pytest_fib.data.definition import Definition, ExprAxis, TensorSpec
from pytest_fib.data.solution import LANGUAGES, Solution
from pytest_fib.data.text import escape, show

_Keys = Mapping[tuple[str, ...], frozenset[str]]
_TENSOR = frozenset({"shape", "dtype", "description", "optional"})

# What an object at a place may say; "*" stands for every key or item. What gets a remark of its own is here too.
_DEFINITION: _Keys = MappingProxyType(
    {
        (): frozenset(
            {"name", "op_type", "type", "axes", "inputs", "outputs", "reference"}
            | {"tags", "description", "constraints", "custom_inputs_entrypoint"}
        ),
        ("axes", "*"): frozenset({"type", "value", "description", "expression"}),
        ("inputs", "*"): _TENSOR,
        ("outputs", "*"): _TENSOR,
    }
)
_WORKLOAD: _Keys = MappingProxyType(
    {
        (): frozenset({"axes", "inputs", "uuid", "tolerance"}),
        ("inputs", "*"): frozenset({"type", "value", "path", "tensor_key"}),
    }
)
_TRACE: _Keys = MappingProxyType({(): frozenset({"definition", "workload", "solution", "evaluation"})})
_SOLUTION: _Keys = MappingProxyType(
    {
        (): frozenset({"name", "definition", "author", "spec", "sources", "description"}),
        ("spec",): frozenset(
            {"language", "languages", "target_hardware", "entry_point", "dependencies"}
            | {"destination_passing_style", "binding"}
        ),
        ("sources", "*"): frozenset({"path", "content"}),
    }
)
_LEGACY = frozenset({"build_steps", "build_commands", "compile_options", "validation_policy"})
_DTYPES = frozenset(
    {"float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float4_e2m1"}
    | {"int64", "int32", "int16", "int8", "bool"}
)


def definition_deviations(value: Any, definition: Definition) -> Iterator[str]:
    """Yield what is unofficial about a definition that was read from ``value``."""
    yield from _unknown_keys(value, _DEFINITION)
    if not value.get("op_type"):
        instead = " ('type' is read instead)" if value.get("type") else ""
        yield f"field 'op_type' is missing{instead}, which FlashInfer-Bench refuses; add it"
    for key in ("tags", "constraints"):
        if key in value and value[key] is None:
            yield f"field '{key}' is null, which FlashInfer-Bench refuses; leave it out"
    if definition.custom_inputs_entrypoint:
        yield "field 'custom_inputs_entrypoint' is ignored by FlashInfer-Bench, which draws such inputs at random"
    for name, axis in definition.axes.items():
        if isinstance(axis, ExprAxis):
            yield f"field 'axes.{escape(name, 60)}' is an expression, which FlashInfer-Bench refuses"
    for group, specs in (("inputs", definition.inputs), ("outputs", definition.outputs)):
        for name, spec in specs.items():
            said = value[group][name].get("dtype")
            yield from _tensor_deviations(f"{group}.{escape(name, 60)}", spec, said, definition)


def workload_deviations(value: Any) -> Iterator[str]:
    """Yield what is unofficial about a line of a workload file that could be read."""
    workload, prefix = value, ""
    if "workload" in value:
        yield from _unknown_keys(value, _TRACE)
        workload, prefix = value["workload"], "workload."
        for key in ("solution", "evaluation"):
            if value.get(key) is not None:
                yield f"field '{key}' is {show(value[key])}; FlashInfer-Bench wants null"
    else:
        yield "the line is flat; FlashInfer-Bench wants {definition, solution, workload, evaluation}"
    yield from _unknown_keys(workload, _WORKLOAD, prefix)
    if not workload.get("uuid"):
        yield f"field '{prefix}uuid' is missing; one made of the content is used"
    if workload.get("tolerance"):
        yield f"field '{prefix}tolerance' is ignored by FlashInfer-Bench"
    for name, item in workload["inputs"].items():
        if item["type"] == "custom":
            field = f"{prefix}inputs.{escape(name, 60)}"
            yield f"field '{field}' is custom, which FlashInfer-Bench draws at random"


def solution_deviations(solution: Solution, value: Any) -> Iterator[str]:
    """Yield what is unofficial about a solution; ``value`` is the JSON that it was read from, or None."""
    if value is not None:
        yield from _unknown_keys(value, _SOLUTION)
    if solution.spec.language not in LANGUAGES:
        yield (
            f"field 'spec.language' is '{escape(solution.spec.language, 60)}', which is not one of "
            f"{', '.join(sorted(LANGUAGES))}"
        )
    if solution.spec.destination_passing_style is None:
        yield (
            "field 'spec.destination_passing_style' is not said: here the signature decides, "
            "FlashInfer-Bench takes it for true; add it"
        )


def _tensor_deviations(field: str, spec: TensorSpec, said: Any, definition: Definition) -> Iterator[str]:
    for item in spec.shape or ():
        if item not in definition.axes:
            yield f"field '{field}.shape' has {show(item)}, where FlashInfer-Bench wants the name of an axis"
    if said not in _DTYPES:
        yield f"field '{field}.dtype' is {show(said)}, which FlashInfer-Bench refuses ('{spec.dtype}' here)"


def _unknown_keys(value: Any, table: _Keys, prefix: str = "") -> Iterator[str]:
    for pattern, known in table.items():
        for place, item in _matching(value, pattern):
            for key in item.keys() - known - _LEGACY if isinstance(item, dict) else ():
                field = prefix + ".".join([*place, escape(key, 60)])
                yield f"field '{field}' is not part of the schema and is ignored; correct its name or remove it"


def _matching(value: Any, pattern: tuple[str, ...]) -> Iterator[tuple[list[str], Any]]:
    if not pattern:
        yield [], value
        return
    inner: Iterable[tuple[Any, Any]] = ()
    if pattern[0] == "*":
        inner = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
    elif isinstance(value, dict):
        inner = [(pattern[0], value.get(pattern[0]))]
    for key, item in inner:
        for place, found in _matching(item, pattern[1:]):
            yield [escape(str(key), 60), *place], found
