"""What is free on the CPU, within a control group as a SLURM job or a container runs in one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from emoexp.config import ModelConfig
from emoexp.models.loading import memory
from emoexp.models.loading.memory import cgroup_limits, free_memory

GB = 10**9
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
V2 = ("memory.max", "memory.current", "")


def group(
    folder: Path, limit: int | str, used: int, files: int = 0, names: tuple[str, str, str] = V2
) -> None:
    """One control group; half of its file cache is active, and shared memory and anonymous pages
    stand beside it."""
    limit_file, used_file, prefix = names
    folder.mkdir(parents=True, exist_ok=True)
    (folder / limit_file).write_text(f"{limit}\n")
    (folder / used_file).write_text(f"{used}\n")
    rows = {
        "anon": used - files,
        "file": files,
        f"{prefix}inactive_file": files // 2,
        f"{prefix}active_file": files - files // 2,
        "shmem": 7,
    }
    (folder / "memory.stat").write_text(
        "".join(f"{name} {value}\n" for name, value in rows.items())
    )


def limits(folder: Path, *lines: str) -> list[tuple[int, int]]:
    (folder / "membership").write_text("".join(f"{line}\n" for line in lines))
    return list(cgroup_limits(folder / "fs", folder / "membership"))


def test_a_slurm_job_of_version_2_is_bounded_by_its_job(tmp_path: Path) -> None:
    """The task has no limit of its own, the job's is a level up; the root has no files at all."""
    slurm = tmp_path / "fs/system.slice/slurmstepd.scope/job_7"
    group(slurm, 16 * GB, 5 * GB, files=2 * GB)
    group(slurm / "step_0", "max", 5 * GB, files=2 * GB)
    assert limits(tmp_path, "0::/system.slice/slurmstepd.scope/job_7/step_0") == [
        (13 * GB, 16 * GB)
    ]


def test_a_slurm_job_of_version_1_is_bounded_by_every_group_above_it(tmp_path: Path) -> None:
    memory = tmp_path / "fs/memory/slurm"
    group(memory, 64 * GB, 60 * GB, files=10 * GB, names=V1)
    group(memory / "job_7", 16 * GB, GB, names=V1)
    found = limits(
        tmp_path, "5:cpu,cpuacct:/slurm/job_7", "4:memory:/slurm/job_7", "0::/slurm/job_7"
    )
    assert found == [(15 * GB, 16 * GB), (14 * GB, 64 * GB)]
    assert min(found) == (14 * GB, 64 * GB), "the tighter one is above the job"


def test_in_a_container_the_mount_is_the_group(tmp_path: Path) -> None:
    """The path is the host's, and is not below the container's mount."""
    group(tmp_path / "fs", 4 * GB, GB)
    assert limits(tmp_path, "0::/docker/0123") == [(3 * GB, 4 * GB)]
    group(tmp_path / "fs/memory", 3 * GB, GB, names=V1)
    assert limits(tmp_path, "4:memory:/docker/0123") == [(2 * GB, 3 * GB)]


def test_a_group_that_is_over_its_limit_has_nothing_free(tmp_path: Path) -> None:
    group(tmp_path / "fs", GB, 2 * GB)
    assert limits(tmp_path, "0::/") == [(0, GB)]


def test_a_sandbox_without_statistics_counts_all_that_is_in_use(tmp_path: Path) -> None:
    group(tmp_path / "fs", 4 * GB, 3 * GB, files=GB)
    assert limits(tmp_path, "0::/") == [(2 * GB, 4 * GB)]
    (tmp_path / "fs/memory.stat").unlink()
    assert limits(tmp_path, "0::/") == [(GB, 4 * GB)]


def test_no_group_no_limit(tmp_path: Path) -> None:
    (tmp_path / "fs").mkdir()
    assert limits(tmp_path, "0::/", "3:cpuset:/") == []
    assert list(cgroup_limits(tmp_path / "fs", tmp_path / "nowhere")) == [], "not Linux"


@pytest.mark.parametrize(
    ("available", "expected", "where"),
    [(8, 3, "cpu (a cgroup, as of a SLURM job, allows 4 GB)"), (2, 2, "cpu")],
    ids=["the group bounds", "the machine bounds"],
)
def test_what_is_free_is_the_tighter_of_machine_and_group(
    available: int, expected: int, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group(tmp_path / "fs", 4 * GB, GB)
    (tmp_path / "membership").write_text("0::/\n")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(memory, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available * GB))
    config = ModelConfig(name="tiny", repo_id="tiny")
    assert free_memory(config, "cpu") == (expected * GB, where)


def test_the_limit_is_not_that_of_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(tmp_path / "fs", 4 * GB, GB)
    (tmp_path / "membership").write_text("0::/\n")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(memory, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * GB, 80 * GB))
    assert free_memory(ModelConfig(name="tiny", repo_id="tiny"), "cuda:0") == (80 * GB, "cuda:0")


def test_this_machine_s_own_groups_can_be_read() -> None:
    assert all(0 <= free <= limit for free, limit in cgroup_limits())
