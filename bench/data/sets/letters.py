"""Rendered letters, shipped with the package."""

from __future__ import annotations

from bench.data.sets.rendered import Rendered


class Letters(Rendered):
    """Letters in 26 classes, in fonts and distortions held out of the pretraining of `tiny`.

    Rendered once by `scripts/render_letters.py` and stored, so that the pixels are the same everywhere: 32 training, 8
    validation and 20 test images per class, white on black, both cases. The strength of the distortion was fixed on
    another seed, before any method ran, so that zero-shot accuracy lies near 62 %.
    """

    file = "letters.npz"
    class_names = tuple("abcdefghijklmnopqrstuvwxyz")
