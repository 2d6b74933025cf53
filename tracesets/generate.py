"""Write the definitions and workloads of the trace sets from the source files beside this script.

    python tracesets/generate.py            write every file that is not up to date
    python tracesets/generate.py --check    write nothing; exit 1 if a file is not up to date

One file of ``sources/`` describes one op type with three names:

``FAMILIES``
    ``{name pattern: {description, reference, axes, inputs, outputs, constants?, constraints?, tags?}}``.
    ``reference`` lists functions; the last one is the reference, the others are its helpers. ``constants``
    are the global names that they use, ``{name: value, or the axis whose size it is}``. ``axes`` names the
    axes in order. A tensor is ``(dtype, "axis axis ...")``, or ``(dtype, "axis axis ...", True)`` where the official
    interface calls it optional; a Python scalar is ``(dtype, None)``.
``TABLE``
    Rows ``(trace set, name pattern, {axis: size}, [workload, ...])``: one row is one definition. A workload
    gives every axis that the row leaves variable, and values for scalar inputs; all other inputs are random.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import re
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "tracesets.pytest-fib")

Json = dict[str, Any]


def load_sources() -> dict[str, ModuleType]:
    """Import every source file; the key is the op type, which is the file's name."""
    return {path.stem: _load(path) for path in sorted((ROOT / "sources").glob("*.py"))}


def generated_files() -> dict[Path, str]:
    """Return the content of every generated file, by its path."""
    files: dict[Path, str] = {}
    for op_type, source in load_sources().items():
        for traceset, pattern, sizes, workloads in source.TABLE:
            document = definition(op_type, pattern, source.FAMILIES[pattern], sizes)
            lines = [json.dumps(line) for line in workload_lines(traceset, document, workloads)]
            place = ROOT / traceset
            name = document["name"]
            files[place / "definitions" / op_type / f"{name}.json"] = json.dumps(document, indent=2) + "\n"
            files[place / "workloads" / op_type / f"{name}.jsonl"] = "\n".join(lines) + "\n"
    return files


def definition(op_type: str, pattern: str, family: Json, sizes: dict[str, int]) -> Json:
    """Return the definition of ``family`` whose constant axes have ``sizes``, in the official schema."""
    return {
        "name": pattern.format(**sizes),
        "op_type": op_type,
        "description": family["description"],
        "tags": family.get("tags", []),
        "axes": {axis: _axis(axis, sizes) for axis in family["axes"].split()},
        "constraints": family.get("constraints", []),
        "inputs": {name: _tensor(*spec) for name, spec in family["inputs"].items()},
        "outputs": {name: _tensor(*spec) for name, spec in family["outputs"].items()},
        "reference": reference_text(family, sizes),
    }


def workload_lines(traceset: str, document: Json, workloads: list[Json]) -> Iterator[Json]:
    """Yield the wrapped workload lines of a definition; uuids depend on content alone.

    Equal workloads are told apart by how many equal ones came before; their random inputs differ.
    """
    keys: list[str] = []
    for values in workloads:
        axes = {axis: values[axis] for axis, kind in document["axes"].items() if kind["type"] == "var"}
        inputs = {name: _input(name, values) for name in document["inputs"]}
        unknown = values.keys() - axes.keys() - inputs.keys()
        if unknown:
            raise ValueError(f"{document['name']}: neither axis nor input: {sorted(unknown)}")
        keys.append(json.dumps([traceset, document["name"], axes, inputs]))
        repeated = keys.count(keys[-1]) - 1
        key = f"{keys[-1]}{repeated or ''}"
        yield {
            "definition": document["name"],
            "solution": None,
            "workload": {"uuid": str(uuid.uuid5(NAMESPACE, key)), "axes": axes, "inputs": inputs},
            "evaluation": None,
        }


def reference_text(family: Json, sizes: dict[str, int]) -> str:
    """Return the reference of ``family`` as one module: constants, helpers, and a function ``run``."""
    functions: list[Callable[..., Any]] = family["reference"]
    texts = [textwrap.dedent(inspect.getsource(function)) for function in functions]
    name = functions[-1].__name__
    texts[-1] = texts[-1].replace(f"def {name}(", "def run(", 1)
    body = "\n\n".join(texts)
    imports = [f"import {module}\n" for module in ("math", "torch") if f"{module}." in body]
    constants = [
        f"{name} = {sizes[value] if isinstance(value, str) else value}\n"
        for name, value in family.get("constants", {}).items()
    ]
    head = "\n".join(["from __future__ import annotations\n", *imports, *constants[:1]])
    return head + "".join(constants[1:]) + "\n\n" + body


def definition_for_interface(interface: Json) -> Json:
    """Give an official interface (a definition without reference) the reference of the family that it fits.

    The first family fits whose op type, input names (in any order) and name pattern agree, whatever the sizes.
    KeyError if none does.
    """
    sizes = {name: axis["value"] for name, axis in interface["axes"].items() if axis["type"] == "const"}
    path = ROOT / "sources" / f"{interface['op_type']}.py"
    for pattern, family in _load(path).FAMILIES.items() if path.exists() else ():
        wildcard = re.sub(r"\\\{\w+\\\}", r"\\d+", re.escape(pattern))
        if (
            re.fullmatch(wildcard, interface["name"])
            and interface["inputs"].keys() == family["inputs"].keys()
        ):
            return {**interface, "reference": reference_text(family, sizes)}
    raise KeyError(f"no source family fits the interface {interface['name']}")


def _load(path: Path) -> ModuleType:
    """Import a source file as part of a package, so that it can import what several share from ``.shared``."""
    package = f"fib_traceset_sources_{uuid.uuid5(NAMESPACE, str(path.parent)).hex}"
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(path.parent)]
    spec = importlib.util.spec_from_file_location(f"{package}.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _axis(axis: str, sizes: dict[str, int]) -> Json:
    return {"type": "const", "value": sizes[axis]} if axis in sizes else {"type": "var"}


def _tensor(dtype: str, axes: str | None, optional: bool = False) -> Json:
    spec = {"shape": None if axes is None else axes.split(), "dtype": dtype}
    return spec | {"optional": True} if optional else spec


def _input(name: str, values: Json) -> Json:
    return {"type": "scalar", "value": values[name]} if name in values else {"type": "random"}


def _stale(files: dict[Path, str]) -> list[Path]:
    tracesets = {ROOT / path.relative_to(ROOT).parts[0] for path in files}  # others are not ours to clean up
    present = {path for traceset in tracesets for path in traceset.glob("*/*/*.json*")}
    changed = [path for path, text in files.items() if path not in present or path.read_text() != text]
    return changed + sorted(present - files.keys())


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or check them; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if a file is not up to date"
    )
    check = parser.parse_args(arguments).check
    files = generated_files()
    stale = _stale(files)
    for path in stale:
        print(f"{'stale' if check else 'written' if path in files else 'removed'}: {path.relative_to(ROOT)}")
        if check:
            continue
        if path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path])
        else:
            path.unlink()
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
