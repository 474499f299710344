"""The files in examples/cluster, as far as one machine can try them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.records.store import Store
from tests import ROOT

FOLDER = ROOT / "examples" / "cluster"
STUBS = {
    "srun": 'while [ "${1#-}" != "$1" ]; do shift; done\nexec "$@"\n',
    "scontrol": '[ "$*" = "show hostnames n[1-2]" ] && printf "n1\\nn2\\n"\n',
    "hostname": "echo 127.0.0.1 ::1\n",
}


def read(name: str) -> Any:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def test_the_file_of_ray_up_keeps_to_rays_schema() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = read("ray-up.yaml")
    validate_config(prepare_config(config))
    assert config["max_workers"] >= config["available_node_types"]["worker"]["max_workers"]
    started = [line for part in ("head", "worker") for line in config[f"{part}_start_ray_commands"] if "start" in line]
    assert all("RAY_AUTH_MODE=token" in line for line in started)


def test_the_ray_job_has_what_kuberay_requires() -> None:
    job = read("rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert all("rayStartParams" in group for group in groups)
    containers = [group["template"]["spec"]["containers"][0] for group in groups]
    assert len({one["image"] for one in containers}) == 1
    assert all(one["resources"]["requests"].keys() <= one["resources"]["limits"].keys() for one in containers)
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    assert job["spec"]["entrypoint"].startswith("bench run --address auto ")


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The environment of a SLURM job on two nodes that are both this machine."""
    (tmp_path / "bin").mkdir()
    for name, text in STUBS.items():
        file = tmp_path / "bin" / name
        file.write_text(f"#!/bin/bash\n{text}")
        file.chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "BENCH_VENV": sys.prefix, "USER": "nobody",
        "PYTHONPATH": str(ROOT), "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_CPUS_PER_TASK": "1", "NOISY_PROMPT_BENCH_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip


def test_the_script_of_slurm_is_whole() -> None:
    subprocess.run(["bash", "-n", str(FOLDER / "slurm.sh")], check=True)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not Path(sys.prefix, "bin", "ray").exists(), reason="needs a virtual environment with ray")
def test_the_script_of_slurm_runs_a_grid_on_two_nodes_and_leaves_none(job: dict[str, str], tmp_path: Path) -> None:
    store = tmp_path / "store"
    sets = ["--set", "method=zero-shot", "--set", "noise=symmetric", "--set", "rate=0.5", "--set", "seed=1,2"]
    script = ["bash", str(FOLDER / "slurm.sh"), "--store", str(store), "--verbose", "--pack", "1", *sets]
    process = subprocess.Popen(script, cwd=ROOT, env=job, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               start_new_session=True)  # fmt: skip
    try:
        said, _ = process.communicate(timeout=280)
    finally:
        for one in psutil.process_iter():
            if one.pid == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    assert sum(line.startswith("node ") for line in said.splitlines()) == 2, said
    assert sum(line.startswith("done: ") and " on " in line for line in said.splitlines()) == 2
    assert set(Store(store).statuses().values()) == {"done"}
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
