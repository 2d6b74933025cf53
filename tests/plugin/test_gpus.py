"""Which device each xdist worker judges on, and how many workers ``-n auto`` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib import gpus
from pytest_fib.data.devices import visible_count
from pytest_fib.errors import NoDevice

if TYPE_CHECKING:
    from conftest import Project

NODES = ("/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia2", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/dri")


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 3),
        ("0", 1),
        ("1, 0", 2),
        ("", 0),
        ("-1", 0),
        ("0,3,1", 1),
        ("0,0", 0),
        ("GPU-1234,GPU-5678", 2),
        ("1,nonsense,0", 1),
    ],
)
def test_devices_are_counted_as_cuda_counts_them(visible: str | None, count: int) -> None:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert visible_count(environ, NODES) == count
    assert visible_count(environ, NODES[3:]) == 0


def test_worker_i_judges_on_device_i_unless_a_number_is_said() -> None:
    devices = [gpus.resolve_device("cuda", worker=worker, count=lambda: 2) for worker in range(5)]
    assert devices == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]
    assert gpus.resolve_device("cuda:1", worker=4, count=lambda: 2) == "cuda:1"
    for device, seen in (("cuda:2", 2), ("cuda", 0)):
        with pytest.raises(NoDevice):
            gpus.resolve_device(device, worker=1, count=lambda seen=seen: seen)


@given(st.sets(st.integers(0, 255), min_size=1), st.integers(1, 16))
def test_workers_share_the_cores_fairly_or_not_at_all(cores: set[int], count: int) -> None:
    shares = [gpus.share(cores, index, count) for index in range(count)]
    if len(cores) < gpus.LEAST_CORES * count:
        assert all(set(share) == cores for share in shares)
        return
    assert sorted(core for share in shares for core in share) == sorted(cores)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= gpus.LEAST_CORES


@pytest.mark.parametrize(
    ("args", "workers"),
    [(["--fib-device=cuda"], 3), (["--fib-device=cuda:1"], 1), (["--fib-device=cpu"], None), ([], None)],
)
def test_n_auto_means_the_number_of_devices(
    pytester, two_ops: Project, monkeypatch: pytest.MonkeyPatch, args: list[str], workers: int | None
) -> None:
    pytest.importorskip("xdist")
    monkeypatch.setattr(gpus, "nvidia_devices", lambda: NODES)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    config = pytester.parseconfig(f"--fib-solution={two_ops.solution('s', 'norm')}", *args)
    default = pytester.parseconfig().hook.pytest_xdist_auto_num_workers(config=pytester.parseconfig())
    assert config.hook.pytest_xdist_auto_num_workers(config=config) == (workers or default)
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "7")
    assert config.hook.pytest_xdist_auto_num_workers(config=config) == 7


def test_workers_spread_over_the_devices(pytester, two_ops: Project) -> None:
    pytest.importorskip("xdist")
    conftest = two_ops.root / "conftest.py"
    conftest.write_text(
        conftest.read_text() + "\nimport pytest_fib.gpus\npytest_fib.gpus._torch_count = lambda: 2\n"
    )
    args = [f"--fib-solution={two_ops.solution(*pair)}" for pair in (("s", "norm"), ("m", "moe_fp8_x"))]
    pytester.runpytest_subprocess(*args, "--fib-device=cuda", "-n2").assert_outcomes(passed=5)
    starts = [line.split()[1] for line in two_ops.judge_log() if line.startswith("start")]
    assert sorted(set(starts)) == ["cuda:0", "cuda:1"]
