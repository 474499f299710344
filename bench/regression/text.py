"""Describe a comparison with a baseline: lines for a console, Markdown for a comment on a change."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

from bench.layout import counted
from bench.regression.findings import Change, Comparison, Finding, Level, Verdict

TABLE_ROWS = 20  # of a table in Markdown; a comment is read, not searched
VERDICTS_SHOWN: tuple[Verdict, ...] = ("worse", "failed", "missing", "better", "new")
CHANGES: dict[Change, str] = {"equal": "equal", "changed": "changed", "other seeds": "with other seeds"}
LEVELS: dict[Level, str] = {"cell": "a cell", "method": "a method's average"}
ONE_SEED = (
    "One seed gives no estimate of the noise: any difference beyond the minimum effect counts, even by chance, and a "
    "drop that this seed does not show goes undetected."
)
FIGURES = ("what", "baseline", "now", "difference", "tolerance", "seeds", "test")


def lines(comparison: Comparison) -> list[str]:
    """Format a comparison for a console.

    All findings but what is equal or hardly changed, the worse first; what could be seen; counts.
    """
    shown = [finding for verdict in VERDICTS_SHOWN for finding in comparison.of(verdict)]
    text = [_line(finding.verdict, finding) for finding in shown]
    text += [_line("changed", finding) for finding in _unproven(comparison)]
    verdict = [f"{_counts(comparison)} ({_rule(comparison)})", f"regression gate: {_headline(comparison)}"]
    return [*text, *comparison.environment, *comparison.stale, *_power(comparison), *verdict]


def _line(word: str, finding: Finding) -> str:
    return f"{word:<8}{finding.level:<7} {finding.label}: {_figures(finding)}"


def markdown(comparison: Comparison, baseline: str, store: str, grid: str | None = None, flags: str = "") -> str:
    """Format a comparison for a comment. It has the verdict, a small table for each kind of finding, counts of the
    rest, and what to do next.

    Paths of baseline and store, the grid, and further options (`flags`, as " --plugin mine.py") stand in the commands
    to run next.
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
    if _unproven(comparison):
        title = f"Changed by more than {_effect(comparison)}, not proven worse"
        parts.append(_table(title, FIGURES, [_row(f) for f in _unproven(comparison)]))
    if comparison.of("better"):
        parts.append(_folded("Better", FIGURES, [_row(f) for f in comparison.of("better")]))
    if comparison.of("new"):
        new = [(f.label, _point(f.after), str(f.seeds), f.note) for f in comparison.of("new")]
        table = _table if comparison.rules.strict else _folded
        parts.append(table("New: not in the baseline", ("what", "now", "seeds", "note"), new))
    parts += [_largest(comparison), " ".join(map(_escape, _power(comparison)))]
    parts += map(_escape, comparison.stale)
    if comparison.environment:
        parts.append("Not the baseline's:\n" + "\n".join(f"- {_escape(line)}" for line in comparison.environment))
    further = shlex.quote(store) + flags
    parts.append("What to do next:\n" + "\n".join(f"- {line}" for line in _advice(comparison, baseline, further, grid)))
    parts.append(f"<sub>{_rule(comparison)[0].upper()}{_rule(comparison)[1:]}.</sub>")
    return "\n\n".join(part for part in parts if part) + "\n"


def stopped(error: str, code: int) -> str:
    """Summarise a comparison that could not be made."""
    why = "nothing was compared" if code == 3 else "it could not run"
    return f"### Regression gate: {why}\n\n{_escape(error)}\n\nThis is not a pass (exit code {code}).\n"


def _headline(comparison: Comparison) -> str:
    missing, new = comparison.of("missing"), comparison.of("new")
    if comparison.of("worse"):
        return "worse than the baseline"
    if comparison.of("failed"):
        return "cells of the baseline did not finish"
    if missing and not comparison.rules.partial:
        return f"{_units(missing)} of the baseline are missing"
    if new and comparison.rules.strict:
        return f"{_units(new)} are not in the baseline"
    if comparison.stale and comparison.rules.strict:
        return "some records were made by other code or data"
    if comparison.powerless:
        return "no drop could have been detected, this is not a pass"
    if missing:
        compared, absent = len(comparison.judged("cell")), len(comparison.of("missing", "cell"))
        return f"passed, a partial run: {compared} of the baseline's {compared + absent} cells"
    if fallen := [f for f in _unproven(comparison) if f.level == "cell" and f.difference < 0]:
        return f"passed, but {counted(len(fallen), 'cell')} fell by more than {_effect(comparison)} without proof"
    return "passed"


def _units(findings: Sequence[Finding]) -> str:
    return "cells" if any(finding.level == "cell" for finding in findings) else "seeds"


def _counts(comparison: Comparison) -> str:
    counts = [f"{n} {verdict}" for verdict, n in comparison.counts.items() if verdict != "same"]
    changes = [f"{n} {text}" for change, text in CHANGES.items() if (n := comparison.changes.get(change, 0))]
    text = ", ".join([*counts, *changes])
    if set(comparison.changes) - {"equal"}:
        text += ", none proven worse" if not comparison.counts["worse"] else ", none of these proven worse"
    extra = (
        (comparison.of("missing", "seed"), "cell", "without seeds of the baseline"),
        (comparison.of("new", "seed"), "cell", "with seeds that the baseline does not have"),
        (comparison.of("worse", "method"), "method average", "worse"),
    )
    return f"cells: {text}" + "".join(f"; {counted(len(found), what)} {how}" for found, what, how in extra if found)


