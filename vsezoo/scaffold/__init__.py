"""The package that `vsezoo new-plugin` writes: a complete plugin, from entry points to tests."""
