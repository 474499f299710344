"""When an option counts: the small language, chains of conditions, and what is said of an idle option."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from bench.contracts.conditions import conditions_of, deciding, idle, parsed, settled


def when(default: Any, condition: str) -> Any:
    return Field(default=default, json_schema_extra={"when": condition})


class Splits(BaseModel):
    loss: Literal["ce", "gce"] = "ce"
    split: Literal["none", "ot", "argmax"] = "none"
    rest: Literal["mae", "gce"] = when("mae", "split!=none")
    q: float = when(0.7, "loss=gce or rest=gce")
    length: int = when(0, "split=ot")
    begin: float = when(0.3, "length>0")


class Clean(Splits):
    split: Literal["none"] = "none"


class Epochs(BaseModel):
    epochs: int = 1
    warmup: int = 1
    rate: float = when(0.1, "epochs>warmup")
    slow: bool = False
    speed: float = when(1.0, "slow=false and epochs!=3")
    words: str = ""
    count: int = when(4, "words=")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"rest", "q", "length", "begin"}),
        ({"loss": "gce"}, {"rest", "length", "begin"}),
        ({"split": "ot"}, {"q", "begin"}),
        ({"split": "ot", "length": 2}, {"q"}),
        ({"split": "argmax", "rest": "gce"}, {"length", "begin"}),
        ({"rest": "gce"}, {"rest", "q", "length", "begin"}),  # a condition on an option that is idle itself
        ({"length": 2}, {"rest", "q", "length", "begin"}),
    ],
)
def test_what_is_idle_beside_what(given: dict[str, Any], expected: set[str]) -> None:
    assert set(idle(Splits(**given))) == expected


def test_every_comparison() -> None:
    assert set(idle(Epochs())) == {"rate"}
    assert set(idle(Epochs(epochs=2, slow=True, words="a"))) == {"speed", "count"}
    assert set(idle(Epochs(epochs=3, warmup=2))) == {"speed"}
    assert deciding(Epochs, "rate") == {"epochs", "warmup"}
    assert deciding(Epochs, "slow") == set()


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        (Splits(), "q", "it counts with loss=gce, or with rest=gce"),
        (Splits(rest="gce"), "q", "it counts with split other than none"),  # rest itself is what is idle
        (Splits(), "begin", "it counts with length above 0"),
        (Splits(length=1), "begin", "it counts with split=ot"),
        (Clean(), "rest", "no value of the other options makes it count"),
        (Epochs(), "rate", "it counts with epochs above warmup"),
        (Epochs(words="a"), "count", 'it counts with words=""'),
        (Epochs(slow=True), "speed", "it counts with slow=false and epochs other than 3"),
    ],
)
def test_what_would_make_it_count_is_said(options: BaseModel, name: str, words: str) -> None:
    assert idle(options)[name] == words


def test_idle_options_settle_at_their_defaults_and_nothing_else_changes() -> None:
    assert settled(Splits(q=0.5, rest="gce")) == Splits().model_dump()
    assert settled(Splits(loss="gce", q=0.5)) == Splits(loss="gce", q=0.5).model_dump()


def test_malformed_declarations() -> None:
    with pytest.raises(ValueError, match='"loss" is not of the form name=value'):
        parsed("loss")

    class Circular(BaseModel):
        one: int = when(1, "two>0")
        two: int = when(1, "one>0")

    class Lost(BaseModel):
        one: int = when(1, "thre>0")

    with pytest.raises(ValueError, match="whether option one counts depends on itself"):
        conditions_of(Circular)
    with pytest.raises(ValueError, match='option one counts beside "thre", which is no option'):
        conditions_of(Lost)
