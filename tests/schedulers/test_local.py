"""Workers of this machine and its GPUs; what every scheduler must do is in `test_contract`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.records.store import Store
from bench.schedulers.contract import CellOutcome
from bench.schedulers.local import Local
from bench.schedulers.work import Work
from tests.schedulers.fakes import packs


@pytest.mark.parametrize(("visible", "gpus"), [(None, ("0", "1")), ("5, GPU-7a", ("5", "GPU-7a"))])
def test_each_worker_sees_one_gpu_and_all_have_equally_many(
    visible: str | None, gpus: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    settings = {"device": "cuda", "mishaps": {"1": "leave the folder"}}  # its worker is replaced by another
    work, told = Work(str(tmp_path), settings, "tests.schedulers.fakes:run_pack", "builtins:dict"), list[CellOutcome]()
    Local(2).run(packs(4), work, 4, told.append, lambda: False)
    assert {outcome.status for outcome in told} == {"done"}
    assert Counter(record.noise.cuda for record in Store(tmp_path).records()) == dict.fromkeys(gpus, 2)
