import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from supervisor.fingerprint import error_type, faulthandler_text, fingerprint, frames

CODE = """
import faulthandler, os, sys, threading, time
faulthandler.enable()
threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
def forward(n):
    {how}
def evaluate(n):
    forward(n)
evaluate(3)
"""


def last_words(tmp_path: Path, how: str) -> bytes:
    (tmp_path / "job.py").write_text(CODE.format(how=how))
    return subprocess.run([sys.executable, "job.py"], cwd=tmp_path, capture_output=True, check=False).stderr


def test_the_innermost_frames_of_a_segfault(tmp_path: Path) -> None:
    words = last_words(tmp_path, "os.kill(os.getpid(), 11)")
    assert frames(words) == ("job.py:6 forward", "job.py:8 evaluate", "job.py:9 <module>")
    assert faulthandler_text(b"noise\n" + words).startswith(b"Fatal Python error: Segmentation fault")


def test_the_innermost_frames_of_an_exception(tmp_path: Path) -> None:
    words = last_words(tmp_path, "raise ValueError(n)")
    assert frames(words) == ("job.py:6 forward", "job.py:8 evaluate", "job.py:9 <module>")
    assert error_type(words) == "ValueError"
    assert faulthandler_text(words) == b""


def test_the_stacks_that_a_hang_leaves(tmp_path: Path) -> None:
    words = last_words(tmp_path, "faulthandler.dump_traceback()")
    assert frames(words)[0] == "job.py:6 forward"


def test_two_deaths_at_one_place_have_one_fingerprint_and_others_do_not(tmp_path: Path) -> None:
    one = last_words(tmp_path, "raise ValueError(f'at {id(object()):x}')")
    same = last_words(tmp_path, "raise ValueError(f'at {time.time()}')")
    other = last_words(tmp_path, "raise KeyError(n)")
    assert fingerprint("unknown", "exit code 1", one, "") == fingerprint("unknown", "exit code 1", same, "")
    assert fingerprint("unknown", "exit code 1", one, "") != fingerprint("unknown", "exit code 1", other, "")
    assert fingerprint("unknown", "exit code 1", one, "7") != fingerprint("unknown", "exit code 1", one, "8")
    assert fingerprint("unknown", "exit code 1", b"Killed\n", "7") == ""


@given(st.binary(max_size=500), st.sampled_from([b"Traceback (most recent call last):", b"Fatal Python error: x", b""]))
def test_any_bytes_have_a_fingerprint_or_none(noise: bytes, start: bytes) -> None:
    assert isinstance(fingerprint("kind", "status", start + b"\n" + noise, ""), str)
