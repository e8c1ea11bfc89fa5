"""What is read of a record, by name: one number for each field of a record, or one array for each field of a batch."""

from typing import Generic, NamedTuple, TypeVar

Cell = TypeVar("Cell")


class ComparisonRow(NamedTuple, Generic[Cell]):
    """What is read of a comparison: a number for each field, or of many comparisons an array for each.

    Attributes:
        status: The position in `STATUSES`.
        agree: 0 where that is not known, 1 where both answers are the same, 2 where they differ.
        live_latency: In ms.
        shadow_latency: In ms.
        distance: Between both answers.
        live_error: 1 where the live answer carries an error.
        shadow_error: 1 where the shadow's does.
        lacking: Which list of missing features it has, counted from 1; 0: none is missing.
        trained_on: 1 where the request is from before the model's training ended.
        live_timed: What the live latency is of, counted from 1 in `TIMED`; 0: not known, or no latency.
        shadow_timed: And the shadow's.
        live_answer: The code of a class, or a number; NaN unless both models answered.
        shadow_answer: And the shadow's.
    """

    status: Cell
    agree: Cell
    live_latency: Cell
    shadow_latency: Cell
    distance: Cell
    live_error: Cell
    shadow_error: Cell
    lacking: Cell
    trained_on: Cell
    live_timed: Cell
    shadow_timed: Cell
    live_answer: Cell
    shadow_answer: Cell


class OutcomeRow(NamedTuple, Generic[Cell]):
    """What is read of an outcome: a number for each field, or of many outcomes an array for each.

    Attributes:
        early: 1 where the request is from before the model's training ended, 2 from before its bundle was made, else 0.
        right: Who was right: 1 both, 2 the shadow only, 3 the live model only, 4 neither; 0 where that is not known.
        agree: As in a comparison.
        sign: 1, or -1 where an earlier outcome is taken back.
        loss: By how much the shadow's loss exceeds the live one.
        live_loss: The live loss.
        shadow_loss: The shadow's loss.
        label: The code of a class; NaN where answers are no classes.
        live_answer: The code of a class.
        shadow_answer: The code of a class.
        value: By how much more the shadow's decision is worth than the live one.
        live_value: What the live decision is worth.
    """

    early: Cell
    right: Cell
    agree: Cell
    sign: Cell
    loss: Cell
    live_loss: Cell
    shadow_loss: Cell
    label: Cell
    live_answer: Cell
    shadow_answer: Cell
    value: Cell
    live_value: Cell
