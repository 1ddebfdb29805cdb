"""Dual encoders of transformers as checkpoints that hold everything, and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vsezoo.checkpoints.uninitialized import build_uninitialized
from vsezoo.construction import build_model
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.errors import UsageError, VsezooWarning, list_names
from vsezoo.interfaces import Similarity
from vsezoo.model import JointEmbedding
from vsezoo.parts import make_tokenizer, resolve_recipe
from vsezoo.pretrained.weights import CONFIG, open_weights
from vsezoo.recipe import Recipe
from vsezoo_clip.blip2 import QueryImageEncoder, QueryTextEncoder
from vsezoo_clip.families import BLIP2, Family
from vsezoo_clip.image_encoder import DualImageEncoder
from vsezoo_clip.library import quiet
from vsezoo_clip.opener import open_transformers
from vsezoo_clip.processor import ProcessorTransform
from vsezoo_clip.similarity import MaxQuerySimilarity, ScaledCosineSimilarity
from vsezoo_clip.text_encoder import DualTextEncoder

Dual = tuple[DualImageEncoder, DualTextEncoder] | tuple[QueryImageEncoder, QueryTextEncoder]


class TransformersImporter(Importer):
    """Reads and writes the folder of a dual encoder of transformers."""

    name: ClassVar[str] = "transformers"
    summary: ClassVar[str] = "A dual encoder of transformers (CLIP, SigLIP, …): the folder that save_pretrained wrote."
    options: ClassVar[Mapping[str, str]] = {}
    file_name: ClassVar[str] = "model.safetensors"

    def recognise(self, source: Source) -> bool:
        """Return whether it is the folder of a dual encoder of transformers."""
        folder = find_folder(source, CONFIG, self.file_name)
        return folder is not None and open_transformers(open_weights(folder)) is not None

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read both towers, the scale and the bias, the tokenizer and the settings of the image processor."""
        weights = open_weights(find_folder(source, CONFIG, self.file_name) or source.path)
        recipe = open_transformers(weights)
        assert recipe is not None  # since it was recognised
        if source.is_folder:
            source.config()  # so that the files are part of the record
        else:
            source.open(CONFIG)
        return read_model(recipe, weights)

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write what `from_pretrained` of transformers reads: weights, configuration, tokenizer, image processor."""
        import transformers  # takes seconds, and what is converted is nearly always another's

        images, texts = self._require_dual(model)
        family = images.family
        tensors = _list_tensors(family, images.export_tower(), texts.export_tower(), model.similarity)
        with quiet():
            config = transformers.AutoConfig.for_model(family.name, **_describe(model, family))
            dual = getattr(transformers, family.architecture)(config)
            shapes = {name: tensor.shape for name, tensor in dual.state_dict().items()}
            with torch.no_grad():
                dual.load_state_dict({name: tensor.reshape(shapes[name]) for name, tensor in tensors.items()})
            dual.save_pretrained(path.parent)
        ProcessorTransform(images.processor, images.backend).save(path.parent)
        for name, content in texts.tokenizer.pieces.files.items():
            (path.parent / name).write_bytes(content)
        (path.parent / self.file_name).rename(path)
        return [path, *sorted(file for file in path.parent.iterdir() if file != path)]

    def _require_dual(self, model: JointEmbedding) -> Dual:
        images, texts, similarity = model.image_encoder, model.text_encoder, model.similarity
        cosine, largest = isinstance(similarity, ScaledCosineSimilarity), isinstance(similarity, MaxQuerySimilarity)
        if cosine and isinstance(images, DualImageEncoder) and isinstance(texts, DualTextEncoder):
            if images.family is texts.family:
                return images, texts
        elif largest and isinstance(images, QueryImageEncoder) and isinstance(texts, QueryTextEncoder):
            return images, texts
        raise UsageError(
            f"{model.recipe.name!r} is not a dual encoder of transformers: {self.name!r} has only those.",
            remedy="Choose a model with image and text encoder 'clip' of one family, and 'scaled-cosine'; or the model "
            "'blip-2'.",
        )


def _list_tensors(
    family: Family, of_images: Mapping[str, Tensor], of_texts: Mapping[str, Tensor], similarity: Similarity
) -> dict[str, Tensor]:
    """Return the tensors of a dual encoder, from those of its towers.

    Raises:
        UsageError: for networks that the dual encoder has once and the model twice, if training made them differ; for
            a model without the classifier that the dual encoder has.
    """
    differ = [name for name, tensor in of_texts.items() if not tensor.equal(of_images.get(name, tensor))]
    if differ:
        raise UsageError(
            f"its towers differ in {list_names(differ, 3)}, which transformers has only once for both: they were "
            "trained apart.",
            remedy="Keep the checkpoint as it is; one with frozen towers can be written.",
        )
    tensors = {**of_images, **of_texts}
    if family.text.matching and not any(name.startswith(f"{family.text.matching}.") for name in tensors):
        raise UsageError(
            f"{family.title} cannot be written for transformers: the model lacks its classifier of matching pairs.",
            remedy="Convert its source again; earlier versions left it out.",
        )
    if not isinstance(similarity, ScaledCosineSimilarity):
        return tensors
    if family.scale:
        tensors[family.scale] = similarity.scale.detach()
    elif similarity.scale != 0:
        problem = f"{family.title} has no scale of its scores, so the trained one is left out; ranks are the same."
        warnings.warn(problem, VsezooWarning, stacklevel=2)
    if similarity.bias is not None:
        tensors["logit_bias"] = similarity.bias.detach()
    return tensors


def _describe(model: JointEmbedding, family: Family) -> dict[str, Any]:
    """Return the configuration of the dual encoder."""
    images, texts = model.recipe.image_encoder.options, model.recipe.text_encoder.options
    found = {family.image.config: images["network"]}
    if family is BLIP2:
        found |= {family.text.config: texts["qformer"], "num_query_tokens": images["queries"]}
    else:
        found[family.text.config] = texts["network"]
    return {**found, family.width: model.recipe.width} if family.width else found


def find_folder(source: Source, config: str, weights: str) -> Path | None:
    """Return the folder with a model: the source, or that of the source if it is the file of the weights.

    Args:
        source: a folder or a file.
        config: name of the configuration, without which a folder is not that of a model.
        weights: name of the file of the weights.
    """
    folder = source.path if source.is_folder else source.path.parent
    belongs = source.is_folder or source.path.name == weights
    return folder if belongs and (folder / config).is_file() else None


def read_model(recipe: Recipe, weights: Any) -> Imported:
    """Return what an importer returns of a recipe whose parts read pretrained weights."""
    recipe = resolve_recipe(recipe, None, weights)
    tokenizer = make_tokenizer(recipe, weights)
    model = build_uninitialized(lambda: build_model(recipe, tokenizer))
    model.load_pretrained(weights)
    return Imported(recipe, tokenizer, model.state_dict())
