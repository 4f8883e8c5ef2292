"""Bytes: digests, the cache, downloads, loaders, registration."""
