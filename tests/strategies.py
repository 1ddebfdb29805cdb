"""What hypothesis draws from in several tests."""

from hypothesis import strategies as st

LETTERS = st.characters(exclude_categories=["Cs"])
"""All characters that UTF-8 can encode, as in `text()`, which takes seconds to find them in a fresh checkout."""
