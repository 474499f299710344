"""First sentences of docstrings are short and begin as they should, and a name means one thing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

MOST_WORDS = 20
FOLDERS = ("bench", "methods", "noise", "reports")
NO_NOUNS = {"across", "beside", "told", "keep", "warm", "resolved", "named"}
# A verb that is new to the project is added here, once it is seen to be one.
VERBS = """
Add Annotate Append Apply Ask Average Build Call Centre Check Choose Classify Collect Compare Complete Compute Convert
Copy Correct Count Create Decode Describe Digest Display Distribute Divide Draw Drop Embed Encode End Escape Estimate
Examine Expand Explain Export Fetch Find Fit Flatten Flush Format Free Gather Group Handle Hold Identify Import Infer
Insert Join Judge Keep Kill Label Lay Limit List Load Locate Log Map Mark Match Measure Mix Move Multiply Name
Normalise Note Open Pair Parse Pass Permute Predict Prepare Print Project Publish Put Raise Rank Read Record Reduce
Register Reject Remove Rename Render Repeat Replace Report Require Resolve Restore Return Run Save Scale See Select
Send Serve Set Sharpen Shift Solve Sort Split Spread Stack Start Stop Strip Summarise Take Test Tokenise Train Unpack
Unpickle Unwrap Update Validate Wait Wrap Write Yield
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files() -> list[Path]:
    """Sources by their path in the repository; each of the links in `bench` is a folder of the root."""
    found = [file.relative_to(ROOT) for top in FOLDERS for file in sorted((ROOT / top).rglob("*.py"))]
    return [file for file in found if not (file.parts[0] == "bench" and file.parts[1] in FOLDERS)]


def first_sentence(doc: str) -> str:
    """Up to a full stop that ends a word, but for those of abbreviations."""
    paragraph = " ".join(doc.split("\n\n")[0].split())
    return re.split(r"(?<!e\.g)(?<!i\.e)(?<!\bal)(?<!\bvs)[.?!](?:\s|$)", paragraph)[0]


def definitions(node: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    for child in node.body:
        if isinstance(child, Function | ast.ClassDef):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from definitions(child)


def is_property(node: Function) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


FILES = [(file, ast.parse((ROOT / file).read_text(encoding="utf-8"))) for file in files()]


def test_there_is_something_to_read() -> None:
    assert len(FILES) > 200
    assert {file.parts[0] for file, _ in FILES} == set(FOLDERS)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Read it. Then stop.", "Read it"),
        ("Read\n    it, see Wei et al. 2022.\n\nMore.", "Read it, see Wei et al. 2022"),
        ("Read `a.b`, e.g. here", "Read `a.b`, e.g. here"),
    ],
)
def test_a_sentence_ends_at_its_full_stop(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


def test_first_sentences_are_short() -> None:
    long = [
        f"{file}: {sentence}"
        for file, tree in FILES
        for node in (tree, *definitions(tree))
        if len((sentence := first_sentence(ast.get_docstring(node) or "")).split()) > MOST_WORDS
    ]
    assert long == []


def test_first_sentences_of_functions_begin_with_a_verb() -> None:
    without = [
        f"{file}: {node.name}: {sentence}"
        for file, tree in FILES
        for node in definitions(tree)
        if isinstance(node, Function) and not is_property(node)
        if (sentence := first_sentence(ast.get_docstring(node) or ""))
        if sentence.split()[0].rstrip(",") not in VERBS.split()
    ]
    assert without == []


def test_modules_are_nouns_of_the_field() -> None:
    assert [str(file) for file, _ in FILES if file.stem in NO_NOUNS] == []


def test_a_module_and_its_function_do_not_share_a_name() -> None:
    shared = [
        str(file)
        for file, tree in FILES
        if file.stem in {node.name for node in tree.body if isinstance(node, Function)}
    ]
    assert shared == []


def test_a_class_name_stands_once() -> None:
    places = defaultdict(list)
    for file, tree in FILES:
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(file))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
