"""Kills five commands at every one of their file operations, gives each command again, and compares what is made with what an
uninterrupted command makes.

    python benchmarks/kills.py
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from wildcore.testing.resuming import Kills, killables


def main() -> None:
    """Run the kills and print a table of counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="kill only at every N-th operation")
    parser.add_argument("--command", choices=[one.name for one in killables()], help="only this command")
    chosen = parser.parse_args()
    print("| command | file operations | kills | wrong afterwards |\n| --- | ---: | ---: | ---: |", flush=True)
    for command in killables():
        if chosen.command in (None, command.name):
            with TemporaryDirectory() as folder:
                kills = Kills(command, Path(folder).resolve() / command.name)
                numbers = range(1, kills.operations + 1, chosen.every)
                wrong = {number: found for number in numbers if (found := kills.kill_and_resume(number))}
            print(f"| {command.name} | {kills.operations} | {len(numbers)} | {len(wrong)} |", flush=True)
            for number, found in wrong.items():
                print(f"  {command.name}, operation {number}: {found}", flush=True)


if __name__ == "__main__":
    main()
