"""Writes a task of lm-evaluation-harness: which of two ends of a statement is true, on facts of CounterFact that are not edited.

    python benchmarks/unedited_facts.py counterfact_10k.json FOLDER

The facts are the first 1,000 after row 1,300 whose subject is not in a row before. The true end stands first and second in turn,
so that a model which prefers a place, or guesses, has an accuracy of 0.5. Give the written FOLDER/facts.yaml to ``--capability``.
"""

import argparse
import json
from pathlib import Path

EDITED, ASKED = 1300, 1000

TASK = """task: unedited_facts
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
output_type: multiple_choice
test_split: test
num_fewshot: 0
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{gold}}}}"
doc_to_choice: "{{{{choices}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""


def main() -> None:
    """Write the questions and the task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counterfact", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    rows = json.loads(given.counterfact.read_text(encoding="utf-8"))
    edited = {row["subject"] for row in rows[:EDITED]}
    asked = [row for row in rows[EDITED:] if row["subject"] not in edited][:ASKED]
    given.folder.mkdir(parents=True, exist_ok=True)
    questions = given.folder / "facts.jsonl"
    with open(questions, "w", encoding="utf-8") as file:
        for number, row in enumerate(asked):
            ends, gold = [row["ground_truth"], row["target_new"]], number % 2
            choices = ends[::-1] if gold else ends
            line = {"question": row["prompt"], "choices": choices, "gold": gold}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    place = json.dumps(str(questions.resolve()))
    (given.folder / "facts.yaml").write_text(TASK.format(file=place), encoding="utf-8")


if __name__ == "__main__":
    main()
