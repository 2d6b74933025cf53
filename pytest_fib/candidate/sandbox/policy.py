"""What a candidate may see and use. A value, made by the judge and understood by the sandbox."""

from __future__ import annotations

import os
import re
import shutil
import site
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest_fib
from pytest_fib.candidate.sandbox.report import Report

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# Loader, compiler alternatives, time zone: what programs below /usr look up. Accounts are made up instead.
_ETC = (
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/OpenCL",
    "/etc/nvidia",
)
_COMPILERS = ("c++", "cc", "g++", "gcc", "clang", "clang++", "nvcc")
_OWN = ("__init__.py", "errors.py", "border", "build", "candidate", "data")
_GPU_NODE = re.compile(r"nvidia\d+")
_OURS_ALONE = frozenset({"/", "/tmp", "/dev", "/dev/shm", "/proc", "/sys"})


@dataclass(frozen=True)
class Policy:
    """What one candidate gets.

    Parameters
    ----------
    readable
        Absolute paths of files and folders that are bound read-only; missing ones are left out.
    artifact_dir
        A folder of build products to read, or None. It must be readable to others: a candidate of root runs as
        another user.
    build_dir
        A folder to write build products to, or None. It is given to the candidate's user.
    scratch_dir
        Where the candidate may write if it cannot get a ``/tmp`` of its own, or None for nowhere.
    tmp_bytes, shm_bytes
        Size of the private ``/tmp`` and ``/dev/shm`` in bytes; both live in memory.
    devices
        Absolute paths of device nodes beyond ``/dev/null`` and its like.
    cuda
        Whether ``/sys`` is shown as a whole (read-only), as the CUDA driver wants it.
    processes, descriptors
        Limits on processes and threads together, and on open files.
    without
        Names of layers that are not put on.
    """

    readable: tuple[str, ...]
    artifact_dir: str | None = None
    build_dir: str | None = None
    scratch_dir: str | None = None
    tmp_bytes: int = 1 << 30
    shm_bytes: int = 64 << 20
    devices: tuple[str, ...] = ()
    cuda: bool = False
    processes: int = 1024
    descriptors: int = 4096
    without: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for path in (*self.readable, *self.folders, *self.devices):
            if not os.path.isabs(path) or os.path.normpath(path) != path or path in _OURS_ALONE:
                raise ValueError(
                    f"{path!r} cannot be shown to a candidate: name a normal absolute path below it"
                )

    @property
    def products(self) -> tuple[str, ...]:
        """The artifact and build folders that are given."""
        return tuple(path for path in (self.artifact_dir, self.build_dir) if path)

    @property
    def folders(self) -> tuple[str, ...]:
        """The artifact, build and scratch folders that are given."""
        return (*self.products, *((self.scratch_dir,) if self.scratch_dir else ()))

    def adapted(self, probed: Report) -> Policy:
        """Return this policy without the layers that a probe found missing.

        A layer that fails half-way is worse than none: a user namespace that may be entered but not mapped, or, for
        CUDA, a PID namespace whose ``/proc`` cannot be had.
        """
        missing = {layer.name for layer in probed.layers if not layer.active}
        if self.cuda and "proc" in missing:
            missing.add("pid")
        return replace(self, without=self.without | missing)


def default_readable(extra: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what this Python, its packages and the compilers need, and of this package the candidate's rooms only.

    Neither the working folder nor ``PYTHONPATH`` is in it; what a user wants to show goes into ``extra``.
    """
    package = os.path.dirname(os.path.abspath(pytest_fib.__file__))
    paths = [
        *_SYSTEM,
        *_ETC,
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        *(os.path.join(package, name) for name in _OWN),
        *_tools(),
        *os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep),
        os.environ.get("CUDA_HOME", ""),
        *extra,
    ]
    too_much = _OURS_ALONE | {os.path.expanduser("~"), ""}
    normal = (os.path.normpath(path) for path in paths if os.path.isabs(path) and os.path.exists(path))
    return tuple(dict.fromkeys(path for path in normal if path not in too_much))


def nvidia_devices(only: str = "", folder: str = "/dev") -> tuple[str, ...]:
    """Return the device nodes of the NVIDIA driver, ``nvidia-uvm-tools`` and the capability nodes included.

    ``only`` is the node of the one GPU that is wanted; empty for all.
    """
    found = [entry.path for entry in os.scandir(folder) if entry.name.startswith("nvidia")]
    if only in found:
        found = [path for path in found if path == only or not _GPU_NODE.fullmatch(os.path.basename(path))]
    elif os.path.isdir("/dev/dri"):
        found.append("/dev/dri")
    return tuple(sorted(found))


def _tools() -> list[str]:
    """Return the trees of compilers outside the system folders, and the bare file where a tree would be too much."""
    paths = []
    named = tuple(os.environ[name] for name in ("CC", "CXX") if os.environ.get(name))
    for name in (*_COMPILERS, *named, "ninja"):
        found = shutil.which(name)
        if found is None:
            continue
        paths.append(os.path.abspath(found))
        tree = os.path.dirname(os.path.dirname(os.path.realpath(found)))
        if name != "ninja" and not os.path.expanduser("~").startswith(os.path.dirname(tree)):
            paths.append(tree)
    return paths
