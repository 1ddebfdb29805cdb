"""Dual encoders of open_clip as checkpoints that hold everything, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from safetensors.torch import save_file

from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.errors import UsageError
from vsezoo.model import JointEmbedding
from vsezoo.pretrained.weights import open_weights
from vsezoo.storage.checkpoint_layout import OPEN_CLIP, OPEN_CLIP_TENSORS, write_json
from vsezoo_clip.importer import find_folder, read_model
from vsezoo_clip.open_clip_encoders import OpenClipImageEncoder, OpenClipTextEncoder
from vsezoo_clip.open_clip_towers import IMAGE, SCALARS, TEXT_NETWORK
from vsezoo_clip.opener import open_open_clip
from vsezoo_clip.similarity import ScaledCosineSimilarity


class OpenClipImporter(Importer):
    """Reads and writes the folder of a dual encoder of open_clip."""

    name: ClassVar[str] = "open_clip"
    summary: ClassVar[str] = "A dual encoder of open_clip: open_clip_config.json and open_clip_model.safetensors."
    options: ClassVar[Mapping[str, str]] = {}
    file_name: ClassVar[str] = OPEN_CLIP_TENSORS

    def recognise(self, source: Source) -> bool:
        """Return whether it is the folder of a dual encoder of open_clip, or its file of weights."""
        folder = find_folder(source, OPEN_CLIP, self.file_name)
        return folder is not None and open_open_clip(open_weights(folder)) is not None

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read both towers, the scale and the bias, the tokenizer and the transform."""
        weights = open_weights(find_folder(source, OPEN_CLIP, self.file_name) or source.path)
        recipe = open_open_clip(weights)
        assert recipe is not None  # since it was recognised
        source.open(OPEN_CLIP)
        return read_model(recipe, weights)

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write what `local-dir:` of open_clip reads: weights, configuration, tokenizer."""
        images, texts, similarity = model.image_encoder, model.text_encoder, model.similarity
        if (
            not isinstance(images, OpenClipImageEncoder)
            or not isinstance(texts, OpenClipTextEncoder)
            or not isinstance(similarity, ScaledCosineSimilarity)
        ):
            raise UsageError(
                f"{model.recipe.name!r} is not a dual encoder of open_clip: {self.name!r} has only those.",
                remedy="Choose a model with image and text encoder 'open-clip', and 'scaled-cosine'.",
            )
        tensors = {
            f"{prefix}{name.removeprefix('network.')}": tensor.contiguous()
            for prefix, encoder in ((IMAGE, images), (texts.tower.prefix, texts))
            for name, tensor in encoder.export_tower().items()
        }
        scalars = dict(zip(SCALARS, (similarity.scale, similarity.bias), strict=True))
        options = model.recipe.image_encoder.options
        shape = (1,) if options["config"].get("nonscalar_logit_scale") else ()
        tensors |= {name: value.detach().reshape(shape) for name, value in scalars.items() if value is not None}
        save_file(tensors, path)
        preprocess = {name: value for name, value in options["preprocess"].items() if name != "size"}
        text = {name: value for name, value in options["config"]["text_cfg"].items() if name != TEXT_NETWORK}
        config = {**options["config"], "text_cfg": text}
        write_json(path.parent / OPEN_CLIP, {"model_cfg": config, "preprocess_cfg": preprocess})
        for name, content in texts.tokenizer.pieces.files.items():
            (path.parent / name).write_bytes(content)
        return [path, *sorted(file for file in path.parent.iterdir() if file != path)]
