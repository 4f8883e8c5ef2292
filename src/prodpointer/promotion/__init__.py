"""Moving a pointer: the snapshot before, the promotion, who moved which side."""
