"""Indexes in folders: vectors, ids and what finds them, on disk; built, extended, searched by several processes."""
