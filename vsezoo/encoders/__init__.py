"""vsezoo.encoders."""
