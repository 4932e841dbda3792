"""The tables: users, businesses, invoices, payments."""

from __future__ import annotations

from datetime import datetime, timezone

from sqlalchemy import DateTime, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(timezone.utc)


class Base(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's way


class User(Base):
    """Somebody who can sign in."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))


class Business(Base):
    """Who writes invoices; belongs to one user."""

    __tablename__ = "businesses"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(100), unique=True)


class Invoice(Base):
    """A bill to a customer; amounts are whole cents."""

    __tablename__ = "invoices"
    __table_args__ = (UniqueConstraint("business_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    business_id: Mapped[int] = mapped_column(ForeignKey("businesses.id"))
    number: Mapped[str] = mapped_column(String(40))
    customer: Mapped[str] = mapped_column(String(254))
    amount_cents: Mapped[int]
    auto_charge: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)
    sent_at: Mapped[datetime | None]
    paid_at: Mapped[datetime | None]
    payments: Mapped[list[Payment]] = relationship(back_populates="invoice")

    @property
    def state(self) -> str:
        """Return how far it has come: `draft`, `sent` or `paid`."""
        return "paid" if self.paid_at else "sent" if self.sent_at else "draft"

    def as_json(self) -> dict[str, object]:
        """Return what a client sees of it."""
        return {
            "id": self.id,
            "business_id": self.business_id,
            "number": self.number,
            "customer": self.customer,
            "amount_cents": self.amount_cents,
            "auto_charge": self.auto_charge,
            "state": self.state,
        }


class Payment(Base):
    """Money for an invoice; its key makes a repeated request the same payment."""

    __tablename__ = "payments"
    __table_args__ = (UniqueConstraint("invoice_id", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    key: Mapped[str] = mapped_column(String(64))
    amount_cents: Mapped[int]
    settled_at: Mapped[datetime | None]
    invoice: Mapped[Invoice] = relationship(back_populates="payments")

    def as_json(self) -> dict[str, object]:
        """Return what a client sees of it."""
        return {
            "id": self.id,
            "invoice_id": self.invoice_id,
            "key": self.key,
            "amount_cents": self.amount_cents,
            "state": "settled" if self.settled_at else "pending",
        }
