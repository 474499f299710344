"""The page of `bench suspects` for one set of labels, from what was ranked and found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.cli.suspect_text import FOOTING, Found, not_judged
from bench.dataset_name import folder_of
from bench.reports.html.suspects import ClassTest, Suspect, SuspectPage, suspects_page
from bench.suspects.chance import class_agreements
from bench.suspects.corrections import correctable
from bench.suspects.images import LabelSetImages
from bench.suspects.score import SuspectRanking
from bench.suspects.table import title

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


def page(
    ranking: SuspectRanking, shown: pd.DataFrame, images: Mapping[int, Image], source: LabelSetImages, found: Found
) -> bytes:
    """Render the page of some of the ranked samples.

    Args:
        ranking: of all samples.
        shown: their rows, with names.
        images: by rank.
        source: of all images.
        found: what is said of the ranking.
    """
    labels = ranking.labels
    whole = correctable(labels, source)
    table = None if isinstance(whole, str) else whole
    suspects = []
    for row, numbers in zip(shown.to_dict("records"), ranking.table.loc[shown.index].to_dict("records"), strict=True):
        known: dict[str, Any] = {}
        if "true" in row:
            known = {"true": row.get("true_label") or row["true"], "wrong": bool(row["wrong"])}
        own = None if table is None else table.places[row["path"]]
        pair = int(numbers["given"]), int(numbers["proposed"])
        suspects.append(Suspect(row["rank"], row["path"], images[row["rank"]], *pair, row["score"], **known, row=own))
    folder = folder_of(labels.name.dataset)
    return suspects_page(
        SuspectPage(
            title=title(labels),
            classes=source.class_labels or labels.class_names,
            suspects=suspects,
            references=_references(ranking, suspects, source),
            labels=len(ranking.table),
            out_of_sample=ranking.out_of_sample,
            guessed=[
                ClassTest(one.label, one.given, one.agreed, one.predicted)
                for one in class_agreements(ranking)
                if one.guessed
            ],
            precision=found.facts["precision"],
            wrong=found.wrong,
            unjudged=found.unjudged,
            lacking=f"{lacking[0].upper()}{lacking[1:]}. {FOOTING}" if (lacking := not_judged(found.facts)) else "",
            table=None if table is None else (table.header, table.rows, table.column),
            refusal=whole if isinstance(whole, str) else "",
            folder="" if folder is None else folder.name,
        )
    ).encode()


def _references(ranking: SuspectRanking, suspects: list[Suspect], source: LabelSetImages) -> dict[int, Image]:
    """Find for each class that is shown its most surely right sample: the least suspicious whose label is predicted."""
    agreed = ranking.table[ranking.table["given"] == ranking.table["proposed"]]
    last = agreed.groupby("given")["image"].last()
    wanted = sorted({label for one in suspects for label in (one.given, one.proposed)} & set(last.index))
    found = {label: source.image(int(last[label])) for label in wanted}
    return {label: image for label, image in found.items() if image is not None}
