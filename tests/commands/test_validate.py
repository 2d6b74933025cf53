"""``fib validate``: one line per problem, at its place, and nothing but lines whatever the bytes are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_fib.cli import main
from pytest_fib.commands.validate.lines import line_of
from pytest_fib.data.tensors import TensorHeader, read_header
from pytest_fib.errors import DataError

if TYPE_CHECKING:
    from conftest import Dataset, Fib

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "dataset"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12345\n" % 0

Change = Callable[["Dataset"], object]


def test_a_good_dataset_has_no_findings(dataset: Dataset, fib: Fib) -> None:
    assert fib("validate", "set") == (
        0,
        ["fib validate: 1 definition, 1 workload, 1 solution, 1 trace: 0 problems, 0 warnings"],
    )


@pytest.mark.parametrize("part", ["definition_file", "workload_file", "solution_file", "trace_file"])
def test_files_by_themselves(part: str, dataset: Dataset, fib: Fib) -> None:
    status, lines = fib("validate", getattr(dataset, part))
    assert status == 0
    assert lines[-1].endswith("0 problems, 0 warnings")
    assert f"1 {part.partition('_')[0]}" in lines[-1]


# What is changed, the line that is printed, whether it is a problem.
FINDINGS: dict[str, tuple[Change, str, bool]] = {
    "definition: wrong field": (
        lambda d: d.definition["axes"]["n"].update(value="four"),
        "set/definitions/scale/scale_n4.json:12: axes.n.value: should be an integer, found 'four'; correct it",
        True,
    ),
    "definition: missing field": (
        lambda d: d.definition["outputs"]["y"].pop("dtype"),
        "set/definitions/scale/scale_n4.json:35: outputs.y.dtype: is missing; add it",
        True,
    ),
    "definition: no reference": (
        lambda d: d.definition.pop("reference"),
        "set/definitions/scale/scale_n4.json:1: reference: definition 'scale_n4' has no reference*",
        True,
    ),
    "definition: too few parameters": (
        lambda d: d.definition.update(reference="def run(x, factors):\n    return x\n"),
        "*scale_n4.json:49: reference: run takes 2 parameters, but there are 3 inputs; correct one of them",
        True,
    ),
    "definition: other order": (
        lambda d: d.definition.update(reference="def run(bias, x, factors):\n    return x\n"),
        "*scale_n4.json:49: warning: reference: run takes its parameters in another order than 'inputs'*",
        False,
    ),
    "definition: unknown key": (
        lambda d: d.definition["axes"]["n"].update(parent="m"),
        "*scale_n4.json:13: warning: axes.n.parent: is not part of the schema and is ignored;*",
        False,
    ),
    "definition: old op_type": (
        lambda d: d.definition.update(type=d.definition.pop("op_type")),
        "*warning: op_type: is missing ('type' is read instead), which FlashInfer-Bench refuses; add it",
        False,
    ),
    "definition: unofficial dtype": (
        lambda d: d.definition["inputs"]["factors"].update(dtype="torch.int32"),
        "*warning: inputs.factors.dtype: is 'torch.int32', which FlashInfer-Bench refuses ('int32' here)",
        False,
    ),
    "definition: arithmetic in a shape": (
        lambda d: d.definition["outputs"]["y"].update(shape=["rows", "2 * n"]),
        "*warning: outputs.y.shape: has '2 * n', where FlashInfer-Bench wants the name of an axis",
        False,
    ),
    "definition: null": (
        lambda d: d.definition.update(tags=None),
        "*warning: tags: is null, which FlashInfer-Bench refuses; leave it out",
        False,
    ),
    "definition: file name": (
        lambda d: setattr(d, "definition_file", d.root / "definitions/scale/other.json"),
        "set/definitions/scale/other.json:2: warning: name: is 'scale_n4', unlike the file's name; *",
        False,
    ),
    "workload: axis missing": (
        lambda d: d.workload.update(axes={}),
        "*scale_n4.jsonl:1: the workload does not say how large axis 'rows' of definition 'scale_n4' is; *",
        True,
    ),
    "workload: unknown axis": (
        lambda d: d.workload["axes"].update(m=3),
        "*scale_n4.jsonl:1: warning: axes.m: is no axis of the definition; remove it",
        False,
    ),
    "workload: constraint": (
        lambda d: (
            d.workload["axes"].update(rows=100),
            d.workload["inputs"].update(factors={"type": "random"}),
        ),
        "*scale_n4.jsonl:1: warning: axes: constraint 'rows < 100' does not hold",
        False,
    ),
    "workload: unknown input": (
        lambda d: d.workload["inputs"].update(z={"type": "random"}),
        "*scale_n4.jsonl:1: inputs.z: is no input of the definition; correct its name",
        True,
    ),
    "workload: a number for a tensor": (
        lambda d: d.workload["inputs"].update(x={"type": "scalar", "value": 1}),
        "*scale_n4.jsonl:1: inputs.x: is a scalar, but the definition has a tensor there; correct one of them",
        True,
    ),
    "workload: a tensor for a number": (
        lambda d: d.workload["inputs"].update(bias=d.workload["inputs"]["factors"]),
        "*scale_n4.jsonl:1: inputs.bias: has type 'safetensors', but the definition has a scalar there; *",
        True,
    ),
    "workload: path out of the dataset": (
        lambda d: d.workload["inputs"]["factors"].update(path="../a.safetensors"),
        "*scale_n4.jsonl:1: inputs.factors: tensor file '../a.safetensors' lies outside the dataset *",
        True,
    ),
    "workload: file missing": (
        lambda d: d.workload["inputs"]["factors"].update(path="./blob/b.safetensors"),
        "*scale_n4.jsonl:1: warning: inputs.factors: tensor file './blob/b.safetensors' is not in *",
        False,
    ),
    "workload: tensor missing": (
        lambda d: d.workload["inputs"]["factors"].update(tensor_key="f"),
        "*scale_n4.jsonl:1: inputs.factors: './blob/a.safetensors' has no tensor 'f'; correct tensor_key",
        True,
    ),
    "workload: tensor of another shape": (
        lambda d: d.workload["axes"].update(rows=4),
        "*: inputs.factors: './blob/a.safetensors' has it as int32 [[]3[]], but it should be int32 [[]4[]];*",
        True,
    ),
    "workload: no uuid": (
        lambda d: d.workload.pop("uuid"),
        "*scale_n4.jsonl:1: warning: workload.uuid: is missing; one made of the content is used",
        False,
    ),
    "workload: input without type": (
        lambda d: d.workload["inputs"].update(x={"format": "safetensors"}),
        "set/workloads/scale/scale_n4.jsonl:1: input 'x' has no 'type', only 'format'; *",
        True,
    ),
    "solution: entry file": (
        lambda d: d.solution["spec"].update(entry_point="kernel.py::run"),
        "*scale_mine.json:*: entry_point names 'kernel.py', which is not among the sources; correct it",
        True,
    ),
    "solution: entry function": (
        lambda d: d.solution["spec"].update(entry_point="main.py::kernel"),
        "*scale_mine.json:10: warning: spec.entry_point: names 'kernel', which 'main.py' does not mention",
        False,
    ),
    "solution: syntax": (
        lambda d: d.solution["sources"][0].update(content="def run(:\n"),
        "*scale_mine.json:13: sources.0: 'main.py' is not valid Python on this version (line 1: *); correct it",
        True,
    ),
    "solution: path": (
        lambda d: d.solution["sources"][0].update(path="../main.py"),
        "*scale_mine.json:*source path '../main.py' leaves the solution's folder; remove '..'",
        True,
    ),
    "solution: unknown definition": (
        lambda d: d.solution.update(definition="scale_n5"),
        "*scale_mine.json:3: definition: is 'scale_n5', which is in none of the datasets *set; correct it*",
        True,
    ),
    "solution: style not said": (
        lambda d: d.solution["spec"].pop("destination_passing_style"),
        "*scale_mine.json:*: warning: spec.destination_passing_style: is not said: *",
        False,
    ),
    "solution: language": (
        lambda d: d.solution["spec"].update(language="Python"),
        "*scale_mine.json:*: warning: language 'Python' is read as 'python'",
        False,
    ),
    "trace: status": (
        lambda d: d.trace["evaluation"].update(status="FINE"),
        "set/traces/me/scale/scale_n4.jsonl:1: evaluation.status: *",
        True,
    ),
    "trace: unknown definition": (
        lambda d: d.trace.update(definition="scale_n5"),
        "set/traces/me/scale/scale_n4.jsonl:1: definition: is 'scale_n5', which is in none of the datasets *",
        True,
    ),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_each_finding_is_one_line_at_its_place(name: str, dataset: Dataset, fib: Fib) -> None:
    change, expected, is_problem = FINDINGS[name]
    for path in (dataset.definition_file, dataset.workload_file, dataset.solution_file, dataset.trace_file):
        path.unlink()
    change(dataset)
    dataset.write()
    status, lines = fib("validate", "set")
    assert status == int(is_problem)
    pytest.LineMatcher(lines).fnmatch_lines([expected])
    assert all(line.isprintable() for line in lines)
    # A change of the definition may be a problem of what uses it; anything else is one finding.
    assert len(lines) == 2 or name.startswith("definition"), lines
    assert fib("validate", "set", "--strict")[0] == 1


def test_two_of_a_name(dataset: Dataset, fib: Fib) -> None:
    dataset.put(dataset.root / "definitions/scale/b.json", json.dumps(dataset.definition))
    dataset.put(dataset.root / "workloads/other/scale_n4.jsonl", dataset.line(dataset.workload))
    dataset.put(dataset.root / "solutions/b.json", json.dumps(dataset.solution))
    status, lines = fib("validate", "set")
    assert status == 1
    pytest.LineMatcher(lines).fnmatch_lines_random(
        [
            "set/definitions/scale/scale_n4.json:2: name: is also that of *set/definitions/scale/b.json; *",
            "*set has two workload files for 'scale_n4', *",
            "set/solutions/scale/scale_mine.json:2: warning: name: is also that of *set/solutions/b.json; *",
        ]
    )


def test_all_fields_and_all_lines_are_reported(dataset: Dataset, fib: Fib) -> None:
    del dataset.definition["name"], dataset.definition["inputs"]["x"]["shape"]
    dataset.put(dataset.definition_file, json.dumps(dataset.definition, indent=1))
    other = dataset.line(dataset.workload | {"uuid": "b"})
    text = dataset.line(dataset.workload) + "\n{]\n" + dataset.line(dataset.workload) + other
    dataset.put(dataset.workload_file, text)
    _, lines = fib("validate", dataset.definition_file, dataset.workload_file)
    pytest.LineMatcher(lines).fnmatch_lines(
        [
            "*scale_n4.json:1: name: is missing; add it",
            "*scale_n4.json:15: inputs.x.shape: is missing; add it",
            "*scale_n4.jsonl:3: is not JSON *",
            "*scale_n4.jsonl:4: uuid '0123abcd-0000-4000-8000-000000000000' is already that of line 1; *",
            "*scale_n4.jsonl:1: definition: 'scale_n4' cannot be read; see *scale_n4.json",
        ]
    )
    assert len(lines) == 6


def test_every_fault_of_a_definition_is_said(dataset: Dataset, fib: Fib) -> None:
    definition = dataset.definition
    definition["inputs"]["y"] = {"shape": ["q", "r"], "dtype": "float32"}
    definition["outputs"] = {"y": {"shape": ["s"], "dtype": "float32"}}
    definition["reference"] = "def run(x:\n    return x\n"
    dataset.put(dataset.definition_file, json.dumps(definition, indent=1))
    _, lines = fib("validate", dataset.definition_file)
    pytest.LineMatcher(lines).fnmatch_lines(
        [
            "*scale_n4.json:1: 'y' should not be both an input and an output; correct it",
            "*scale_n4.json:1: the shape of 'y' uses axis 'q', which is not defined; correct it",
            "*scale_n4.json:1: the shape of 'y' uses axis 'r', which is not defined; correct it",
            "*scale_n4.json:1: the shape of 'y' uses axis 's', which is not defined; correct it",
            "*scale_n4.json:*: reference: it is not valid Python (line 1: *); correct it",
        ]
    )


def test_equal_remarks_on_a_file_are_counted(dataset: Dataset, fib: Fib) -> None:
    dataset.blob.unlink()
    uuids = [f"uuid-{number}" for number in range(4)]
    dataset.put(
        dataset.workload_file, "".join(dataset.line(dataset.workload | {"uuid": uuid}) for uuid in uuids)
    )
    status, lines = fib("validate", "set")
    assert status == 0
    assert len(lines) == 2
    assert lines[0].endswith("fetch the dataset's blobs or pass --fib-synthesize-missing (3 more like this)")
    assert lines[1].endswith("4 workloads, 1 solution, 1 trace: 0 problems, 4 warnings")


def test_pointers_and_files_that_are_cut_off(dataset: Dataset, fib: Fib) -> None:
    dataset.put(dataset.blob, POINTER)
    _, lines = fib("validate", "set")
    assert "warning: inputs.factors: tensor file './blob/a.safetensors' in " in lines[0]
    assert "is only a git-LFS pointer" in lines[0]
    dataset.write()
    dataset.put(dataset.blob, dataset.blob.read_bytes()[:-1])
    status, lines = fib("validate", "set")
    assert status == 1
    assert "is cut off before the end of tensor 'factors'; fetch it again" in lines[0]


def test_a_workload_that_moved(dataset: Dataset, fib: Fib) -> None:
    dataset.put(dataset.root / "workloads/scale/scale_n5.jsonl", dataset.line(dataset.workload))
    status, lines = fib("validate", "set")
    assert status == 1
    assert lines[0].endswith("definition: is 'scale_n4', unlike the file's name; move the line")


def test_a_starter_kit(dataset: Dataset, fib: Fib) -> None:
    kit = Path("kit")
    dataset.put(
        kit / "config.toml",
        '[solution]\nname = "k"\ndefinition = "scale_n4"\nauthor = "me"\n[build]\nlanguage = "python"\n'
        'entry_point = "main.py::run"\ndestination_passing_style = 1\n',
    )
    dataset.put(kit / "solution/python/main.py", "def run(:\n")
    for path in (kit, kit / "config.toml"):
        status, lines = fib("validate", path, "--fib-traceset=set")
        assert status == 1
        assert lines[0].startswith("kit/config.toml:8: build.destination_passing_style: should be true or f")
    dataset.put(kit / "config.toml", (kit / "config.toml").read_text().replace("= 1", "= false"))
    _, lines = fib("validate", kit, "--fib-traceset=set")
    assert lines[0].startswith("kit/config.toml:1: 'main.py' is not valid Python on this version (line 1: ")


def test_an_unknown_definition_of_a_file_outside_all_datasets_is_a_warning(
    dataset: Dataset, fib: Fib
) -> None:
    path = dataset.put(Path("mine.json"), json.dumps(dataset.solution))
    status, lines = fib("validate", path)
    assert status == 0
    assert lines[0].startswith("mine.json:1: warning: definition: is 'scale_n4', which is in none of ")
    assert len(fib("validate", path, dataset.definition_file)[1]) == 1
    assert len(fib("validate", path, "--fib-traceset=set")[1]) == 1


def test_a_folder_of_files(dataset: Dataset, fib: Fib) -> None:
    dataset.put(Path("many/a/b.json"), json.dumps(dataset.solution))
    dataset.put(Path("many/notes.json"), "[]")
    dataset.put(Path("many/.hidden.json"), "[]")
    dataset.put(Path("many/report.json"), json.dumps({"schema": "pytest-fib/1"}))
    status, lines = fib("validate", "many", "--fib-traceset=set")
    assert status == 1
    assert lines[0].startswith("many/notes.json:1: is no definition, workload, solution or trace; ")
    assert lines[1].startswith("many/report.json:1: is a report; 'fib html', ")
    assert lines[2].startswith("fib validate: 0 definitions, 0 workloads, 1 solution")
    Path("empty").mkdir()
    status, lines = fib("validate", "empty")
    assert (status, lines[0]) == (
        1,
        "empty: there is no .json or .jsonl file in this folder; name a dataset",
    )


@pytest.mark.parametrize("words", [["missing\x1b.json"], ["set", "--fib-traceset=missing\x1b"]])
def test_what_is_not_there_is_wrong_usage(words: list[str], dataset: Dataset, fib: Fib) -> None:
    status, lines = fib("validate", *words)
    assert status == 2
    (line,) = lines
    assert line.startswith("ERROR: ")
    assert line.isprintable()


WORDS = "axes inputs outputs workload sources spec a \\ud800"
PIECES = st.sampled_from(
    [f'"{word}"'.encode() for word in WORDS.split()]
    + [*(bytes([code]) for code in b'{}[]:,"\n\x00\x1b\xff'), b"null", b"1e999"]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=60) | st.lists(PIECES, max_size=20).map(b"".join), st.data())
def test_any_bytes_give_lines(
    dataset: Dataset, capsys: pytest.CaptureFixture[str], raw: bytes, data: st.DataObject
) -> None:
    """In the place of any file, or of any part of one."""
    dataset.write()
    files = [dataset.definition_file, dataset.workload_file, dataset.solution_file, dataset.trace_file]
    path = data.draw(st.sampled_from([*files, dataset.blob]))
    good = path.read_bytes()
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, len(good)))
    path.write_bytes(data.draw(st.sampled_from([raw, good[:start] + raw + good[stop:]])))
    for target in (Path("set"), path):
        status = main(["validate", str(target)])
        lines = capsys.readouterr().out.splitlines()
        assert status in (0, 1)
        assert lines[-1].startswith("fib validate: ")
        assert all(line.isprintable() for line in lines)
        assert status == (": 0 problems" not in lines[-1])


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_no_header(tmp_path_factory: pytest.TempPathFactory, head: bytes, tail: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "x.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + tail)
    with suppress(DataError):
        assert all(isinstance(header, TensorHeader) for header in read_header(path).values())


def test_the_line_of_a_field(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        '{"a": {\n "b": [\n  {"c": 1},\n  {"c": "}\\"",\n   "d": 2}]},\n "a.b": 3, "a": {"b": 4}}'
    )
    fields = ("a", "a.b", "a.b.0.c", "a.b.1.d", "a.b.1.e", "a.x", "y")
    assert [line_of(path, field, "") for field in fields] == [1, 2, 3, 5, 2, 1, 1]
    assert line_of(path, "", "is not JSON (at line 7 column 3); correct it") == 7
    assert line_of(tmp_path, "a", "") is None


class TestWholeDatasets:
    def test_ours_have_no_problem(self, fib: Fib, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(ROOT)
        status, lines = fib(
            "validate", *(path.parent for path in sorted(ROOT.glob("tracesets/*/definitions")))
        )
        assert status == 0
        # The contest's own workloads of the indexer break its definition's constraint.
        assert all(
            "constraint 'topk <= max_num_pages * page_size' does not hold" in line for line in lines[:-1]
        )

    @pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared dataset")
    def test_the_real_one_is_read_quickly_and_without_torch(self) -> None:
        code = (
            "import sys, pytest_fib.cli as cli\n"
            f"print(cli.main(['validate', {str(SHARED / 'official')!r}, {str(SHARED / 'contest')!r}]))\n"
            "print({'torch', 'numpy'} & set(sys.modules))"
        )
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        seconds = time.perf_counter() - start
        *_, summary, _status, modules = done.stdout.splitlines()
        assert summary.startswith("fib validate: 0 definitions, 987 workloads, ")
        assert modules == "set()"
        assert done.stderr == ""
        assert seconds < 10


def test_links_are_not_followed_out_of_a_dataset(dataset: Dataset, fib: Fib) -> None:
    secret = dataset.put(Path("outside.json"), "{]")
    os.symlink(secret.resolve(), dataset.root / "definitions/scale/link.json")
    assert fib("validate", "set")[0] == 0
