"""The terminal front end of traintop."""
