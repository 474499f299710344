"""VisPrompt: image evidence injected into the prompt, with a split by optimal transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import method
from bench.errors import BenchError
from bench.methods.coop_split import CoOpSplit
from bench.methods.options.visprompt import VisPromptOptions
from bench.methods.parts.visprompt_head import HeadShape, VisualPromptHead
from bench.seeds import Stream

# C^ = C whatever the gate where FiLM leaves C alone, which the identity form does without an image or without FiLM
GATE_BIAS = {"literal": 0.0, "identity": -2.0}
Predict: TypeAlias = Callable[[method.Inputs, Mapping[str, Tensor]], Tensor]
LOOKED_AT = 8  # images whose class texts are compared for the record


class VisPrompt(CoOpSplit):
    """Context vectors shifted by cross attention to the image and a gated FiLM; OT split with CE and GCE.

    VisPrompt (arXiv 2604.09532). The authors withhold the prompt learner and the trainer: this is our reading
    of a figure and of the released remainder, in two named forms, neither of which is "the paper's".

    Equations: N_C = LN(C); K, V = LN(visual); Q = Linear(N_C); H = MHA(Q, K, V); g = sigmoid(Linear H);
    gamma, beta = Linear H; C~ = (1 + gamma) * N_C + beta; Z = C + g * (C~ - C); C^ = Z + FFN(LN Z); t_bk =
    text(C^_b, name_k); logits = s f_b·t_bk; L = alpha CE(certain) + (1 - alpha) GCE(uncertain).

    Line by line:

    - authors' code: frozen encoders; one text feature per image and class; logits = s f_b·t_bk.
    - authors' code: M = 16, shared context, class at the end; 8 heads, hidden width 512.
    - authors' code: GCE with q = .7 and 1e-6; threshold .5.
    - authors' code: transport over -log p of the image-conditioned logits, uniform marginals (reg .01, one per batch).
    - authors' code: the pooled feature is the learner's only input (evidence=pooled).
    - authors' configuration, place withheld: prompt dropout .1. Off here; asked for, it acts on the elements of C^.
    - authors' configuration, code withheld, not used: pool size 16, multi-scale, visual weight .9, regulariser .01.
    - figure: patch tokens as keys and values (evidence=tokens).
    - figure: where the layer norms, the gate, the FiLM and the residual FFN stand (form=literal).
    - figure: CE on certain and GCE on uncertain samples, weights alpha and 1 - alpha.
    - our reading: tokens are those of the last layer through ln_post and projection.
    - our reading: another visual than text width is mapped by the key and value projections.
    - our reading: FFN = Linear, GELU, Linear of the text tower's width (512 on ViT-B/16: 2.64 M parameters in all).
    - our reading: torch's default initialisations; gate bias 0.
    - our reading: alpha is the certain fraction; delta .5 together with ot_reg .1; whole set, log domain.
    - our variant form=identity: FiLM on C, gamma and beta 0 and gate bias -2 at the start, so C^ = C then; no FFN:
      with one it did not train on a prototype.

    The figure contradicts the released code in two places, and ours follows the code: the figure draws the context
    behind the frozen text encoder and feeds the transport from the image; the code hands contexts to the text encoder
    as input vectors, and its transport takes the logits of image and text.

    Controls: image-free (gate its constant, gamma = beta = 0), shuffled (every image gets another training
    image's evidence, for good; the i-th held-out one that of training image i modulo N), constant-gate, no-film
    (gamma = beta = 0), coop (no head at all: `coop-split`), loss=ce, loss=gce, split=argmax, split=none;
    `predict_foreign` asks a trained model with another image's evidence.

    Defects of the reference decided on: V1, V2 it does not run (written anew); V3 per-batch transport
    (ot_scope=batch on request); V4 pooled or patch tokens (both; with one key the attention weights are 1 and Q
    has no effect); V5 SCE in half precision (not offered); V6, V7, V8 seeds, class order and data handling
    are the engine's.
    """

    Options: TypeAlias = VisPromptOptions

    options: VisPromptOptions
    head: VisualPromptHead | None

    @classmethod
    def needs(cls, options: VisPromptOptions) -> method.Needs:
        """Require tokens and per-image text where a control leaves the image, and what the split needs."""
        image = options.per_image == "texts"
        tokens = image and options.evidence == "tokens"
        return method.Needs(tokens=tokens, full_pass=cls.splits_set(options), per_image_text=image)

    def build(self, context: method.Context, generator: torch.Generator) -> None:
        """Draw the head after the context, and the donors of control=shuffled from the stream `method`.

        Raises:
            BenchError: `heads` does not divide the text width.
        """
        options, width = self.options, context.backbone.width
        if width % options.heads:
            raise BenchError(
                f"visprompt[heads={options.heads}] does not divide the text width {width}; choose a divisor of it."
            )
        self.image = options.per_image == "texts"
        self.sample = context.train.take(slice(0, LOOKED_AT))
        self.head = None
        if options.control != "coop":
            self.head = VisualPromptHead(self._shape(context), generator).to(self.observed.device)
        if options.control == "shuffled":
            self.train_inputs = context.train
            self.register_buffer("donor", single_cycle(context.method, len(context.train)).to(self.observed.device))

    def _shape(self, context: method.Context) -> HeadShape:
        options, width = self.options, context.backbone.width
        bias = GATE_BIAS[options.form] if options.gate_bias == "form" else float(options.gate_bias)
        tokens = context.train.tokens if options.evidence == "tokens" else None
        return HeadShape(
            width=width,
            visual=context.train.pooled.shape[-1] if tokens is None else tokens.shape[-1],
            heads=options.heads,
            ffn=options.ffn or width,
            form=options.form,
            gate_bias=bias,
            gate=options.control != "constant-gate",
            film=options.control != "no-film",
            image=self.image,
        )

    def _visual(self, inputs: method.Inputs) -> Tensor | None:
        """Return keys and values [B, T, D]: the patch tokens, or the normalised pooled feature as the only one."""
        if not self.image:
            return None
        if self.options.evidence == "pooled":
            return F.normalize(inputs.pooled, dim=-1).unsqueeze(1)
        if inputs.tokens is None:
            raise TypeError("visprompt[evidence=tokens] was handed features without patch tokens")
        return inputs.tokens

    def _evidence(self, inputs: method.Inputs) -> method.Inputs:
        """Return the inputs whose images enter the prompt: these, or with control=shuffled those of their donors.

        The donor of held-out sample N + i is that of training sample i modulo N. It is drawn, so that it follows no
        order by class.
        """
        if self.options.control != "shuffled":
            return inputs
        if inputs.index is None:
            raise TypeError("visprompt[control=shuffled] was handed features without the numbers of their samples")
        donor = self.get_buffer("donor")
        return self.train_inputs.take(donor[inputs.index % len(donor)])

    def conditioned(self, visual: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute C^ and the gate, [B, M, W], or C^ [M, W] and a 0-dimensional gate without an image."""
        if self.head is None:
            return self.context, torch.zeros((), device=self.context.device)
        result: tuple[Tensor, Tensor] = self.head(self.context, visual)
        return result

    def draw(self, epoch: int, step: int, size: int, stream: Stream) -> dict[str, Tensor]:
        """Draw `keep` [B, M, W], or [M, W] without an image: the inverted dropout mask, where there is dropout."""
        rate = self.options.prompt_dropout
        if not rate:
            return {}
        shape = (size, *self.context.shape) if self.image else tuple(self.context.shape)
        uniform = torch.from_numpy(stream.uniform(torch.Size(shape).numel())).view(shape)
        return {"keep": (uniform >= rate).float() / (1 - rate)}

    def batch_logits(self, batch: method.Batch) -> Tensor:
        """Compute training logits [B, C], every image with its own class features."""
        context, _ = self.conditioned(self._visual(self._evidence(batch.inputs)))
        if "keep" in batch.draws:
            context = context * batch.draws["keep"]
        return method.cosine_logits(self.backbone.scale, batch.inputs.pooled, self.encode(context))

    def prepare(self) -> dict[str, Tensor]:
        """Return the class features [C, D] as CoOp does without an image; otherwise nothing is shared."""
        return {} if self.image else {"text": F.normalize(self.encode(self.conditioned(None)[0]), dim=-1)}

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C]."""
        if not self.image:
            return super().predict(inputs, prepared)
        context, _ = self.conditioned(self._visual(self._evidence(inputs)))
        return method.cosine_logits(self.backbone.scale, inputs.pooled, self.encode(context))

    def predict_foreign(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        """Compute logits [B, C] where each image brings the evidence of another one.

        Of the one before it, the first that of the last. The pooled feature that is classified stays the image's own.
        """
        visual = self._visual(inputs)
        assert visual is not None  # noqa: S101 - narrows the type
        others, size = visual.roll(1, 0), method.images_at_a_time(len(self.classes))
        logits = []
        for start in range(0, len(others), size):
            self.check_time()
            chunk = slice(start, start + size)
            text = self.encode(self.conditioned(others[chunk])[0])
            logits.append(method.cosine_logits(self.backbone.scale, inputs.pooled[chunk], text))
        return torch.cat(logits)

    def probes(self) -> Mapping[str, Predict]:
        """Return `predict_foreign` as `foreign_image`, where the image has a part in the prompt."""
        return {"foreign_image": self.predict_foreign} if self.image else {}

    @torch.no_grad()
    def diagnostics(self) -> dict[str, float]:
        """Return the split's numbers, and how much of the first eight training images reaches the context.

        gate_mean, gate_sd_images, gate_sd_tokens; context_rms of C^; image_share = rms over images of C^
        minus its mean, over the rms of C^; shift_rms of the part of C^ - C common to all images and tokens;
        text_cosine, mean over pairs of classes.
        """
        context, gate = self.conditioned(self._visual(self._evidence(self.sample)))
        features = F.normalize(self.encode(context), dim=-1)
        classes = features.shape[-2]
        cosine = ((features @ features.mT).sum((-2, -1)).mean() - classes) / max(classes * (classes - 1), 1)
        rms = _rms(context)
        numbers = {
            "gate_mean": gate.mean(),
            "context_rms": rms,
            "shift_rms": _rms((context - self.context).flatten(0, -2).mean(0)),
            "text_cosine": cosine,
        }
        if self.image:
            numbers["image_share"] = _rms(context - context.mean(0)) / rms
        if gate.ndim:
            numbers["gate_sd_images"] = gate.std(0, correction=0).mean()
            numbers["gate_sd_tokens"] = gate.std(1, correction=0).mean()
        return {**super().diagnostics(), **{name: float(value) for name, value in numbers.items()}}

    def per_sample(self, inputs: method.Inputs) -> dict[str, Tensor]:
        """Compute gate and context_shift of each image whose evidence enters the prompt, [B]; nothing where none does.

        gate: mean over tokens and channels, absent where it is constant; context_shift: rms of C^ - C over the rms of
        C, which in the literal form counts what layer norm and FFN do without an image too. With control=shuffled the
        numbers of a sample are those of its donor's evidence, as in training.
        """
        if not self.image:
            return {}
        context, gate = self.conditioned(self._visual(self._evidence(inputs)))
        moved = (context - self.context).square().mean((1, 2)).sqrt()
        found = {"gate": gate.mean((1, 2))} if gate.ndim else {}
        return {**found, "context_shift": moved / _rms(self.context)}


def _rms(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()


def single_cycle(stream: Stream, size: int) -> Tensor:
    """Draw a permutation [size] that is one cycle: no image is its own donor where there are two or more."""
    order = torch.from_numpy(stream.permutation(size))
    donor = torch.empty_like(order)
    donor[order] = order.roll(1)
    return donor
