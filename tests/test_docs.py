"""README and docs say what is: options, links, commands, and examples that are judged."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.data.readers import read_definition, read_workloads
from pytest_fib.data.workload import WorkloadLine
from pytest_fib.inputs import plan_inputs
from pytest_fib.options import RULES_INI, add_options

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# [text](target), with escaped or bracketed text inside.
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file name after it (perhaps empty) and its text."""

    page: str
    language: str
    name: str
    text: str


def blocks(*languages: str) -> list[Block]:
    return [
        Block(page.name, *match)
        for page in PAGES
        for match in FENCE.findall(page.read_text())
        if match[0] in languages
    ]


def block(page: str, name: str) -> str:
    (found,) = [
        b for b in blocks("json", "jsonl", "toml", "python", "cpp") if (b.page, b.name) == (page, name)
    ]
    return found.text


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@dataclass
class Declared:
    """Stands where pytest's parser would, and keeps what is declared."""

    flags: dict[str, tuple[str, str]] = field(default_factory=dict)  # metavar and help
    inis: set[str] = field(default_factory=set)

    def getgroup(self, name: str, description: str) -> Declared:
        return self

    def addoption(self, flag: str, *, help: str, metavar: str = "", **_: Any) -> None:
        self.flags[flag] = (metavar, help)

    def addini(self, name: str, help: str, **_: Any) -> None:
        self.inis.add(name)


@pytest.fixture(scope="module")
def declared() -> Declared:
    found = Declared()
    add_options(found)  # type: ignore[arg-type]
    return found


