"""The only interface to a frozen CLIP, for methods, the loop and the feature store."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, cast

import torch
from PIL import Image
from torch import Tensor, nn

from bench.clip.architectures import check_square
from bench.clip.image import image_tower
from bench.clip.precision import full, tower
from bench.clip.prompts import Form, Position
from bench.clip.text import TextTower
from bench.clip.tokens import ClassTokens, Vocabulary, encode, tokenise
from bench.errors import BenchError
from bench.lockstep import FEW_ROWS, LayerNorm, Linear, one_by_one, together

__all__ = ["Backbone", "ClassTokens", "ImageFeatures", "Position"]

FEW_ON_GPU = 4  # images that are encoded member by member; more would lose what a pack saves
FEW_CLASSES = 4  # of whose prompts a product with a matrix may have less than `FEW_ROWS` rows
TEXT_CHUNK = 256
LISTS_KEPT = 4  # of texts with their features, oldest first out


class ImageFeatures(NamedTuple):
    """Unnormalised features of B images: pooled [B, D] and the last layer's tokens [B, T, D]."""

    pooled: Tensor
    tokens: Tensor


class Backbone:
    """A frozen dual encoder in float32 and evaluation mode. It is no `nn.Module`, so no method trains or copies it.

    What a method may train or change is a private copy: `image_layers`, `changed`.

    Args:
        model: `open_clip.CLIP` or `open_clip.CustomTextCLIP` with its weights; frozen in place.
        name: how records name it.
        preprocess_cfg: open_clip's preprocessing settings (size, mean, std, interpolation, resize_mode).
        rows: the token ids that have an embedding, or None for the whole vocabulary.
        form: how prompts are laid out (`bench.clip.prompts`); None is what costs least.

    Attributes:
        name: as given.
        width: W, of the text tower's tokens.
        embed_dim: D, of the joint space.
        image_size: height and width of the input in pixels (one number; the towers are square).
        num_tokens: T, patch tokens per image.
        context_length: positions of the text tower, [SOS] and [EOT] included.
        text_layers: number of its layers.
        preprocess_id: the preprocessing settings as sorted JSON, for keys.
        code: what stands for the code of a third party's backbone in keys of features; empty for ours.

    Raises:
        BenchError: a tower is of a kind that the facade cannot serve.
    """

    code: str = ""

    def __init__(
        self,
        model: nn.Module,
        name: str,
        preprocess_cfg: Mapping[str, Any],
        rows: frozenset[int] | None = None,
        form: Form | None = None,
    ) -> None:
        frozen: Any = model.float().eval().requires_grad_(False)
        self._model = frozen
        self._text, self._image = TextTower(model, form), image_tower(frozen.visual)
        self._preprocess_cfg, self._rows = dict(preprocess_cfg), rows
        self._encoded: dict[tuple[str, ...], Tensor] = {}
        self.name = name
        self.width, self.context_length = self._text.width, self._text.context_length
        self.text_layers = len(self._text.blocks)
        self.embed_dim = int(frozen.visual.output_dim)
        size = frozen.visual.image_size
        check_square(size, "image_size", f"backbone {name}")
        self.image_size = int(size if isinstance(size, int) else size[0])
        self.num_tokens = self._image.num_tokens
        self.preprocess_id = json.dumps(self._preprocess_cfg, sort_keys=True)

    def to(self, device: str | torch.device) -> Backbone:
        """Move the weights in place and return the backbone. Class tokens stay on the device they were made on."""
        self._model.to(device)
        self._encoded.clear()
        return self

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return the frozen weights of both towers."""
        return self._model.parameters()  # type: ignore[no-any-return] # open_clip is untyped

    @property
    def vocabulary(self) -> Vocabulary:
        """Words that have an embedding, and the positions of the text tower."""
        return Vocabulary(self._rows, self.context_length)

    @property
    def vision_width(self) -> int:
        """Token width Wv inside the image tower. BenchError where that is no vision transformer."""
        return self._image.transformer().width

    @property
    def vision_layers(self) -> int:
        """Number of layers of the image tower. BenchError where that is no vision transformer."""
        return self._image.transformer().layers

    @property
    def patch_size(self) -> int:
        """Height and width of a patch in pixels. BenchError where the image tower is no vision transformer."""
        return self._image.transformer().patch_size

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.token_embedding.device

    @property
    def token_embedding(self) -> Tensor:
        """The embedding table, [49408, W]."""
        return self._text.token_embedding.weight

    @property
    def logit_scale(self) -> Tensor:
        """The logarithm of the inverse temperature, 0-dimensional."""
        return cast("Tensor", self._model.logit_scale).detach().reshape(())

    @property
    def scale(self) -> Tensor:
        """The inverse temperature, exp(logit_scale), 0-dimensional; about 100 for OpenAI's weights."""
        return self.logit_scale.exp()

    @cached_property
    def preprocess(self) -> Callable[[Image.Image], Tensor]:
        """Evaluation transform from the weights' own configuration: image to pixels [3, H, W]."""
        from open_clip.transform import PreprocessCfg, image_transform_v2

        return cast("Callable[[Image.Image], Tensor]", image_transform_v2(PreprocessCfg(**self._preprocess_cfg), False))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights as loaded and of settings that shapes do not show.

        These are heads and activation; no path enters.
        """
        state = hashlib.sha256(json.dumps(_hidden_facts(self._model)).encode())
        entries = {key.removeprefix("text."): value for key, value in self._model.state_dict().items()}
        for key in sorted(entries):
            value = entries[key].detach().cpu().contiguous()
            state.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
            state.update(value.reshape(-1).view(torch.uint8).numpy())
        return state.hexdigest()

    def image(
        self,
        pixels: Tensor,
        prompts: Tensor | None = None,
        deep: Sequence[Tensor] = (),
        norm: bool = True,
        tokens: bool = True,
    ) -> ImageFeatures:
        """Encode preprocessed pixels [B, 3, H, W] as pooled features and patch tokens, neither normalised.

        With prompts, differentiable in them; a pure function, also under `torch.func.grad` and `torch.func.vmap`. Image
        tokens all see each other and prompts carry no position, so it makes no difference where among the tokens they
        stand: they are appended. The tokens returned are those of the patches alone.

        Args:
            pixels: from `preprocess`.
            prompts: [P, Wv], at the entry of the first layer, equal for all images; None is plain CLIP.
            deep: number i, [P, Wv], stands in for the prompts at the entry of layer i + 1, counted from 0; where none
                is given, what the layer before made of them goes on.
            norm: whether `prompts` pass the normalisation in front of the first layer, as the patches do (MaPLe,
                PromptSRC), or enter behind it (visual prompt tuning, DeFT).
            tokens: whether patch tokens are asked for, [B, 0, D] where not: with prompts, the last layer then computes
                the pooled token alone.

        Raises:
            BenchError: prompts, and the image tower is no vision transformer.
            ValueError: the shape of the prompts is wrong, or there are more than layers.
        """
        if prompts is not None:
            image = self._image.transformer()

            def encode(pixels: Tensor, prompts: Tensor, *deep: Tensor) -> tuple[Tensor, Tensor]:
                with tower(self.device):
                    pooled, patches = image.prompted(pixels, prompts, deep, norm, tokens)
                return pooled.float(), patches.float()

            few = FEW_ROWS if pixels.device.type == "cpu" else FEW_ON_GPU
            run = one_by_one if len(pixels) < few else together
            return ImageFeatures(*run(encode)(pixels, prompts, *deep))
        if deep:
            raise ValueError("deep visual prompts stand in for the first, and none was given")
        with full():
            return ImageFeatures(*self._image.encode(pixels))

    def image_layers(self) -> nn.ModuleList:
        """Return a private, trainable copy of the image tower's layers, for `hidden`.

        Raises:
            BenchError: the image tower is no vision transformer.
        """
        layers = copy.deepcopy(self._image.transformer().blocks).requires_grad_(True)
        for module in layers.modules():  # the same computation, also with weights of each member's own
            if isinstance(module, nn.LayerNorm):
                module.__class__ = LayerNorm
            elif type(module) is nn.Linear:
                module.__class__ = Linear
        return layers

    def hidden(self, pixels: Tensor, layers: nn.ModuleList) -> Tensor:
        """Compute pooled features before the projection, [B, Wv], through the trainable layers of `image_layers`."""
        with tower(self.device):
            return self._image.transformer().hidden(pixels, layers).float()

    @torch.no_grad()
    def changed(self, change: Callable[[str, Tensor], Tensor]) -> Backbone:
        """Return a private copy in which `change` has mapped each weight by name and value. Shapes stay the same."""
        model = copy.deepcopy(self._model)
        for name, weight in model.named_parameters():
            weight.copy_(change(name, weight))
        return Backbone(model, self.name, self._preprocess_cfg, self._rows, self._text.form)

    def class_tokens(self, class_names: Sequence[str], suffix: str = ".") -> ClassTokens:
        """Tokenise and embed C class names once, for any number of calls of `text`. `_` becomes a space.

        Raises:
            BenchError: no name, a name that alone exceeds the positions, or a word without an embedding.
        """
        classes = tokenise(class_names, suffix, self.token_embedding, self._rows)
        classes.check_room(0, self.context_length)
        return classes

    def text(
        self,
        context: Tensor,
        classes: ClassTokens,
        position: Position = "end",
        class_specific: bool = False,
        deep: Sequence[Tensor] = (),
    ) -> Tensor:
        """Encode class texts under learned context vectors as features [..., C, D], not normalised.

        Differentiable in context and deep prompts; a pure function, also under `torch.func.grad` and `torch.func.vmap`.

        Args:
            context: [..., M, W] shared by all classes, or [..., C, M, W]; leading dimensions are free (none: CoOp; the
                batch: CoCoOp, VisPrompt).
            classes: from `class_tokens`.
            position: where the class name stands: behind the context, behind its first M // 2 vectors, or before it.
            class_specific: whether `context` has the class dimension.
            deep: number i, [..., M, W], stands in for what layer i made of the context at the entry of layer i + 1,
                counted from 0, in every class (MaPLe, PromptSRC); for a shared context before the name.

        Raises:
            BenchError: a prompt is longer than the tower; names the class.
            ValueError: the context's shape or the position is wrong, or deep prompts do not go with them.
        """

        def encode(context: Tensor, *deep: Tensor) -> Tensor:
            with tower(self.device):
                return self._text.encode(context, classes, position, class_specific, deep).float()

        # a group of names of one length has less than all rows; attention to one key rounds by where it lies in memory
        few = len(classes) <= FEW_CLASSES or class_specific or position != "end"
        features: Tensor = (one_by_one(encode) if few else together(encode, align=True))(context, *deep)
        return features

    @torch.no_grad()
    def text_templates(self, texts: Sequence[str]) -> Tensor:
        """Encode whole texts as features [len(texts), D], not normalised, without gradient.

        Raises:
            BenchError: no text, a text longer than the tower (never cut short), or a word without an embedding.
        """
        known = self._encoded.get(tuple(texts))
        return (self._encode(texts) if known is None else known).clone()

    def _encode(self, texts: Sequence[str]) -> Tensor:
        """Encode whole texts, and keep the features for the cells that follow."""
        nothing = self.token_embedding.new_zeros(0, self.width)
        chunks = [texts[start : start + TEXT_CHUNK] for start in range(0, max(len(texts), 1), TEXT_CHUNK)]
        pieces = [tokenise(chunk, "", self.token_embedding, self._rows, underscores=False) for chunk in chunks]
        found = torch.cat([self.text(nothing, piece) for piece in pieces])
        while len(self._encoded) >= LISTS_KEPT:
            del self._encoded[next(iter(self._encoded))]
        self._encoded[tuple(texts)] = found
        return found

    def phrase(self, text: str) -> Tensor:
        """Embed the tokens of a phrase that starts a context, [M, W]. `_` becomes a space.

        M is the number of tokens. CoOp counts words, which is the same for phrases of common words and cuts others.

        Raises:
            BenchError: a word has no embedding, or the phrase is empty.
        """
        ids = encode(text.replace("_", " "), self._rows)
        if not ids:
            raise BenchError(f'the phrase "{text}" has no words; a context starts from at least one.')
        return self.token_embedding[torch.tensor(ids, dtype=torch.long, device=self.device)].clone()


def _hidden_facts(model: nn.Module) -> list[str]:
    """List heads and activations in the order of the modules."""
    heads = [f"heads {module.num_heads}" for module in model.modules() if hasattr(module, "num_heads")]
    kinds = sorted({type(module).__name__ for module in model.modules() if "GELU" in type(module).__name__})
    return [*heads, *kinds]
