"""Search backends that need a package or a server."""
