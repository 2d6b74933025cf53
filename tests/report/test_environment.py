from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_fib.report.environment import (
    cpu_clocks,
    cpu_model,
    describe_run,
    find_gpu,
    find_machine,
    git_state,
    library_versions,
    visible_gpu,
)

SMI = """#!/bin/sh
echo "$@" > {log}
echo "NVIDIA H200, 580.95.05, 345, 1980, 3201"
"""


def git(folder: Path, *args: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *args],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


def test_the_contracts_fields(tmp_path: Path) -> None:
    run = describe_run(device="cpu", timer="judge", rootdir=tmp_path, args=["--fib-solution=a b.json", "-q"])
    assert set(run) == {
        "hardware", "driver", "clocks", "cpu", "os", "python", "libs", "sandbox", "timer", "git", "command"
    }  # fmt: skip
    assert run["command"] == "pytest '--fib-solution=a b.json' -q"
    assert run["hardware"] == run["cpu"]["model"] == cpu_model()
    assert run["driver"] is None
    assert run["sandbox"] == {"active": [], "missing": {}, "complete": None}


def test_libraries_are_looked_up_without_importing_them() -> None:
    code = (
        "import sys; from pytest_fib.report import environment as e; v = e.find_machine('cpu').libs;"
        "assert 'pytest' in v, v; assert not {'torch', 'triton', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert "no-such-distribution" not in library_versions(["no-such-distribution"])


def test_the_processor_is_named_as_the_kernel_does(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nmodel name\t: AMD EPYC 9575F\n")
    assert cpu_model(cpuinfo) == "AMD EPYC 9575F"
    assert cpu_model(tmp_path / "absent")


def test_clocks_of_the_processor(tmp_path: Path) -> None:
    assert cpu_clocks(tmp_path) is None
    (tmp_path / "scaling_governor").write_text("performance\n")
    (tmp_path / "scaling_max_freq").write_text("3700000\n")
    assert cpu_clocks(tmp_path) == {"governor": "performance", "max_mhz": 3700}


def test_a_gpu_is_described_by_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(SMI.format(log=tmp_path / "log"))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    gpu = find_gpu("cuda:1")
    assert gpu is not None
    assert (gpu.name, gpu.driver) == ("NVIDIA H200", "580.95.05")
    assert gpu.clocks == {"sm_mhz": 345, "max_sm_mhz": 1980, "memory_mhz": 3201}
    assert "--id=3" in (tmp_path / "log").read_text()
    assert find_machine("cuda:1").hardware == "NVIDIA H200"
    assert find_gpu("cpu") is None


def test_without_the_tool_a_gpu_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpu("cuda:0") is None


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [("cuda", None, "0"), ("cuda:2", None, "2"), ("cuda:1", "4, GPU-ab", "GPU-ab"), ("cuda:3", "4", "3")],
)
def test_devices_count_within_what_is_visible(device: str, visible: str | None, expected: str) -> None:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert visible_gpu(device, environ) == expected


def test_version_control(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "one")
    state = git_state(tmp_path)
    assert state is not None
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "a").write_text("2")
    assert git_state(tmp_path) == {"commit": state["commit"], "dirty": True}


def test_a_repository_cannot_run_a_program(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    hook.chmod(0o755)
    git(tmp_path, "config", "core.fsmonitor", str(hook))
    assert git_state(tmp_path) is not None
    assert not (tmp_path / "ran").exists()
