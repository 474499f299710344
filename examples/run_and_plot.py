"""Run a small grid on the embedded digits and plot accuracy against noise rate, and memorized labels over epochs.

    python examples/run_and_plot.py

Writes records to `results/` and the figure to `noise.png`, in a minute. A script needs no `if __name__ == "__main__":`
for its worker processes, and the same lines work in a notebook.
"""

import matplotlib.pyplot as plt

import bench

results = bench.run(
    method=["zero-shot", "coop", "gce-coop[q=0.5]"],
    noise="symmetric",
    rate=[0.0, 0.25, 0.5],
    seed=[1, 2],
    shots=4,
    epochs=5,
    workers=1,  # for so few cells, starting Ray would take longer than it saves
)

cells = results.frame()
unfinished = cells[cells["status"] != "done"]
if len(unfinished):
    print(unfinished[["label", "noise", "rate", "seed", "status", "reason"]].to_string(index=False))
accuracy = cells.groupby(["rate", "label"])["last"].mean().unstack("label")
print(accuracy.round(1))

curves = results.curves()
memorized = curves[curves["rate"] == 0.5].groupby(["epoch", "label"])["memorized"].mean().unstack("label")
memorized = memorized.ffill()  # what is not trained has one epoch, and stays as it is

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
accuracy.plot(ax=left, marker="o", legend=False, xlabel="noise rate", ylabel="test accuracy (%)")
memorized.plot(ax=right, legend=False, xlabel="epoch", ylabel="wrong labels memorized (%), rate 0.5")
figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
figure.savefig("noise.png", dpi=150)
