"""Charts as rows of cells: numbers, a width and a height in, rows of styled text out.

Nothing here knows a terminal or a widget, so charts are tested as text.
"""
