"""A service that is watched function by function; no HTTP needed. Prints its answers, then what was captured.

KAFKA=localhost:9092 python examples/service_decorator.py
"""

import os
from typing import NamedTuple

from shadowbus.capture import Tap

KAFKA = {"bootstrap.servers": os.environ.get("KAFKA", "localhost:9092")}
tap = Tap("churn", KAFKA, model="champion@3")


class Customer(NamedTuple):
    """Who is asked about."""

    number: int
    country: str
    calls: int


@tap.watch(
    features=lambda customer: {"calls": customer.calls},
    segments=lambda customer: {"country": customer.country},
    request_id=lambda customer: f"customer-{customer.number}",
    prediction=lambda churn: "churn" if churn > 0.5 else "stay",
    scores=lambda churn: {"churn": churn, "stay": 1.0 - churn},
)
def risk(customer: Customer) -> float:
    """The live model, here a rule of thumb: the probability that this customer leaves."""
    return min(1.0, 0.1 + 0.2 * customer.calls)


def main() -> None:
    """Serve three customers, learn what became of one of them, and look at the counters."""
    for customer in (Customer(1, "DE", 0), Customer(2, "FR", 3), Customer(3, "DE", 9)):
        print(f"customer {customer.number}: {risk(customer):.2f}")
    tap.label("customer-3", "churn")
    counters = tap.close(timeout=2.0)
    print(f"captured {counters.captured}, delivered {counters.delivered}, lost {counters.lost}")


if __name__ == "__main__":
    main()
