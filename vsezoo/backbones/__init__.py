"""Backbones: networks trained elsewhere that make features of pictures, from timm and torchvision by name."""

from vsezoo.backbones.backbone import Backbone as Backbone
from vsezoo.backbones.catalogue import create_backbone as create_backbone
from vsezoo.backbones.catalogue import measure_features as measure_features
