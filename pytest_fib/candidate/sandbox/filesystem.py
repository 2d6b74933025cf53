"""A root of the candidate's own: a small tmpfs with read-only views of what it needs, and nothing beneath it.

``pivot_root`` with the old root detached, not masks over the old one: a mask can be taken off again, and what is not
mounted cannot be found. The views are cloned before the new root hides anything, wherever they lie.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Iterator
from functools import partial

from pytest_fib.candidate.sandbox.capabilities import CANDIDATE_UID, can_build_as_root
from pytest_fib.candidate.sandbox.kernel import AT_FDCWD, mount, syscall, umount
from pytest_fib.candidate.sandbox.paths import view_of
from pytest_fib.candidate.sandbox.policy import Policy
from pytest_fib.candidate.sandbox.report import Layer, Report, attempt

_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_PLAIN = _MS_NOSUID | _MS_NODEV
_MNT_DETACH = 2
_OPEN_TREE_CLONE, _AT_RECURSIVE, _AT_EMPTY_PATH = 1, 0x8000, 0x1000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV, _ATTR_NOEXEC = 1, 2, 4, 8
_VIEW = _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV

_STAGING = ("/tmp", "/mnt", "/run", "/var")
_PLAIN_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_DEV_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
_CPU_INFO = ("/sys/devices/system/cpu", "/sys/devices/system/node")
# Settings of the whole machine: uid 0 may write them even without a capability.
_PROC_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")
_INODES = 100_000

_Tree = tuple[str, int]


def enter_root(policy: Policy, report: Report) -> list[Layer]:
    """Build the private root and move into it (layer ``root``), with a fresh ``/proc`` (layer ``proc``).

    To be called by process 1 of the new PID namespace. If the root cannot be built the old one stays as it is, with
    a fresh ``/proc`` if that is possible.
    """
    if not report.active("mount"):
        reason = "there is no mount namespace"
        return [Layer("root", False, reason), Layer("proc", False, reason)]
    builder = _Builder(policy)
    root = attempt("root", builder.enter, policy.without)
    if builder.proc is None:
        builder.proc = attempt("proc", lambda: _mount_proc("/proc"), policy.without | _no_pid(report))
    return [root, builder.proc]


def _no_pid(report: Report) -> frozenset[str]:
    return frozenset() if report.active("pid") else frozenset({"proc"})


class _Builder:
    """Builds one root; ``proc`` is set once it is known how ``/proc`` came out."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._staging = next(path for path in _STAGING if os.path.isdir(path))
        self.proc: Layer | None = None

    def enter(self) -> str:
        """Build, pivot and detach; return a remark on what could not be shown."""
        umask = os.umask(0o022)
        try:
            with contextlib.ExitStack() as trees:
                views, remark = self._views(trees)
                products, devices, old_proc = (
                    self._products(trees),
                    self._devices(trees),
                    self._old_proc(trees),
                )
                _mount_skeleton(self._staging)
                try:
                    self._furnish()
                    for path, fd in (*sorted(views), *devices):
                        self._attach(path, fd)
                    self._attach_products(products)
                    self._links()
                    proc = self._proc(old_proc)
                    _set_attributes(self._staging, _VIEW | _ATTR_NOEXEC)
                except BaseException:
                    umount(self._staging, _MNT_DETACH)
                    raise
                _pivot(self._staging)
                self.proc = proc
        finally:
            os.umask(umask)
        return remark

    def _views(self, trees: contextlib.ExitStack) -> tuple[list[_Tree], str]:
        policy = self._policy
        self._shown_links = view_of((*policy.readable, *policy.products)).links
        views: list[_Tree] = []
        refused = []
        for path in (*view_of(policy.readable).real, *(("/sys",) if policy.cuda else _CPU_INFO)):
            view = attempt(path, partial(self._add_view, views, path, trees))
            if not view.active:
                refused.append(f"{path} ({view.reason})")
        return views, f"not shown: {', '.join(refused)}" if refused else ""

    def _add_view(self, views: list[_Tree], path: str, trees: contextlib.ExitStack) -> None:
        views.append((path, _clone(path, _VIEW, trees)))

    def _products(self, trees: contextlib.ExitStack) -> list[_Tree]:
        """Clone the folders of build products; the one to write to comes last and so on top."""
        policy = self._policy
        products: list[_Tree] = []
        if policy.artifact_dir is not None and os.path.isdir(policy.artifact_dir):
            folder = os.path.realpath(policy.artifact_dir)
            products.append((folder, _clone(folder, _VIEW, trees)))
        if policy.build_dir is not None:
            folder = os.path.realpath(policy.build_dir)
            if can_build_as_root() and "uid" not in policy.without:
                os.chown(folder, CANDIDATE_UID, CANDIDATE_UID)
            products.append((folder, _clone(folder, _ATTR_NOSUID | _ATTR_NODEV, trees)))
        return products

    def _devices(self, trees: contextlib.ExitStack) -> list[_Tree]:
        return [
            (path, _clone(path, _ATTR_NOSUID | _ATTR_NOEXEC, trees))
            for path in (*_PLAIN_DEVICES, *self._policy.devices)
        ]

    def _old_proc(self, trees: contextlib.ExitStack) -> int:
        return _clone("/proc", _ATTR_NOSUID | _ATTR_NODEV | _ATTR_NOEXEC, trees)

    def _furnish(self) -> None:
        policy = self._policy
        for name in ("tmp", "dev/shm", "proc", "etc"):
            os.makedirs(f"{self._staging}/{name}")
        for name, size, extra in (("tmp", policy.tmp_bytes, 0), ("dev/shm", policy.shm_bytes, _MS_NOEXEC)):
            options = f"size={size},nr_inodes={_INODES},mode=1777"
            mount("tmpfs", f"{self._staging}/{name}", "tmpfs", _PLAIN | extra, options)
        for name, target in _DEV_LINKS.items():
            os.symlink(target, f"{self._staging}/dev/{name}")
        uid = CANDIDATE_UID if can_build_as_root() else os.geteuid()
        accounts = {"passwd": f"candidate:x:{uid}:{uid}::/tmp:/bin/sh\n", "group": f"candidate:x:{uid}:\n"}
        for name, text in accounts.items():
            with open(f"{self._staging}/etc/{name}", "w", encoding="ascii") as file:
                file.write(text)

    def _attach(self, path: str, tree: int) -> None:
        target = self._staging + path
        if not os.path.lexists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if stat.S_ISDIR(os.fstat(tree).st_mode):
                os.mkdir(target)
            else:
                os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        syscall("move_mount", tree, b"", AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)

    def _attach_products(self, products: list[_Tree]) -> None:
        """Attach what may lie below a view, on top of it, where the candidate can get at it."""
        covers = []
        for path, fd in products:
            covers += self._open_way(path)
            self._attach(path, fd)
        for cover in covers:
            _set_attributes(cover, _VIEW | _ATTR_NOEXEC)

    def _open_way(self, path: str) -> list[str]:
        """Cover the first folder above ``path`` that the candidate may not enter, if there is one; return the cover.

        A candidate of root is another user than the owner of a cache folder, which is often closed to others. What
        lies beside ``path`` in a closed folder could not be reached before either.
        """
        if not can_build_as_root():
            return []
        for end in range(1, len(path)):
            place = self._staging + path[:end]
            if path[end] == "/" and os.path.isdir(place) and not os.stat(place).st_mode & stat.S_IXOTH:
                _mount_skeleton(place)
                return [place]
        return []

    def _links(self) -> None:
        for link, target in self._shown_links:
            place = self._staging + link
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.symlink(target, place)

    def _proc(self, old_proc: int) -> Layer:
        layer = attempt("proc", lambda: _mount_proc(f"{self._staging}/proc"), self._policy.without)
        if not layer.active:
            # Half of what a candidate needs is in /proc: the old one shows strangers, but opens none of them.
            self._attach("/proc", old_proc)
        return layer


