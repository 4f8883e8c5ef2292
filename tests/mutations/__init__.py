"""Patches that each break one documented promise, and the code that runs them."""
