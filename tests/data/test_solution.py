from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data.readers import read_solution
from pytest_fib.data.solution import Solution, collision, path_problem
from pytest_fib.errors import DataError

Json = dict[str, Any]
Write = Callable[..., Path]


def test_a_plain_solution(solution_json: Json, write: Write) -> None:
    path = write("s.json", solution_json)
    loaded = read_solution(path)
    assert loaded.path == path
    assert loaded.notes == ()
    assert (loaded.solution.entry_file, loaded.solution.entry_symbol) == ("main.py", "run")
    assert loaded.solution.spec.destination_passing_style is False
    written = json.loads(loaded.solution.to_json())
    del solution_json["spec"]["binding"]
    assert written == solution_json
    assert read_solution(write("again.json", written)).solution == loaded.solution


def test_a_source_file_is_told_what_a_solution_is(tmp_path: Path) -> None:
    source = tmp_path / "kit" / "solution" / "python" / "kernel.py"
    source.parent.mkdir(parents=True)
    source.write_text("def run(x):\n    return x\n")
    with pytest.raises(
        DataError, match=r"kernel\.py: is not a solution; name a solution's JSON, .* \(config.toml and"
    ):
        read_solution(source)
    (tmp_path / "kit" / "config.toml").write_text("")
    with pytest.raises(DataError, match=r"lies in a starter-kit folder; name that folder, \S+/kit$"):
        read_solution(source)


def test_an_unsaid_calling_style_stays_unsaid(solution_json: Json, write: Write) -> None:
    del solution_json["spec"]["destination_passing_style"]
    solution = read_solution(write("s.json", solution_json)).solution
    assert solution.spec.destination_passing_style is None
    assert "destination_passing_style" not in json.loads(solution.to_json())["spec"]


def spec(**changes: Any) -> Callable[[Json], Any]:
    def change(solution: Json) -> Any:
        solution["spec"] = {k: v for k, v in {**solution["spec"], **changes}.items() if v is not ...}
        return solution

    return change


def single(**changes: Any) -> Callable[[Json], Any]:
    def change(solution: Json) -> Any:
        solution["sources"] = [
            {"path": "kernel.py", "content": "def run(x, factor):\n    return x * factor\n"}
        ]
        return spec(**changes)(solution)

    return change


def cpp(content: str, **changes: Any) -> Callable[[Json], Any]:
    def change(solution: Json) -> Any:
        solution["sources"] = [{"path": "kernel.cpp", "content": content}]
        return spec(language="cpp", entry_point="kernel.cpp::run", **changes)(solution)

    return change


PYBIND = "PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { }"
TVM = "TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run_impl)"

ACCEPTED: dict[str, tuple[Callable[[Json], Any], Json, str]] = {
    "capitalised language": (
        spec(language="Python"),
        {"language": "python"},
        "language 'Python' is read as 'python'",
    ),
    "languages pytorch": (
        spec(language=..., languages=["pytorch"]),
        {"language": "python"},
        "is read as 'python'",
    ),
    "languages cuda_cpp": (
        spec(language=..., languages=["cuda_cpp"]),
        {"language": "cuda"},
        "is read as 'cuda'",
    ),
    "languages both known": (
        spec(language=..., languages=["torch", "python"]),
        {"language": "python"},
        "'python'",
    ),
    "several languages": (
        spec(language=..., languages=["cuda_cpp", "cutlass"]),
        {"language": "cuda+cutlass"},
        "is read as 'cuda+cutlass'",
    ),
    "unknown language": (spec(language="sycl"), {"language": "sycl"}, ""),
    "entry without file": (
        single(entry_point="run"),
        {"entry_point": "kernel.py::run"},
        "is read as 'kernel.py::run'",
    ),
    "entry ./": (spec(entry_point="./main.py::run"), {"entry_point": "main.py::run"}, ""),
    "legacy build_steps": (spec(build_steps=["rm -rf /"]), {}, "'build_steps' is not part of the schema"),
    "legacy build_commands": (
        spec(build_commands=["make"]),
        {},
        "'build_commands' is not part of the schema",
    ),
    "compile_options": (spec(compile_options={"a": 1}), {}, "'compile_options' is not part of the schema"),
    "no dependencies": (spec(dependencies=...), {"dependencies": ()}, ""),
    "null dependencies": (spec(dependencies=None), {"dependencies": ()}, ""),
    "PEP 508 dependency": (spec(dependencies=["x >= 0.2"]), {"dependencies": ("x >= 0.2",)}, ""),
    "no binding": (spec(binding=...), {"binding": None}, ""),
    "binding tvm_ffi": (spec(binding="tvm_ffi"), {"binding": "tvm-ffi"}, ""),
    "binding Torch": (spec(binding="Torch"), {"binding": "torch"}, ""),
    "pybind shown by the sources": (
        cpp(PYBIND),
        {"binding": "torch"},
        "PYBIND11_MODULE in the sources means 'torch'",
    ),
    "pybind with binding null": (cpp(PYBIND, binding=None), {"binding": "torch"}, "means 'torch'"),
    "tvm-ffi shown by the sources": (cpp(TVM), {"binding": None}, ""),
    "both shown": (cpp(PYBIND + TVM), {"binding": None}, ""),
    "neither shown": (cpp("int x;"), {"binding": None}, ""),
    "python that mentions pybind": (
        single(binding=..., entry_point="kernel.py::run", note=PYBIND),
        {"binding": None},
        "",
    ),
    "hardware as text": (spec(target_hardware="NVIDIA_H100"), {"target_hardware": ("NVIDIA_H100",)}, ""),
    "no hardware": (spec(target_hardware=...), {"target_hardware": ("any",)}, ""),
    "style null": (spec(destination_passing_style=None), {"destination_passing_style": None}, ""),
    "method entry": (spec(entry_point="main.py::Kernel.run"), {"entry_point": "main.py::Kernel.run"}, ""),
}


