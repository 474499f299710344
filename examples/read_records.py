"""Read the records of a store into pandas.

    python examples/read_records.py [STORE]

Prints a table of means and spreads, and writes every curve to `curves.csv`: one row per cell and epoch.
"""

import sys

import bench

results = bench.load(sys.argv[1] if len(sys.argv) > 1 else "results")

cells = results.frame()  # one row per cell
done = cells[cells["status"] == "done"]
summary = done.groupby(["dataset", "noise", "rate", "label"])["last"].agg(["mean", "std", "count"])
print(summary.round(1).to_string())
for problem in results.problems.values():  # files of the store that are no records
    print(problem)

curves = results.curves()  # one row per cell and epoch
curves.to_csv("curves.csv", index=False)
print(f"{len(cells)} cells, {len(curves)} rows of curves in curves.csv")
