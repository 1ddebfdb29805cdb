"""Losses of the scores of a batch."""

from vsezoo.losses.contrastive import InfoNCELoss as InfoNCELoss
from vsezoo.losses.contrastive import SigmoidLoss as SigmoidLoss
from vsezoo.losses.hinge import HingeLoss as HingeLoss
