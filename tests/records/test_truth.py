from __future__ import annotations

from bench.records.truth import completed


def test_what_a_record_does_not_say_is_what_the_others_of_its_narrowest_place_say() -> None:
    said = [False, None, True, None, None]
    kinds, settings = ["given", "given", "none", "symmetric", "none"], ["a", "a", "b", "a", "c"]
    assert completed(said, kinds, settings) == [False, False, True, False, True]
    assert completed([None], ["a"]) == [True], "nobody says"
    assert completed([True, False, None], ["a"] * 3)[2] is False, "right are labels of which all say so"
