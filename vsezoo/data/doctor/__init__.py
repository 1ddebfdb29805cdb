"""The data doctor: find problems of a data set before a training run."""
