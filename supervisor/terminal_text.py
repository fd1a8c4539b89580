"""What a program prints, as whole lines that are safe to print on a terminal that others use too.

Colours stay. Everything else that a terminal would obey (cursor, titles, screens, modes) is dropped, and the line is
edited here as the terminal would have done it: of a progress bar, the last state remains.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from itertools import groupby

_LINE_CHARS = 64 * 1024
_UNSAFE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
# ECMA-48, with the 8-bit forms: xterm obeys those in UTF-8 too. Every repetition has a bound of 4 KiB and looks at
# nothing behind it, so that what was begun is given up at the same place however it is cut into chunks. What ends a
# control string is dropped as a control character of its own. So does a newline end it: of a program that dies in the
# middle of one, only that line is lost.
_TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|(?P<csi>(?:\x1b\[|\x9b)(?P<parameters>[ -?]{0,4096})(?P<final>[@-~])?)"
    r"|(?P<string>(?:\x1b[]PX^_k]|[\x90\x98\x9d-\x9f])[^\n\x07\x18\x1a\x1b\x9c]{0,4096})"
    r"|(?P<escape>\x1b[ -/]{0,4096}(?P<last>[0-~])?)"
    r"|(?P<control>[\x00-\x1f\x7f-\x9f])"
)
_SGR = re.compile(r"[0-9;:]*")

# Which attribute a code of SGR changes: the codes that switch one off, and those that set it.
_OFF = {22: "weight", 23: "italic", 24: "underline", 25: "blink", 27: "reverse", 28: "hidden", 29: "strike"}
_OFF |= {39: "colour", 49: "background", 55: "overline", 59: "line colour"}
_ON = {1: "weight", 2: "weight", 3: "italic", 4: "underline", 5: "blink", 6: "blink", 7: "reverse", 8: "hidden"}
_ON |= {9: "strike", 21: "underline", 53: "overline", 58: "line colour"}
_ON |= dict.fromkeys([*range(30, 39), *range(90, 98)], "colour")
_ON |= dict.fromkeys([*range(40, 49), *range(100, 108)], "background")


@lru_cache(256)
def _restyled(style: str, codes: str) -> str:
    """The style, as the parameters of one SGR sequence, after another one. Bounded: one code for each attribute."""
    attributes: dict[str, str] = {}
    parts = iter(f"{style};{codes}".split(";") if style else codes.split(";"))
    for part in parts:
        code = int(part.partition(":")[0][:4] or 0)
        if code == 0:
            attributes.clear()
        elif code in _OFF:
            attributes.pop(_OFF[code], None)
        elif code in _ON and len(part) < 32:
            if part in {"38", "48", "58"}:  # the colour itself follows: 5;n or 2;r;g;b
                kind = next(parts, "")
                numbers = [next(parts, "")[:4] for _ in range({"5": 1, "2": 3}.get(kind, 0))]
                part = ";".join([part, kind, *numbers]) if numbers else ""  # noqa: PLW2901
            if part:
                attributes[_ON[code]] = part
    return ";".join(attributes.values())


class LineFilter:
    """Bytes of any kind in, safe whole lines out. What comes out does not depend on how the bytes are cut."""

    def __init__(self, *, colour: bool = True) -> None:
        self._colour = colour
        self._reset()

    def _reset(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unfinished = ""  # the beginning of an escape sequence
        self._style = ""
        self._chars: list[str] = []  # of the line, and the style of each
        self._styles: list[str] = []
        self._at = 0
        self._lines: list[str] = []

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now, without their newlines."""
        text = self._unfinished + self._decoder.decode(data)
        if self._style or _UNSAFE.search(text):
            self._parse(text)
        else:
            first, *more = text.split("\n")
            self._put(first)
            if len(more) > 1 and len(max(more, key=len)) < _LINE_CHARS:  # nearly always, and fast
                self._end_line()
                self._lines += more[:-1]
                self._put(more[-1])
            else:
                for line in more:
                    self._end_line()
                    self._put(line)
        lines, self._lines = self._lines, []
        return lines

    @property
    def partial(self) -> str:
        """The unfinished line as a terminal would show it now."""
        if not any(self._styles):
            return "".join(self._chars)
        parts, before = [], ""
        for style, group in groupby(zip(self._styles, self._chars, strict=True), key=lambda pair: pair[0]):
            if style != before:
                # A style replaces the one before it: from the second on, that one is reset first.
                parts.append(f"\x1b[0;{style}m" if style and before else f"\x1b[{style or 0}m")
            parts += (char for _, char in group)
            before = style
        return "".join([*parts, "\x1b[0m"] if before else parts)

    def flush(self) -> list[str]:
        """At the end: the unfinished line, if there is one. What comes after it starts anew."""
        self._put(self._decoder.decode(b"", final=True) if not self._unfinished else "")
        lines = [*self._lines, self.partial] if self._chars else self._lines
        self._reset()
        return lines

    def _parse(self, text: str) -> None:
        self._unfinished = ""
        for token in _TOKEN.finditer(text):
            if token["text"]:
                self._put(token[0])
            elif token["control"]:
                self._control(token[0])
            elif token["final"]:
                self._sequence(token["final"], token["parameters"])
            elif token.end() == len(text) and not token["last"]:
                self._unfinished = token[0]

    def _put(self, text: str) -> None:
        """Write text at the cursor, over what is there."""
        while text:
            if self._at == _LINE_CHARS:
                self._end_line()
            gap = self._at - len(self._chars)
            if gap > 0:  # the line was erased, and the cursor stayed
                self._chars += " " * gap
                self._styles += [""] * gap
            part, text = text[: _LINE_CHARS - self._at], text[_LINE_CHARS - self._at :]
            end = self._at + len(part)
            self._chars[self._at : end] = part
            self._styles[self._at : end] = [self._style] * len(part)
            self._at = end

    def _end_line(self) -> None:
        self._lines.append(self.partial)
        self._chars, self._styles, self._at = [], [], 0

    def _control(self, char: str) -> None:
        if char == "\n":
            self._end_line()
        elif char == "\r":
            self._at = 0
        elif char == "\t":
            self._put(" " * (8 - self._at % 8))
        elif char == "\b" and self._at:
            self._at -= 1
            if self._at == len(self._chars) - 1:
                self._erase_from(self._at)

    def _sequence(self, final: str, parameters: str) -> None:
        if final == "m" and self._colour and _SGR.fullmatch(parameters):
            self._style = _restyled(self._style, parameters)
        elif final == "G" and parameters in {"", "0", "1"}:  # how Node's progress bars return to the line's start
            self._at = 0
        elif final == "K" and parameters in {"", "0", "2"}:
            self._erase_from(0 if parameters == "2" else self._at)

    def _erase_from(self, at: int) -> None:
        del self._chars[at:], self._styles[at:]
