"""Baseline of speed: ratios of two sides that were measured in one run, never seconds.

A ratio is slower where it is below `SLOWER` times the baseline's and the middle halves of the repetitions lie apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import BenchError, NothingCompared
from bench.files import write_whole
from bench.perf.speed import MethodSpeed
from bench.perf.timing import Ratio

KIND = "noisy-prompt-bench speed baseline"
SLOWER = 0.7
NAIVE = "alone against naive"
SpeedVerdict: TypeAlias = Literal["slower", "faster", "same", "missing"]
EXIT_SLOWER = 1


class SpeedBaseline(BaseModel):
    """Content of a baseline file: ratios by method and by what was compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["noisy-prompt-bench speed baseline"]
    layout: Literal[1] = Field(alias="schema")
    backbone: str
    classes: int
    ratios: dict[str, dict[str, Ratio]]

    @classmethod
    def read(cls, path: Path) -> SpeedBaseline:
        """Read a file. Raises BenchError where it cannot be read, or is no baseline of speed."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise BenchError(
                f'baseline "{path}" cannot be read: {error.strerror}; make it with `bench perf --save {path}`.'
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise BenchError(
                f'baseline "{path}" is no baseline of speed ({where}: {first["msg"]}); make it anew with '
                f"`bench perf --save {path}`."
            ) from error


@dataclass(frozen=True)
class SpeedFinding:
    """Comparison of one ratio; `before` or `after` is None where one side does not have it."""

    method: str
    what: str
    verdict: SpeedVerdict
    before: Ratio | None = None
    after: Ratio | None = None


def pack_name(members: int) -> str:
    """Name the ratio of a pack."""
    return f"pack of {members} against alone"


def ratios_of(speed: MethodSpeed) -> dict[str, Ratio]:
    """Return the ratios of a method's step by what was compared; the more, the faster."""
    found = {pack_name(count): ratio for count, ratio in speed.step.packs.items()}
    return found | ({NAIVE: speed.step.naive} if speed.step.naive else {})


def write_speed(speeds: Sequence[MethodSpeed], backbone: str, classes: int, path: Path) -> None:
    """Write a baseline, whole or not at all. Raises OSError where it cannot be written."""
    ratios = {
        speed.method: {what: {name: round(value, 3) for name, value in asdict(ratio).items()}
                       for what, ratio in ratios_of(speed).items()}
        for speed in speeds
    }  # fmt: skip
    content = {"kind": KIND, "schema": 1, "backbone": backbone, "classes": classes, "ratios": ratios}
    write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def compare_speed(
    speeds: Sequence[MethodSpeed], baseline: SpeedBaseline, backbone: str, classes: int, packs: Sequence[int]
) -> list[SpeedFinding]:
    """Compare measured methods with a baseline; what only the baseline has of them is missing.

    A pack of the baseline that cannot be run any more is slower.

    Raises:
        NothingCompared: it was made with another backbone or number of classes, or shares no ratio.
    """
    if (baseline.backbone, baseline.classes) != (backbone, classes):
        raise NothingCompared(
            f"the baseline is of {baseline.backbone} and {baseline.classes} classes, measured were {backbone} and "
            f"{classes}; give the same --backbone and --classes."
        )
    asked, found = {pack_name(count) for count in packs}, []
    for speed in speeds:
        before, after = baseline.ratios.get(speed.method, {}), ratios_of(speed)
        for what, old in before.items():
            new = after.get(what)
            broken = new is None and what in asked and bool(speed.reason)
            verdict = "slower" if broken else "missing" if new is None else _verdict(old, new)
            found.append(SpeedFinding(speed.method, what, verdict, old, new))
    if all(one.verdict == "missing" for one in found):
        raise NothingCompared("the baseline has none of the ratios that were measured; give its --methods and --packs.")
    return found


def _verdict(old: Ratio, new: Ratio) -> SpeedVerdict:
    if new.median < SLOWER * old.median and new.high < old.low:
        return "slower"
    return "faster" if SLOWER * new.median > old.median and new.low > old.high else "same"


def exit_code(found: Sequence[SpeedFinding]) -> int:
    """Return 1 where a ratio is slower, else 0."""
    return EXIT_SLOWER if any(one.verdict == "slower" for one in found) else 0
