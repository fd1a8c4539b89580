import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from supervisor.forensics import MASK, core_file, masked
from tests.supervisor.bench import Bench


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN", "OPENAI_API_KEY", "API_KEY", "apikey", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "PASSWD", "MY_KEY",
        "GITHUB_PAT", "COOKIE", "BASIC_AUTH", "SSH_PRIVATE", "GOOGLE_APPLICATION_CREDENTIALS",
    ],
)  # fmt: skip
def test_what_is_named_like_a_secret_is_masked(name: str) -> None:
    assert masked({name: "s3cr3t"}) == {name: MASK}


@pytest.mark.parametrize("name", ["PATH", "KEYBOARD", "MONKEY", "TERM", "CUDA_VISIBLE_DEVICES", "SUPERVISE_ATTEMPT"])
def test_what_is_not_is_kept(name: str) -> None:
    assert masked({name: "value"}) == {name: "value"}


def test_a_password_in_an_address_is_masked_whatever_the_name() -> None:
    assert masked({"PROXY": "https://me:s3cr3t@host/x", "URL": "http://host:80/a@b"}) == {
        "PROXY": f"https://me:{MASK}@host/x",
        "URL": "http://host:80/a@b",
    }


def test_a_dead_attempt_leaves_a_folder_that_tells_all(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_s3cr3t")
    code = "import ctypes\nprint('before the end', flush=True)\ndef deep(): ctypes.string_at(0)\ndeep()"
    bench.python(code, "--max-retries", "0", "--name", "one")
    folder = bench.folder / "logs/one/attempt-0001"
    evidence = json.loads((folder / "evidence.json").read_text())
    assert evidence["kind"] == "segfault"
    assert evidence["signal"] == 11
    assert "in deep" in (folder / "faulthandler.txt").read_text()
    assert "before the end" in (folder / "last-words.txt").read_text()
    assert (folder / "output.log").read_bytes().startswith(b"before the end\n")
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["HF_TOKEN"] == MASK
    assert environment["SUPERVISE_ATTEMPT"] == "1"
    everything = b"".join(path.read_bytes() for path in (bench.folder / "logs").rglob("*") if path.is_file())
    assert b"s3cr3t" not in everything


def test_the_core_of_the_dead_is_found_where_the_kernel_puts_it(tmp_path: Path) -> None:
    kernel = tmp_path / "sys/kernel"
    kernel.mkdir(parents=True)
    (tmp_path / "cwd").mkdir()

    def found(pattern: str, uses_pid: str, *names: str) -> str | None:
        (kernel / "core_pattern").write_text(pattern + "\n")
        (kernel / "core_uses_pid").write_text(uses_pid + "\n")
        for name in names:
            (tmp_path / name).touch()
        core = core_file(77, tmp_path / "cwd", tmp_path)
        for name in names:
            (tmp_path / name).unlink()
        return None if core is None else core.name

    assert found("core", "0", "cwd/core") == "core"
    assert found("core", "1", "cwd/core.77", "cwd/core.78") == "core.77"
    assert found("core.%e.%p", "0", "cwd/core.python.77", "cwd/core.python.78") == "core.python.77"
    assert found(f"{tmp_path}/dump-%p-%t", "0", "dump-77-1790000000") == "dump-77-1790000000"
    assert found("core", "0") is None
    assert found("|/usr/lib/systemd/systemd-coredump %P", "0", "cwd/core") is None


@pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")
def test_a_core_file_is_named_and_has_a_backtrace(bench: Bench) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith("|") or "/" in pattern:
        pytest.skip(f"the kernel puts core files elsewhere: {pattern}")
    code = "import ctypes; ctypes.string_at(0)"
    command = ["bash", "-c", 'ulimit -c unlimited && exec "$@"', "bash", sys.executable, "-c", code]
    bench.run(*command, options=["--max-retries", "0", "--name", "one"])
    evidence = json.loads((bench.folder / "logs/one/attempt-0001/evidence.json").read_text())
    if evidence["core"] is None:
        pytest.skip("no core file is written here")
    assert Path(evidence["core"]).is_file()
    assert "core dumped" in " ".join(evidence["chain"])
    assert "#0 " in (bench.folder / "logs/one/attempt-0001/backtrace.txt").read_text()


def test_the_stacks_of_a_child_that_hangs_are_written_down(bench: Bench) -> None:
    code = "import time\ndef stuck_here(): time.sleep(600)\nprint('up', flush=True)\nstuck_here()"
    bench.python(code, "--stall-timeout", "0.5", "--max-retries", "0", "--name", "one")
    stacks = (bench.folder / "logs/one/attempt-0001/stacks.txt").read_text()
    if "ermission" in stacks:
        pytest.skip(f"py-spy may not look here: {stacks.strip()}")
    assert "stuck_here" in stacks


def test_a_full_disk_costs_the_files_and_not_the_child(bench: Bench) -> None:
    code = """
import os, pathlib, shutil
folder = pathlib.Path(os.environ["SUPERVISE_ERROR_FILE"]).parent
shutil.rmtree(folder)
folder.write_text("a file is in the way")
print("on it goes")
"""
    result = bench.run(sys.executable, "-c", code)
    assert (result.code, result.stdout) == (0, b"on it goes\n")


def test_the_state_of_the_gpus_at_a_death_is_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = bench.folder / "tools"
    tools.mkdir()
    (tools / "nvidia-smi").write_text("#!/bin/sh\nsleep 0.5\necho 79360MiB / 81920MiB\n")
    (tools / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    bench.python("import os; os.abort()", "--max-retries", "1", "--name", "one")
    for attempt in (1, 2):
        assert (bench.folder / f"logs/one/attempt-000{attempt}/gpus.txt").read_text() == "79360MiB / 81920MiB\n"
    ended, started = bench.events("attempt_ended")[0], bench.events("attempt_started")[1]
    assert started["time"] - ended["time"] < 0.4, "the restart has waited for it"
