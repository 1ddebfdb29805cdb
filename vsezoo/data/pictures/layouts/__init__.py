"""Layouts of folders with pictures and captions, one module each."""
