from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BenchError
from bench.registry import ROWS, Registry
from bench.rows import Row


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"family": "loses"}, '"a" from built-in: family = \'loses\': did you mean "losses"?'),
        ({"color": "#FF0000"}, "color = '#FF0000': known: black, blue, green, orange, purple, sky, vermillion."),
        ({"marker": "circle"}, "marker = 'circle': known: "),
        ({"dash": "dots"}, "did you mean"),
        ({"title": "two\nlines"}, "title = 'two\\nlines': expected one line of text."),
        ({"title": 3}, "title = 3: expected one line of text."),
        ({"alone": "it\nbreaks"}, "alone = 'it\\nbreaks': expected one line of text."),
        ({"alone_when": "faithful=true"}, "alone_when = 'faithful=true': expected `alone` beside it"),
        ({"cost": 0}, "cost = 0: expected a number above 0"),
        ({"cost": "high"}, "cost = 'high': expected a number above 0"),
        ({"identifiable": 50}, "identifiable = 50: expected a number above 0, at most 1."),
        ({"commonest": "top_share"}, "commonest = 'top_share': expected uniform or option=value."),
        ({"version_when": ("faithful=true", 1)}, "version_when = ('faithful=true', 1): expected a condition and"),
        ({"version_when": ["faithful=true", 2]}, "version_when = ['faithful=true', 2]: expected a condition and"),
        ({"version_when": 3}, "version_when = 3: expected a condition and a version above 1"),
        ({"beside": "pattern"}, "beside = 'pattern': expected option=value."),
    ],
)
def test_what_a_row_may_not_say_is_one_line(said: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError) as caught:
        Row("a", "x:y", **said)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a[b]", "a@clean", "a=b", "a,b", "folder:a", "*", 'a"b', "a\n", 3])
def test_a_name_that_no_grid_could_give_is_refused(name: str) -> None:
    for row in ({"name": name}, {"name": "a", "aliases": ("b", name)}):
        with pytest.raises(BenchError, match="cannot be named in a grid; expected a name without blanks") as caught:
            known(Row(**{"target": "x:y", **row})).rows()
        assert "\n" not in str(caught.value)


def known(*rows: Row) -> Registry[Any]:
    return Registry("thing", "no.such.group", None, rows)


def test_a_file_says_of_its_plugin_what_a_row_says() -> None:
    registry = known()
    registry.register("mine", Path, "a path", 2, aliases=("m",), title="Mine", cost=3, family="prompts")
    row = registry.row("m")
    assert (row.title, row.cost, row.family, row.version) == ("Mine", 3, "prompts", 2)
    assert row.origin == "file test_rows.py"
    with pytest.raises(BenchError, match=r'thing "b": a row has no "colour"; did you mean "color"\?'):
        registry.register("b", Path, colour="green")
    assert "b" not in list(registry)


def test_two_rows_of_one_title_name_both() -> None:
    registry = known(Row("coop", "x:y", title="CoOp"))
    for title in ("CoOp", "coop"):
        with pytest.raises(BenchError, match=f'thing "a" from file p has the title "{title}" of "coop" from built-in'):
            registry.add(Row("a", "x:y", title=title, origin="file p"))


def test_a_package_says_of_its_plugins_what_rows_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "their_rows.py").write_text(
        "from bench.rows import Row\n"
        "ROWS = (Row('theirs', 'no_such_module:Thing', title='Theirs', cost=5),)\nWRONG = ('theirs',)\n"
    )
    points, real = list[importlib.metadata.EntryPoint](), importlib.metadata.entry_points
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda **by: points if by.get("group") == ROWS else real(**by)
    )
    points[:] = [importlib.metadata.EntryPoint(kind, "their_rows:ROWS", ROWS) for kind in ("thing", "another")]
    row = known().row("theirs")
    assert (row.title, row.cost, row.origin) == ("Theirs", 5, "an installed package")
    points[:] = [importlib.metadata.EntryPoint("thing", "their_rows:WRONG", ROWS)]
    with pytest.raises(BenchError, match=r"their_rows:WRONG of .* is not a tuple of bench\.rows\.Row"):
        known().rows()
    points[:] = [importlib.metadata.EntryPoint("thing", "gone_rows:ROWS", ROWS)]
    with pytest.raises(BenchError, match="the rows of an installed package do not load from gone_rows:ROWS"):
        known().rows()
