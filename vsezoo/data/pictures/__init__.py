"""Data sets of image files with captions: layouts that list the files, and readers."""
