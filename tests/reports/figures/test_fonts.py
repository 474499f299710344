"""Names in any script on figures: by fonts that have the characters, else by numbers and codes; never as boxes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import font_manager, get_data_path, style
from matplotlib.figure import Figure
from PIL import Image

from bench.reports.figures import fonts
from bench.reports.figures.contact_sheet import Tile, draw_sheets
from bench.reports.figures.folder import FigureFolder
from bench.reports.figures.fonts import class_texts, fit, needed, tell
from bench.reports.figures.style import FONT, RC

CAT, NOTE = "猫", "no installed font has the characters"
OTHER = "STIXGeneral"  # comes with matplotlib and has characters that the usual font has not


def forget() -> None:
    fonts._families.cache_clear()
    fonts._told.clear()


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any font but the one that comes with matplotlib."""
    monkeypatch.setattr(fonts, "_installed", lambda: iter(()))


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> str:
    """A character of the other font, which is installed."""
    entries = [entry for entry in font_manager.fontManager.ttflist if entry.name == OTHER]
    monkeypatch.setattr(fonts, "_installed", lambda: iter(entries))
    codes = fonts._characters(OTHER) - fonts._characters(FONT)
    return chr(min(code for code in codes if chr(code).isalpha()))


def drawn(title: str, ticks: list[str], rotation: int = 0) -> Figure:
    with style.context(["default", RC]):
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        axes.set_xticks(range(len(ticks)), ticks, fontsize=6.5, rotation=rotation)
        axes.set_title(title, fontweight="bold")
        fit(figure)
        figure.draw_without_rendering()
    return figure


def texts(figure: Figure) -> list[str]:
    return [figure.axes[0].get_title(), *(label.get_text() for label in figure.axes[0].get_xticklabels())]


@pytest.mark.usefixtures("bare")
def test_without_a_font_names_are_numbers_and_other_texts_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert class_texts(["dog", CAT, "chien é →", f"{CAT} 1"]) == ["dog", "class 1", "chien é →", "class 3"]
    figure = drawn(f"folder:{CAT}", ["dog", CAT], rotation=90)
    assert texts(figure) == ["folder:\\u732b", "dog", "\\u732b"]
    assert {label.get_fontsize() for label in figure.axes[0].get_xticklabels()} == {6.5}
    assert {label.get_rotation() for label in figure.axes[0].get_xticklabels()} == {90}
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{NOTE} {CAT}; classes are drawn by their number" in error
    assert "apt install fonts-noto-cjk)" in error


@pytest.mark.usefixtures("bare")
def test_it_is_said_once_for_all_characters(capsys: pytest.CaptureFixture[str]) -> None:
    tell(["ไทย", "plain", CAT, "一二三四五六七"])
    tell([CAT, "二"])
    error = capsys.readouterr().err
    assert error.count(NOTE) == 1
    assert "and 3 more" in error
    assert "apt install fonts-noto-cjk fonts-noto-core)" in error


def test_a_font_that_has_the_characters_is_found(other: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert needed([f"a{other}b"]) == {other}
    assert class_texts(["dog", other]) == ["dog", other]
    figure = drawn(f"x {other}", ["dog", other])
    assert texts(figure) == [f"x {other}", "dog", other]
    labels = [figure.axes[0].title, *figure.axes[0].get_xticklabels()]
    assert [label.get_fontfamily() for label in (labels[0], labels[2])] == [[FONT, OTHER]] * 2
    assert capsys.readouterr().err == ""


def test_characters_without_a_form_are_left_out(other: str) -> None:
    assert texts(drawn(f"{other}\U000e0100 x", ["a"])) == [f"{other} x", "a"]


def test_a_figure_of_usual_characters_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> None:
        raise AssertionError("fonts are looked for")

    monkeypatch.setattr(fonts, "_installed", forbidden)
    figure = drawn("50 % · “é” → кошка\nα", ["β", "…"])
    assert figure.axes[0].title.get_fontfamily() == ["sans-serif"]
    assert figure.axes[0].title.get_fontweight() == "bold"


def test_fonts_that_came_after_matplotlib_had_looked_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late, torn = tmp_path / "late.ttf", tmp_path / "torn.ttf"
    shutil.copy(Path(get_data_path()) / "fonts" / "ttf" / "STIXGeneral.ttf", late)
    torn.write_bytes(b"no font")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(late), str(torn)])
    try:
        assert str(late) in [entry.fname for entry in fonts._installed()]
    finally:
        font_manager.fontManager._findfont_cached.cache_clear()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("bare")
def test_a_figure_is_written_in_every_format_and_its_data_keep_the_names(tmp_path: Path) -> None:
    with style.context(["default", RC]):
        figure = Figure()
        figure.subplots().set_yticks([0], [CAT])
        saved = FigureFolder(tmp_path).save(figure, pd.DataFrame({"class": [CAT]}), "kind-x", "caption", "setting")
    assert {file.suffix for file in saved.files} == {".pdf", ".svg", ".png", ".csv"}
    svg = (tmp_path / "kind-x.svg").read_text(encoding="utf-8")
    assert "\\u732b" in svg
    assert CAT not in svg
    assert CAT in (tmp_path / "kind-x.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("font", ["bare", "other"])
def test_contact_sheets_have_no_boxes(font: str, request: pytest.FixtureRequest) -> None:
    name = request.getfixturevalue(font) or CAT
    image = Image.fromarray(np.zeros((4, 4), np.uint8))
    tile = Tile(1, image, *class_texts([name, "dog"]), true=f"{name}{name}", wrong=True)
    assert set(draw_sheets([tile], f"folder:{name}")) == {"-1.png", ".pdf"}


def test_a_font_whose_file_is_gone_has_no_character(tmp_path: Path) -> None:
    assert fonts._charmap(str(tmp_path / "gone.ttf")) == frozenset()
