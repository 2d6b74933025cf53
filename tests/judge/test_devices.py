"""What the driver calls a device, read off files as its kernel module writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_fib.judge import devices

INFORMATION = """Model: \t\t NVIDIA H200
IRQ:   \t\t 100
GPU UUID: \t {uuid}
Bus Type: \t PCIe
Device Minor: \t {minor}
GPU Excluded:\t No
"""


@pytest.fixture
def gpus(tmp_path: Path) -> Path:
    for slot, uuid, minor in (("0000:01:00.0", "GPU-aaaa", 1), ("0000:02:00.0", "GPU-aaaab", 0)):
        (tmp_path / slot).mkdir()
        (tmp_path / slot / "information").write_text(INFORMATION.format(uuid=uuid, minor=minor))
    return tmp_path


@pytest.mark.parametrize(
    ("visible", "node"),
    [("GPU-aaaa", "/dev/nvidia1"), ("GPU-aaaab", "/dev/nvidia0"), ("GPU-b", ""), ("0", ""), ("MIG-aaaa", "")],
)
def test_the_node_is_that_of_the_uuid(gpus: Path, visible: str, node: str) -> None:
    assert devices.node_of(visible, gpus) == node


def test_without_the_driver_no_node_is_known(tmp_path: Path) -> None:
    assert devices.node_of("GPU-aaaa", tmp_path / "missing") == ""


@pytest.mark.parametrize(
    ("uuid", "visible"),
    [("aaaa-bb", "GPU-aaaa-bb"), ("GPU-aaaa", "GPU-aaaa"), ("MIG-1", "MIG-1"), ("3", "3")],
)
def test_a_device_is_visible_by_its_uuid(monkeypatch: pytest.MonkeyPatch, uuid: str, visible: str) -> None:
    monkeypatch.setattr(devices, "uuid_of", lambda _: uuid)
    assert devices.visible_as("cuda:0") == visible
