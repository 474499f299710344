"""A method in a file of its own: CoOp that is paid for being unsure.

    bench run --plugin examples/my_method.py --set method=coop,modest-coop --set noise=symmetric --set rate=0.5
    bench test examples/my_method.py        # holds it against the contract of methods
    python examples/my_method.py            # the same run from Python, with smaller numbers

Worker processes import this file too, so what runs something stands below `if __name__ == "__main__":`.
"""

from torch import Tensor

import bench


class ModestCoOp(bench.CoOp):
    """CoOp with a penalty on confident predictions.

    Pereyra et al., "Regularizing Neural Networks by Penalizing Confident Output Distributions" (arXiv 1701.06548).

    Equations: CoOp's loss - beta · mean over the batch of H(p), H the entropy of the prediction p. CoOp's options are
    there too: `modest-coop[loss=gce,beta=0.1]`.
    """

    class Options(bench.CoOp.Options):
        """CoOp's options, and the weight of the penalty."""

        beta: float = bench.scalar(0.3, "weight of the entropy", ge=0, le=10)

    beta: Tensor  # a scalar option is a buffer, so that cells with other values of it can be trained together

    def objective(self, logits: Tensor, batch: bench.Batch) -> dict[str, Tensor]:
        """CoOp's terms, and the penalty; logits [B, C]. A batch is padded, and only valid samples count."""
        logs, count = logits.log_softmax(1), batch.valid.sum().clamp(min=1)
        entropy = -((logs.exp() * logs).sum(1) * batch.valid).sum() / count
        return super().objective(logits, batch) | {"penalty": -self.beta * entropy}


bench.register("modest-coop", ModestCoOp, "CoOp with a penalty on confident predictions", aliases=["modest"])

if __name__ == "__main__":
    results = bench.run(
        method=["coop", "modest-coop", "modest-coop[beta=1]"],
        noise="symmetric",
        rate=0.5,
        seed=[1, 2],
        shots=4,
        epochs=5,
        workers=1,
        plugins=[__file__],
    )
    print(results.frame().groupby("label")[["last", "memorized"]].mean().round(1))
