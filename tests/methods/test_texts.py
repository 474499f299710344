"""What methods say beforehand of the texts that they encode, against what they do encode."""

from __future__ import annotations

from typing import Any

import pytest

from bench.clip import backbone as facade
from bench.clip.tokens import END, ClassTokens, encode
from bench.contracts.method import Method, Text, filled
from bench.plugins import METHODS
from bench.testing.fixtures import CLASSES, TEMPLATES, build, inputs_for, predictions
from tests.testing.test_method_contract import VARIANTS

CASES = [(name, options) for name in METHODS for options in ({}, *VARIANTS.get(name, ()))]


@pytest.mark.parametrize(("name", "options"), CASES, ids=lambda value: str(value).replace("'", ""))
def test_all_texts_are_known_before_a_run(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same token ids, and the same room for the longest prompt."""
    ids: set[int] = set()
    room = [0]
    tokenised, encoded, checked = facade.tokenise, facade.encode, ClassTokens.check_room

    def tokenise(*given: Any, **more: Any) -> ClassTokens:
        classes = tokenised(*given, **more)
        ids.update(token for text in (*classes.ids, *classes.tails) for token in text)
        return classes

    def phrase(*given: Any) -> tuple[int, ...]:
        ids.update(encoded(*given))
        return encoded(*given)

    def check_room(classes: ClassTokens, context: int, positions: int) -> None:
        room.append(1 + context + max(classes.lengths))
        checked(classes, context, positions)

    monkeypatch.setattr(facade.Backbone, "text_templates", facade.Backbone._encode)  # not what is kept
    monkeypatch.setattr(facade, "tokenise", tokenise)
    monkeypatch.setattr(facade, "encode", phrase)
    monkeypatch.setattr(ClassTokens, "check_room", check_room)
    method = METHODS.get(name)
    chosen = method.Options(**options)
    predictions(build(method, chosen), inputs_for(method.needs(chosen), 2, 1))
    texts = method.texts(chosen, CLASSES, TEMPLATES)
    assert ids - {END} == {token for text, _ in texts for token in encode(text)}
    assert max(room) == max((2 + context + len(encode(text)) for text, context in texts), default=0)


def test_templates_are_filled_template_by_template() -> None:
    assert filled(["a {}.", "the {}"], ["dog", "sea_horse"]) == (
        Text("a dog."), Text("a sea horse."), Text("the dog"), Text("the sea horse"),
    )  # fmt: skip


def test_a_method_that_says_nothing_of_its_texts_has_none() -> None:
    assert Method.texts(Method.Options(), CLASSES, TEMPLATES) == ()
