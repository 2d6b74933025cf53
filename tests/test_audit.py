"""Solutions that compute nothing pass nowhere; where they would, the audit says so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.cli import main
from pytest_fib.data.definition import Definition
from pytest_fib.data.workload import Workload
from pytest_fib.errors import NotJudgeable
from pytest_fib.judge import JudgeConfig, Limits
from pytest_fib.judge.audit import Audit
from pytest_fib.rule_lines import parse_lines

CONFIG = JudgeConfig(secret=b"s" * 32)
TENSOR = {"shape": ["rows", "h"], "dtype": "float32"}


def definition(reference: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "planted_h16",
        "op_type": "test",
        "axes": {"rows": {"type": "var"}, "h": {"type": "const", "value": 16}},
        "inputs": {"x": TENSOR, "buffer": TENSOR},
        "outputs": {"y": TENSOR},
        "reference": f"import torch\n\ndef run(x, buffer):\n    {reference}\n",
        **more,
    }


def passing(reference: str, rows: int = 4, config: JudgeConfig = CONFIG, **more: Any) -> list[str]:
    audit = Audit(Definition.model_validate(definition(reference, **more)), None, config)
    return audit.passing(Workload.model_validate({"uuid": "u", "axes": {"rows": rows}, "inputs": {}}))


@pytest.mark.parametrize(
    ("reference", "nulls"),
    [
        ("return x * buffer", []),
        ("return x * 1e-4", ["zeros", "one row everywhere"]),  # everything is below the absolute tolerance
        ("return x + 1e-4", ["input x copied", "inputs of the same shape copied"]),
        ("return buffer", ["input buffer copied"]),
        ("return buffer[:1].expand(buffer.shape).clone()", ["one row everywhere"]),
    ],
)
def test_what_passes_is_found(reference: str, nulls: list[str]) -> None:
    assert passing(reference) == nulls


def test_nothing_written_is_found_where_nothing_has_to_be() -> None:
    def nulls(reference: str, line: str) -> list[str]:
        config = JudgeConfig(secret=b"s" * 32, rules=parse_lines([f"planted*: default, {line}"]))
        return passing(reference, config=config)

    assert "nothing written" not in nulls("buffer.add_(x); return x * 2", "in_place=buffer, optional=y")
    assert "nothing written" not in nulls("buffer.add_(0); return x * 2", "in_place=buffer")
    assert "nothing written" in nulls("buffer.add_(0); return x * 2", "in_place=buffer, optional=y")


def test_one_row_says_nothing_about_one_row() -> None:
    assert passing("return x * buffer", rows=1) == []


def test_no_elements_say_nothing() -> None:
    with pytest.raises(NotJudgeable, match="no elements"):
        passing("return x", rows=0)


def test_large_inputs_are_left_out() -> None:
    with pytest.raises(NotJudgeable, match="GB"):
        passing("return x", rows=10**6, config=JudgeConfig(secret=b"s" * 32, limits=Limits(input_bytes=1000)))


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    for room in ("definitions", "workloads"):
        (tmp_path / room / "test").mkdir(parents=True)
    for name, reference in (("good", "return x * buffer"), ("poor", "return x * 1e-4")):
        document = definition(reference) | {"name": name}
        (tmp_path / "definitions" / "test" / f"{name}.json").write_text(json.dumps(document))
        lines = [
            json.dumps(
                {"definition": name, "workload": {"uuid": f"{rows}", "axes": {"rows": rows}, "inputs": {}}}
            )
            for rows in (3, 0, 2)
        ]
        (tmp_path / "workloads" / "test" / f"{name}.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_the_command_prints_what_passes(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(planted)]) == 1
    *lines, summary = capsys.readouterr().out.splitlines()
    assert summary == (
        "2 definitions, 2 workloads that no null solution passes, 2 that one does, 2 skipped, 0 broken"
    )
    assert [line for line in lines if line.startswith("PASSES: poor, workload 2 (rows=2): zeros")]
    assert not [line for line in lines if line.startswith("PASSES: good")]


def test_the_command_takes_names_and_the_smallest_workloads(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "goo*", f"--fib-traceset={planted}", "--workloads=2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "1 definitions, 1 workloads that no null solution passes, 0 that one does, 1 skipped, 0 broken"
    )
    assert main(["audit", "nothing", f"--fib-traceset={planted}"]) == 2
    assert "nothing is neither a dataset nor a definition" in capsys.readouterr().err


def test_a_broken_definition_is_said(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (planted / "definitions" / "test" / "good.json").write_text("{")
    assert main(["audit", "good", f"--fib-traceset={planted}"]) == 1
    assert re.search("^broken: good, .*", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("profile", ["default", "mlsys26"])
def test_nothing_passes_on_the_mini_set(
    profile: str, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["audit", str(pytestconfig.rootpath / "tracesets" / "mini"), f"--profile={profile}"])
    assert (status, capsys.readouterr().out.count("PASSES:")) == (0, 0)


@pytest.mark.parametrize("traceset", ["mlsys26", "flashinfer"])
def test_nothing_passes_on_the_smallest_workloads_of_the_others(
    traceset: str, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    root = pytestconfig.rootpath / "tracesets" / traceset
    status = main(["audit", str(root), "--workloads=1", "--megabytes=100", "--profile=mlsys26"])
    out = capsys.readouterr().out
    assert (status, out.count("PASSES:")) == (0, 0)
    assert int(out.splitlines()[-1].split()[2]) > 0  # some were audited
