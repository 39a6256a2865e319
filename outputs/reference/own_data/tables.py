"""Write tables that come inside scikit-learn as CSV: iris.csv, wine.csv and digits.csv.

pip install scikit-learn
python outputs/reference/own_data/tables.py DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.datasets import load_digits, load_iris, load_wine


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, load in (("iris", load_iris), ("wine", load_wine), ("digits", load_digits)):
        data = load(as_frame=True)
        names = [str(word) for word in data.target_names]
        table = data.data.assign(kind=[names[label] for label in data.target])
        table.to_csv(folder / f"{name}.csv", index=False)
        print(
            f"{folder / name}.csv: {len(table):,} rows, {data.data.shape[1]} inputs,",
            f"{len(names)} classes",
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
