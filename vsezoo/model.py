"""The joint embedding: an image encoder, a text encoder and a similarity, built from a recipe."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vsezoo import registry
from vsezoo.errors import DataError, RecipeError, UsageError, suggest_name
from vsezoo.interfaces import ImageEncoder, ImageOutput, Loss, PairDataset, Similarity, TextEncoder, Tokenizer, Tokens
from vsezoo.recipe import PART_KINDS, Part, Recipe

GROUPS = {
    "image_encoder": "image_encoders",
    "text_encoder": "text_encoders",
    "similarity": "similarities",
    "loss": "losses",
}
"""The registry's group for each part of a recipe."""

GIVEN_BY_VSEZOO = ("embed_size", "tokenizer")
"""Arguments of a part's constructor that are no options."""


class JointEmbedding(nn.Module):
    """Two encoders into one space, and the similarity that compares what they give.

    Args:
        recipe: what it was built from, every option resolved.
        image_encoder: images to `(B, D)`.
        text_encoder: captions to `(B, D)`.
        similarity: `(N, D)` and `(M, D)` to `(N, M)`.
    """

    def __init__(
        self, recipe: Recipe, image_encoder: ImageEncoder, text_encoder: TextEncoder, similarity: Similarity
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.similarity = similarity

    def forward(self, images: Tensor, tokens: Tokens) -> tuple[Tensor | ImageOutput, Tensor]:
        """Return what the encoders give for a batch: the images' side, and the texts' `(B, D)`.

        Raises:
            RecipeError: for encoders whose embeddings are not of one width.
        """
        output, texts = self.image_encoder(images), self.text_encoder(tokens)
        embeddings = output.embeddings if isinstance(output, ImageOutput) else output
        if embeddings.shape[-1] != texts.shape[-1]:
            raise RecipeError(
                f"The image encoder {self.recipe.image_encoder.name!r} gives embeddings of width "
                f"{embeddings.shape[-1]}, the text encoder {self.recipe.text_encoder.name!r} of width "
                f"{texts.shape[-1]}; the recipe has embed_size={self.recipe.embed_size}.",
                remedy="Both must take their width from embed_size; tell the author of the one that does not.",
            )
        return output, texts

    def load_pretrained(self) -> None:
        """Let the encoders take on weights that were learnt elsewhere, before a new model is trained."""
        self.image_encoder.load_pretrained()
        self.text_encoder.load_pretrained()

    def learning_rate_scales(self) -> dict[str, float]:
        """Return what the encoders' methods of this name do, with the names that parameters have in the model."""
        encoders = {"image_encoder": self.image_encoder, "text_encoder": self.text_encoder}
        return {
            f"{name}.{start}": scale
            for name, encoder in encoders.items()
            for start, scale in encoder.learning_rate_scales().items()
        }

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns captions into ids."""
        return self.text_encoder.tokenizer

    @torch.inference_mode()
    def encode_images(self, images: Any, batch_size: int = 256) -> Tensor:
        """Return the joint embeddings of images.

        Args:
            images: features as an array or tensor `(N, F)` or `(N, R, F)`, or a list of pictures, as the image
                encoder takes them.
            batch_size: images encoded at a time.

        Returns:
            `(N, D)` float32, on the model's device.

        Raises:
            DataError: for images of another form than the encoder takes, or with NaN in them.
        """
        if isinstance(images, Tensor):
            images = images.float().cpu().numpy()  # NumPy has no bfloat16
        transform = self.image_encoder.transform(training=False)
        blocks = []
        for start in range(0, len(images), batch_size):
            batch = transform(images[start : start + batch_size])
            finite = batch.isfinite().reshape(len(batch), -1).all(dim=1)
            if not finite.all():
                raise DataError(
                    f"The image at index {start + int(finite.int().argmin())} holds NaN or infinite numbers.",
                    remedy="Mend or leave out this image.",
                )
            output = self.image_encoder(batch.to(self.device))
            blocks.append((output.embeddings if isinstance(output, ImageOutput) else output).float())
        return torch.cat(blocks) if blocks else torch.empty(0, self.recipe.embed_size, device=self.device)

    @torch.inference_mode()
    def encode_texts(self, texts: Iterable[str], batch_size: int = 128) -> Tensor:
        """Return the joint embeddings of captions, `(M, D)` float32, on the model's device.

        Args:
            texts: captions as plain strings.
            batch_size: captions encoded at a time.

        Raises:
            UsageError: for a single string where a list of them is meant, or for what is no string.
        """
        if isinstance(texts, str):
            raise UsageError("encode_texts takes a list of strings, not one string.", remedy="Pass [text].")
        texts = list(texts)  # what can be gone through once only would be used up by the check
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise UsageError(
                    f"The text at index {index} is of type {type(text).__name__}, not str.",
                    remedy="Pass text; bytes become text by .decode('utf-8').",
                )
        return self.encode_tokens(self.tokenizer.encode(texts), batch_size)

    @torch.inference_mode()
    def encode_tokens(self, captions: Sequence[np.ndarray], batch_size: int = 128) -> Tensor:
        """Return the joint embeddings `(M, D)` of captions given as ids."""
        # Neighbours of one length need no padding; the result is put back in order.
        order = np.argsort([len(caption) for caption in captions], kind="stable")
        embeddings = torch.empty(len(captions), self.recipe.embed_size, device=self.device)
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            tokens = Tokens.pad([captions[index] for index in chosen]).to(self.device)
            embeddings[torch.from_numpy(chosen).to(self.device)] = self.text_encoder(tokens).float()
        return embeddings


def create_model(
    name: str, data: PairDataset | None = None, captions: Sequence[str] = (), **settings: Any
) -> JointEmbedding:
    """Build an untrained model from the recipe of this name.

    Args:
        name: a registered model, as `list_models` names it.
        data: the training split whose captions make the vocabulary and whose features give the widths.
        captions: captions for the vocabulary where no `data` is given (or beside them).
        **settings: recipe settings with `__` for the dot, for example `embed_size=512, loss__margin=0.1`.

    Returns:
        the model in eval mode, initialised from torch's present random state.
    """
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    recipe = registry.load("models", name).replace(expand_parts(dotted))
    recipe = resolve_recipe(recipe, data)
    tokenizer = load_text_encoder(recipe).make_tokenizer(recipe.text_encoder.options)
    words = tokenizer.split([*(data.captions if data is not None else ()), *captions])
    if words:
        tokenizer.fit(words)
    model = build_model(recipe, tokenizer)
    model.load_pretrained()
    if data is not None:
        model.image_encoder.fit(data)
    return model.eval()


def build_model(recipe: Recipe, tokenizer: Tokenizer) -> JointEmbedding:
    """Build the model of a resolved recipe, untrained.

    Raises:
        RecipeError: for options of which a part cannot be built.
    """
    return JointEmbedding(
        recipe,
        _build_part(recipe, "image_encoder", tokenizer),
        _build_part(recipe, "text_encoder", tokenizer),
        _build_part(recipe, "similarity", tokenizer),
    )


def build_loss(recipe: Recipe, tokenizer: Tokenizer) -> Loss:
    """Build the loss of a resolved recipe.

    Raises:
        RecipeError: for options of which it cannot be built.
    """
    loss: Loss = _build_part(recipe, "loss", tokenizer)
    return loss


def _build_part(recipe: Recipe, kind: str, tokenizer: Tokenizer) -> Any:
    """Build a part of its options, and of what vsezoo gives as far as the constructor names it."""
    part: Part = getattr(recipe, kind)
    constructor = load_part(recipe, kind)
    at_hand = {"embed_size": recipe.embed_size, "tokenizer": tokenizer}
    given = {name: at_hand[name] for name in GIVEN_BY_VSEZOO if name in inspect.signature(constructor).parameters}
    try:
        return constructor(**given, **part.options)
    except (ArithmeticError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        # What torch raises of an impossible size, from a negative width to more than there is memory for.
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        sizes = {"embed_size": recipe.embed_size, **part.options}
        raise RecipeError(
            f"{kind} {part.name!r} cannot be built: {reason}.",
            remedy=f"Change its options: {', '.join(f'{name}={value!r}' for name, value in sizes.items())}.",
        ) from error


def expand_parts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which `NAME:ARGUMENT` for a part has become its name and its option `model`.

    `{"text_encoder": "hf:bert-base-uncased"}` becomes `{"text_encoder": "hf", "text_encoder.model":
    "bert-base-uncased"}`.

    Raises:
        ConflictError: for a name that several distributions register.
    """
    expanded: dict[str, Any] = {}
    for setting, value in settings.items():
        name, argument = value, None
        if setting in GROUPS and isinstance(value, str):
            name, argument = registry.split_argument(GROUPS[setting], value)
        expanded[setting] = name
        if argument is not None:
            expanded[f"{setting}.model"] = argument
    return expanded


def load_part(recipe: Recipe, kind: str) -> Any:
    """Return the registered class of a part: `image_encoder`, `text_encoder`, `similarity` or `loss`."""
    return registry.load(GROUPS[kind], getattr(recipe, kind).name)


def load_text_encoder(recipe: Recipe) -> type[TextEncoder]:
    """Return the registered class of the text encoder."""
    encoder: type[TextEncoder] = load_part(recipe, "text_encoder")
    return encoder


def accepted_kinds(recipe: Recipe) -> tuple[str, ...]:
    """Return the forms of image that the recipe's image encoder takes."""
    encoder: type[ImageEncoder] = load_part(recipe, "image_encoder")
    return encoder.accepted_kinds(recipe.image_encoder.options)


def resolve_recipe(recipe: Recipe, data: PairDataset | None = None) -> Recipe:
    """Fill in every option of every part: what is given, else what the data decide, else the part's default.

    Raises:
        RecipeError: for an option that the part does not have, or of another type than its default.
        UnknownNameError: for a part that is not registered.
        DataError: for data of a kind that the image encoder does not take.
    """
    for kind in PART_KINDS:
        part: Part = getattr(recipe, kind)
        options = dict(part.options)
        defaults = list_options(load_part(recipe, kind))
        _check_options(kind, part, defaults)
        if kind == "image_encoder" and data is not None:
            options = load_part(recipe, kind).resolve_options(options, data)
        for name, value in {**defaults, **options}.items():
            recipe = recipe.replace({f"{kind}.{name}": value})
    if data is not None and data.kind not in (kinds := accepted_kinds(recipe)):
        raise DataError(
            f"The images of {data.name} are of the kind {data.kind!r}; the image encoder {recipe.image_encoder.name!r} "
            f"takes {' or '.join(map(repr, kinds))}.",
            remedy="Choose another model, or other features of the data set.",
        )
    return recipe


def list_options(part: type) -> dict[str, Any]:
    """Return the options of a part and their defaults, in the order of its constructor."""
    parameters = inspect.signature(part).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in GIVEN_BY_VSEZOO and p.default is not p.empty}


