"""Data sets of image files with captions: where the files are listed (layouts), and how they are read."""
