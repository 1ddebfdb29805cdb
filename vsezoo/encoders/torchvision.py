"""Images given as pictures: a backbone of torchvision in front of an encoder of features, as in VSE++."""

from __future__ import annotations

from typing import ClassVar

from vsezoo.encoders.backbone import BackboneImageEncoder


class TorchvisionImageEncoder(BackboneImageEncoder):
    """A classifier of torchvision: `torchvision:vgg19`, `torchvision:resnet152`."""

    library: ClassVar[str] = "torchvision"
