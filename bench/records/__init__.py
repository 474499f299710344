"""Records of cells, and the store that keeps them."""
