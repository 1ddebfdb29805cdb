"""The Hub: references to checkpoints, the client, downloads."""
