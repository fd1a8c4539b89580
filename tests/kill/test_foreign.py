"""Commands that know nothing of us, killed and brought back: lm-evaluation-harness and torchrun."""

from __future__ import annotations

import json
import os
import re
import signal
import site
import sqlite3
import subprocess
import sys
import textwrap
import venv
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from supervisor.process import find_by_id
from tests.kill.support import events, supervise_command, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LM_EVAL = "lm_eval==0.4.13"
SAMPLES = 24
TASK = """
task: sums
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: []
  max_gen_toks: 192
  do_sample: false
metric_list:
  - metric: exact_match
"""


@pytest.fixture(scope="module")
def lm_eval(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command lm_eval in a virtual environment of its own, with the torch and transformers of this one."""
    folder = tmp_path_factory.mktemp("lm-eval")
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    # A plain line: the .pth files over there, ours among them, are not looked at, so `evaluate` is Hugging Face's.
    (packages / "shared.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    install = [python, "-m", "pip", "install", "-q", LM_EVAL]
    done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        pytest.skip(f"{LM_EVAL} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return folder / "bin" / "lm_eval"


def test_lm_eval_is_killed_and_goes_on_where_its_cache_ends(
    lm_eval: Path, tiny_model: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    rows = [{"question": f"What is {number} and {number}?", "answer": str(2 * number)} for number in range(SAMPLES)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sums.yaml").write_text(TASK.format(data=tmp_path / "test.jsonl"))
    (tmp_path / "cache").mkdir()
    command = [
        "env", "-u", "PYTHONPATH", str(lm_eval), "--model", "hf",
        "--model_args", f"pretrained={tiny_model},dtype=float32", "--tasks", "sums",
        "--include_path", str(tmp_path), "--use_cache", str(tmp_path / "cache/sums"), "--batch_size", "1",
        "--output_path", str(tmp_path / "results"), "--device", "cpu",
    ]  # fmt: skip
    options = ["--progress-file", str(tmp_path / "cache/*.db*"), "--retry-delay", "0"]
    process = subprocess.Popen(
        supervise_command(command, *options), cwd=tmp_path, env=dict(environment), stderr=subprocess.PIPE
    )
    kept = tmp_path / "cache" / "sums_rank0.db"
    wait_for(lambda: _answers(kept) >= SAMPLES // 3, "answers in the cache", 300)
    os.kill(_child(tmp_path / "logs/job"), signal.SIGKILL)
    complaint = process.communicate(timeout=400)[1].decode()
    assert process.returncode == 0, complaint
    ended = [event for event in events(tmp_path / "logs/job") if event["event"] == "attempt_ended"]
    assert [event.get("kind") for event in ended] == ["sigkill", None]
    assert ended[0]["progressed"]
    cached = re.findall(r"Cached requests: (\d+), Requests remaining: (\d+)", complaint)
    assert cached[-1] != ("0", str(SAMPLES)), complaint
    assert sum(map(int, cached[-1])) == SAMPLES
    assert list((tmp_path / "results").rglob("results*.json"))


RANKS = """
    import json, os, pathlib, signal, sys
    import torch, torch.distributed as dist
    dist.init_process_group("gloo")
    rank, path = dist.get_rank(), pathlib.Path("state.json")
    state = json.loads(path.read_text()) if path.exists() else {"step": 0, "sum": 0}
    for step in range(state["step"], 12):
        one = torch.tensor([step * (rank + 1)])
        dist.all_reduce(one)
        state = {"step": step + 1, "sum": state["sum"] + int(one)}
        if rank == 0:
            path.with_suffix(".new").write_text(json.dumps(state))
            path.with_suffix(".new").replace(path)
            print(f"step {step + 1}/12", flush=True)
        dist.barrier()
        if step == 6 and rank == 1 and os.environ["SUPERVISE_ATTEMPT"] == "1":
            os.kill(os.getpid(), signal.SIGSEGV)
    dist.destroy_process_group()
"""


def test_a_job_of_torchrun_that_loses_a_rank_is_started_again_and_leaves_nobody_behind(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "job.py").write_text(textwrap.dedent(RANKS))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=0"]
    options = ["--retry-delay", "0", "--progress-regex", r"step (\d+)/(\d+)"]
    process = subprocess.run(
        supervise_command([*torchrun, "job.py"], *options),
        cwd=tmp_path, env=dict(environment), capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert json.loads((tmp_path / "state.json").read_text()) == {"step": 12, "sum": sum(3 * step for step in range(12))}
    told = events(tmp_path / "logs/job")
    assert len([event for event in told if event["event"] == "attempt_ended"]) == 2
    assert find_by_id(str(told[0]["supervise_id"])) == []


def _answers(cache: Path) -> int:
    """How many answers lm_eval has kept."""
    if not cache.exists():
        return 0
    with closing(sqlite3.connect(f"file:{cache}?mode=ro", uri=True)) as base:
        try:
            return int(base.execute("SELECT count(*) FROM unnamed").fetchone()[0])
        except sqlite3.OperationalError:  # it is being made
            return 0


def _child(folder: Path) -> int:
    return int([event["pid"] for event in events(folder) if event["event"] == "attempt_started"][-1])
