"""Pictures to pixels by the image processor that came with the weights.

transformers has two implementations of each processor, on torchvision and on Pillow. Their pixels differ by a grey
level or two, which moves embeddings by up to 5e-3, so a checkpoint names the one that it uses.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vsezoo.errors import CheckpointError, RecipeError, first_line
from vsezoo.pretrained.weights import read_small_json
from vsezoo_clip.library import OF_WEIGHTS, quiet

BACKENDS = ("torchvision", "pil")
FILES = ("processor_config.json", "preprocessor_config.json")
"""Where transformers writes the settings of an image processor, since version 5 and before."""
OUTSIDE = ("auto_map", "processor_class", "feature_extractor_type")
KIND = "image_processor_type"


def find_settings(folder: Path, family: str) -> dict[str, Any]:
    """Return the settings of the image processor of a folder, as JSON values with its class.

    Args:
        folder: that of the weights.
        family: the `model_type`, which decides about the class where the settings name none.

    Raises:
        CheckpointError: if there are none, or they ask for code of their own.
    """
    for name in FILES:
        if not (folder / name).is_file():
            continue
        found = read_small_json(folder / name)
        settings = found.get("image_processor", found if name == FILES[1] else None)
        if not isinstance(settings, Mapping):
            continue
        earlier = str(settings.get("feature_extractor_type", "")).replace("FeatureExtractor", "ImageProcessor")
        kind = settings.get(KIND) or earlier
        if "auto_map" in settings and not kind:
            raise CheckpointError(
                "asks for code of its own (auto_map), which is never executed.",
                file=folder / name,
                remedy="Choose weights that transformers reads without remote code.",
            )
        known = _list_classes()
        kind = kind or known.get(family, {}).get(BACKENDS[0])
        if kind and _name_class(kind) not in {_name_class(name) for names in known.values() for name in names.values()}:
            problem = f"names the image processor {kind!r}, which transformers does not have."
            raise CheckpointError(problem, file=folder / name, remedy=OF_WEIGHTS)
        if kind:
            return {**{key: value for key, value in settings.items() if key not in OUTSIDE}, KIND: kind}
    raise CheckpointError(
        f"lacks the settings of its image processor ({' or '.join(FILES)}).",
        file=folder,
        remedy="Get all files of the model, as `save_pretrained` of its processor writes them.",
    )


def _name_class(kind: str) -> str:
    """Return the class of the torchvision backend, whose name transformers has changed with its versions."""
    return kind.removesuffix("Fast").removesuffix("Pil")


def _list_classes() -> dict[str, dict[str, str]]:
    """Return the classes of the image processors: of each family, by their backends."""
    from transformers.models.auto.auto_mappings import IMAGE_PROCESSOR_MAPPING_NAMES  # takes seconds

    return {
        family: {backend: name for backend, name in names.items() if name}
        for family, names in IMAGE_PROCESSOR_MAPPING_NAMES.items()
    }


class ProcessorTransform:
    """Turns a list of pictures into float32 tensors `(B, 3, S, S)`; the Exif orientation is applied first.

    Args:
        settings: of the image processor, with its class under `image_processor_type`.
        backend: "torchvision" or "pil".

    Raises:
        RecipeError: for settings of which transformers cannot make an image processor.
    """

    def __init__(self, settings: Mapping[str, Any], backend: str) -> None:
        from transformers import AutoImageProcessor  # takes seconds, and every conversion imports this module

        kind = settings.get(KIND)
        with tempfile.TemporaryDirectory() as folder, quiet():
            Path(folder, FILES[1]).write_text(json.dumps(dict(settings)), encoding="utf-8")
            try:
                self._process = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                    folder, backend=backend, local_files_only=True, trust_remote_code=False
                )
            except Exception as error:  # transformers raises what it likes
                raise RecipeError(f"the image processor {kind!r} cannot be made: {first_line(error)}.") from error
        made = type(self._process).__name__
        if made.endswith("Pil") != (backend == "pil"):
            raise RecipeError(
                f"image_encoder.backend is {backend!r}, but transformers has no such implementation of {kind}.",
                remedy=f"Set image_encoder.backend to {'pil' if backend != 'pil' else 'torchvision'}.",
            )

    def save(self, folder: Path) -> None:
        """Write the settings as transformers does."""
        self._process.save_pretrained(folder)

    def __call__(self, pictures: Any) -> Tensor:
        """Return the tensor.

        Raises:
            DataError: for an object that is not a picture, or cannot be decoded.
        """
        from vsezoo.backbones.transform import decode_picture  # imports torchvision

        decoded = [decode_picture(picture) for picture in pictures]
        try:
            pixels: Tensor = self._process(images=decoded, return_tensors="pt")["pixel_values"]
        except (ValueError, TypeError, RuntimeError) as error:
            name = type(self._process).__name__
            raise RecipeError(f"the image processor {name} fails: {first_line(error)}.", remedy=OF_WEIGHTS) from error
        return pixels.float()
