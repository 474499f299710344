"""How methods, noise kinds and statuses are named and ordered in everything a reader sees."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

# Families in the order of the tables; where there are many rows, each has a figure of its own.
FAMILIES: dict[str, dict[str, str]] = {
    "references": {"zero-shot": "Zero-shot", "coop": "CoOp"},
    "losses": {
        "gce-coop": "GCE-CoOp",
        "promptmae": "PromptMAE",
        "sce": "SCE",
        "double-softmax": "Double softmax",
        "elr": "ELR",
    },
    "relabelling": {
        "joapr": "JoAPR",
        "dividemix": "DivideMix",
        "co-teaching": "Co-teaching",
        "deft": "DeFT",
        "upl": "UPL",
    },
    "splits": {
        "nlprompt": "NLPrompt",
        "tecoprompt": "TecoPrompt",
        "ot-clean": "CE on OT-clean",
        "zero-shot-filter": "Zero-shot filter",
        "visprompt": "VisPrompt",
        "coop-split": "CoOp with VisPrompt's split",
    },
    "prompts": {
        "cocoop": "CoCoOp",
        "kgcoop": "KgCoOp",
        "prograd": "ProGrad",
        "plot": "PLOT",
        "maple": "MaPLe",
        "promptsrc": "PromptSRC",
    },
    "features": {
        "linear-probe": "Linear probe",
        "clip-adapter": "CLIP-Adapter",
        "tip-adapter": "Tip-Adapter",
        "tip-adapter-f": "Tip-Adapter-F",
    },
}
FAMILY_WORDS = {
    "references": "variants of CoOp",
    "losses": "methods with another loss",
    "relabelling": "methods with new labels or other networks",
    "splits": "methods that split the set",
    "prompts": "methods with other prompts",
    "features": "methods on features alone",
    "others": "other methods",
}
DISPLAY = {name: shown for family in FAMILIES.values() for name, shown in family.items()}
AS_IS = "as-is"  # in tables, noise `none` on labels of which nobody knows whether they are right
UNCHANGED = ("none", AS_IS)
NOISE = {
    "none": "Clean",
    AS_IS: "Labels as they are",
    "symmetric": "Symmetric",
    "symmetric-inclusive": "Symmetric incl. true class",
    "asymmetric": "Asymmetric",
    "class-map": "Class map",
    "cifar10-map": "CIFAR-10 map",
    "superclass": "Superclass",
    "replacement": "Replacement",
    "matrix": "Transition matrix",
    "instance": "Instance-dependent",
    "confusion": "Confusion",
    "open-set": "Open-set",
    "imbalanced": "Class-imbalanced",
    "human": "Human",
    "given": "Given",
    "mask": "Mask",
}
PAIRS = ("asymmetric", "class-map", "cifar10-map", "superclass", "replacement[pattern=pair]")
TIE = "="
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
    """The name in tables and figures; an unknown method keeps its registry name, told from the names of known ones.

    >>> method_name("coop"), method_name("mine"), method_name("CoOp")
    ('CoOp', 'mine', 'CoOp (plugin)')
    """
    return DISPLAY.get(method, _apart(method, DISPLAY))


def family(method: str) -> str:
    """The family of a method; of an unknown one "others"."""
    return next((name for name, members in FAMILIES.items() if method in members), "others")


TOLD = {"human": "human[labels=worst]", "replacement": "replacement[pattern=symmetric]"}  # defaults worth a word


def noise_name(kind: str) -> str:
    """The name of a noise kind, its options in brackets behind it; an unknown kind is its registry name with a capital.

    >>> noise_name("human[labels=worst]")
    'Human (labels worst)'
    >>> noise_name("symmetric[per_class=true]")
    'Symmetric (per class)'
    """
    name, options = noise_parts(kind)
    return f"{name} ({options})" if options else name


def noise_parts(kind: str) -> tuple[str, str]:
    """The name of a noise kind without its options, and these in words; of a file the last part of its path."""
    name, _, options = TOLD.get(kind, kind).removesuffix("]").partition("[")
    pairs = [option.partition("=") for option in options.split(",")] if options else []
    told = [
        (option.replace("_", " "), "" if value == "true" else value.rpartition("/")[2]) for option, _, value in pairs
    ]
    words = ", ".join(" ".join(pair).strip() for pair in told)
    return NOISE.get(name, _apart(name[:1].upper() + name[1:], NOISE)), words


def _apart(name: str, known: Mapping[str, str]) -> str:
    """The name of a plugin, which must not stand for one of ours in a table."""
    return f"{name} (plugin)" if name in known.values() else name


def identifiable(kind: str, rate: float) -> bool:
    """Whether labels alone can tell the truth: not above one half where wrong labels of a class are of one other class.

    Of a class map of your own it is taken that each class has one target.
    """
    return rate <= 0.5 or not kind.startswith(PAIRS)


def column_name(kind: str, rate: float) -> str:
    """A noise column in words; `rate` is a fraction in [0, 1).

    >>> column_name("symmetric", 0.125)
    'Symmetric 12.5 %'
    """
    return f"{noise_name(kind)} {percent(rate)}" if rate else noise_name(kind)


def percent(rate: float) -> str:
    """A fraction as a percentage without trailing zeros, with as many digits as it has."""
    short = f"{rate * 100:.4g}"
    return f"{short if math.isclose(float(short), rate * 100, rel_tol=1e-12) else f'{rate * 100:.14g}'} %"


def file_part(text: str) -> str:
    """A text as part of a file's name.

    >>> file_part("human[labels=worst]")
    'human_labels_worst'
    """
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")


def order(names: list[str], known: dict[str, str]) -> list[str]:
    """`names` without repeats, those in `known` first and in its order, the others by alphabet."""
    rank = {name: index for index, name in enumerate(known)}
    return sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name))
