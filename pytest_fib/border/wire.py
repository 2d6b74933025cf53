"""The wire between judge, zygote and candidate: fixed-size headers and length-capped text over a socket.

A message is 40 bytes, a kind and four unsigned integers, followed by at most ``MAX_TEXT`` bytes of UTF-8 text. The
sockets are ``SOCK_SEQPACKET``: one send is one message, so a sender that lies about lengths can only damage its
own message. Nothing is ever unpickled. File descriptors travel from the judge outwards only.
"""

from __future__ import annotations

import array
import enum
import os
import socket
import struct
from dataclasses import dataclass

MAX_TEXT = 64 * 1024
MAX_FDS = 8
_HEADER = struct.Struct("<IIQQQQ")


class Kind(enum.IntEnum):
    """What a message says."""

    # judge -> zygote
    KEEP = 3
    # judge -> zygote or keeper
    FORK = 1
    KILL = 2
    # zygote, keeper or candidate -> judge
    READY = 10
    # zygote or keeper -> judge
    FORKED = 11
    EXITED = 12
    # judge -> candidate
    BUILD = 20
    LOAD = 21
    ATTACH = 22
    RUN = 23
    COMPILE = 24
    # candidate -> judge
    DONE = 30
    FAILED = 31


class Failure(enum.IntEnum):
    """Why a candidate says that a request failed; it can only ever harm itself by lying."""

    COMPILE = 1
    RUNTIME = 2
    SHAPE = 3
    DTYPE = 4


class WireError(Exception):
    """The other side sent something that is not a message, or closed the connection."""


@dataclass(frozen=True)
class Message:
    """One message: a kind, up to four integers below 2**64 and text of at most ``MAX_TEXT`` bytes."""

    kind: int
    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0
    text: str = ""

    def encode(self) -> bytes:
        """Return the bytes on the wire; text that is too long keeps its beginning and its end."""
        raw = clip(self.text.encode("utf-8", "replace"), MAX_TEXT)
        return _HEADER.pack(self.kind, len(raw), self.a, self.b, self.c, self.d) + raw

    @classmethod
    def decode(cls, raw: bytes) -> Message:
        """Read one message.

        Raises
        ------
        WireError
            If the bytes are not exactly one message.
        """
        if len(raw) < _HEADER.size:
            raise WireError(f"message of {len(raw)} bytes is shorter than its header of {_HEADER.size}")
        kind, length, a, b, c, d = _HEADER.unpack_from(raw)
        text = raw[_HEADER.size :]
        if len(text) != length or length > MAX_TEXT:
            raise WireError(f"message announces {length} bytes of text and carries {len(text)}")
        return cls(kind, a, b, c, d, text.decode("utf-8", "replace"))


def clip(raw: bytes, limit: int) -> bytes:
    """Shorten ``raw`` to ``limit`` bytes, keeping the beginning and the end and saying how much is missing."""
    if len(raw) <= limit:
        return raw
    note = f"\n... {len(raw) - limit} bytes left out ...\n".encode()
    head = (limit - len(note)) // 2
    tail = limit - len(note) - head
    return raw[:head] + note + raw[-tail:]


def pair() -> tuple[socket.socket, socket.socket]:
    """Return a connected pair of message sockets."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: Message, fds: tuple[int, ...] = ()) -> None:
    """Send one message, with file descriptors if there are any.

    Raises
    ------
    WireError
        If the other side is gone.
    """
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        sock.sendmsg([message.encode()], ancillary)
    except (BrokenPipeError, ConnectionResetError, ConnectionRefusedError) as error:
        raise WireError("the other side is gone") from error


def receive(sock: socket.socket) -> Message:
    """Receive one message; descriptors that a sender attaches are never taken over.

    Raises
    ------
    WireError
        If the other side is gone or what it sent is not a message.
    """
    try:
        raw = sock.recv(_HEADER.size + MAX_TEXT + 1)
    except (ConnectionResetError, BrokenPipeError) as error:
        raise WireError("the other side is gone") from error
    if not raw:
        raise WireError("the other side closed the connection")
    return Message.decode(raw)


def receive_with_fds(sock: socket.socket) -> tuple[Message, list[int]]:
    """Receive one message and the descriptors that came with it (zygote and candidate side only).

    Raises
    ------
    WireError
        If the other side is gone or what it sent is not a message.
    """
    size = _HEADER.size + MAX_TEXT + 1
    try:
        raw, ancillary, _flags, _address = sock.recvmsg(size, socket.CMSG_SPACE(MAX_FDS * 4))
    except ConnectionResetError as error:  # it closed its end with a message of ours unread
        raise WireError("the other side is gone") from error
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received = array.array("i")
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
            fds.extend(received)
    if not raw:
        for fd in fds:
            os.close(fd)
        raise WireError("the other side closed the connection")
    return Message.decode(raw), fds
