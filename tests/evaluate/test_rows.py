"""Reading the user's JSONL: every complaint names file and line."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from evaluate.errors import ConfigurationError
from evaluate.rows import read_jsonl

COLUMNS = ("question", "answer")
GOOD = b'{"question": "q", "answer": "a"}'
ROW = {"question": "q", "answer": "a"}


def read(tmp_path: Path, data: bytes) -> list[dict[str, object]]:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    return read_jsonl(path, COLUMNS)


@pytest.mark.parametrize(
    "data",
    [
        GOOD + b"\n" + GOOD + b"\n",
        GOOD + b"\n" + GOOD,
        GOOD + b"\r\n" + GOOD + b"\r\n",
        b"\n\n" + GOOD + b"\n  \t\n" + GOOD + b"\n\r\n\n",
    ],
    ids=["newlines", "no newline at the end", "Windows", "blank lines"],
)
def test_rows_are_read_whatever_the_line_ends_and_blank_lines(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, data) == [ROW, ROW]


def test_more_columns_than_needed_are_kept(tmp_path: Path) -> None:
    assert read(tmp_path, b'{"question": "q", "answer": "a", "level": 3}') == [{**ROW, "level": 3}]


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\x85", "\x1c", "\x0b", "\x0c", "\r", "\n", "\0"])
def test_characters_that_some_call_line_ends_do_not_split_a_row(tmp_path: Path, char: str) -> None:
    row = {"question": f"one{char}", "answer": f"{char}two{char}{char}3"}
    assert read(tmp_path, orjson.dumps(row) + b"\n" + GOOD + b"\n") == [row, ROW]


def test_a_lone_carriage_return_between_tokens_ends_no_line(tmp_path: Path) -> None:
    assert read(tmp_path, b'{"question": "q",\r "answer": "a"}\n') == [ROW]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"question": "q", "answer": "a"', "not JSON"),
        (b"question,answer", "not JSON"),
        (b"\0\0\0\0", "not JSON"),
        (b'{"question": "\0", "answer": "a"}', "not JSON"),
        (b'{"question": "caf\xe9", "answer": "a"}', "not JSON"),
        (b'{"question": "q", "answer": NaN}', "not JSON"),
        (GOOD + GOOD, "not JSON"),
        (b"[1, 2]", "a row is an object with question and answer"),
        (b'"text"', "a row is an object with question and answer"),
        (b"null", "a row is an object with question and answer"),
        (b'{"question": "q"}', "there is no text in 'answer'"),
        (b'{"answer": "a"}', "there is no text in 'question'"),
        (b'{"question": "q", "answer": 5}', "there is no text in 'answer'"),
        (b'{"question": null, "answer": "a"}', "there is no text in 'question'"),
        (b'{"Question": "q", "answer": "a"}', "there is no text in 'question'"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: bytes, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, GOOD + b"\r\n\n" + line + b"\n" + GOOD + b"\n")
    assert str(caught.value).startswith(f"{tmp_path / 'rows.jsonl'}, line 3: {complaint}")


def test_text_that_is_not_utf8_is_a_complaint_about_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="line 2: not JSON") as caught:
        read(tmp_path, GOOD + b"\n" + "{'ü'}".encode("utf-16"))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\t\n"])
def test_a_file_without_rows_is_an_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"there are no rows in .*rows\.jsonl"):
        read(tmp_path, data)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as missing:
        read_jsonl(tmp_path / "absent.jsonl", COLUMNS)
    assert str(missing.value) == f"cannot read the data {tmp_path / 'absent.jsonl'}: No such file or directory"
    with pytest.raises(ConfigurationError) as folder:
        read_jsonl(tmp_path, COLUMNS)
    assert str(folder.value) == f"cannot read the data {tmp_path}: Is a directory"


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"question": "q", "answer": "a"}\r\n')
    assert read_jsonl(path, ("question", "answer")) == [{"question": "q", "answer": "a"}]
