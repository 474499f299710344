"""The metadata records, held against the classes, torchvision's own facts and the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.data import catalogue
from bench.data.files.catalogued import ONE_MODE, Catalogued
from bench.errors import BenchError
from bench.plugins import DATASETS
from tests import ROOT

EXPECTED = {
    "caltech101", "oxfordpets", "flowers102", "dtd", "eurosat", "ucf101", "stanfordcars", "sun397", "fgvcaircraft",
    "food101", "food101n", "cifar10", "cifar100", "imagenet",
}  # fmt: skip
DOCS = ROOT / "docs" / "datasets.md"


def catalogued() -> list[str]:
    kinds = {row.name: DATASETS.get(row.name) for row in DATASETS.rows() if row.origin == "built-in"}
    return sorted(name for name, kind in kinds.items() if issubclass(kind, Catalogued))


def test_all_data_sets_are_registered_and_each_record_has_one() -> None:
    assert set(catalogued()) == EXPECTED
    assert {file.stem for file in Path(catalogue.__file__).parent.glob("*.toml")} == EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_record_is_complete(name: str) -> None:
    entry, kind = catalogue.entry(name), DATASETS.get(name)
    assert issubclass(kind, Catalogued)
    assert kind.name == name
    assert set(entry.sizes) == set(kind.modes or (ONE_MODE,))
    assert all((entry.title, entry.folder, entry.licence, entry.citation, entry.source, entry.notes))
    assert all(template.count("{}") == 1 and template.format("x") for template in entry.templates)
    assert re.search(r"(19|20)\d\d", entry.citation)
    for sizes in entry.sizes.values():
        assert sizes.classes > 1
        assert sizes.total or min(sizes.train, sizes.validation, sizes.test) > 0
    dataset = kind(Path("nowhere"), None)
    assert (dataset.templates, dataset.licence, dataset.source) == (entry.templates, entry.licence, entry.source)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_downloads_can_be_checked_or_say_what_to_do(name: str) -> None:
    entry = catalogue.entry(name)
    modes = set(DATASETS.get(name).modes)
    assert entry.downloads
    for download in entry.downloads:
        assert download.gives
        assert download.manual
        assert set(download.modes) <= modes
        assert all(re.fullmatch(r"https?://\S+", url) for url in download.urls)
        assert re.fullmatch(r"([0-9a-f]{64})?", download.sha256)
        assert re.fullmatch(r"([0-9a-f]{32})?", download.md5)
    if entry.split is not None:
        assert any(entry.split.name in download.gives for download in entry.downloads)


def test_hashes_and_addresses_are_torchvisions() -> None:
    """Where torchvision's class has them as attributes."""
    from torchvision import datasets

    theirs: dict[str, list[tuple[str, str]]] = {
        "oxfordpets": list(datasets.OxfordIIITPet._RESOURCES),
        "dtd": [(datasets.DTD._URL, datasets.DTD._MD5)],
        "sun397": [(datasets.SUN397._DATASET_URL, datasets.SUN397._DATASET_MD5)],
        "food101": [(datasets.Food101._URL, datasets.Food101._MD5)],
        "cifar10": [(datasets.CIFAR10.url, datasets.CIFAR10.tgz_md5)],
        "cifar100": [(datasets.CIFAR100.url, datasets.CIFAR100.tgz_md5)],
        "flowers102": [
            (f"{datasets.Flowers102._download_url_prefix}{file}", md5)
            for file, md5 in datasets.Flowers102._file_dict.values()
        ],
    }
    for name, facts in theirs.items():
        entry = catalogue.entry(name)
        assert hasattr(datasets, entry.torchvision)
        ours = {url: download.md5 for download in entry.downloads for url in download.urls}
        assert {url: ours.get(url) for url, _ in facts} == dict(facts), name


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_torchvisions_class_exists_where_a_mode_needs_it(name: str) -> None:
    from torchvision import datasets

    entry = catalogue.entry(name)
    assert ("tv" in entry.sizes and name != "food101n") <= bool(entry.torchvision)
    assert not entry.torchvision or hasattr(datasets, entry.torchvision)


def test_the_digest_of_a_split_file_is_of_its_content() -> None:
    one = catalogue.split_digest({"train": [["a", 0, "x"]], "val": [], "test": []})
    assert one == catalogue.split_digest({"test": (), "val": [], "train": [("a", 0, "x")]})
    assert one != catalogue.split_digest({"train": [["a", 1, "x"]], "val": [], "test": []})


@pytest.mark.parametrize("name", [row.name for row in DATASETS.rows() if row.origin == "built-in"])
def test_every_data_set_is_in_the_documentation_with_its_sizes(name: str) -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}`")]
    assert rows, f"docs/datasets.md has no row for {name}"
    if name not in EXPECTED:
        return
    entry = catalogue.entry(name)
    for sizes in entry.sizes.values():
        parts = [sizes.train, sizes.validation, sizes.test] if sizes.train else [sizes.test or sizes.total]
        assert any(" / ".join(f"{part:,}" for part in parts) in row for row in rows), (name, parts)
        assert any(f"| {sizes.classes:,}" in row or f", {sizes.classes:,} |" in row for row in rows)
    assert any(entry.licence in row for row in rows)


def test_a_record_that_is_missing_or_malformed_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('title = "Mine"\nfolder = 3\n')
    for name, line in (
        ("mine", "mine.toml: folder = 3: expected a valid string."),
        ("absent", 'data set "absent" has no catalogue entry.'),
    ):
        with pytest.raises(BenchError) as error:
            catalogue.entry(name, tmp_path)
        assert str(error.value) == line
