"""From what is found in the wild to what the models demand: pure functions on parsed JSON.

Each takes a parsed value and returns the fields of a model, so that the models stay as strict as the schema. Problems
are raised as DataError sentences that continue "<file> ..." or name the field; the reader adds the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from pytest_fib.data.solution import collision, path_key
from pytest_fib.data.text import escape, show
from pytest_fib.errors import DataError

_LANGUAGE_ALIASES = {
    "pytorch": "python",
    "torch": "python",
    "py": "python",
    "c++": "cpp",
    "cxx": "cpp",
    "cuda_cpp": "cuda",
    "cu": "cuda",
}
_IGNORED_BUILD_KEYS = ("build_steps", "build_commands", "compile_options", "validation_policy")
_CUSTOM_TOLERANCE = ("max_atol", "max_rtol", "required_matched_ratio", "max_error_cap", "allow_negative_inf")


def definition_fields(value: Any) -> dict[str, Any]:
    """Return the fields of a Definition: old names, missing optional fields and JSON nulls are put right."""
    source = _object(value, "a definition")
    fields = {key: source[key] for key in ("name", "axes", "inputs", "outputs") if key in source}
    fields["op_type"] = _text_or_empty(source, "op_type") or _text_or_empty(source, "type")
    fields["reference"] = _text_or_empty(source, "reference")
    fields["tags"] = _list_or_empty(source, "tags")
    fields["constraints"] = _list_or_empty(source, "constraints")
    for key in ("description", "custom_inputs_entrypoint"):
        if source.get(key) is not None:
            fields[key] = source[key]
    if isinstance(fields.get("axes"), dict):
        fields["axes"] = {name: _axis(axis) for name, axis in fields["axes"].items()}
    for group in ("inputs", "outputs"):
        if isinstance(fields.get(group), dict):
            fields[group] = {name: _tensor(tensor) for name, tensor in fields[group].items()}
    return fields


def workload_fields(value: Any, default_definition: str) -> tuple[str, dict[str, Any]]:
    """Return the definition's name and the fields of a Workload, from a wrapped or a flat line."""
    source = _object(value, "a workload")
    if "workload" in source:
        if not is_empty(source.get("evaluation")):
            raise DataError("is a trace (it has an evaluation), not a workload; keep it under traces/")
        definition = source.get("definition", default_definition)
        if not isinstance(definition, str) or not definition:
            raise DataError(f"field 'definition' should be a name, found {show(definition)}; correct it")
        return definition, _workload(_object(source["workload"], "field 'workload'"))
    return default_definition, _workload(source)


def trace_fields(value: Any) -> dict[str, Any]:
    """Return the fields of a Trace, from today's schema or a legacy one."""
    source = _object(value, "a trace")
    if "workload" not in source or "definition" not in source:
        raise DataError(
            "is not a trace: fields 'definition' and 'workload' are missing; is it another kind of file?"
        )
    fields: dict[str, Any] = {"definition": source["definition"]}
    fields["workload"] = _workload(_object(source["workload"], "field 'workload'"))
    fields["solution"] = source.get("solution") or None
    evaluation = source.get("evaluation")
    fields["evaluation"] = (
        None if is_empty(evaluation) else _evaluation(_object(evaluation, "field 'evaluation'"))
    )
    return fields


