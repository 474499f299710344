"""A user's own images: folders by class, or a table."""
