"""Text tower against open_clip's own forward of whole prompts: random weights of ViT-B/16's size, and `tiny`.

Run with `pytest --benchmark-only -o addopts= tests/benchmarks`. One thread, forward and backward, rounds of both sides
interleaved; the ratio of the two minima stands below the table. Time never fails a test; wrong values do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.clip.load import load_tiny
from bench.plugins import DATASETS
from tests.clip import naive

ROUNDS, PER_ROUND, VECTORS = 2, 5, 16
ROUNDED = 2e-6  # of the largest number, both sides together: either differs from float64 by up to 1e-6
CALTECH101 = """
face; leopard; motorbike; accordion; airplane; anchor; ant; barrel; bass; beaver; binocular; bonsai; brain;
brontosaurus; buddha; butterfly; camera; cannon; car_side; ceiling_fan; cellphone; chair; chandelier; cougar_body;
cougar_face; crab; crayfish; crocodile; crocodile_head; cup; dalmatian; dollar_bill; dolphin; dragonfly;
electric_guitar; elephant; emu; euphonium; ewer; ferry; flamingo; flamingo_head; garfield; gerenuk; gramophone;
grand_piano; hawksbill; headphone; hedgehog; helicopter; ibis; inline_skate; joshua_tree; kangaroo; ketch; lamp;
laptop; llama; lobster; lotus; mandolin; mayfly; menorah; metronome; minaret; nautilus; octopus; okapi; pagoda; panda;
pigeon; pizza; platypus; pyramid; revolver; rhino; rooster; saxophone; schooner; scissors; scorpion; sea_horse;
snoopy; soccer_ball; stapler; starfish; stegosaurus; stop_sign; strawberry; sunflower; tick; trilobite; umbrella;
watch; water_lilly; wheelchair; wild_cat; windsor_chair; wrench; yin_yang
"""
STANFORD_CARS = """
2000 AM General Hummer SUV; 2012 Acura RL Sedan; 2012 Acura TL Sedan; 2008 Acura TL Type-S; 2012 Acura TSX Sedan;
2001 Acura Integra Type R; 2012 Acura ZDX Hatchback; 2012 Aston Martin V8 Vantage Convertible;
2012 Aston Martin V8 Vantage Coupe; 2012 Aston Martin Virage Convertible; 2012 Aston Martin Virage Coupe;
2008 Audi RS 4 Convertible; 2012 Audi A5 Coupe; 2012 Audi TTS Coupe; 2012 Audi R8 Coupe; 1994 Audi V8 Sedan;
1994 Audi 100 Sedan; 1994 Audi 100 Wagon; 2011 Audi TT Hatchback; 2011 Audi S6 Sedan; 2012 Audi S5 Convertible;
2012 Audi S5 Coupe; 2012 Audi S4 Sedan; 2007 Audi S4 Sedan; 2012 Audi TT RS Coupe; 2012 BMW ActiveHybrid 5 Sedan;
2012 BMW 1 Series Convertible; 2012 BMW 1 Series Coupe; 2012 BMW 3 Series Sedan; 2012 BMW 3 Series Wagon;
2007 BMW 6 Series Convertible; 2007 BMW X5 SUV; 2012 BMW X6 SUV; 2012 BMW M3 Coupe; 2010 BMW M5 Sedan;
2010 BMW M6 Convertible; 2012 BMW X3 SUV; 2012 BMW Z4 Convertible;
2012 Bentley Continental Supersports Conv. Convertible; 2009 Bentley Arnage Sedan; 2011 Bentley Mulsanne Sedan;
2012 Bentley Continental GT Coupe; 2007 Bentley Continental GT Coupe; 2007 Bentley Continental Flying Spur Sedan;
2009 Bugatti Veyron 16.4 Convertible; 2009 Bugatti Veyron 16.4 Coupe; 2012 Buick Regal GS; 2007 Buick Rainier SUV;
2012 Buick Verano Sedan; 2012 Buick Enclave SUV; 2012 Cadillac CTS-V Sedan; 2012 Cadillac SRX SUV;
2007 Cadillac Escalade EXT Crew Cab; 2012 Chevrolet Silverado 1500 Hybrid Crew Cab;
2012 Chevrolet Corvette Convertible; 2012 Chevrolet Corvette ZR1; 2007 Chevrolet Corvette Ron Fellows Edition Z06;
2012 Chevrolet Traverse SUV; 2012 Chevrolet Camaro Convertible; 2010 Chevrolet HHR SS; 2007 Chevrolet Impala Sedan;
2012 Chevrolet Tahoe Hybrid SUV; 2012 Chevrolet Sonic Sedan; 2007 Chevrolet Express Cargo Van;
2012 Chevrolet Avalanche Crew Cab; 2010 Chevrolet Cobalt SS; 2010 Chevrolet Malibu Hybrid Sedan;
2009 Chevrolet TrailBlazer SS; 2012 Chevrolet Silverado 2500HD Regular Cab;
2007 Chevrolet Silverado 1500 Classic Extended Cab; 2007 Chevrolet Express Van; 2007 Chevrolet Monte Carlo Coupe;
2007 Chevrolet Malibu Sedan; 2012 Chevrolet Silverado 1500 Extended Cab; 2012 Chevrolet Silverado 1500 Regular Cab;
2009 Chrysler Aspen SUV; 2010 Chrysler Sebring Convertible; 2012 Chrysler Town and Country Minivan;
2010 Chrysler 300 SRT-8; 2008 Chrysler Crossfire Convertible; 2008 Chrysler PT Cruiser Convertible;
2002 Daewoo Nubira Wagon; 2012 Dodge Caliber Wagon; 2007 Dodge Caliber Wagon; 1997 Dodge Caravan Minivan;
2010 Dodge Ram Pickup 3500 Crew Cab; 2009 Dodge Ram Pickup 3500 Quad Cab; 2009 Dodge Sprinter Cargo Van;
2012 Dodge Journey SUV; 2010 Dodge Dakota Crew Cab; 2007 Dodge Dakota Club Cab; 2008 Dodge Magnum Wagon;
2011 Dodge Challenger SRT8; 2012 Dodge Durango SUV; 2007 Dodge Durango SUV; 2012 Dodge Charger Sedan;
2009 Dodge Charger SRT-8; 1998 Eagle Talon Hatchback; 2012 FIAT 500 Abarth; 2012 FIAT 500 Convertible
"""


def names(text: str) -> list[str]:
    return [name.strip() for name in text.replace("\n", " ").split(";")]


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Any, Backbone]]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    config = open_clip.get_model_config("ViT-B-16") | {"quick_gelu": True}
    config["vision_cfg"]["layers"] = 1
    built = naive.model(config)
    yield built, Backbone(built, "ViT-B-16", {"size": 224})
    torch.set_num_threads(before)


def timed(side: Callable[[Tensor], Tensor], context: Tensor) -> tuple[float, Tensor, Tensor]:
    """Seconds of forward and backward on the processor, which other work there changes less; values and gradient."""
    context = context.clone().requires_grad_()
    start = time.process_time()
    values = side(context)
    values.square().sum().backward()
    seconds = time.process_time() - start
    assert context.grad is not None
    return seconds, values.detach(), context.grad


def compare(
    benchmark: Any,
    record_property: Any,
    fast: Callable[[Tensor], Tensor],
    slow: Callable[[Tensor], Tensor],
    context: Tensor,
    per_round: int = PER_ROUND,
) -> None:
    """Alternate one naive run and several of ours; the benchmark's own table shows ours."""
    naive_seconds: list[float] = []
    own_seconds: list[float] = []
    expected: list[Tensor] = []

    def setup() -> None:
        if len(own_seconds) % per_round == 0:
            seconds, *expected[:] = timed(slow, context)
            naive_seconds.append(seconds)

    def target() -> list[Tensor]:
        seconds, *found = timed(fast, context)
        own_seconds.append(seconds)
        return found

    found = benchmark.pedantic(target, setup=setup, rounds=ROUNDS * per_round, iterations=1)
    for one, reference in zip(found, expected, strict=True):
        assert (one - reference).abs().max() <= ROUNDED * reference.abs().max()
    naive_side, own = min(naive_seconds), min(own_seconds)
    record_property(
        "comparison",
        f"whole prompts {naive_side * 1e3:.4g} ms, ours {own * 1e3:.4g} ms, ratio of minima {naive_side / own:.1f}",
    )


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("text", [CALTECH101, STANFORD_CARS], ids=["caltech101", "stanford_cars"])
def test_shared_context(benchmark: Any, record_property: Any, pair: tuple[Any, Backbone], text: str) -> None:
    built, backbone = pair
    classes = backbone.class_tokens(names(text))
    assert len(classes) == 100
    context = torch.randn(VECTORS, 512, generator=torch.Generator().manual_seed(1)) * 0.02
    compare(
        benchmark,
        record_property,
        lambda given: backbone.text(given, classes),
        lambda given: naive.encode(built, given, classes),
        context,
    )


