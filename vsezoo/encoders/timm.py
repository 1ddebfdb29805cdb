"""Images given as pictures: a backbone of timm in front of an encoder of features."""

from __future__ import annotations

from typing import ClassVar

from vsezoo.encoders.backbone import BackboneImageEncoder


class TimmImageEncoder(BackboneImageEncoder):
    """Any image model of timm, ViTs among them: `timm:mobilenetv2_100`, `timm:vit_base_patch16_clip_224.openai`."""

    library: ClassVar[str] = "timm"
