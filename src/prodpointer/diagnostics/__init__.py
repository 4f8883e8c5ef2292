"""What is wrong with a registry, and whether it behaves."""
