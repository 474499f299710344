"""The methods under comparison, one file each; `bench.contracts.method` is the contract."""

from __future__ import annotations

from bench.registry import Row

ROWS = (
    Row("zero-shot", "bench.methods.zero_shot:ZeroShot", "hand-written templates, no training", aliases=("zeroshot",)),
    Row("coop", "bench.methods.coop:CoOp", "learned context vectors with cross-entropy"),
    # Another loss.
    Row("gce-coop", "bench.methods.gce_coop:GCECoOp", "CoOp with generalised cross-entropy", aliases=("gce",)),
    Row("promptmae", "bench.methods.promptmae:PromptMAE", "CoOp with mean absolute error"),
    Row("sce", "bench.methods.sce:SCE", "CoOp with symmetric cross-entropy"),
    Row(
        "double-softmax", "bench.methods.double_softmax:DoubleSoftmax", "CoOp, cross-entropy of probabilities as logits"
    ),
    Row("elr", "bench.methods.elr:ELR", "CoOp pulled towards its own early predictions"),
    # A split of the training set.
    Row("nlprompt", "bench.methods.nlprompt:NLPrompt", "OT split, cross-entropy on the clean, MAE on the rest"),
    Row("tecoprompt", "bench.methods.tecoprompt:TecoPrompt", "NLPrompt with a memory that rewrites labels"),
    Row("ot-clean", "bench.methods.ot_clean:OTClean", "cross-entropy on NLPrompt's clean part alone"),
    Row("zero-shot-filter", "bench.methods.zero_shot_filter:ZeroShotFilter", "CoOp on what zero-shot CLIP confirms"),
    Row(
        "visprompt",
        "bench.methods.visprompt:VisPrompt",
        "image evidence injected into the prompt, OT split, CE and GCE",
        2,
    ),
    Row(
        "coop-split", "bench.methods.coop_split:CoOpSplit", "control: CoOp with VisPrompt's split and loss, no image", 2
    ),
    # New labels, or other networks' word on them.
    Row("joapr", "bench.methods.joapr:JoAPR", "Gaussian-mixture split, refurbished soft labels and mix-up"),
    Row("dividemix", "bench.methods.dividemix:DivideMix", "two networks split for each other, guess labels and mix"),
    Row("co-teaching", "bench.methods.co_teaching:CoTeaching", "two networks pass on samples of small loss (oracle)"),
    Row("deft", "bench.methods.deft:DeFT", "positive and negative prompts select, visual prompts adapt"),
    Row("upl", "bench.methods.upl:UPL", "no label: CoOp on zero-shot pseudo-labels of the whole training split"),
    # Other prompts.
    Row("cocoop", "bench.methods.cocoop:CoCoOp", "context shifted by a small network of the image"),
    Row("kgcoop", "bench.methods.kgcoop:KgCoOp", "CoOp kept near the hand-written class texts"),
    Row("prograd", "bench.methods.prograd:ProGrad", "CoOp without the gradient that contradicts zero-shot CLIP"),
    Row("plot", "bench.methods.plot:PLOT", "several prompts per class transported to patch tokens"),
    Row("maple", "bench.methods.maple:MaPLe", "coupled deep prompts in both towers"),
    Row("promptsrc", "bench.methods.promptsrc:PromptSRC", "deep prompts in both towers, kept near frozen CLIP"),
    # No prompt: features alone.
    Row("linear-probe", "bench.methods.linear_probe:LinearProbe", "logistic regression on image features"),
    Row("clip-adapter", "bench.methods.clip_adapter:CLIPAdapter", "residual bottleneck on image features"),
    Row("tip-adapter", "bench.methods.tip_adapter:TipAdapter", "cache of training features, no training"),
    Row("tip-adapter-f", "bench.methods.tip_adapter_f:TipAdapterF", "Tip-Adapter with trained keys"),
)
