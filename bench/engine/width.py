"""Memory that one training step of a member takes, and how many members fit at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bench.contracts.method import Method
from bench.engine.member import Member

SHARE = 0.5  # of a GPU's free memory that one worker's pack may take for what it keeps for the backward pass
# What that may be on a processor: what leaves its cache is slower than the cells one after another. A pack of three of
# VisPrompt's, 12 MB each, took 1.4 times as long as these.
CACHE_BYTES = 8 * 2**20


@contextmanager
def _untouched(method: Method) -> Iterator[None]:
    """Put back buffers that a `forward` writes to or sets, which it should not."""
    owners = [
        (module, name, value) for module in method.modules() for name, value in module.named_buffers(recurse=False)
    ]
    before = [value.clone() for _, _, value in owners]
    yield
    for (module, name, value), kept in zip(owners, before, strict=True):
        setattr(module, name, value.copy_(kept))


def step_bytes(member: Member) -> int:
    """Measure what a step of the member's batch keeps for its backward pass, in bytes; the peak on a GPU."""
    with _untouched(member.method):
        return _measured(member)


def _measured(member: Member) -> int:
    device = member.data.observed.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        member.train_alone()
        return torch.cuda.max_memory_allocated(device) - before
    return kept_bytes(member.train_alone)


def kept_bytes(step: Callable[[], object]) -> int:
    """Count the bytes that a step keeps for its backward pass, but for frozen weights, which all members share."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        whole = tensor._base if tensor._is_view() else tensor  # noqa: SLF001 - torch has no other name for it
        if not isinstance(whole, nn.Parameter) or whole.requires_grad:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step()
    return sum(kept.values())


def fitting(member: Member, most: int) -> int:
    """Return how many members like this one fit into a GPU's free memory, or a processor's cache, 1 … `most`."""
    device = member.data.observed.device
    room = SHARE * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else CACHE_BYTES
    return max(1, min(most, int(room / max(step_bytes(member), 1))))
