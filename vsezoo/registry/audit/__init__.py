"""What is registered, where it is defined, and whether it works: the reports of `vsezoo list-plugins`."""
