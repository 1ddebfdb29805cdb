"""Feature extraction: pictures to feature files, interruptible at any time and shared by processes."""
