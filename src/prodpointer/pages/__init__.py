"""HTML pages that need nothing but themselves: what they share, and the page of one model."""
