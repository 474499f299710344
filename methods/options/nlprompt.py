"""Options of NLPrompt."""

from __future__ import annotations

from typing import Literal

from bench.contracts.options import EPOCHS, structural
from bench.methods.options.coop import CoOpOptions
from bench.methods.options.objective import Rest


class NLPromptOptions(CoOpOptions):
    """CoOp's options; split and rest have NLPrompt's defaults."""

    split: Literal["ot", "argmax"] = structural("ot", "transport, or the arg-max of the prediction (N9)")
    rest: Rest = structural("mae", "loss of what the split rejects; drop: left out")
    curriculum: int = structural(0, "epochs T of the curriculum; the authors' 0 for none", "split=ot", ge=0, **EPOCHS)
    begin: float = structural(0.3, "confident share at its start; the authors' .3", "curriculum>0", gt=0, le=1)
    growth: Literal["linear", "exp"] = structural("linear", "shape of the curriculum", "curriculum>0 and begin!=1")
    faithful: bool = structural(
        False, "as the reference runs: all its defects together, but for half precision", "split=ot"
    )

    @property
    def as_run(self) -> bool:
        """Whether the reference's defects are in: they are those of a transport."""
        return self.faithful and self.split == "ot"
