"""The data doctor: what is wrong with a data set, found before a training is spent on it."""
