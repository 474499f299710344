"""Kinds of label noise, one file each; `bench.contracts.noise` is the contract."""

from __future__ import annotations

from bench.registry import Row

ROWS = (
    Row("none", "bench.noise.none:NoNoise", "labels as they are", aliases=("clean",)),
    Row("symmetric", "bench.noise.symmetric:Symmetric", "a uniformly drawn other class", aliases=("sym",)),
    Row(
        "symmetric-inclusive",
        "bench.noise.symmetric_inclusive:SymmetricInclusive",
        "a uniformly drawn class, which may be the true one",
        aliases=("sym-inclusive",),
    ),
    Row(
        "asymmetric",
        "bench.noise.asymmetric:Asymmetric",
        "the next class in the stored order",
        aliases=("asym", "pair"),
    ),
    Row("class-map", "bench.noise.class_map:ClassMap", "along class pairs of your own file"),
    Row(
        "cifar10-map",
        "bench.noise.cifar10_map:Cifar10Map",
        "truck to car, bird to plane, deer to horse, cat to dog and back",
    ),
    Row("superclass", "bench.noise.superclass:Superclass", "the next class of the same superclass"),
    Row(
        "replacement",
        "bench.noise.replacement:Replacement",
        "images exchanged, observed classes balanced (JoAPR, PTNL)",
    ),
    Row("matrix", "bench.noise.matrix:Matrix", "drawn from a transition matrix of your own file"),
    Row(
        "instance",
        "bench.noise.instance:Instance",
        "depends on the image (Xia et al., on frozen features)",
        aliases=("idn",),
    ),
    Row("confusion", "bench.noise.confusion:Confusion", "a class that an encoder takes for similar"),
    Row("open-set", "bench.noise.open_set:OpenSet", "images of none of the classes, from another data set"),
    Row("imbalanced", "bench.noise.imbalanced:Imbalanced", "symmetric, at a rate that differs between classes"),
    Row("human", "bench.noise.human:Human", "labels of human annotators (CIFAR-10N, CIFAR-100N)"),
    Row("given", "bench.noise.given:Given", "labels as they stand in the data"),
    Row("mask", "bench.noise.mask:Mask", "images and labels as a file of yours has them"),
)
