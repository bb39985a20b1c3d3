"""The inner loop: what changed on disk since it was served."""
