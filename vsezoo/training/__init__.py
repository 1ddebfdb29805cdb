"""Training: the plan, the loop, its exact state, and what is told of it."""
