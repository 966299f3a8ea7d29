"""Tables of null draws: the draws of several nulls of one statistic, with their labels."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def null_table(draws: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Joins the draws of several nulls, with the label of each in the column `null`."""
    return pd.concat([t.assign(null=label) for label, t in draws.items()], ignore_index=True)


def draws_by_null(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Returns the draws of each null in a table that `null_table` made, by label."""
    parts = table.groupby("null", sort=False)
    return {str(label): part.drop(columns="null") for label, part in parts}
