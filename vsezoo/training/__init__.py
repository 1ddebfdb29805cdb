"""Training: the plan, the loop, its exact state, and its callbacks."""
