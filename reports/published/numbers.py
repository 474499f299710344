"""`numbers.toml`: accuracies that others have printed, logged or quoted, with what is known of their protocol."""

from __future__ import annotations

import math
import tomllib
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.limits import OptimizerName, Schedule, Value
from bench.variants import parse_variant

ONE = r"^[^;]+$"  # a text that reports join with others by semicolons
FILE = Path(__file__).parent / "numbers.toml"
Precision: TypeAlias = Literal["half", "mixed", "single"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedMethod(_Strict):
    """What a published name stands for: a variant here, or nothing; and options of it that are not stated."""

    variant: str = ""
    unstated: tuple[str, ...] = ()


class Doubt(_Strict):
    """A doubt about single numbers; `note` is the collection's wording, by which its rows are known."""

    text: str = Field(pattern=ONE)
    note: str
    unusable: bool = False


class Replication(_Strict):
    """How far a re-run of published code lies from what was published, in points."""

    points: float = Field(gt=0)
    published: str
    rerun: str
    without: tuple[str, ...]
    cells: int
    mean: float
    mean_absolute: float
    largest: float


class Publication(_Strict):
    """A paper, or a repository."""

    name: str
    citation: str
    venue: str = ""
    arxiv: str = ""
    repository: str = ""

    @model_validator(mode="after")
    def _somewhere(self) -> Publication:
        if bool(self.arxiv) == bool(self.repository):
            raise ValueError("a source has either arxiv or repository")
        return self


class Budget(_Strict):
    """What is known of the training, by the names of a cell's fields; None: not stated."""

    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    optimizer: OptimizerName | None = None
    schedule: Schedule | None = None
    weight_decay: float | None = Field(default=None, ge=0)


class Caveat(_Strict):
    """A difference that no other field holds, of rows by their published names; empty: of all."""

    text: str = Field(pattern=ONE)
    methods: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()

    def holds(self, row: PublishedRow) -> bool:
        """Return whether it is about this row."""
        sides = ((self.methods, row.method), (self.datasets, row.dataset), (self.noise, row.noise))
        return all(not names or name in names for names, name in sides)


class Sheet(_Strict):
    """A published table; the fields are described in the file."""

    source: str
    title: str
    collected_as: tuple[str, str]
    seen: Literal["paper", "restated", "quoted", "listing", "log", "read-me", "thread"]
    through: str = ""
    noise: dict[str, str] = Field(default_factory=dict)
    grid: str = ""
    split: Literal["coop", "official"] | None = None
    pool: dict[str, str] = Field(default_factory=dict)
    backbone: str = ""
    shots: int | Literal["full"] | None = None
    selection: Literal["last", "best"] | None = None
    augmented: bool | None = None
    precision: Precision | dict[str, Precision] | None = None
    drop_last: bool | None = None
    validation: Literal["clean", "noisy"] | None = None
    seeds: tuple[int, ...] = ()
    deviation: Literal["sample", "population"] | None = None
    budget: Budget = Budget()
    budget_of: tuple[str, ...] = ()
    restates: tuple[str, ...] = ()
    caveats: tuple[Caveat, ...] = ()


class PublishedRow(_Strict):
    """Numbers of one method on one data set: names as published, rates in [0, 1), accuracy and spread in percent."""

    dataset: str
    method: str
    noise: str = ""
    shots: int | None = None
    backbone: str = ""
    epochs: int | None = None
    seeds: int | None = Field(default=None, ge=1)
    rates: tuple[float, ...] | None = None
    accuracy: tuple[float, ...] = Field(min_length=1)
    std: tuple[float, ...] | None = None
    doubt: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _aligned(self) -> PublishedRow:
        count = len(self.accuracy)
        if count != (1 if self.rates is None else len(self.rates)) or count != len(self.std or self.accuracy):
            raise ValueError("rates, accuracy and std differ in length")
        if not all(0 <= rate < 1 for rate in self.rates or ()) or not all(0 <= a <= 100 for a in self.accuracy):
            raise ValueError("a rate outside [0, 1), or an accuracy outside [0, 100]")
        return self


class LeftOut(_Strict):
    """A row of the collection that is no number of a data set, and why."""

    source: str
    table: str
    dataset: str
    method: str
    accuracy: float
    reason: str


class Published(_Strict):
    """The whole file; every name in it is explained in it."""

    dataset: dict[str, str]
    backbone: dict[str, str]
    method: dict[str, PublishedMethod]
    doubt: dict[str, Doubt]
    replication: Replication
    left_out: tuple[LeftOut, ...]
    source: dict[str, Publication]
    table: dict[str, Sheet]
    rows: dict[str, tuple[PublishedRow, ...]]

    @model_validator(mode="after")
    def _explained(self) -> Published:
        for name, sheet in self.table.items():
            _known(sheet.source, self.source, "source")
            _known(sheet.backbone, self.backbone, "backbone")
            for other in sheet.restates:
                _known(other, list(self.table)[: list(self.table).index(name)], "earlier table")
            by_method = sheet.precision if isinstance(sheet.precision, dict) else ()
            for method in (*sheet.budget_of, *by_method, *(m for caveat in sheet.caveats for m in caveat.methods)):
                _known(method, self.method, "method")
            for dataset in sheet.pool:
                _known(dataset, self.dataset, "data set")
            for caveat in sheet.caveats:
                for word in caveat.noise:
                    _known(word, sheet.noise, f"word for noise of {name}")
                for dataset in caveat.datasets:
                    _known(dataset, self.dataset, "data set")
        for name, rows in self.rows.items():
            _known(name, self.table, "table")
            for row in rows:
                _known(row.dataset, self.dataset, "data set")
                _known(row.method, self.method, "method")
                _known(row.noise, self.table[name].noise, f"word for noise of {name}")
                _known(row.backbone, self.backbone, "backbone")
                for doubt in row.doubt:
                    _known(doubt, self.doubt, "doubt")
        return self


@dataclass(frozen=True)
class PublishedNumber:
    """One published accuracy in percent, in this benchmark's names; "" and None stand for not stated or not here.

    Attributes:
        dataset: registered name, or the published one where there is none here.
        pool: mode of the data set here whose images are those that the shots come from, where it is not the default.
        precision: of the training, None where not stated.
        std: sample standard deviation over seeds, NaN where unknown.
        restated: the table that this number repeats, in words; empty if none.
    """

    table: str
    sheet: Sheet
    source: Publication
    row: PublishedRow
    dataset: str
    method: str
    options: dict[str, Value]
    unstated: tuple[str, ...]
    noise: str
    rate: float | None
    shots: int | Literal["full"] | None
    backbone: str
    budget: Budget
    pool: str
    precision: Precision | None
    accuracy: float
    std: float
    doubts: tuple[str, ...]
    caveats: tuple[str, ...]
    unusable: bool
    restated: str

    @property
    def comparable(self) -> bool:
        """Whether it is to be relied on, stands nowhere else, and is of a method that is here."""
        return bool(self.method) and not self.unusable and not self.restated


@lru_cache(maxsize=1)
def load() -> Published:
    """Load the packaged numbers."""
    return parse(FILE.read_text(encoding="utf-8"))


def parse(text: str) -> Published:
    """Parse the text of such a file.

    Raises:
        ValueError: it is no TOML, or not of this form.
    """
    return Published.model_validate(tomllib.loads(text))


def published_numbers(published: Published) -> tuple[PublishedNumber, ...]:
    """List every number, in the file's order."""
    found: list[PublishedNumber] = []
    places: dict[str, set[object]] = defaultdict(set)
    for table, row in ((table, row) for table, rows in published.rows.items() for row in rows):
        for index in range(len(row.accuracy)):
            found.append(_number(published, table, row, index, places))
            places[table].add(_place(found[-1]))
    return tuple(found)


def _number(
    published: Published, table: str, row: PublishedRow, index: int, places: dict[str, set[object]]
) -> PublishedNumber:
    sheet, method = published.table[table], published.method[row.method]
    variant = parse_variant(method.variant) if method.variant else None
    given = sheet.budget if not sheet.budget_of or row.method in sheet.budget_of else Budget()
    doubts = [published.doubt[name] for name in row.doubt]
    made = PublishedNumber(
        table, sheet, published.source[sheet.source], row,
        dataset=published.dataset[row.dataset] or row.dataset,
        method=variant.name if variant else "", options=variant.options if variant else {}, unstated=method.unstated,
        noise=sheet.noise.get(row.noise, ""), rate=None if row.rates is None else row.rates[index],
        shots=row.shots or sheet.shots, backbone=published.backbone.get(row.backbone or sheet.backbone, ""),
        budget=given.model_copy(update={"epochs": row.epochs}) if row.epochs else given,
        pool=sheet.pool.get(row.dataset, ""), precision=_precision(sheet, row),
        accuracy=row.accuracy[index], std=_sample(sheet, row, index),
        doubts=tuple(doubt.text for doubt in doubts), unusable=any(doubt.unusable for doubt in doubts),
        caveats=tuple(caveat.text for caveat in sheet.caveats if caveat.holds(row)), restated="",
    )  # fmt: skip
    repeated = next((published.table[other] for other in sheet.restates if _place(made) in places[other]), None)
    return replace(made, restated=f"{published.source[repeated.source].name}, {repeated.title}") if repeated else made


def _place(number: PublishedNumber) -> object:
    """Return what two tables that print the same number agree in."""
    row = number.row
    return number.dataset, number.noise, number.rate, number.shots, number.backbone, number.method or row.method


def _precision(sheet: Sheet, row: PublishedRow) -> Precision | None:
    return sheet.precision.get(row.method) if isinstance(sheet.precision, dict) else sheet.precision


def _sample(sheet: Sheet, row: PublishedRow, index: int) -> float:
    """Convert the printed spread into a sample standard deviation."""
    if row.std is None:
        return math.nan
    if sheet.deviation == "population" and row.seeds and row.seeds > 1:
        return row.std[index] * math.sqrt(row.seeds / (row.seeds - 1))
    return row.std[index]


def _known(name: str, names: object, what: str) -> None:
    if name and name not in names:  # type: ignore[operator]
        raise ValueError(f'{what} "{name}" is not explained')
