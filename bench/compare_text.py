"""A comparison with a baseline in words: lines for a console, Markdown for a comment on a change."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

from bench.compare import Comparison, Finding, Verdict

ROWS = 20  # of a table in Markdown; a comment is read, not searched
SHOWN: tuple[Verdict, ...] = ("worse", "failed", "missing", "better", "new")
FIGURES = ("what", "baseline", "now", "difference", "tolerance", "seeds", "test")


def lines(comparison: Comparison) -> list[str]:
    """For a console: every finding that is not "same", the worse first; what has changed around them; counts."""
    shown = [finding for verdict in SHOWN for finding in comparison.of(verdict)]
    text = [f"{f.verdict:<8}{f.level:<7} {f.label}: {_figures(f)}" for f in shown]
    return [*text, *comparison.environment, f"{_counts(comparison)} ({_rule(comparison)})"]


def markdown(comparison: Comparison, baseline: str, store: str, grid: str | None = None) -> str:
    """For a comment: the verdict, a small table for each kind of finding, counts of the rest, and what to do next.

    Args:
        comparison: with `bench.compare.compare`.
        baseline: path of its baseline, for the commands to run next.
        store: of the records, likewise.
        grid: that alone was compared, or None; likewise.
    """
    parts = [f"### Regression gate: {_headline(comparison)}", f"{_counts(comparison)}."]
    if comparison.of("worse"):
        parts.append(_table("Worse", FIGURES, [_row(f) for f in comparison.of("worse")]))
    if comparison.of("failed"):
        failed = [(f.label, _point(f.before), f.note) for f in comparison.of("failed")]
        parts.append(_table("Failed", ("what", "baseline", "why"), failed))
    if comparison.of("missing"):
        missing = [(f.label, _point(f.before), f.note or "no record") for f in comparison.of("missing")]
        parts.append(_table("Missing: in the baseline, not among the records", ("what", "baseline", "why"), missing))
    if comparison.of("better"):
        parts.append(_folded("Better", FIGURES, [_row(f) for f in comparison.of("better")]))
    if comparison.of("new"):
        new = [(f.label, _point(f.after), str(f.seeds), f.note) for f in comparison.of("new")]
        parts.append(_folded("New: not in the baseline", ("what", "now", "seeds", "note"), new))
    parts.append(_within(comparison))
    if comparison.environment:
        parts.append("Not the baseline's:\n" + "\n".join(f"- {_escape(line)}" for line in comparison.environment))
    parts.append("What to do next:\n" + "\n".join(f"- {line}" for line in _advice(comparison, baseline, store, grid)))
    parts.append(f"<sub>{_rule(comparison)[0].upper()}{_rule(comparison)[1:]}.</sub>")
    return "\n\n".join(part for part in parts if part) + "\n"


def stopped(error: str, code: int) -> str:
    """The summary of a comparison that could not be made."""
    why = "nothing was compared" if code == 3 else "it could not run"
    return f"### Regression gate: {why}\n\n{_escape(error)}\n\nThis is no pass (exit code {code}).\n"


def _headline(comparison: Comparison) -> str:
    counts = comparison.counts
    if comparison.of("worse"):
        return "worse than the baseline"
    if comparison.exit_code and counts["failed"]:
        return "cells that the baseline has do not finish"
    if counts["missing"]:
        return (
            "cells of the baseline are missing"
            if comparison.exit_code
            else "passed, with cells of the baseline missing"
        )
    return "passed"


def _counts(comparison: Comparison) -> str:
    names = {"same": "within the noise of the seeds"}
    text = ", ".join(f"{n} {names.get(verdict, verdict)}" for verdict, n in comparison.counts.items())
    methods = len(comparison.of("worse", "method"))
    averages = f"; {methods} method average{'s' if methods > 1 else ''} worse" if methods else ""
    return f"cells: {text}{averages}"


def _within(comparison: Comparison) -> str:
    """How much room the cells that passed leave."""
    same = comparison.of("same", "cell")
    if not same:
        return ""
    lowest, widest = same[0], max(same, key=lambda f: f.tolerance)
    text = f"Within the noise: {len(same)} cell{'s' if len(same) > 1 else ''}"
    if lowest.difference < 0:
        text += f", the largest drop {_point(-lowest.difference)} points ({_escape(lowest.label)})"
    smallest = min(finding.tolerance for finding in same)
    text += f". The smallest drop that would have counted is {_point(smallest)} points"
    wider = f"; where the seeds differ most, {_point(widest.tolerance)} ({_escape(widest.label)})"
    return text + (wider if widest.tolerance > smallest else "") + "."


def _advice(comparison: Comparison, baseline: str, store: str, grid: str | None) -> list[str]:
    counts, advice = comparison.counts, []
    baseline, store = shlex.quote(baseline), shlex.quote(store)
    chosen = f" --grid {shlex.quote(grid)}" if grid else ""
    worse = [f for f in comparison.of("worse") if f.key]
    if worse:
        advice.append(f"See whether a drop repeats to the bit: `bench reproduce {worse[0].key} --store {store}`.")
    if counts["failed"]:
        advice.append("Read the reasons above; `bench run --retry all` with the same grid and store tries again.")
    if counts["missing"]:
        advice.append("`bench run` with the same grid and store computes what is missing.")
    if comparison.environment and comparison.exit_code:
        advice.append("Packages or processor are not the baseline's: run the old code here too before blaming the new.")
    if any(f.verdict in ("worse", "missing", "new", "better") for f in comparison.findings):
        advice.append(
            "If this is what the change is meant to do: "
            f"`bench compare --write{chosen} --baseline {baseline} --store {store}`, and commit the file."
        )
    return advice or ["Nothing."]


def _row(finding: Finding) -> tuple[str, ...]:
    label = finding.label if finding.level == "cell" else f"{finding.label} (method)"
    note = f" ({finding.note})" if finding.note else ""
    return (
        label + note, _point(finding.before), _point(finding.after), _point(finding.difference, sign=True),
        _point(finding.tolerance), str(finding.seeds), finding.test,
    )  # fmt: skip


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A titled table of at most `ROWS` rows; the numbers to the right."""
    head = ["| " + " | ".join(columns) + " |"]
    head += ["|" + "|".join(" ---: " if name in FIGURES[1:6] else " --- " for name in columns) + "|"]
    body = ["| " + " | ".join(map(_escape, row)) + " |" for row in rows[:ROWS]]
    more = [f"\n… and {len(rows) - ROWS} more."] if len(rows) > ROWS else []
    return "\n".join([f"**{title}** ({len(rows)})", "", *head, *body, *more])


