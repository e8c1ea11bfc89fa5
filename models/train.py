"""Train the demonstration's models and print how well each does on rows nobody trained on.

Usage: python models/train.py [FOLDER], by default `built` beside this file.
"""

import sys
from pathlib import Path

from shadowbus.demo.models import train


def main() -> None:
    """Train into the folder named on the command line."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "built"
    trained = train(out)
    print(f"{'model':<12} {'accuracy':>8}  bundle")
    for name, bundle in trained.bundles.items():
        print(f"{bundle.model:<12} {trained.accuracy[name]:>8.3f}  {bundle.folder}")


if __name__ == "__main__":
    main()
