"""Many training runs: what there are in a folder, and runs by a plan."""
