"""Flips single bits of every stored file of two runs and their cache, and gives the commands that read them.

Counts the flips whose damage was said, those without effect, and those that changed something without a word or ended in an
unforeseen error.

    python benchmarks/bit_flips.py --flips 200
"""

import argparse
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from wildcore.testing.flipped import Flips


def main() -> None:
    """Flip the bits and print a table of counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    with TemporaryDirectory() as folder:
        flips = Flips(Path(folder).resolve() / "flips")
        for flip in flips.drawn(chosen.flips, chosen.seed):
            try:
                outcome: str = flips.outcome(flip)
            except AssertionError as error:
                outcome = "wrong"
                print(f"{flip}: {error}", flush=True)
            counts[str(flip.path), outcome] += 1
        print("| file | flips | said | no effect | wrong |\n| --- | ---: | ---: | ---: | ---: |")
        for file in map(str, flips.files()):
            said, nothing, wrong = (counts[file, outcome] for outcome in ("said", "no effect", "wrong"))
            print(f"| {file} | {said + nothing + wrong} | {said} | {nothing} | {wrong} |")


if __name__ == "__main__":
    main()
