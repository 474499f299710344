"""The contact sheet as a page on which labels are corrected: one HTML file that works from disk."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup
from PIL import Image

from bench.errors import printable
from bench.images.decode import in_colour
from bench.reports.html.columns import embedded
from bench.reports.html.environment import escaping_environment, raw_text

MOST = 400  # suspects on a page, whose thumbnails are what makes it large
PIXELS, REFERENCE_PIXELS = 192, 128  # longer side
SMALL = 64  # pixels up to which an image is enlarged as it is
# What docs/suspects.md has measured, in a sentence for data of unknown truth.
DOCUMENTED = (
    "Which labels are wrong is not known here. Where it was, of the first as many suspects as labels were wrong, this "
    "score found 96.9 % wrong and cleanlab 95.5 to 96.0 % (digits, a quarter of the labels wrong), and with one probe "
    "on CIFAR-10N 75.4 against 74.6 %, with three 70.6 against 70.9 to 71.4 %: docs/suspects.md."
).replace(" %", "\u00a0%")


@dataclass(frozen=True)
class Suspect:
    """One suspect: where it ranks, its image, and its labels as positions among the classes.

    Attributes:
        true: name of the true label, None where unknown.
        wrong: whether the given label is wrong, None where unknown.
        row: of the CSV that is corrected; None where none is.
    """

    rank: int
    path: str
    image: Image.Image
    given: int
    proposed: int
    score: float
    true: str | None = None
    wrong: bool | None = None
    row: int | None = None


@dataclass(frozen=True)
class ClassTest:
    """A class on which the methods are no better than chance: position, samples, agreements, predictions."""

    label: int
    given: int
    agreed: int
    predicted: int


@dataclass(frozen=True)
class SuspectPage:
    """What a page shows of one set of labels.

    Attributes:
        title: of the set of labels.
        classes: C names, as the user has written them where there is a CSV to correct.
        suspects: by rank.
        references: for a class an image on whose label the methods agree.
        labels: how many labels were ranked.
        unjudged: how many images of other splits have labels that are never ranked.
        lacking: which methods have not judged all of them, and what follows; empty where all have.
        out_of_sample: whether trained methods have left samples out.
        guessed: classes on which the methods are no better than chance.
        precision: share of wrong labels among the first, by ranking and number; empty where the truth is unknown.
        wrong: how many labels are known to be wrong; None where the truth is unknown.
        table: header, rows and corrected column of the CSV; None where there is none.
        refusal: why there is none.
        folder: what the folder of the images is called.
    """

    title: str
    classes: Sequence[str]
    suspects: Sequence[Suspect]
    references: Mapping[int, Image.Image]
    labels: int
    out_of_sample: bool = True
    guessed: Sequence[ClassTest] = ()
    unjudged: int = 0
    lacking: str = ""
    precision: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    wrong: int | None = None
    table: tuple[Sequence[str], Sequence[Sequence[str]], int] | None = None
    refusal: str = ""
    folder: str = ""


def suspects_page(page: SuspectPage) -> str:
    """Render the page, with thumbnails as JPEG in addresses; at most `MOST` suspects."""
    shown = page.suspects[:MOST]
    context = {
        "page": page,
        "shown": shown,
        "pictures": [_address(suspect.image, PIXELS) for suspect in shown],
        "small": [max(suspect.image.size) <= SMALL for suspect in shown],
        "references": {
            label: (_address(image, REFERENCE_PIXELS), max(image.size) <= SMALL)
            for label, image in page.references.items()
        },
        "documented": DOCUMENTED,
        "unsure": {found.label for found in page.guessed},
        "data": Markup(embedded(_data(page, shown))),  # noqa: S704 - escaped by `embedded`
        "style": raw_text("page.css") + raw_text("suspects.css"),
        "script": raw_text("script/suspects.js"),
    }
    return escaping_environment().get_template("suspects.html.j2").render(context)


def _data(page: SuspectPage, shown: Sequence[Suspect]) -> dict[str, object]:
    """Collect what the script writes the CSV of, and class names for display; nothing where there is no CSV."""
    if page.table is None:
        return {}
    header, rows, column = page.table
    return {
        "header": header,
        "rows": rows,
        "column": column,
        "classes": page.classes,
        "shown": [printable(name) for name in page.classes],
        "suspects": [[suspect.row, suspect.proposed] for suspect in shown],
    }


def _address(image: Image.Image, most: int) -> Markup:
    """Write an image of at most `most` pixels on the longer side as an address with its bytes."""
    small = in_colour(image)
    quality = 92 if max(small.size) <= SMALL else 80
    small.thumbnail((most, most), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    small.save(content, format="JPEG", quality=quality, optimize=True)
    return Markup("data:image/jpeg;base64," + b64encode(content.getvalue()).decode())  # noqa: S704 - letters and digits
