"""From inside, nothing outside can be talked to."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

Sandbox = Any


@contextlib.contextmanager
def listening(family: int, address: Any) -> Iterator[Any]:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind(address)
        server.listen()
        yield server.getsockname()


def connect(family: int, address: Any) -> None:
    import socket

    address = tuple(address) if isinstance(address, list) else address
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(2)
        client.connect(address)


@pytest.mark.parametrize(
    ("without", "layer"),
    [(("landlock_tcp", "landlock_scopes"), "network"), (("network",), "landlock_tcp")],
    ids=["the network namespace alone", "Landlock alone"],
)
def test_no_port_of_the_machine_can_be_reached(
    sandboxed: Sandbox, without: tuple[str, ...], layer: str
) -> None:
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as address:
        family = int(socket.AF_INET)
        policy = {"without": without}
        outcome = sandboxed(connect, needs=(layer,), policy=policy, family=family, address=address)
    assert outcome.raised is not None
    assert outcome.raised.startswith(("OSError", "PermissionError"))


@pytest.mark.parametrize(
    ("without", "layer"),
    [(("landlock_tcp", "landlock_scopes"), "network"), (("network",), "landlock_scopes")],
    ids=["the network namespace alone", "Landlock alone"],
)
def test_no_abstract_socket_of_the_machine_can_be_reached(
    sandboxed: Sandbox, without: tuple[str, ...], layer: str
) -> None:
    name = f"\0fib-canary-{os.getpid()}"
    with listening(socket.AF_UNIX, name):
        outcome = sandboxed(
            connect, needs=(layer,), policy={"without": without}, family=int(socket.AF_UNIX), address=name
        )
    assert outcome.raised is not None
    assert outcome.raised.startswith(("ConnectionRefusedError", "PermissionError"))


def strange_sockets() -> list[int]:
    import contextlib
    import socket

    made = []
    for family in (17, 38, 40, 44):  # packet, alg, vsock, xdp
        with contextlib.suppress(OSError):
            socket.socket(family, socket.SOCK_STREAM if family == 40 else socket.SOCK_RAW).close()
            made.append(family)
    return made


def test_no_socket_of_a_rare_family_can_be_made(sandboxed: Sandbox) -> None:
    assert sandboxed(strange_sockets, needs=("seccomp",)).returned == []
