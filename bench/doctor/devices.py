"""Examine processors, memory, torch and GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.console import size
from bench.doctor.diagnosis import Diagnosis, Subject, judged
from bench.machine import GPU_TRIAL_BYTES, WORKER_BYTES, cpus, precision_problem

ON_CPU = "bench run --set device=cpu"


def processors() -> Iterator[Diagnosis]:
    """Report how many processors this process may use."""
    yield Diagnosis("processors", "ok", f"{cpus()} may be used")


def memory() -> Iterator[Diagnosis]:
    """Compare free memory with what a worker takes."""
    import psutil

    machine = psutil.virtual_memory()
    told = f"{size(machine.available)} free of {size(machine.total)}, a worker takes about {size(WORKER_BYTES)}"
    yield judged("memory", told, machine.available < WORKER_BYTES, "ps -eo pid,rss,args --sort=-rss | head")


def torch_devices(subject: Subject) -> Iterator[Diagnosis]:
    """Import torch, and look for the device and the precision that the grid asks for."""
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken library raises whatever its loader does
        told = " ".join(str(error).split())
        yield Diagnosis("torch", "problem", f"does not import: {told}", "uv pip install --reinstall torch torchvision")
        return
    asked, there = subject.table.device, torch.cuda.is_available()
    if there:
        yield from gpus()
    elif driver():
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built without CUDA"
        yield Diagnosis("GPU", "problem", f"an NVIDIA driver is here, and torch finds no GPU ({built})",
                      "uv pip install --reinstall --torch-backend auto torch torchvision")  # fmt: skip
    elif asked == "cuda":
        yield Diagnosis("GPU", "problem", 'device = "cuda" in the settings, and there is none here', ON_CPU)
    else:
        yield Diagnosis("GPU", "ok", "none; cells run on processors")
    device = "cuda" if there and asked != "cpu" else "cpu"
    if problem := precision_problem(subject.table.precision, device):
        yield Diagnosis("precision", "problem", problem.rstrip("."), "bench run --set precision=float32")


def gpus() -> Iterator[Diagnosis]:
    """Report each GPU, and where less memory is free than a trial is expected to take."""
    import torch

    for index in range(torch.cuda.device_count()):
        free, whole = torch.cuda.mem_get_info(index)
        told = f"{torch.cuda.get_device_name(index)}, {size(free)} free of {size(whole)}"
        yield judged(f"GPU {index}", told, free < min(GPU_TRIAL_BYTES, whole // 2), "nvidia-smi")


def driver() -> bool:
    """Return whether an NVIDIA driver has left a trace."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/proc/driver/nvidia").exists()
