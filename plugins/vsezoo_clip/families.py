"""The families of dual encoders in transformers: what each calls its towers, and what is done with their outputs.

Facts from the modules of transformers 5.24, `models/*/modeling_*.py`. The encoders are built from this table; nothing
here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from vsezoo.interfaces import Weights


@dataclass(frozen=True)
class Side:
    """One tower of a dual encoder.

    Attributes:
        module: what the dual encoder calls the tower; the prefix of its tensors.
        network: `MODULE:CLASS` below `transformers.models`; empty: the class that `AutoModel` finds.
        config: the entry of `config.json` with its configuration.
        pooling: "pooler": the network's own pooled output. "first": the last hidden state of the first position.
        projection: what the dual encoder calls the linear layer behind it; empty: there is none.
        bias: whether that layer has a bias.
        width: the entry of the configuration with the width of what is pooled; empty: no entry has it.
        arguments: further arguments of the network's constructor.
        matching: what the dual encoder calls a classifier of matching pairs that reads this network; empty: there is
            none. Embeddings do not depend on it. It is kept so that the dual encoder can be written again.
    """

    module: str
    network: str
    config: str
    pooling: Literal["pooler", "first"] = "pooler"
    projection: str = ""
    bias: bool = False
    width: str = "hidden_size"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    matching: str = ""


@dataclass(frozen=True)
class Family:
    """A family of dual encoders.

    Attributes:
        name: its `model_type` in `config.json`.
        title: what people call it.
        image: the tower of images.
        text: the tower of captions.
        width: the entry of `config.json` with the width of the joint embedding; empty: that of the image tower.
        padding: what the text tower needs. "eos": nothing, since it reads from left to right and is pooled at the first
            end mark. "full": every caption is padded to the longest that the model reads, without a mask, since it is
            pooled at the last position. "mask": a mask of what is padding.
        architecture: the class in `config.json` that must be meant, where several have this `model_type`.
        scale: what the dual encoder calls the scale of its logits; empty: it has none. A temperature divides them.
        first_scale: where it starts, if its entry of `config.json`, with `_init_value` behind the name, does not say.
        ignored: prefixes of tensors of the dual encoder that embeddings do not depend on.
    """

    name: str
    title: str
    image: Side
    text: Side
    width: str = "projection_dim"
    padding: Literal["eos", "full", "mask"] = "mask"
    architecture: str = ""
    scale: Literal["logit_scale", "temperature", ""] = "logit_scale"
    first_scale: float = 2.6592
    ignored: tuple[str, ...] = ()

    def side(self, name: str) -> Side:
        """Return the side of this name, "image" or "text"."""
        side: Side = getattr(self, name)
        return side


def _image(network: str, **more: Any) -> Side:
    return Side("vision_model", network, "vision_config", **{"projection": "visual_projection", **more})


def _text(network: str, **more: Any) -> Side:
    return Side("text_model", network, "text_config", **{"projection": "text_projection", **more})


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "clip",
            "CLIP",
            _image("clip.modeling_clip:CLIPVisionModel"),
            _text("clip.modeling_clip:CLIPTextModel"),
            padding="eos",
            architecture="CLIPModel",
        ),
        Family(
            "metaclip_2",
            "MetaCLIP 2",
            _image("metaclip_2.modeling_metaclip_2:MetaClip2VisionModel"),
            _text("metaclip_2.modeling_metaclip_2:MetaClip2TextModel"),
            padding="eos",
            architecture="MetaClip2Model",
        ),
        Family(
            "siglip",
            "SigLIP",
            _image("siglip.modeling_siglip:SiglipVisionModel", projection=""),
            _text("siglip.modeling_siglip:SiglipTextModel", projection=""),
            width="",
            padding="full",
            architecture="SiglipModel",
            first_scale=0.0,
        ),
        Family(
            "align",
            "ALIGN",
            _image("align.modeling_align:AlignVisionModel", projection="", width=""),
            _text("align.modeling_align:AlignTextModel", pooling="first", bias=True),
            architecture="AlignModel",
            scale="temperature",
            first_scale=1.0,
        ),
        Family(
            "altclip",
            "AltCLIP",
            _image("altclip.modeling_altclip:AltCLIPVisionModel"),
            _text("altclip.modeling_altclip:AltCLIPTextModel", pooling="first", width="project_dim"),
            architecture="AltCLIPModel",
        ),
        Family(
            "chinese_clip",
            "Chinese-CLIP",
            _image("chinese_clip.modeling_chinese_clip:ChineseCLIPVisionModel"),
            _text(
                "chinese_clip.modeling_chinese_clip:ChineseCLIPTextModel",
                pooling="first",
                arguments={"add_pooling_layer": False},
            ),
            architecture="ChineseCLIPModel",
            ignored=("text_model.pooler.",),
        ),
        Family(
            "blip",
            "BLIP (image-text contrast)",
            _image("blip.modeling_blip:BlipVisionModel", pooling="first", projection="vision_proj", bias=True),
            Side(
                "text_encoder",
                "blip.modeling_blip:BlipTextModel",
                "text_config",
                pooling="first",
                projection="text_proj",
                bias=True,
                arguments={"add_pooling_layer": False},
                matching="itm_head",
            ),
            width="image_text_hidden_size",
            architecture="BlipForImageTextRetrieval",
            scale="",
        ),
        Family(
            "vision-text-dual-encoder",
            "VisionTextDualEncoder",
            _image(""),
            _text(""),
            architecture="VisionTextDualEncoderModel",
        ),
    )
}
"""The families whose images are one vector each, by their `model_type`."""

BLIP2 = Family(
    "blip-2",
    "BLIP-2 (image-text contrast)",
    _image("blip_2.modeling_blip_2:Blip2VisionModel", projection="vision_projection", bias=True),
    Side(
        "qformer",
        "blip_2.modeling_blip_2:Blip2QFormerModel",
        "qformer_config",
        pooling="first",
        projection="text_projection",
        bias=True,
        matching="itm_head",
    ),
    width="image_text_hidden_size",
    architecture="Blip2ForImageTextRetrieval",
    scale="",
)
"""The family whose images are several vectors each; see `blip2.py`."""

KNOWN = {**FAMILIES, BLIP2.name: BLIP2}
"""All families by their `model_type`."""

NOT_DUAL = {
    "bridgetower": "the embedding of a caption depends on the image (BridgeTower), so neither can be embedded alone",
    "siglip2": "it takes pictures as any number of patches (SigLIP 2 NaFlex), which is not supported; SigLIP 2 of a "
    "fixed resolution works",
    "vilt": "the embedding of a caption depends on the image (ViLT), so neither can be embedded alone",
    "bridge_tower": "the embedding of a caption depends on the image (BridgeTower), so neither can be embedded alone",
}
"""Why models that people take for dual encoders are none that can be used, by their `model_type`."""


BUFFERS = (".position_ids", ".token_type_ids")
"""What earlier versions of transformers stored, and later ones compute: endings of names."""


def find_family(config: Mapping[str, Any]) -> Family | None:
    """Return the family of a `config.json`; None: it is of none."""
    name = config.get("model_type")
    return KNOWN.get(name) if isinstance(name, str) else None


def find_outer(weights: Weights, module: str) -> str:
    """Return what is before the names of all tensors of a dual encoder, such as `clip.` or `module.`; mostly nothing.

    Args:
        weights: the file.
        module: what the dual encoder calls one of its towers.
    """
    names = list(weights.tensors())
    if any(name.startswith(f"{module}.") for name in names):
        return ""
    outer = {name.partition(f".{module}.")[0] + "." for name in names if f".{module}." in name}
    return outer.pop() if len(outer) == 1 else ""
