"""The built-in data set `shapes`: small generated scenes with captions, the same on every machine."""
