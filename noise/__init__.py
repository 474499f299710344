"""Kinds of label noise, one file each; `bench.contracts.noise` is the contract."""

from __future__ import annotations

from bench.rows import Row

ROWS = (
    Row("none", "bench.noise.none:NoNoise", "labels as they are", aliases=("clean",), title="Clean"),
    Row("symmetric", "bench.noise.symmetric:Symmetric", "a uniformly drawn other class", aliases=("sym",),
        title="Symmetric", commonest="uniform"),
    Row("symmetric-inclusive", "bench.noise.symmetric_inclusive:SymmetricInclusive",
        "a uniformly drawn class, which may be the true one", aliases=("sym-inclusive",),
        title="Symmetric incl. true class"),
    Row("asymmetric", "bench.noise.asymmetric:Asymmetric", "the next class in the stored order",
        aliases=("asym", "pair"), title="Asymmetric", identifiable=0.5),
    # Of a map of your own it is taken that each class has one target.
    Row("class-map", "bench.noise.class_map:ClassMap", "along class pairs of your own file",
        title="Class map", identifiable=0.5),
    Row("cifar10-map", "bench.noise.cifar10_map:Cifar10Map",
        "truck to car, bird to plane, deer to horse, cat to dog and back",
        title="CIFAR-10 map", identifiable=0.5, paper="Patrini et al., CVPR 2017, arXiv 1609.03683"),
    Row("superclass", "bench.noise.superclass:Superclass", "the next class of the same superclass",
        title="Superclass", identifiable=0.5),
    Row("replacement", "bench.noise.replacement:Replacement",
        "images exchanged, observed classes balanced (JoAPR, PTNL)", title="Replacement",
        identifiable=0.5, beside="pattern=pair", commonest="uniform", spelled="pattern=symmetric"),
    Row("matrix", "bench.noise.matrix:Matrix", "drawn from a transition matrix of your own file",
        title="Transition matrix", paper="Patrini et al., CVPR 2017, arXiv 1609.03683"),
    Row("instance", "bench.noise.instance:Instance", "depends on the image (Xia et al., on frozen features)",
        aliases=("idn",), title="Instance-dependent", commonest="uniform",
        paper="Xia et al., NeurIPS 2020, arXiv 2006.07836"),
    Row("confusion", "bench.noise.confusion:Confusion", "a class that an encoder takes for similar",
        title="Confusion", commonest="top_share=0.4"),
    Row("open-set", "bench.noise.open_set:OpenSet", "images of none of the classes, from another data set",
        title="Open-set", paper="Wang et al., CVPR 2018, arXiv 1804.00092"),
    # Where half of the classes have it all, their labels are a draw at (C-1)/2C: 0.45 of ten classes.
    Row("imbalanced", "bench.noise.imbalanced:Imbalanced", "symmetric, at a rate that differs between classes",
        title="Class-imbalanced", identifiable=0.45, beside="shape=half", commonest="uniform"),
    Row("human", "bench.noise.human:Human", "labels of human annotators (CIFAR-10N, CIFAR-100N)",
        title="Human", spelled="labels=worst", paper="Wei et al., ICLR 2022, arXiv 2110.12088"),
    Row("given", "bench.noise.given:Given", "labels as they stand in the data", title="Given"),
    Row("mask", "bench.noise.mask:Mask", "images and labels as a file of yours has them", title="Mask"),
)  # fmt: skip
