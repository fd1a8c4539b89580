"""What comes out of the line filter is safe, and looks as it would have on a terminal."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor.terminal_text import LineFilter

HOSTILE = [
    b"\x1b",
    b"\x1b[",
    b"\x1b]0;",
    b"\x1bP",
    b"\x9b",
    b"\xc2\x9b",
    b"31",
    b";",
    b"m",
    b"\x1b[31m",
    b"\x1b[0m",
    b"K",
]
HOSTILE += [
    b"\x1b[2K",
    b"\r",
    b"\n",
    b"\b",
    b"\t",
    b"\x07",
    b"\x1b\\",
    b"\xf0\x9f",
    b"\x98\x80",
    b"abc",
    "漢".encode(),
    b"\0",
]
BYTES = st.lists(st.sampled_from(HOSTILE) | st.binary(max_size=4), max_size=40).map(b"".join)
LINE = re.compile(r"(?:\x1b\[[0-9;:]*m|[^\x00-\x1f\x7f-\x9f])*")
SGR = re.compile(r"\x1b\[[0-9;:]*m")


def lines(*chunks: bytes, colour: bool = True) -> list[str]:
    """What comes out, the unfinished line last."""
    filtered = LineFilter(colour=colour)
    found = [line for chunk in chunks for line in filtered.feed(chunk)]
    return [*found, *filtered.flush()]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"one\ntwo\r\nthree", ["one", "two", "three"]),
        (b"\n\nx\n", ["", "", "x"]),
        (b"", []),
        ("größe 漢 😀\n".encode(), ["größe 漢 😀"]),
        (b"bad \xff\xfe utf\n\xe6\xbc", ["bad \ufffd\ufffd utf", "\ufffd"]),
        (b" 10%\r 55%\r100%\n", ["100%"]),
        (b"a long one\rshort\n", ["shortg one"]),
        (b"a long one\r\x1b[Kshort\n", ["short"]),
        (b"a long one\x1b[2K\rshort\n", ["short"]),
        (b"a long one\x1b[2K\x1b[1Gshort\n", ["short"]),
        (b"spin |\b/\b-\n", ["spin -"]),
        (b"ab\b\b\b\bc\n", ["c"]),
        (b"abc\r\x1b[Kx\n", ["x"]),
        (b"abc\r1\b2\n", ["2bc"]),
        (b"a\tb\t\tc\n", ["a       b               c"]),
        (b"nul \0 bell \x07 form \x0c del \x7f\n", ["nul  bell  form  del "]),
    ],
)
def test_a_line_is_what_a_terminal_would_show(printed: bytes, shown: list[str]) -> None:
    assert lines(printed) == shown


@pytest.mark.parametrize(
    "sequence",
    [
        b"\x1b[2J", b"\x1b[H", b"\x1b[12;40H", b"\x1b[A", b"\x1b[3B", b"\x1b[?1049h", b"\x1b[?25l", b"\x1b[1;5r",
        b"\x1b[?2004h", b"\x1b[?1003h", b"\x1b[>4;2m", b"\x1b[?4m", b"\x1b[!p", b"\x1b[6n", b"\x1bc", b"\x1b7",
        b"\x1b8", b"\x1bM", b"\x1bD", b"\x1b=", b"\x1b(0", b"\x1b#8", b"\x1b%G", b"\x1b]0;title\x07",
        b"\x1b]2;title\x1b\\", b"\x1bktitle\x1b\\", b"\x1bPq#0;2\x1b\\", b"\x1b_Gf=100;AAAA\x1b\\",
        b"\x1b^x\x1b\\", b"\x1bXx\x1b\\",
        b"\x1b]0;title\xc2\x9c", b"\xc2\x9b2J", b"\xc2\x9d0;title\x07", b"\xc2\x85", b"\x0e", b"\x0f", b"\x05",
        b"\x1b\x1b[2J",
    ],
)  # fmt: skip
def test_what_is_neither_text_nor_colour_is_dropped(sequence: bytes) -> None:
    printed = b"a" + sequence + b"b\n"
    assert lines(printed) == ["ab"]
    assert lines(*(bytes([byte]) for byte in printed)) == ["ab"]


def test_a_hyperlink_is_its_text() -> None:
    assert lines(b"\x1b]8;;https://example.org\x1b\\here\x1b]8;;\x1b\\ it is\n") == ["here it is"]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"\x1b[31mred\x1b[0m\n", ["\x1b[31mred\x1b[0m"]),
        (b"\x1b[31mred\x1b[m\n", ["\x1b[31mred\x1b[0m"]),
        (b"\x1b[31mred\nstill\x1b[39m not\n", ["\x1b[31mred\x1b[0m", "\x1b[31mstill\x1b[0m not"]),
        (b"\x1b[1;31mred\x1b[32mgreen\n", ["\x1b[1;31mred\x1b[0;1;32mgreen\x1b[0m"]),
        (b"\x1b[38;5;9ma\x1b[48;2;1;2;3mb\n", ["\x1b[38;5;9ma\x1b[0;38;5;9;48;2;1;2;3mb\x1b[0m"]),
        (b"\x1b[4:3mwave\x1b[24m none\n", ["\x1b[4:3mwave\x1b[0m none"]),
        (b"\x1b[38;7mno such colour\x1b[999m\n", ["no such colour"]),
        (b"\x1b[31m12\r\x1b[32m3\n", ["\x1b[32m3\x1b[0;31m2\x1b[0m"]),
    ],
)
def test_colours_stay_and_do_not_leave_their_line(printed: bytes, shown: list[str]) -> None:
    assert lines(printed) == shown
    assert lines(printed, colour=False) == [SGR.sub("", line) for line in shown]


def test_the_unfinished_line_is_there_to_see() -> None:
    filtered = LineFilter()
    assert filtered.feed(b"done\n 45%|####      |") == ["done"]
    assert filtered.partial == " 45%|####      |"
    assert filtered.feed(b"\r 50%|#####     |\x1b[3") == []
    assert filtered.partial == " 50%|#####     |"
    assert filtered.flush() == [" 50%|#####     |"]
    assert (filtered.partial, filtered.flush(), filtered.feed(b"1mnew\n")) == ("", [], ["1mnew"])


@pytest.mark.parametrize("start", [b"\x1b[", b"\x1b]0;", b"\x1bP", b"\x1b_", b"\x1b("])
def test_an_unterminated_sequence_costs_its_line_or_4_kib(start: bytes) -> None:
    assert lines(start + b"\nback\n")[-1] == "back"
    filtered, rubbish = LineFilter(), b"(" if start == b"\x1b(" else b"0"
    filtered.feed(start)
    for _ in range(5000):
        filtered.feed(rubbish)
    assert 800 < len(filtered.partial) < 1000


@pytest.mark.parametrize("size", [65535, 65536, 65537, 1_000_000])
def test_a_line_that_does_not_end_is_broken(size: int) -> None:
    found = lines(b"x" * size + b"\nnext\n")
    assert found[-1] == "next"
    assert "".join(found[:-1]) == "x" * size
    assert max(map(len, found)) <= 65536
    coloured = lines(b"\x1b[31m" + b"x" * size + b"\n")
    assert [len(line) for line in coloured] == [len(line) + len("\x1b[31m\x1b[0m") for line in found[:-1]]


@given(BYTES, st.lists(st.integers(0, 120), max_size=8))
@example(b"x" * 65536 + b"\r\xf0\x9f\n", [1, 65536, 65537])
@example(b"x" * 65536 + b"y\n" + b"z" * 65535 + b"\xe6", [65536])
@example(b"\x1b]" + b"x" * 4095 + b"\xc3\xbcyz\x07m", [3000, 4098, 4099])
@example(b"\x1b[" + b"1" * 4096 + b"mz", [4098])
def test_any_bytes_come_out_safe_and_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    found = lines(*(data[start:end] for start, end in pairwise(borders)))
    assert found == lines(data)
    for line in found:
        assert LINE.fullmatch(line)
        assert SGR.findall(line)[-1:] in ([], ["\x1b[0m"])


@given(BYTES)
def test_the_unfinished_line_is_safe_at_any_moment(data: bytes) -> None:
    filtered = LineFilter()
    for byte in data:
        filtered.feed(bytes([byte]))
        assert LINE.fullmatch(filtered.partial)
