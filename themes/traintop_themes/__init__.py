"""Colour themes (TOML) and style sheets (TCSS) of traintop."""
