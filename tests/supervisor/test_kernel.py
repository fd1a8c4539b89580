"""What is read of cgroups, from the layouts that machines have."""

from pathlib import Path

import pytest

from supervisor.kernel import KernelWatch, MemoryCgroup, memory_cgroup

V2_EVENTS = "low 0\nhigh 0\nmax 12\noom 3\noom_kill {kills}\noom_group_kill 0\n"
V1_CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "7").mkdir(parents=True)
    return tmp_path


def cgroup_of_7(machine: Path) -> MemoryCgroup | None:
    return memory_cgroup(7, machine / "proc", machine / "sys")


def test_version_2(machine: Path) -> None:
    (machine / "proc/7/cgroup").write_text("0::/user.slice/eval.scope\n")
    folder = machine / "sys/user.slice/eval.scope"
    folder.mkdir(parents=True)
    (folder / "memory.events").write_text(V2_EVENTS.format(kills=4))
    found = cgroup_of_7(machine)
    assert found is not None
    assert (found.name, found.kills()) == ("/user.slice/eval.scope", 4)


def test_version_1_beside_an_empty_version_2(machine: Path) -> None:
    (machine / "proc/7/cgroup").write_text("9:name=systemd:/\n4:cpu,memory:/job 1\n0::/\n")
    folder = machine / "sys/memory/job 1"
    folder.mkdir(parents=True)
    (folder / "memory.oom_control").write_text(V1_CONTROL.format(kills=2))
    found = cgroup_of_7(machine)
    assert found is not None
    assert (found.name, found.kills()) == ("/job 1", 2)


def test_a_container_that_does_not_show_its_cgroup(machine: Path) -> None:
    (machine / "proc/7/cgroup").write_text("0::/../../kubepods/pod1\n")
    assert cgroup_of_7(machine) is None
    assert memory_cgroup(8, machine / "proc", machine / "sys") is None


def test_a_kernel_that_does_not_count_kills(machine: Path) -> None:
    control = machine / "memory.oom_control"
    control.write_text("oom_kill_disable 0\nunder_oom 0\n")
    assert MemoryCgroup(control, "/").kills() is None
    control.unlink()
    assert MemoryCgroup(control, "/").kills() is None


def test_nothing_is_seen_of_a_process_that_is_not_there() -> None:
    watch = KernelWatch(2**22 + 1)
    watch.look()
    assert watch.view().oom_kills == 0
    watch.close()
    watch.close()