def _mount_skeleton(target: str) -> None:
    """Mount what holds nothing but folders to mount on."""
    mount("tmpfs", target, "tmpfs", _PLAIN | _MS_NOEXEC, "size=1m,nr_inodes=8192,mode=0755")


def _mount_proc(target: str) -> None:
    mount("proc", target, "proc", _PLAIN | _MS_NOEXEC)
    with contextlib.ExitStack() as trees:
        for name in _PROC_READ_ONLY:
            path = f"{target}/{name}"
            if os.path.lexists(path):
                tree = _clone(path, _VIEW | _ATTR_NOEXEC, trees)
                syscall("move_mount", tree, b"", AT_FDCWD, os.fsencode(path), _MOVE_MOUNT_F_EMPTY_PATH)


def _clone(path: str, attributes: int, trees: contextlib.ExitStack) -> int:
    """Clone the mounts at and below ``path``, with ``attributes`` set on all of them, into the open air."""
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC
    tree = syscall("open_tree", AT_FDCWD, os.fsencode(path), flags)
    trees.callback(os.close, tree)
    _change(tree, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, attributes)
    return tree


def _set_attributes(path: str, attributes: int) -> None:
    _change(AT_FDCWD, os.fsencode(path), 0, attributes)


def _change(fd: int, path: bytes, flags: int, attributes: int) -> None:
    wanted = ctypes.create_string_buffer(struct.pack("=4Q", attributes, 0, 0, 0), 32)
    syscall("mount_setattr", fd, path, flags, wanted, 32)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _pivot(new_root: str) -> None:
    """Make ``new_root`` the root and let go of the old one, for every process of this mount namespace."""
    with _opened("/") as old_root:
        os.chdir(new_root)
        syscall("pivot_root", b".", b".")
        # The old root now lies on top of the new one: from inside it, it can be taken away for good.
        os.fchdir(old_root)
        umount(".", _MNT_DETACH)
        os.chdir("/")
