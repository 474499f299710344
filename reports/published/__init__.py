"""Published numbers, and where ours compare with them."""
