"""Optimisers and schedules of the learning rate: registered functions that a recipe names like any other part."""
