from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.border.wire import (
    MAX_TEXT,
    Kind,
    Message,
    WireError,
    clip,
    pair,
    receive,
    receive_with_fds,
    send,
)

words = st.integers(min_value=0, max_value=2**64 - 1)
messages = st.builds(
    Message,
    kind=st.integers(min_value=0, max_value=2**32 - 1),
    a=words,
    b=words,
    c=words,
    d=words,
    text=st.text(max_size=200),
)


@given(messages)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert Message.decode(message.encode()) == message


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_wire_error(raw: bytes) -> None:
    try:
        message = Message.decode(raw)
    except WireError:
        return
    assert len(message.text) <= MAX_TEXT


@given(st.binary(max_size=4000), st.integers(min_value=100, max_value=5000))
def test_clip_keeps_beginning_and_end_within_the_limit(raw: bytes, limit: int) -> None:
    clipped = clip(raw, limit)
    assert len(clipped) <= max(limit, 0) or clipped == raw
    assert clipped[:20] == raw[:20]
    assert clipped[-20:] == raw[-20:]


def test_text_that_is_too_long_arrives_shortened() -> None:
    ours, theirs = pair()
    with ours, theirs:
        send(ours, Message(Kind.FAILED, text="a" * MAX_TEXT + "the end"))
        text = receive(theirs).text
    assert len(text.encode()) <= MAX_TEXT
    assert text.endswith("the end")
    assert "left out" in text


def test_descriptors_travel_with_a_message() -> None:
    ours, theirs = pair()
    reader, writer = os.pipe()
    with ours, theirs:
        send(ours, Message(Kind.FORK, a=7), (writer,))
        os.close(writer)
        message, fds = receive_with_fds(theirs)
    assert message.a == 7
    os.write(fds[0], b"through")
    os.close(fds[0])
    assert os.read(reader, 100) == b"through"
    os.close(reader)


def test_the_judge_never_takes_descriptors_over() -> None:
    ours, theirs = pair()
    before = len(os.listdir("/proc/self/fd"))
    with open(os.devnull) as file:
        send(theirs, Message(Kind.DONE), (file.fileno(),))
    assert receive(ours).kind == Kind.DONE
    assert len(os.listdir("/proc/self/fd")) == before
    ours.close()
    theirs.close()


def test_a_closed_connection_is_a_wire_error() -> None:
    ours, theirs = pair()
    theirs.close()
    with ours, pytest.raises(WireError):
        receive(ours)


@pytest.mark.parametrize("read", [receive, receive_with_fds])
def test_who_hangs_up_with_something_unread_is_gone_as_well(read: Callable[[Any], object]) -> None:
    ours, theirs = pair()
    send(theirs, Message(Kind.READY))
    ours.close()
    with theirs, pytest.raises(WireError, match="the other side is gone"):
        read(theirs)
