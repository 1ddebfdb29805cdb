"""Storage: directories, files and caches on disk, and files that are read over the network. Knows no model."""
