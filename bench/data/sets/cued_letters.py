"""Two rendered letters over each other, shipped with the package; a colour says which one is named."""

from __future__ import annotations

from bench.data.sets.rendered import Rendered


class CuedLetters(Rendered):
    """Pairs of the letters a to j on a coloured ground, of which the label names the warm one.

    In fonts and a hand held out of the pretraining of `tiny`. Rendered once by `scripts/render_cued_letters.py` and
    stored: 32 training, 8 validation and 40 test images per class, in colour. How bright the other letter may be was
    fixed on another seed, before any method ran, so that zero-shot accuracy lies near 50 %. `docs/evidence.md` says
    what the data are for.
    """

    file = "cued_letters.npz"
    class_names = tuple("abcdefghij")
