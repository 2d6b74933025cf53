"""From what is found in the wild to what the models demand: pure functions on parsed JSON.

Each takes a parsed value and returns the fields of a model, so that the models stay as strict as the schema.
Problems are raised as DataError sentences that name the field; the reader puts the file before them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from pytest_fib.data.solution import collision, path_key, path_problem
from pytest_fib.data.text import escape, show
from pytest_fib.errors import DataError

Fields = dict[str, Any]
Sibling = Callable[[str], "str | None"] | None
"""Gives the text of a source that lies beside the solution file, or None if there is no such file."""

_LANGUAGES = {
    "py": "python",
    "pytorch": "python",
    "torch": "python",
    "c++": "cpp",
    "cxx": "cpp",
    "cu": "cuda",
    "cuda_cpp": "cuda",
}
_BINDINGS = {"tvm_ffi": "tvm-ffi", "tvmffi": "tvm-ffi", "pybind": "torch", "pybind11": "torch"}
_LEGACY_BUILD_KEYS = ("build_steps", "build_commands", "compile_options", "validation_policy")
_TOLERANCE = ("max_atol", "max_rtol", "required_matched_ratio", "max_error_cap", "allow_negative_inf")


def definition_fields(value: Any) -> Fields:
    """Return the fields of a Definition: old names, absent optional fields and nulls are put right."""
    source = _object(value, "a definition")
    fields = _some(source, "name", "axes", "inputs", "outputs")
    fields["op_type"] = source.get("op_type") or source.get("type") or ""
    fields["reference"] = "" if source.get("reference") is None else source["reference"]
    fields |= _said(source, "description", "custom_inputs_entrypoint")
    for key in ("tags", "constraints"):
        listed = source.get(key)
        fields[key] = [item for item in listed if item != ""] if isinstance(listed, list) else listed or []
    if isinstance(fields.get("axes"), dict):
        fields["axes"] = {name: _axis(axis) for name, axis in fields["axes"].items()}
    for group in ("inputs", "outputs"):
        if isinstance(fields.get(group), dict):
            fields[group] = {name: _tensor(f"{group}.{name}", item) for name, item in fields[group].items()}
    return fields


def workload_fields(value: Any) -> tuple[str, Fields]:
    """Return the definition's name ("" if not said) and a Workload's fields, from a wrapped or flat line.

    The field ``uuid`` is left out where the line has none.

    Raises
    ------
    DataError
        If it is something else than a workload.
    """
    source = _object(value, "a workload")
    if "workload" not in source:
        return "", _workload(source)
    if not _is_empty(source.get("evaluation")):
        raise DataError("this is a trace (it has an evaluation), not a workload; keep it under traces/")
    definition = source.get("definition") or ""
    if not isinstance(definition, str):
        raise DataError(f"field 'definition' should be a name, found {show(definition)}; correct it")
    return definition, _workload(_object(source["workload"], "field 'workload'"))


def synthetic_uuid(fields: Mapping[str, Any]) -> str:
    """Return an id for a workload that has none: the same for the same content, in any file and order."""
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode("ascii")).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def trace_fields(value: Any) -> Fields:
    """Return the fields of a Trace, from today's schema or a legacy one.

    Raises
    ------
    DataError
        If it is something else than a trace.
    """
    source = _object(value, "a trace")
    if "definition" not in source or "workload" not in source:
        raise DataError("this is not a trace (no 'definition' and 'workload'); name a trace file")
    evaluation = source.get("evaluation")
    return {
        "definition": source["definition"],
        "workload": _workload(_object(source["workload"], "field 'workload'")),
        "solution": source.get("solution") or None,
        "evaluation": None
        if _is_empty(evaluation)
        else _evaluation(_object(evaluation, "field 'evaluation'")),
    }


def solution_fields(value: Any, sibling: Sibling, spec_name: str = "spec") -> tuple[Fields, list[str]]:
    """Return the fields of a Solution, and remarks on what was put right or ignored, one sentence each.

    ``spec_name`` is what the file itself calls the part that is ``spec`` here.
    """
    source = _object(value, "a solution")
    notes: list[str] = []
    fields = _some(source, "name", "definition") | _said(source, "description")
    fields["author"] = source.get("author") or "unknown"
    fields["sources"] = _sources(_required(source, "sources"), sibling, notes)
    spec = _object(_required(source, "spec"), f"field '{spec_name}'")
    fields["spec"] = _build(spec, spec_name, fields["sources"], notes)
    legacy = [key for key in _LEGACY_BUILD_KEYS if source.get(key) or spec.get(key)]
    notes.extend(f"field '{key}' is not part of the schema and is ignored" for key in legacy)
    return fields, notes


def canonical_language(name: str) -> str:
    """Return today's name of a language, lower-cased; unknown names are kept."""
    lowered = name.strip().lower()
    return _LANGUAGES.get(lowered, lowered)


