"""Patches that each break one promise of the documentation, and what runs them."""
