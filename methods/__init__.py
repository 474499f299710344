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
        # Another loss.
        Row("gce-coop", "methods.gce_coop:GCECoOp", "CoOp with generalised cross-entropy", aliases=("gce",)),
        Row("promptmae", "methods.promptmae:PromptMAE", "CoOp with mean absolute error"),
        Row("sce", "methods.sce:SCE", "CoOp with symmetric cross-entropy"),
        Row("double-softmax", "methods.double_softmax:DoubleSoftmax", "CoOp, cross-entropy of probabilities as logits"),
        Row("elr", "methods.elr:ELR", "CoOp pulled towards its own early predictions"),
        # A split of the training set.
        Row("nlprompt", "methods.nlprompt:NLPrompt", "OT split, cross-entropy on the clean, MAE on the rest"),
        Row("tecoprompt", "methods.tecoprompt:TecoPrompt", "NLPrompt with a memory that rewrites labels"),
        Row("ot-clean", "methods.ot_clean:OTClean", "cross-entropy on NLPrompt's clean part alone"),
        Row("zero-shot-filter", "methods.zero_shot_filter:ZeroShotFilter", "CoOp on what zero-shot CLIP confirms"),
        Row(
            "visprompt",
            "methods.visprompt:VisPrompt",
            "image evidence injected into the prompt, OT split, CE and GCE",
            2,
        ),
        Row("coop-split", "methods.coop_split:CoOpSplit", "control: CoOp with VisPrompt's split and loss, no image", 2),
        # New labels, or other networks' word on them.
        Row("joapr", "methods.joapr:JoAPR", "Gaussian-mixture split, refurbished soft labels and mix-up"),
        Row("dividemix", "methods.dividemix:DivideMix", "two networks split for each other, guess labels and mix"),
        Row("co-teaching", "methods.co_teaching:CoTeaching", "two networks pass on samples of small loss (oracle)"),
        Row("deft", "methods.deft:DeFT", "positive and negative prompts select, visual prompts adapt"),
        Row("upl", "methods.upl:UPL", "no label: CoOp on zero-shot pseudo-labels of the whole training split"),
        # Other prompts.
        Row("cocoop", "methods.cocoop:CoCoOp", "context shifted by a small network of the image"),
        Row("kgcoop", "methods.kgcoop:KgCoOp", "CoOp kept near the hand-written class texts"),
        Row("prograd", "methods.prograd:ProGrad", "CoOp without the gradient that contradicts zero-shot CLIP"),
        Row("plot", "methods.plot:PLOT", "several prompts per class transported to patch tokens"),
        Row("maple", "methods.maple:MaPLe", "coupled deep prompts in both towers"),
        Row("promptsrc", "methods.promptsrc:PromptSRC", "deep prompts in both towers, kept near frozen CLIP"),
        # No prompt: features alone.
        Row("linear-probe", "methods.linear_probe:LinearProbe", "logistic regression on image features"),
        Row("clip-adapter", "methods.clip_adapter:CLIPAdapter", "residual bottleneck on image features"),
        Row("tip-adapter", "methods.tip_adapter:TipAdapter", "cache of training features, no training"),
        Row("tip-adapter-f", "methods.tip_adapter_f:TipAdapterF", "Tip-Adapter with trained keys"),
    ),
)