def _unproven(comparison: Comparison) -> list[Finding]:
    """List what changed by more than the minimum effect without proof, cells and averages, on the same seeds."""
    same = [f for f in comparison.of("same") if f.change == "changed"]
    return [finding for finding in same if abs(finding.difference) > comparison.rules.minimum_effect]


def _largest(comparison: Comparison) -> str:
    """Return the largest drop among the cells that passed."""
    same = comparison.of("same", "cell")
    if not same or same[0].difference >= 0:
        return ""
    drop = -same[0].difference
    size = "less than 0.1" if drop < 0.05 else _point(drop)
    return f"The largest drop that is not proven is {size} points ({_escape(same[0].label)})."


def _power(comparison: Comparison) -> list[str]:
    """Describe in sentences what the gate could have detected at all; none where nothing was judged."""
    found = {name: comparison.judged(level) for level, name in LEVELS.items()}
    everything = [finding for judged in found.values() for finding in judged]
    alike = [_alike(name, seen) for name, judged in found.items() if (seen := [f for f in judged if not f.powerless])]
    apart = [_apart(name, wide) for name, j in found.items() if (wide := [f for f in j if f.scattered > f.tolerance])]
    text = [f"The smallest drop that would have counted is {' and '.join(alike)}, alike in all seeds."] if alike else []
    if apart:
        text.append(f"If it differs from seed to seed as the accuracies do, it is up to {' and '.join(apart)}.")
    if any(finding.test == "noise unknown" for finding in everything):
        text.append(ONE_SEED)
    if unseen := [finding for finding in everything if finding.powerless]:
        more = f" and {len(unseen) - 1} more" if len(unseen) > 1 else ""
        text.append(f"Not even a fall to 0 % would be detected in {unseen[0].label}{more}.")
    return text


def _alike(name: str, findings: Sequence[Finding]) -> str:
    """Describe the range of tolerances, with the number of seeds and where the widest is."""
    low, high = _point(findings[0].tolerance), _point(findings[-1].tolerance)
    if low == high:
        return f"{low} points in {name} ({_seeds(findings)})"
    return f"{low} to {high} points in {name} ({_seeds(findings)}; {high}: {findings[-1].label})"


def _apart(name: str, findings: Sequence[Finding]) -> str:
    widest = max(findings, key=lambda finding: finding.scattered)
    return f"{_point(widest.scattered)} points in {name} ({widest.label})"


def _seeds(findings: Sequence[Finding]) -> str:
    counts = [finding.seeds for finding in findings]
    most = f"{max(counts)} seed{'s' if max(counts) > 1 else ''}"
    return most if min(counts) == max(counts) else f"{min(counts)} to {most}"


def _advice(comparison: Comparison, baseline: str, store: str, grid: str | None) -> list[str]:
    """List what to do next; `store`: quoted, with the options that follow it."""
    counts, advice = comparison.counts, []
    baseline = shlex.quote(baseline)
    chosen = f" --grid {shlex.quote(grid)}" if grid else ""
    worse = [f for f in comparison.of("worse") if f.key]
    if worse:
        advice.append(f"See whether a drop repeats to the bit: `bench reproduce {worse[0].key} --store {store}`.")
    if counts["failed"]:
        advice.append("Read the reasons above; `bench run --retry all` with the same grid and store tries again.")
    if comparison.of("missing") and not comparison.rules.partial:
        advice.append(
            "`bench run` with the same grid and store computes what is missing and in the grid; where a run is partial "
            "on purpose, compare with `--partial`."
        )
    if comparison.environment and comparison.exit_code:
        advice.append("Packages or processor are not the baseline's: run the old code here too before blaming the new.")
    moved = any(f.verdict in ("worse", "missing", "new", "better") for f in comparison.findings)
    if moved and not comparison.rules.partial:  # a baseline of a part would forget the rest
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
    """Format a titled table of at most `TABLE_ROWS` rows; the numbers to the right."""
    head = ["| " + " | ".join(columns) + " |"]
    head += ["|" + "|".join(" ---: " if name in FIGURES[1:6] else " --- " for name in columns) + "|"]
    body = ["| " + " | ".join(map(_escape, row)) + " |" for row in rows[:TABLE_ROWS]]
    more = [f"\n… and {len(rows) - TABLE_ROWS} more."] if len(rows) > TABLE_ROWS else []
    return "\n".join([f"**{title}** ({len(rows)})", "", *head, *body, *more])


def _folded(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    inside = _table(title, columns, rows)
    return f"<details><summary>{title} ({len(rows)})</summary>\n\n{inside}\n\n</details>"


def _rule(comparison: Comparison) -> str:
    return (
        f"accuracy in percentage points; worse or better: more than {_effect(comparison)} and beyond "
        f"the noise of the seeds at {comparison.alpha:g} over all comparisons"
    )


def _effect(comparison: Comparison) -> str:
    return f"{comparison.rules.minimum_effect:g} point{'' if comparison.rules.minimum_effect == 1 else 's'}"


def _figures(finding: Finding) -> str:
    note = f" ({finding.note})" if finding.note else ""
    if finding.verdict == "missing":
        return f"{finding.note or 'in the baseline, no record now'} ({_point(finding.before)} before)"
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
    """Escape text for a cell of a Markdown table: no bar, no tag, no emphasis."""
    for mark in "\\|<>*_`":
        text = text.replace(mark, {"<": "&lt;", ">": "&gt;"}.get(mark, f"\\{mark}"))
    return " ".join(text.split())


def _point(value: float, *, sign: bool = False) -> str:
    return "–" if math.isnan(value) else f"{value:+.1f}" if sign else f"{value:.1f}"
