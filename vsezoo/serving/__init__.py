"""A service that answers searches over HTTP, and its page. Needs the extra `serve`."""
