"""What was read, in columns: append-only tables, views of them, reduction to a screen's width."""

from traintop.store.axis import AxisMap
from traintop.store.layers import LayerTable
from traintop.store.log import LogStore
from traintop.store.run import Run
from traintop.store.series import Reduced, Series, Summary
from traintop.store.storage import Storage
from traintop.store.store import Store
from traintop.store.table import Axis, Table

__all__ = [
    "Axis",
    "AxisMap",
    "LayerTable",
    "LogStore",
    "Reduced",
    "Run",
    "Series",
    "Storage",
    "Store",
    "Summary",
    "Table",
]
