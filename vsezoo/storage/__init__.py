"""Storage: folders, files and caches on disk, and files read over the network. Independent of models."""
