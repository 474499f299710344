"""The kinds of label noise, one file each; `noise.base` is the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.registry import Registry, Row

if TYPE_CHECKING:
    from noise.base import Noise

NOISE: Registry[type[Noise]] = Registry(
    "noise",
    "noisy_prompt_bench.noise",
    "noise.base:Noise",
    (
        Row("none", "noise.none:NoNoise", "labels as they are", aliases=("clean",)),
        Row("symmetric", "noise.symmetric:Symmetric", "a uniformly drawn other class", aliases=("sym",)),
        Row(
            "symmetric-inclusive",
            "noise.symmetric_inclusive:SymmetricInclusive",
            "a uniformly drawn class, which may be the true one",
            aliases=("sym-inclusive",),
        ),
        Row(
            "asymmetric", "noise.asymmetric:Asymmetric", "the next class in the stored order", aliases=("asym", "pair")
        ),
        Row("class-map", "noise.class_map:ClassMap", "along class pairs of your own file"),
        Row(
            "cifar10-map",
            "noise.cifar10_map:Cifar10Map",
            "truck to car, bird to plane, deer to horse, cat to dog and back",
        ),
        Row("superclass", "noise.superclass:Superclass", "the next class of the same superclass"),
        Row(
            "replacement", "noise.replacement:Replacement", "images exchanged, observed classes balanced (JoAPR, PTNL)"
        ),
        Row("matrix", "noise.matrix:Matrix", "drawn from a transition matrix of your own file"),
        Row(
            "instance",
            "noise.instance:Instance",
            "depends on the image (Xia et al., on frozen features)",
            aliases=("idn",),
        ),
        Row("confusion", "noise.confusion:Confusion", "a class that an encoder takes for similar"),
        Row("open-set", "noise.open_set:OpenSet", "images of none of the classes, from another data set"),
        Row("imbalanced", "noise.imbalanced:Imbalanced", "symmetric, at a rate that differs between classes"),
        Row("human", "noise.human:Human", "labels of human annotators (CIFAR-10N, CIFAR-100N)"),
        Row("given", "noise.given:Given", "labels as they stand in the data"),
        Row("mask", "noise.mask:Mask", "images and labels as a file of yours has them"),
    ),
)
