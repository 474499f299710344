"""Memory that is short, GPUs that torch does not find or that are full, a torch that does not import."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import psutil
import pytest
import torch

from bench.doctor import devices
from tests.doctor.subjects import problems, subject


def no_gpu(monkeypatch: pytest.MonkeyPatch, driver: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "driver", lambda: driver)


@pytest.mark.parametrize(("free", "wrong"), [(10**8, 1), (10**10, 0)])
def test_memory_is_held_against_a_worker(free: int, wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free, total=10**11))
    assert len(problems(devices.memory())) == wrong


def test_without_a_gpu_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    no_gpu(monkeypatch, driver=False)
    assert not problems(devices.torch_devices(subject()))


def test_a_driver_without_a_torch_that_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    no_gpu(monkeypatch, driver=True)
    (wrong,) = problems(devices.torch_devices(subject()))
    assert "--torch-backend" in wrong.mend


def test_settings_that_ask_for_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    no_gpu(monkeypatch, driver=False)
    wrong = problems(devices.torch_devices(subject("results", "device=cuda", "precision=tf32")))
    assert [one.check for one in wrong] == ["GPU", "precision"]
    assert [one.mend for one in wrong] == ["bench run --set device=cpu", "bench run --set precision=float32"]


def test_each_gpu_has_a_line_and_a_full_one_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"card {index}")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (2**33 if index else 2**20, 2**34))
    found = list(devices.torch_devices(subject()))
    assert [(one.check, one.state, one.mend) for one in found] == [
        ("GPU 0", "problem", "nvidia-smi"),
        ("GPU 1", "ok", ""),
    ]


def test_a_torch_that_does_not_import_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (wrong,) = problems(devices.torch_devices(subject()))
    assert wrong.check == "torch"
