"""The algebra: monoids over values, aggregators over columns, and the laws that they obey."""

from .aggregator import Aggregator, CellError, DeclaredExpr, restore
from .count import Count
from .datasketches_export import to_datasketches
from .datasketches_import import from_datasketches
from .expression import NotRowWise, OpaqueExpression, canonical
from .extrema import Max, Min
from .hyperloglog import HyperLogLog
from .lift import Lifted
from .monoid import Monoid
from .product import Product
from .sum import Sum

__all__ = [
    "Aggregator",
    "CellError",
    "Count",
    "DeclaredExpr",
    "HyperLogLog",
    "Lifted",
    "Max",
    "Min",
    "Monoid",
    "NotRowWise",
    "OpaqueExpression",
    "Product",
    "Sum",
    "canonical",
    "from_datasketches",
    "restore",
    "to_datasketches",
]
