// Placeholder so that the package builds while the target is being written.
