"""Pretrained dual encoders: CLIP (Radford et al. 2021) and its relatives, as transformers and open_clip store them.

Unlike the models of the other plugins they are not trained here from features: both towers come from one file of
pretrained weights, see `vsezoo.pretrained`. `opener.py` recognises such a file, so that its folder or `hub:org/name` is
used wherever a checkpoint is. What differs between the families is in `families.py`: which module a tower is, how its
states become one vector, and how captions are padded.
"""