def _folded(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    inside = _table(title, columns, rows)
    return f"<details><summary>{title} ({len(rows)})</summary>\n\n{inside}\n\n</details>"


def _rule(comparison: Comparison) -> str:
    return (
        f"accuracy in percentage points; worse or better: more than {comparison.minimum_effect:g} points and beyond "
        f"the noise of the seeds at {comparison.alpha:g} over all comparisons"
    )


def _figures(finding: Finding) -> str:
    note = f" ({finding.note})" if finding.note else ""
    if finding.verdict == "missing":
        return f"in the baseline, no record now{note}"
    if finding.verdict == "new":
        return f"{_point(finding.after)}, not in the baseline{note}"
    if math.isnan(finding.after):
        return f"{_point(finding.before)} before, did not finish now{note}"
    return (
        f"{_point(finding.before)} -> {_point(finding.after)}, {_point(finding.difference, sign=True)} points, "
        f"tolerance {_point(finding.tolerance)}, {finding.seeds} seed{'s' if finding.seeds != 1 else ''}, "
        f"{finding.test}{note}"
    )


def _escape(text: str) -> str:
    """Text that stays in its cell of a Markdown table and says nothing else: no bar, no tag, no emphasis."""
    for mark in "\\|<>*_`":
        text = text.replace(mark, {"<": "&lt;", ">": "&gt;"}.get(mark, f"\\{mark}"))
    return " ".join(text.split())


def _point(value: float, *, sign: bool = False) -> str:
    return "–" if math.isnan(value) else f"{value:+.1f}" if sign else f"{value:.1f}"