def _check_options(kind: str, part: Part, defaults: Mapping[str, Any]) -> None:
    for name, value in part.options.items():
        if name not in defaults:
            listing = ", ".join(defaults) or "none"
            raise RecipeError(
                f"{kind} {part.name!r} has no option {name!r}.",
                remedy=suggest_name(name, defaults, f"Options: {listing}."),
            )
        default = defaults[name]
        number = isinstance(default, float) and type(value) is int
        if default is not None and not number and type(value) is not type(default):
            raise RecipeError(
                f"{kind}.{name} is {value!r}; it must be of type {type(default).__name__}, such as {default!r}."
            )


COUNT_WORDS = 10_000
COUNT_ASSUMPTION = f"features as wide as the options say (4,096 by default), a vocabulary of {COUNT_WORDS:,} words"


def count_parameters(recipe: Recipe) -> dict[str, int]:
    """Return the number of parameters of the encoders and in total, under `COUNT_ASSUMPTION`."""
    recipe = resolve_recipe(recipe)
    tokenizer = load_text_encoder(recipe).make_tokenizer(recipe.text_encoder.options)
    often = max(1, recipe.text_encoder.options.get("vocab_threshold", 1))
    absent = COUNT_WORDS - len(tokenizer)
    letters = str.maketrans("0123456789", "abcdefghij")  # some tokenizers drop digits
    tokenizer.fit(tokenizer.split([" ".join(str(index).translate(letters) for index in range(absent))] * often))
    with torch.device("meta"):
        model = build_model(recipe, tokenizer)
    counts = {
        "image_encoder": sum(p.numel() for p in model.image_encoder.parameters()),
        "text_encoder": sum(p.numel() for p in model.text_encoder.parameters()),
    }
    return {**counts, "total": sum(p.numel() for p in model.parameters())}
