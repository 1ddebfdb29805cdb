"""Most bytes of a picture and of captions, which are compared before anything is read into memory."""

from __future__ import annotations

LARGEST_PICTURE = 2**29
"""Of an encoded picture: about 89 million pixels, Pillow's limit, of 16 bits without compression."""
LARGEST_TEXT = 2**22
"""Of a text or JSON file of a sample; parsed, one takes up to 25 times as much memory."""
MEAN_TEXT = 2**16
"""Of the texts of a row, on average of a column; a column may have `LARGEST_TEXT` more."""