def option_rows(page: Path) -> Iterator[list[str]]:
    for line in page.read_text().splitlines():
        if line.startswith("| `--fib-"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


class TestOptions:
    def test_every_option_is_in_the_table_with_its_value_ini_and_default(self, declared: Declared) -> None:
        rows = {flag.strip("`"): (ini.strip("`"), default) for flag, ini, default, _ in self.rows()}
        expected = {}
        for flag, (metavar, text) in declared.flags.items():
            default = re.search(r"\(default: (.+)\)$", text)
            assert default is not None, flag
            expected[f"{flag}={metavar}" if metavar else flag] = default[1]
        assert {flag: default.replace("`", "") for flag, (_, default) in rows.items()} == expected

    def test_every_ini_twin_is_in_the_table(self, declared: Declared) -> None:
        alone = {RULES_INI}  # without a flag, and so without a row
        assert {ini.strip("`") for _, ini, _, _ in self.rows()} == declared.inis - alone
        assert all(f"`{ini}`" in (ROOT / "docs" / "options.md").read_text() for ini in alone)

    def test_the_readme_names_options_that_exist(self, declared: Declared) -> None:
        cells = " ".join(row[0] for row in option_rows(ROOT / "README.md"))
        named = set(re.findall(r"--fib-[a-z-]+", cells))
        assert named
        assert named <= declared.flags.keys()

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_flags_in_the_text_exist_and_take_their_value_with_an_equals_sign(
        self, page: Path, declared: Declared
    ) -> None:
        text = page.read_text()
        assert set(re.findall(r"(--fib-[a-z]+(?:-[a-z]+)*)(?![a-z*-])", text)) <= declared.flags.keys()
        spaced = re.findall(
            r"--fib-[a-z-]+ [\w./]+", "\n".join(b.text for b in blocks("sh") if b.page == page.name)
        )
        assert [use for use in spaced if declared.flags[use.split()[0]][0]] == []

    @staticmethod
    def rows() -> list[list[str]]:
        return list(option_rows(ROOT / "docs" / "options.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_file(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target}"


class TestExamplesParse:
    @pytest.mark.parametrize("example", blocks("python"), ids=lambda b: f"{b.page}-{b.name}")
    def test_python(self, example: Block) -> None:
        ast.parse(example.text)

    @pytest.mark.parametrize("example", blocks("json"), ids=lambda b: f"{b.page}-{b.name}")
    def test_json(self, example: Block) -> None:
        json.loads(example.text)

    @pytest.mark.parametrize("example", blocks("jsonl"), ids=lambda b: f"{b.page}-{b.name}")
    def test_jsonl(self, example: Block) -> None:
        assert [json.loads(line) for line in example.text.splitlines()]

    @pytest.mark.parametrize("example", blocks("toml"), ids=lambda b: f"{b.page}-{b.name}")
    def test_toml(self, example: Block) -> None:
        tomllib.loads(example.text)


class TestCiExamples:
    """What the runners would read: GitHub's workflow and GitLab's job gate the same solution in the same way."""

    @pytest.fixture
    def examples(self) -> dict[str, Any]:
        yaml = pytest.importorskip("yaml")
        github, gitlab = (yaml.safe_load(b.text) for b in blocks("yaml") if b.page == "ci.md")
        return {"github": github, "gitlab": gitlab}

    def test_github_checks_out_the_base_and_gates_against_it(self, examples: dict[str, Any]) -> None:
        workflow = examples["github"]
        assert workflow[True] == "pull_request"  # YAML 1.1 takes "on" for a truth value; GitHub knows that
        steps = workflow["jobs"]["gate"]["steps"]
        assert all(("uses" in step) != ("run" in step) for step in steps)
        (base,) = (step["with"] for step in steps if step.get("with", {}).get("path") == "base")
        assert base["ref"] == "${{ github.base_ref }}"
        commands = [step["run"] for step in steps if "run" in step]
        written = self.check(commands)
        (upload,) = (step for step in steps if "upload-artifact" in step.get("uses", ""))
        assert upload["if"] == "always()"
        assert set(upload["with"]["path"].split()) == written

    def test_gitlab_does_the_same(self, examples: dict[str, Any]) -> None:
        job = examples["gitlab"]["kernels"]
        written = self.check(job["script"])
        assert {*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]} == written
        assert any("git worktree add base" in command for command in job["script"])

    @staticmethod
    def check(commands: list[str]) -> set[str]:
        """Return the files that the commands write, whose solution exists at the base too."""
        install, run = (shlex.split(command) for command in (commands[0], commands[-1]))
        (wanted,) = install[2:]
        name, _, extra = wanted.partition("[")
        assert install[:2] == ["pip", "install"]
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert name == project["name"]
        assert extra.rstrip("]") in project["optional-dependencies"]
        assert run[0] == "pytest"
        given = dict(option.split("=", 1) for option in run[1:])
        assert given["--fib-baseline"] == f"base/{given['--fib-solution']}"
        return {given[flag] for flag in ("--fib-report", "--fib-html", "--junitxml")}


def test_commands_of_the_readme_name_files_that_exist() -> None:
    words = [word for b in blocks("sh") if b.page == "README.md" for word in shlex.split(b.text)]
    paths = {word.rpartition("=")[2] for word in words if word.startswith("--fib-solution=")}
    paths |= {word for word in words if word in ("constraints.txt", "tests")}
    assert len(paths) >= 4
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_readme_installs_and_tests_as_ci_does() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    commands = [b.text for b in blocks("sh") if b.page == "README.md"]
    assert len(commands) == 2
    assert commands[1].strip().endswith("pytest tests")
    assert "-c constraints.txt '.[dev]'" in commands[1]
    assert "-c constraints.txt '.[dev]'" in ci
    assert "pytest tests" in ci


def test_the_example_definition_and_its_workloads_are_readable(tmp_path: Path) -> None:
    path = tmp_path / "scale_rows_h64.json"
    path.write_text(block("definitions.md", "scale_rows_h64.json"))
    definition = read_definition(path)
    assert definition.reference_problem() is None
    path = tmp_path / "scale_rows_h64.jsonl"
    path.write_text(block("definitions.md", "scale_rows_h64.jsonl"))
    lines = list(read_workloads(path))
    assert len(lines) == 2
    for line in lines:
        assert isinstance(line, WorkloadLine)
        plan = plan_inputs(definition, line.workload, traceset_root=None, secret=b"d" * 32)
        assert list(plan.tensors) == ["x", "factors"]
        assert list(plan.scalars) == ["bias"]


@pytest.mark.skipif(
    not (find_spec("triton") and find_spec("tvm_ffi") and shutil.which("c++")),
    reason="needs triton, apache-tvm-ffi and a C++ compiler",
)
def test_the_example_solutions_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The JSON, the starter-kit folder and the C++ source of docs/solutions.md are judged as they stand there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    example = json.loads(block("solutions.md", "rmsnorm_mine.json"))
    cpp = {
        **example,
        "name": "rmsnorm_cpp_example",
        "spec": {"language": "cpp", "target_hardware": ["cpu"], "entry_point": "rmsnorm.cc::rmsnorm"},
        "sources": [{"path": "rmsnorm.cc", "content": block("solutions.md", "rmsnorm.cc")}],
    }
    for solution in (example, cpp):
        (pytester.path / f"{solution['name']}.json").write_text(json.dumps(solution))
    kit = pytester.path / "my_kit"
    (kit / "solution" / "triton").mkdir(parents=True)
    (kit / "config.toml").write_text(block("solutions.md", "config.toml"))
    (kit / "solution" / "triton" / "kernel.py").write_text(block("solutions.md", "kernel.py"))
    shutil.copytree(ROOT / "tracesets" / "mini", pytester.path / "tracesets" / "mini")
    result = pytester.runpytest_subprocess(
        "--fib-solution=rmsnorm_mine.json",
        "--fib-solution=rmsnorm_cpp_example.json",
        "--fib-solution=my_kit",
        "--fib-profile=quick",
        "--fib-report=report.json",
        "-k",
        "batch_size7-",
    )
    result.assert_outcomes(passed=3, deselected=12)
    measurements = json.loads((pytester.path / "report.json").read_text())["measurements"]
    # What is remarked on the clock depends on the machine; nothing is to be said about how they are called.
    assert not [text for found in measurements for text in found["remarks"] if "style" in text]


def test_the_failure_text_of_the_docs_has_every_part_of_a_real_one() -> None:
    """What docs/solutions.md shows is what the failure module would print for the same mismatch."""
    from pytest_fib.data.evaluation import Evaluation, Mismatch
    from pytest_fib.data.trace import EvaluationStatus
    from pytest_fib.report.failure import failure_text

    (shown,) = [b.text for b in blocks("text") if b.page == "solutions.md"]
    command = shown.splitlines()[-1].strip()
    mismatch = Mismatch(
        output="output",
        call=2,
        problem="elements out of tolerance",
        failed=82,
        total=128,
        index=(0, 8),
        expected=-4.53125,
        got=-4.3125,
        absolute_error=0.21875,
        relative_error=0.21875 / (4.53125 + 1e-8),
        atol=0.01,
        rtol=0.01,
        rule="abs > 0.01 and rel > 0.01",
        required_matched_ratio=1.0,
        matched_ratio=1 - 82 / 128,
    )
    evaluation = Evaluation(
        definition="rmsnorm_h128",
        op_type="rmsnorm",
        workload="a5f82be2-0629-570c-87c8-58544b51241d",
        axes={"batch_size": 1},
        solution="rmsnorm_wrong_epsilon",
        solution_hash="",
        status=EvaluationStatus.INCORRECT_NUMERICAL,
        timestamp="",
        mismatch=mismatch,
        max_absolute_error=0.21875,
        max_relative_error=0.0519,
        verified_calls=20,
    )
    assert failure_text(evaluation, command=command) == shown.rstrip("\n")


def test_the_report_page_names_every_field() -> None:
    from pytest_fib.report.document import build_document
    from pytest_fib.report.record import Measurement, Skip, SolutionInfo
    from pytest_fib.report.scores import Score

    text = (ROOT / "docs" / "report.md").read_text()
    words = set(re.findall(r"[a-z_0-9]+", text))
    document = build_document([], environment={}, config={})
    for names in (document, Measurement.__annotations__, Skip.__annotations__, Score.__annotations__):
        assert set(names) <= words
    assert set(SolutionInfo.__annotations__) <= words
