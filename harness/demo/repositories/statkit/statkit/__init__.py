from statkit.basic import mean, median, modes, variance
from statkit.bins import bars, edges, histogram
from statkit.quantile import iqr, percentile
from statkit.running import Running

__all__ = [
    "Running",
    "bars",
    "edges",
    "histogram",
    "iqr",
    "mean",
    "median",
    "modes",
    "percentile",
    "variance",
]