def _object(value: Any, what: str) -> Fields:
    if isinstance(value, list):
        raise DataError(f"{what} should be one JSON object, found a list; give each its own file or line")
    if not isinstance(value, dict):
        raise DataError(f"{what} should be a JSON object, found {show(value)}; correct it")
    return value


def _some(source: Mapping[str, Any], *keys: str) -> Fields:
    return {key: source[key] for key in keys if key in source}


def _required(source: Mapping[str, Any], key: str, parent: str = "") -> Any:
    if key not in source:
        raise DataError(f"field '{parent}{key}' is missing; add it")
    return source[key]


def _said(source: Mapping[str, Any], *keys: str) -> Fields:
    return {key: source[key] for key in keys if source.get(key) is not None}


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == {}


def _axis(axis: Any) -> Any:
    if not isinstance(axis, dict) or "type" in axis:
        return axis
    kind = "const" if "value" in axis else "expr" if "expression" in axis else "var"
    return {**axis, "type": kind}


def _tensor(field: str, tensor: Any) -> Any:
    if not isinstance(tensor, dict):
        return tensor
    for item in tensor["shape"] if isinstance(tensor.get("shape"), list) else ():
        if isinstance(item, bool) or not isinstance(item, (int, str)):
            raise DataError(
                f"field '{escape(field, 80)}.shape' has the item {show(item)}; "
                "write axis names, integers or arithmetic"
            )
    fields = _some(tensor, "shape", "dtype") | _said(tensor, "description")
    return fields | ({"optional": True} if tensor.get("optional") is True else {})


def _workload(source: Mapping[str, Any]) -> Fields:
    if "inputs" not in source and "input_shapes" in source:
        raise DataError("there is 'input_shapes' instead of 'inputs'; say for every input what fills it")
    fields = _some(source, "axes", "inputs")
    if not _is_empty(source.get("uuid")):
        fields["uuid"] = source["uuid"]
    if isinstance(fields.get("inputs"), dict):
        for name, item in fields["inputs"].items():
            _check_input(name, item)
    if isinstance(source.get("tolerance"), dict):
        fields["tolerance"] = _said(source["tolerance"], *_TOLERANCE)
    return fields


def _check_input(name: str, item: Any) -> None:
    """Refuse what would be misread: the official models take an input without a type for a random one."""
    if not isinstance(item, dict):
        return
    if "type" not in item:
        instead = ", only 'format'" if "format" in item else ""
        raise DataError(
            f"input '{escape(name, 60)}' has no 'type'{instead}; write random, scalar, safetensors or custom"
        )
    if item["type"] == "scalar" and not _is_number(item.get("value")):
        raise DataError(
            f"input '{escape(name, 60)}' is a scalar of value {show(item.get('value'))}; "
            "write a number or a boolean"
        )


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
    return isinstance(value, (bool, int, float, str))


def _evaluation(source: Mapping[str, Any]) -> Fields:
    fields = _some(source, "status", "timestamp")
    fields["log"] = source.get("log") or source.get("error") or ""
    fields["environment"] = _environment(source.get("environment"))
    # Legacy traces carry numbers with statuses that have none today; they mean nothing there.
    if source.get("status") in ("PASSED", "INCORRECT_NUMERICAL"):
        fields["correctness"] = _correctness(source.get("correctness"))
    if source.get("status") == "PASSED":
        fields["performance"] = source.get("performance")
    return fields


