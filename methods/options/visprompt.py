"""Options of VisPrompt."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bench.contracts.options import PerImage, structural
from bench.methods.options.coop_split import CoOpSplitOptions

WITHOUT_IMAGE = ("image-free", "coop")
SEEN = " or ".join(
    f"control!=coop and control!=image-free and {further}" for further in ("form=literal", "control!=no-film")
)
GATED = "control!=coop and form=literal or control!=coop and control!=image-free and control!=no-film"


class VisPromptOptions(CoOpSplitOptions):
    """The split's options and the visual path's."""

    class_specific: Literal[False] = structural(False, "always shared, as in the released configuration")
    form: Literal["literal", "identity"] = structural(
        "literal", "FiLM on LN(C), or on C starting as identity", "control!=coop"
    )
    evidence: Literal["tokens", "pooled"] = structural("tokens", "patch tokens, or the one pooled feature", SEEN)
    control: Literal["none", "image-free", "shuffled", "constant-gate", "no-film", "coop"] = structural(
        "none", "which part is taken away"
    )
    heads: int = structural(8, "attention heads; must divide the text width", "evidence=tokens", ge=1, le=1024)
    ffn: int = structural(0, "width of the FFN; 0 is the text tower's width", "form=literal", ge=0, le=65_536)
    gate_bias: Literal["form"] | Annotated[float, Field(ge=-100, le=100)] = structural(
        "form", "start of the gate before the sigmoid; form: 0 (literal), -2 (identity)", GATED
    )
    prompt_dropout: float = structural(0.0, "dropout on C^; the authors' config names .1", ge=0, lt=1)

    @property
    def per_image(self) -> PerImage:
        """Texts, where the image has a part in them."""
        return "" if self.control in WITHOUT_IMAGE else "texts"
