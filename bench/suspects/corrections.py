"""A user's data set as a CSV in which wrong labels can be corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.data.own.folder import Folder
from bench.suspects.groups import LabelSet
from bench.suspects.images import LabelSetImages

LOST = "The images are not at hand; with --data the page can save corrections."
NO_FILES = "These images are no folder of yours, so there is no file to correct; the boxes are left out."
DRAWN = "These labels are not the ones that stand in your files (noise {}), so there is nothing in them to correct."
SPACED = 'The class "{}" begins or ends with a space, which no CSV keeps; rename its folder to correct labels.'


@dataclass(frozen=True)
class Correctable:
    """Rows of a CSV that `dataset=folder:` reads, with the label that may be corrected.

    Attributes:
        header: names of the columns.
        rows: a value for each column, of every image of every split that the user gave.
        column: of the labels that are corrected.
        classes: C classes as they are written in the rows.
        places: row of each training image, by its path.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    column: int
    classes: Sequence[str]
    places: dict[str, int]


def correctable(labels: LabelSet, source: LabelSetImages) -> Correctable | str:
    """List the data set behind a label set; or say in a sentence why its labels cannot be corrected.

    They can where each given label is the one that stands in the user's files, which is so of `noise=given`.
    """
    if source.dataset is None:
        return LOST
    if not isinstance(source.dataset, Folder):
        return NO_FILES
    header, rows = source.dataset.listing
    classes = source.class_labels
    if spaced := [name for name in classes if name != name.strip()]:
        return SPACED.format(spaced[0])
    column = header.index("label" if "label" in header else "true_label")
    places = {name: row for row, name in enumerate(source.dataset.listed_names)}
    written = [
        image >= 0 and rows[places[source.path(image)]][column] == classes[given]
        for image, given in zip(labels.images.tolist(), labels.given.tolist(), strict=True)
    ]
    return Correctable(header, rows, column, classes, places) if all(written) else DRAWN.format(labels.noise)