def _environment(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {"hardware": value.get("hardware") or value.get("device") or "unknown"} | _said(value, "libs")


def _correctness(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    fields = _said(value, "max_relative_error", "max_absolute_error", "extra")
    if value.get("matched_ratio") is not None:
        fields.setdefault("extra", {"matched_ratio": value["matched_ratio"]})
    return fields


def _build(spec: Mapping[str, Any], spec_name: str, sources: list[Fields], notes: list[str]) -> Fields:
    language = _language(spec, spec_name, notes)
    hardware = spec.get("target_hardware") or ["any"]
    return {
        "language": language,
        "target_hardware": [hardware] if isinstance(hardware, str) else hardware,
        "entry_point": _entry_point(spec, spec_name, sources, notes),
        "binding": _binding(spec.get("binding"), language, sources, notes),
        **_said(spec, "dependencies", "destination_passing_style"),
    }


def _language(spec: Mapping[str, Any], spec_name: str, notes: list[str]) -> str:
    said = spec.get("language") or spec.get("languages")
    if said is None:
        _required(spec, "language", f"{spec_name}.")
    listed: list[Any] = said if isinstance(said, list) else [said]
    names = [name for name in listed if isinstance(name, str) and name]
    if not names or len(names) != len(listed):
        raise DataError(
            f"field '{spec_name}.language' should name a language, found {show(said)}; correct it"
        )
    language = "+".join(sorted({canonical_language(name) for name in names}))
    if said != language:
        notes.append(f"language {show(said)} is read as '{escape(language, 80)}'")
    return language


def _entry_point(spec: Mapping[str, Any], spec_name: str, sources: list[Fields], notes: list[str]) -> str:
    value = _required(spec, "entry_point", f"{spec_name}.")
    if not isinstance(value, str):
        raise DataError(
            f"field '{spec_name}.entry_point' should read 'file.py::function', found {show(value)}; correct it"
        )
    file, separator, symbol = value.strip().partition("::")
    if separator:
        return f"{_as_listed(file, sources)}::{symbol}"
    if len(sources) != 1:
        raise DataError(
            f"field '{spec_name}.entry_point' is {show(value)} and there are {len(sources)} sources; "
            "write 'file.py::function' to say which file is meant"
        )
    inferred = f"{sources[0]['path']}::{file}"
    notes.append(f"entry_point {show(value)} is read as '{escape(inferred, 120)}'")
    return inferred


def _as_listed(file: str, sources: list[Fields]) -> str:
    """Return the source path that means the same file (``./main.py`` and ``main.py``), or ``file`` itself."""
    paths = [source["path"] for source in sources]
    alike = [path for path in paths if path_key(path) == path_key(file)]
    return file if file in paths or not alike else str(alike[0])


def _binding(value: Any, language: str, sources: list[Fields], notes: list[str]) -> Any:
    if value not in (None, ""):
        return (
            _BINDINGS.get(value.strip().lower(), value.strip().lower()) if isinstance(value, str) else value
        )
    text = "\n".join(source["content"] for source in sources)
    shown = next((macro for macro in ("PYBIND11_MODULE", "TORCH_LIBRARY") if macro in text), None)
    if language not in ("cpp", "cuda") or shown is None or "TVM_FFI_DLL_EXPORT_TYPED_FUNC" in text:
        return None
    notes.append(f"no binding is named; {shown} in the sources means 'torch'")
    return "torch"


def _sources(value: Any, sibling: Sibling, notes: list[str]) -> list[Fields]:
    if not isinstance(value, list) or not value:
        raise DataError(f"field 'sources' should list at least one file, found {show(value)}; correct it")
    sources = [_source(item, sibling, notes) for item in value]
    problem = collision(source["path"] for source in sources)
    if problem:
        raise DataError(problem)
    return sources


def _source(item: Any, sibling: Sibling, notes: list[str]) -> Fields:
    if not isinstance(item, dict) or not isinstance(item.get("path"), str):
        raise DataError(
            f"each of 'sources' should have a 'path' and a 'content', found {show(item)}; correct it"
        )
    path, content = item["path"], item.get("content")
    problem = path_problem(path)
    if problem:
        raise DataError(problem)
    if content is not None and not isinstance(content, str):
        raise DataError(
            f"the content of source '{escape(path, 80)}' should be text, found {show(content)}; correct it"
        )
    beside = sibling(path) if not content and sibling is not None else None
    if beside is not None:
        content = beside
        notes.append(f"the text of source '{escape(path, 80)}' is that of the file beside the solution")
    may_be_empty = content is not None and (
        sibling is None or beside is not None or path.endswith("__init__.py")
    )
    if not content and not may_be_empty:
        raise DataError(
            f"source '{escape(path, 80)}' is empty and no such file lies beside it; add its content"
        )
    # The official schema knows no empty file.
    return {"path": path, "content": content or "\n"}