def solution_fields(value: Any, sibling: Callable[[str], str | None]) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a Solution and remarks on what was put right or ignored.

    ``sibling`` returns the text of a source that lies beside the solution file, or None if there is none.
    """
    source = _object(value, "a solution")
    notes: list[str] = []
    fields = {key: source[key] for key in ("name", "definition") if key in source}
    fields["author"] = source.get("author") or "unknown"
    if source.get("description") is not None:
        fields["description"] = source["description"]
    fields["sources"] = _sources(source.get("sources"), sibling, notes)
    spec = _object(source.get("spec"), "field 'spec'")
    for ignored in _IGNORED_BUILD_KEYS:
        if source.get(ignored) or spec.get(ignored):
            notes.append(f"'{ignored}' is not part of the schema and is ignored")
    fields["spec"] = build_fields(spec, fields["sources"], notes)
    return fields, notes


def build_fields(spec: Mapping[str, Any], sources: list[dict[str, Any]], notes: list[str]) -> dict[str, Any]:
    """Return the fields of a BuildSpec, given the sources that it is about; remarks are appended to ``notes``."""
    language = _language(spec, notes)
    hardware = spec.get("target_hardware")
    if isinstance(hardware, str) and hardware:
        hardware = [hardware]
    fields: dict[str, Any] = {
        "language": language,
        "target_hardware": hardware or ["any"],
        "entry_point": _entry_point(spec.get("entry_point"), sources, notes),
        "dependencies": _list_or_empty(spec, "dependencies"),
        "binding": _binding(spec.get("binding"), language, sources, notes),
    }
    if spec.get("destination_passing_style") is not None:
        fields["destination_passing_style"] = spec["destination_passing_style"]
    return fields


def is_empty(value: Any) -> bool:
    """Whether a field says nothing: absent, null, an empty text or an empty object."""
    return value is None or value == "" or value == {}


def _object(value: Any, what: str) -> dict[str, Any]:
    if isinstance(value, list):
        raise DataError(
            f"holds a list where {what} should be one JSON object; put each in a file or line of its own"
        )
    if not isinstance(value, dict):
        raise DataError(f"holds {show(value)} where {what} should be a JSON object; correct it")
    return value


def _text_or_empty(source: Mapping[str, Any], key: str) -> Any:
    return "" if source.get(key) is None else source[key]


def _list_or_empty(source: Mapping[str, Any], key: str) -> Any:
    return [] if source.get(key) is None else source[key]


def _axis(axis: Any) -> Any:
    if not isinstance(axis, dict) or "type" in axis:
        return axis
    kind = "const" if "value" in axis else "expr" if "expression" in axis else "var"
    return {**axis, "type": kind}


def _tensor(tensor: Any) -> Any:
    if not isinstance(tensor, dict):
        return tensor
    fields = {key: tensor[key] for key in ("shape", "dtype", "description") if key in tensor}
    fields.setdefault("shape", None) if "shape" in tensor else None
    if isinstance(tensor.get("optional"), bool):
        fields["optional"] = tensor["optional"]
    return fields


def _workload(source: Mapping[str, Any]) -> dict[str, Any]:
    if "inputs" not in source and "input_shapes" in source:
        raise DataError(
            "has 'input_shapes' instead of 'inputs'; say for every input where its content comes from"
        )
    fields = {key: source[key] for key in ("axes", "inputs") if key in source}
    if isinstance(fields.get("inputs"), dict):
        fields["inputs"] = {name: _input(name, item) for name, item in fields["inputs"].items()}
    uuid = source.get("uuid")
    fields["uuid"] = synthetic_uuid(fields) if uuid is None or uuid == "" else uuid
    if isinstance(source.get("tolerance"), dict):
        fields["tolerance"] = {
            key: source["tolerance"][key] for key in _CUSTOM_TOLERANCE if key in source["tolerance"]
        }
    return fields


def synthetic_uuid(fields: Mapping[str, Any]) -> str:
    """Return an id for a workload that has none: the same for the same content, in any file and order."""
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), default=str)
    digest = hashlib.sha256(canonical.encode("ascii")).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def _input(name: str, item: Any) -> Any:
    if isinstance(item, dict) and "type" not in item:
        hint = ", not 'format'" if "format" in item else ""
        raise DataError(
            f"input '{escape(name, 60)}' has no 'type'{hint}; write random, scalar, safetensors or custom"
        )
    return item


def _evaluation(source: Mapping[str, Any]) -> dict[str, Any]:
    fields = {key: source[key] for key in ("status", "timestamp") if key in source}
    fields["log"] = source.get("log") or source.get("error") or ""
    fields["environment"] = _environment(source.get("environment"))
    status = source.get("status")
    if status in ("PASSED", "INCORRECT_NUMERICAL"):
        fields["correctness"] = _correctness(source.get("correctness"))
    if status == "PASSED":
        fields["performance"] = source.get("performance")
    return fields


def _environment(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    fields = {"hardware": value.get("hardware") or value.get("device") or "unknown"}
    if value.get("libs") is not None:
        fields["libs"] = value["libs"]
    return fields


def _correctness(value: Any) -> Any:
    if not isinstance(value, dict):
        return {} if value is None else value
    fields = {
        key: value[key] for key in ("max_relative_error", "max_absolute_error") if value.get(key) is not None
    }
    if value.get("extra") is not None:
        fields["extra"] = value["extra"]
    if value.get("matched_ratio") is not None and "extra" not in fields:
        fields["extra"] = {"matched_ratio": value["matched_ratio"]}
    return fields


def _language(spec: Mapping[str, Any], notes: list[str]) -> str:
    said = spec.get("language") or spec.get("languages")
    names = said if isinstance(said, list) else [said]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(f"field 'spec.language' should name the language, found {show(said)}; correct it")
    lowered = [name.strip().lower() for name in names]
    known = sorted({_LANGUAGE_ALIASES.get(name, name) for name in lowered})
    language = "+".join(known)
    if said != language:
        notes.append(f"language {show(said)} is read as '{escape(language, 60)}'")
    return language


def _entry_point(value: Any, sources: list[dict[str, Any]], notes: list[str]) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(
            f"field 'spec.entry_point' should read 'file.py::function', found {show(value)}; correct it"
        )
    file, separator, symbol = value.strip().partition("::")
    if not separator:
        if len(sources) != 1:
            raise DataError(
                f"field 'spec.entry_point' is '{escape(value, 60)}' and there are {len(sources)} sources; "
                "write 'file.py::function' to say which file is meant"
            )
        file, symbol = str(sources[0]["path"]), file
        notes.append(
            f"entry_point '{escape(value, 60)}' is read as '{escape(file, 80)}::{escape(symbol, 60)}'"
        )
    for source in sources:
        if source["path"] != file and path_key(str(source["path"])) == path_key(file):
            file = str(source["path"])
            break
    return f"{file}::{symbol}"


def _binding(value: Any, language: str, sources: list[dict[str, Any]], notes: list[str]) -> Any:
    if isinstance(value, str) and value.strip():
        lowered = value.strip().lower().replace("_", "-")
        return {"tvmffi": "tvm-ffi", "pybind": "torch", "pybind11": "torch"}.get(lowered, lowered)
    if value not in (None, ""):
        raise DataError(
            f"field 'spec.binding' should be 'tvm-ffi' or 'torch', found {show(value)}; correct it"
        )
    if language not in ("cpp", "cuda"):
        return None
    text = "\n".join(str(source["content"]) for source in sources)
    if "PYBIND11_MODULE" in text and "TVM_FFI_DLL_EXPORT_TYPED_FUNC" not in text:
        notes.append("no binding is named, and PYBIND11_MODULE in the sources says 'torch'")
        return "torch"
    return None


def _sources(value: Any, sibling: Callable[[str], str | None], notes: list[str]) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise DataError(f"field 'sources' should list at least one file, found {show(value)}; correct it")
    sources = [_source(item, sibling, notes) for item in value]
    problem = collision(str(source["path"]) for source in sources)
    if problem:
        raise DataError(problem)
    return sources


def _source(item: Any, sibling: Callable[[str], str | None], notes: list[str]) -> dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get("path"), str):
        raise DataError(
            f"each of 'sources' should have a 'path' and its 'content', found {show(item)}; correct it"
        )
    path, content = item["path"], item.get("content")
    if content is None or content == "":
        content = sibling(path)
        if content is not None:
            notes.append(
                f"the text of source '{escape(path, 80)}' was read from the file beside the solution"
            )
        elif path.rpartition("/")[2] == "__init__.py":
            content = ""
        else:
            raise DataError(
                f"source '{escape(path, 80)}' is empty and no such file lies beside it; add its content"
            )
    # The official schema knows no empty file.
    return {"path": path, "content": content or "\n"}
