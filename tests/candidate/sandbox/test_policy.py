"""What a sandbox shows and leaves out: the policy, and the view of paths that comes of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_fib.candidate.sandbox import Layer, Policy, Report, default_readable, nvidia_devices
from pytest_fib.candidate.sandbox.paths import view_of


def test_a_path_is_shown_under_every_name_on_the_way(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "real/deep").mkdir(parents=True)
    (root / "real/deep/file").touch()
    (root / "relative").symlink_to("real/../real/deep")
    (root / "absolute").symlink_to(root / "relative")
    view = view_of([f"{root}/absolute/file"])
    assert view.real == (f"{root}/real/deep/file",)
    assert dict(view.links) == {
        f"{root}/absolute": f"{root}/relative",
        f"{root}/relative": "real/../real/deep",
    }


def test_what_lies_below_a_shown_path_comes_with_it(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "shown/below").mkdir(parents=True)
    (root / "shown/link").symlink_to("below")
    view = view_of([f"{root}/shown/link", f"{root}/shown/below", f"{root}/shown", f"{root}/missing"])
    assert view.real == (f"{root}/shown",)
    assert view.links == ()


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    assert view_of([str(tmp_path / "one")]).real == ()


@pytest.mark.parametrize("path", ["/", "/tmp", "/proc", "/dev", "relative", "/usr/../etc", "/usr/"])
def test_a_policy_cannot_show_everything_or_be_vague(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be shown"):
        Policy((path,))


def test_a_policy_leaves_out_what_a_probe_found_missing() -> None:
    probed = Report((Layer("user", False, "denied"), Layer("proc", False, "hidden"), Layer("pid", True)))
    assert Policy((), without=frozenset({"uts"})).adapted(probed).without == {"uts", "user", "proc"}
    assert Policy((), cuda=True).adapted(probed).without == {"user", "proc", "pid"}


def test_by_default_neither_home_nor_checkout_nor_working_folder_is_shown() -> None:
    shown = default_readable()
    checkout = str(Path(__file__).resolve().parents[3])
    for private in (os.path.expanduser("~"), checkout, os.getcwd(), f"{checkout}/pytest_fib/judge"):
        assert not any(f"{private}/".startswith(f"{path}/") for path in shown), private
    assert any(f"{sys.prefix}/".startswith(f"{path}/") for path in shown)


def test_a_candidate_finds_the_node_of_one_gpu_only(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    names = [Path(path).name for path in nvidia_devices(f"{tmp_path}/nvidia1", str(tmp_path))]
    assert names == ["nvidia-uvm", "nvidia1", "nvidiactl"]
    everything = [path for path in nvidia_devices("", str(tmp_path)) if path.startswith(str(tmp_path))]
    assert len(everything) == 5
    assert nvidia_devices(f"{tmp_path}/nvidia7", str(tmp_path)) == nvidia_devices("", str(tmp_path))