@pytest.mark.timeout(3000)
def test_per_image_contexts(benchmark: Any, record_property: Any, pair: tuple[Any, Backbone]) -> None:
    built, backbone = pair
    classes = backbone.class_tokens(names(CALTECH101)[:20])
    contexts = torch.randn(8, VECTORS, 512, generator=torch.Generator().manual_seed(2)) * 0.02
    compare(
        benchmark,
        record_property,
        lambda given: backbone.text(given, classes),
        lambda given: torch.stack([naive.encode(built, one, classes) for one in given]),
        contexts,
    )


@pytest.mark.parametrize("images", [0, 32], ids=["shared", "per_image"])
@pytest.mark.parametrize("dataset", ["digits", "letters"])
def test_tiny(benchmark: Any, record_property: Any, pair: tuple[Any, Backbone], dataset: str, images: int) -> None:
    """The tower of the embedded grids: here operations, not products, are most of a step."""
    backbone = load_tiny()
    built: Any = backbone._model
    classes = backbone.class_tokens(DATASETS.get(dataset)(None).class_names)
    shape = (images, VECTORS, backbone.width) if images else (VECTORS, backbone.width)

    def slow(given: Tensor) -> Tensor:
        every = [naive.encode(built, one, classes) for one in given.reshape(-1, *shape[-2:])]
        return torch.stack(every).reshape(*shape[:-2], len(classes), -1)

    context = torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 0.02
    compare(benchmark, record_property, lambda given: backbone.text(given, classes), slow, context, per_round=40)
