from stock.item import Item, OutOfStock
from stock.lines import label, report
from stock.reorder import missing, packs, shopping_list
from stock.store import Stock

__all__ = ["Item", "OutOfStock", "Stock", "label", "missing", "packs", "report", "shopping_list"]
