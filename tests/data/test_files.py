from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data import files
from pytest_fib.data.files import naming
from pytest_fib.data.readers import read_definition
from pytest_fib.errors import DataError

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_json_is_read_as_python_reads_it(value: object) -> None:
    assert files.parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("{}}", "at line 1 column 3"),
        ('{"a": 1, "b": 2, "a": 3}', "says 'a' twice in one object"),
        ("[" * 100_000, "is nested too deeply"),
        ("[" * 70 + "]" * 70, "is nested too deeply"),
        ("1" * 5000, "cannot be read as JSON"),
        ('"\\ud83d"', "half a character"),
        ('{"\\udc00": 1}', "half a character"),
        ('["\\n\x00"]', "is not JSON"),
    ],
)
def test_what_is_not_plain_json_is_refused(text: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        files.parse_json(text)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_whole_characters_from_two_halves_are_fine() -> None:
    assert files.parse_json('"\\ud83d\\ude00"') == "😀"


@given(st.binary(max_size=40))
def test_any_bytes_are_text_or_one_sentence(raw: bytes) -> None:
    plain = raw.removeprefix(b"\xef\xbb\xbf")
    if plain.decode("utf-8", "replace").encode() == plain:
        assert files.decode(raw).encode() == plain
    else:
        with pytest.raises(DataError, match="is not UTF-8 text"):
            files.decode(raw)


def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DataError, match="is not a regular file"):
        files.read_bytes(tmp_path / "fifo")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev", "/proc/self/nothing-here"])
def test_devices_folders_and_nothing_are_refused(path: str) -> None:
    with pytest.raises(DataError):
        files.read_bytes(Path(path))


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as handle:
        handle.truncate(1 << 40)
    with pytest.raises(DataError, match=r"has 1099511627776 bytes, but at most \d+ are read"):
        files.read_bytes(path)


def test_the_data_room_needs_no_torch() -> None:
    code = (
        "import sys, pytest_fib.data.readers, pytest_fib.data.traceset, pytest_fib.data.evaluation\n"
        "assert not {'torch', 'numpy', 'pytest', 'triton'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_error_keeps_all_sentences_and_where(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught, naming(tmp_path / "kit"), naming(Path("a.py"), 3):
        raise DataError("one is wrong", "two is wrong")
    assert caught.value.sentences == ("one is wrong", "two is wrong")
    assert caught.value.where == f"{tmp_path / 'kit'}: a.py:3"
    assert str(caught.value) == f"{tmp_path / 'kit'}: a.py:3: one is wrong"


def test_every_wrong_field_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('{"name": 3, "axes": {}, "inputs": {}, "outputs": {"y": {"shape": []}}}')
    with pytest.raises(DataError) as caught:
        read_definition(path)
    assert caught.value.where == str(path)
    assert [sentence.split("'")[1] for sentence in caught.value.sentences] == ["name", "outputs.y.dtype"]
