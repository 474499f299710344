"""How methods, noise kinds and statuses are named and ordered in everything a reader sees."""

from __future__ import annotations

DISPLAY = {
    "zero-shot": "Zero-shot",
    "coop": "CoOp",
    "gce-coop": "GCE-CoOp",
    "promptmae": "PromptMAE",
    "joapr": "JoAPR",
    "visprompt": "VisPrompt",
}
NOISE = {"none": "Clean", "symmetric": "Symmetric", "asymmetric": "Asymmetric"}
SIGNS = {
    "failed": ("F", "failed"),
    "diverged": ("D", "diverged"),
    "timeout": ("T", "out of time"),
    "out_of_memory": ("M", "out of memory"),
    "skipped": ("S", "skipped"),
    "no_number": ("N", "finished without a finite accuracy"),
}
SECTIONS = ("reference", "method", "oracle")
REFERENCE = "zero-shot"
DAGGER = "†"


def method_name(method: str) -> str:
    """The name in tables and figures; an unknown method keeps its registry name."""
    return DISPLAY.get(method, method)


def noise_name(kind: str) -> str:
    """The name of a noise kind; an unknown kind is its registry name with a capital."""
    return NOISE.get(kind, kind[:1].upper() + kind[1:])


def column_name(kind: str, rate: float) -> str:
    """A noise column in words; `rate` is a fraction in [0, 1).

    >>> column_name("symmetric", 0.125)
    'Symmetric 12.5 %'
    """
    return noise_name(kind) if kind == "none" else f"{noise_name(kind)} {percent(rate)}"


def percent(rate: float) -> str:
    """A fraction as a percentage without trailing zeros."""
    return f"{rate * 100:.4g} %"


def order(names: list[str], known: dict[str, str]) -> list[str]:
    """`names` without repeats, those in `known` first and in its order, the others by alphabet."""
    rank = {name: index for index, name in enumerate(known)}
    return sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name))
