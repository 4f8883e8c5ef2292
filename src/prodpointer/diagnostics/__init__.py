"""``doctor`` and ``conformance``: diagnose a registry and check its behaviour."""
