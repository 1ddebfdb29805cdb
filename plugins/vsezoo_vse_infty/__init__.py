"""VSE∞: the best pooling strategy for visual semantic embedding (Chen et al. 2021)."""
