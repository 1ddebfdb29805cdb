"""Backbones: pretrained networks of timm and torchvision that extract features of pictures."""

from vsezoo.backbones.backbone import Backbone as Backbone
from vsezoo.backbones.catalogue import create_backbone as create_backbone
from vsezoo.backbones.catalogue import measure_features as measure_features
