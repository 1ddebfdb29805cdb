"""What `vsezoo new-plugin` writes: a package of a plugin, complete from its entry points to its tests."""
