"""The stock of the sample warehouse: articles and their quantities."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Text, func, select, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.database import Base, db, transaction

MAX_ITEMS = 1_000
MAX_QUANTITY = 1_000_000_000
# What the warehouse has on a first start in development, so that there is something to read.
FIRST_STOCK = {"pallet-4711": 12, "pallet-4712": 3, "crate-0815": 40}


class StockItem(Base):
    __tablename__ = "stock_items"

    sku: Mapped[str] = mapped_column(Text, primary_key=True)
    quantity: Mapped[int]


class StockFullError(Exception):
    """The sample stores at most `MAX_ITEMS` articles."""


def items() -> Sequence[StockItem]:
    # Sorted here: the order of a database depends on its locale.
    return sorted(db.session.scalars(select(StockItem)), key=lambda item: item.sku)


def fill_if_empty() -> int:
    """Put the first stock into an empty warehouse; one with any article stays as it is.

    Returns:
        How many articles were added.
    """
    if db.session.scalar(select(func.count(StockItem.sku))):
        return 0
    for sku, quantity in FIRST_STOCK.items():
        put(sku, quantity)
    return len(FIRST_STOCK)


def put(sku: str, quantity: int) -> None:
    """Set the quantity of an article, 0 to MAX_QUANTITY.

    Raises:
        StockFullError: If it would be one article too many.
    """
    with transaction():
        is_known = db.session.get(StockItem, sku) is not None
        if not is_known and (db.session.scalar(select(func.count(StockItem.sku))) or 0) >= MAX_ITEMS:
            raise StockFullError
        # Both databases have this statement, and two workers may run it at once.
        insert = "INSERT INTO stock_items (sku, quantity) VALUES (:sku, :quantity)"
        upsert = text(f"{insert} ON CONFLICT (sku) DO UPDATE SET quantity = :quantity")
        db.session.execute(upsert, {"sku": sku, "quantity": quantity})
