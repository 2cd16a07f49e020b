"""Widgets: thin, each draws one thing of the model as rows of cells."""