@pytest.mark.parametrize(("change", "fields", "note"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_solutions_in_the_wild_are_accepted(
    change: Callable[[Json], Any], fields: Json, note: str, solution_json: Json, write: Write
) -> None:
    loaded = read_solution(write("s.json", change(solution_json)))
    assert {key: getattr(loaded.solution.spec, key) for key in fields} == fields
    assert note in " ".join(loaded.notes)
    assert bool(note) == bool(loaded.notes)


def sources(*paths: str) -> Callable[[Json], Any]:
    def change(solution: Json) -> Any:
        solution["sources"] = [{"path": path, "content": "x = 1\n"} for path in ("main.py", *paths)]
        return solution

    return change


def top(**changes: Any) -> Callable[[Json], Any]:
    return lambda solution: {k: v for k, v in {**solution, **changes}.items() if v is not ...}


REJECTED: dict[str, tuple[Callable[[Json], Any], str]] = {
    "a list": (lambda solution: [solution], "a solution should be one JSON object, found a list"),
    "no spec": (top(spec=...), "field 'spec' is missing; add it"),
    "spec is null": (top(spec=None), "field 'spec' should be a JSON object, found null"),
    "no name": (top(name=...), "field 'name' is missing; add it"),
    "no definition": (top(definition=...), "field 'definition' is missing; add it"),
    "definition is null": (top(definition=None), "field 'definition' should be text, found null"),
    "no sources": (top(sources=...), "field 'sources' is missing; add it"),
    "sources are null": (top(sources=None), "field 'sources' should list at least one file, found null"),
    "empty sources": (top(sources=[]), "field 'sources' should list at least one file, found []"),
    "sources as an object": (top(sources={"main.py": "x"}), "field 'sources' should list"),
    "source without path": (top(sources=[{"content": "x"}]), "should have a 'path' and a 'content'"),
    "source is null": (top(sources=[None]), "should have a 'path' and a 'content', found null"),
    "content is a number": (top(sources=[{"path": "main.py", "content": 5}]), "should be text, found 5"),
    "content empty, no file beside": (
        top(sources=[{"path": "main.py", "content": ""}]),
        "is empty and no such file",
    ),
    "no language": (spec(language=...), "field 'spec.language' is missing; add it"),
    "language is null": (spec(language=None), "field 'spec.language' should name a language, found null"),
    "languages empty": (spec(language=..., languages=[]), "should name a language, found []"),
    "language is a number": (spec(language=7), "should name a language, found 7"),
    "language with odd characters": (spec(language="py\nthon"), "field 'spec.language'"),
    "no entry point": (spec(entry_point=...), "field 'spec.entry_point' is missing; add it"),
    "entry point is null": (
        spec(entry_point=None),
        "field 'spec.entry_point' should read 'file.py::function', found null",
    ),
    "entry without file, two sources": (
        spec(entry_point="run"),
        "there are 2 sources; write 'file.py::function'",
    ),
    "entry file not there": (
        spec(entry_point="other.py::run"),
        "names 'other.py', which is not among the sources",
    ),
    "entry with two separators": (spec(entry_point="main.py::A::run"), "should read 'file.py::function'"),
    "entry without function": (spec(entry_point="main.py::"), "should read 'file.py::function'"),
    "entry with code": (spec(entry_point="main.py::run()"), "should read 'file.py::function'"),
    "style is a text": (spec(destination_passing_style="no"), "field 'spec.destination_passing_style'"),
    "unknown binding": (
        spec(binding="ctypes"),
        "field 'spec.binding' should be 'tvm-ffi' or 'torch', found 'ctypes'",
    ),
    "binding is a list": (spec(binding=[]), "field 'spec.binding'"),
    "absolute path": (sources("/etc/passwd"), "should be relative to the solution's folder"),
    "path with ..": (sources("a/../../x.py"), "leaves the solution's folder"),
    "home path": (sources("~/.bashrc"), "should be relative"),
    "option as a path": (sources("-o.py"), "should be relative"),
    "nul": (sources("a\0.py"), "contains control or invisible characters"),
    "newline": (sources("a\n.py"), "contains control or invisible characters"),
    "right-to-left override": (sources("a\u202eyp.x"), "contains control or invisible characters"),
    "backslashes": (sources("..\\..\\x.py"), "contains a backslash"),
    "drive": (sources("C:x.py"), "contains a backslash or a colon"),
    "a folder": (sources("lib/"), "names a folder"),
    "only dots": (sources("./."), "names a folder"),
    "empty path": (sources(""), "names a folder"),
    "too long": (sources("a/" * 200 + "x.py"), "is longer than 240 bytes"),
    "same path twice": (sources("main.py"), "are the same file"),
    "same path, spelled otherwise": (sources("./lib/..main.py", "lib//..main.py"), "are the same file"),
    "same path but for capitals": (sources("Main.PY"), "'main.py' and 'Main.PY' are the same file"),
    "same path but for composition": (sources("é.py", "e\u0301.py"), "are the same file"),
    "a file as a folder": (sources("main.py/x.py"), "'main.py' is a folder of 'main.py/x.py'"),
    "a file as a deep folder": (sources("lib", "lib/a/b.py"), "'lib' is a folder of 'lib/a/b.py'"),
    "too many": (sources(*(f"f{i}.py" for i in range(1001))), "field 'sources'"),
}


@pytest.mark.parametrize(("change", "words"), REJECTED.values(), ids=REJECTED.keys())
def test_solutions_that_cannot_be_used_are_refused_by_field(
    change: Callable[[Json], Any], words: str, solution_json: Json, write: Write
) -> None:
    path = write("s.json", change(solution_json))
    with pytest.raises(DataError) as caught:
        read_solution(path)
    message = str(caught.value)
    assert words in message
    assert message.startswith(f"{path}: ")
    assert message.isprintable()


def test_a_repeated_key_is_refused(solution_json: Json, write: Write) -> None:
    text = json.dumps(solution_json).replace('"author"', '"name": "twin", "author"', 1)
    with pytest.raises(DataError, match="says 'name' twice in one object"):
        read_solution(write("s.json", text))


class TestTextBesideTheFile:
    def empty(self, solution: Json, path: str = "main.py") -> Json:
        solution["sources"] = [{"path": path, "content": ""}]
        solution["spec"]["entry_point"] = f"{path}::run"
        return solution

    def test_is_read(self, solution_json: Json, write: Write) -> None:
        write("main.py", "def run(): ...\r\n")
        loaded = read_solution(write("s.json", self.empty(solution_json)))
        assert loaded.solution.sources[0].content == "def run(): ...\r\n"
        assert "'main.py' is that of the file beside" in loaded.notes[0]

    def test_also_without_any_content_field(self, solution_json: Json, write: Write) -> None:
        write("lib/main.py", "def run(): ...\n")
        value = self.empty(solution_json, "lib/main.py")
        del value["sources"][0]["content"]
        assert read_solution(write("s.json", value)).solution.sources[0].content == "def run(): ...\n"

    def test_never_through_a_link_out_of_the_folder(
        self, solution_json: Json, write: Write, tmp_path: Path
    ) -> None:
        secret = write("secret.py", "password")
        path = write("inner/s.json", self.empty(solution_json))
        (tmp_path / "inner" / "main.py").symlink_to(secret)
        with pytest.raises(DataError, match="is empty and no such file lies beside it"):
            read_solution(path)

    def test_never_by_a_path_out_of_the_folder(self, solution_json: Json, write: Write) -> None:
        write("secret.py", "password")
        path = write("inner/s.json", self.empty(solution_json, "../secret.py"))
        with pytest.raises(DataError, match="leaves the solution's folder"):
            read_solution(path)

    def test_names_a_file_that_is_no_text(self, solution_json: Json, write: Write) -> None:
        write("main.py", b"\xff\xff")
        path = write("s.json", self.empty(solution_json))
        with pytest.raises(DataError, match=r"main\.py: is not UTF-8 text"):
            read_solution(path)

    def test_an_empty_init_needs_none(self, solution_json: Json, write: Write) -> None:
        solution_json["sources"].append({"path": "lib/__init__.py", "content": ""})
        solution = read_solution(write("s.json", solution_json)).solution
        assert solution.sources[-1].content == "\n", "the official schema knows no empty file"


@pytest.mark.parametrize("kind", ["missing", "folder in the way", "fifo", "link loop", "nul"])
def test_what_is_not_a_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("s\0.json" if kind == "nul" else "s.json")
    if kind == "folder in the way":
        path = Path("/dev/null") / "s.json"
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link loop":
        path.symlink_to(path)
    with pytest.raises(DataError) as caught:
        read_solution(path)
    assert str(caught.value).isprintable()


class TestHashes:
    def test_every_field_counts(self, solution_json: Json) -> None:
        base = Solution.model_validate(solution_json)
        changes: list[Json] = [
            {"name": "b"},
            {"definition": "b"},
            {"author": "b"},
            {"description": None},
            {"spec": solution_json["spec"] | {"destination_passing_style": None}},
            {"spec": solution_json["spec"] | {"destination_passing_style": True}},
            {"spec": solution_json["spec"] | {"target_hardware": ["cuda"]}},
            {"spec": solution_json["spec"] | {"binding": "torch"}},
            {"spec": solution_json["spec"] | {"dependencies": ["torc", "h"]}},
            {"sources": list(reversed(solution_json["sources"]))},
        ]
        hashes = {Solution.model_validate(solution_json | change).content_hash for change in changes}
        assert len(hashes | {base.content_hash}) == len(changes) + 1
        assert all(len(digest) == 64 for digest in hashes)

    def test_moving_text_between_fields_changes_ours_but_not_the_official(self, solution_json: Json) -> None:
        twin = solution_json | {"name": "scale_rows_plainscale", "definition": "_rows_n64"}
        first, second = Solution.model_validate(solution_json), Solution.model_validate(twin)
        assert first.official_hash == second.official_hash
        assert first.content_hash != second.content_hash

    def test_the_official_hash_is_sha1_of_the_parts(self, solution_json: Json) -> None:
        parts = ["scale_rows_plain", "scale_rows_n64", "python", "main.py::run", "", "torch"]
        for source in solution_json["sources"]:
            parts += [source["path"], source["content"]]
        expected = hashlib.sha1("".join(parts).encode()).hexdigest()
        assert Solution.model_validate(solution_json).official_hash == expected

    def test_a_changed_copy_has_its_own(self, solution_json: Json) -> None:
        first = Solution.model_validate(solution_json)
        before = first.content_hash
        assert first.model_copy(update={"name": "other"}).content_hash != before
        assert first.model_copy().content_hash == before == first.content_hash


@given(st.text(st.sampled_from("ab/.\\~-: é\n\0"), max_size=12))
def test_a_path_without_problem_stays_inside(path: str) -> None:
    if path_problem(path) is None:
        assert Path("/solution") in Path(os.path.normpath(f"/solution/{path}")).parents


PARTS = st.lists(st.sampled_from(["a", "A", "b", "é", "e\u0301", ".", "x y"]), min_size=1, max_size=3)


@given(st.lists(PARTS.map("/".join), max_size=6))
def test_paths_without_collision_can_all_be_written(paths: list[str]) -> None:
    if collision(paths) or any(map(path_problem, paths)):
        return
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(paths):
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(number))
        assert [Path(folder, path).read_text() for path in paths] == [
            str(number) for number in range(len(paths))
        ]
