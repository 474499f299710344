"""The methods under comparison, one file each; `methods.base` is the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.registry import Registry, Row

if TYPE_CHECKING:
    from methods.base import Method

METHODS: Registry[type[Method]] = Registry(
    "method",
    "noisy_prompt_bench.methods",
    "methods.base:Method",
    (
        Row("zero-shot", "methods.zero_shot:ZeroShot", "hand-written templates, no training", aliases=("zeroshot",)),
        Row("coop", "methods.coop:CoOp", "learned context vectors with cross-entropy"),
        Row("gce-coop", "methods.gce_coop:GCECoOp", "CoOp with generalised cross-entropy", aliases=("gce",)),
        Row("coop-split", "methods.coop_split:CoOpSplit", "control: CoOp with VisPrompt's split and loss, no image"),
        Row("promptmae", "methods.promptmae:PromptMAE", "CoOp with mean absolute error"),
        Row("joapr", "methods.joapr:JoAPR", "Gaussian-mixture split, refurbished soft labels and mix-up"),
        Row(
            "visprompt", "methods.visprompt:VisPrompt", "image evidence injected into the prompt, OT split, CE and GCE"
        ),
    ),
)
