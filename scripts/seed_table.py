"""Prints means and standard deviations over several eval.json files: one row a model.

Usage: seed_table.py runs/compare/*/gpt2/eval.json
"""

import json
import statistics
import sys

COLUMNS = [
    ("cross_entropy", "loss/token", 4, 1),
    ("cross_entropy_per_byte", "loss/byte", 4, 1),
    ("kl_next_byte", "KL next byte", 4, 1),
    ("next_byte_agreement", "same next byte %", 2, 100),
    ("kl", "KL", 4, 1),
    ("linear_cka", "CKA", 3, 1),
    ("rougeL", "ROUGE-L", 2, 100),
]


def main():
    files = sys.argv[1:]
    if not files:
        sys.exit(__doc__)
    models = {}
    for name in files:
        with open(name, encoding="utf-8") as file:
            for report in json.load(file)["reports"]:
                models.setdefault(report["name"], []).append(report)
    columns = [c for c in COLUMNS if any(r.get(c[0]) is not None for m in models.values() for r in m)]
    print(f"{len(files)} seeds")
    print("| model | " + " | ".join(title for _, title, _, _ in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, reports in models.items():
        cells = []
        for key, _, digits, factor in columns:
            values = [report[key] * factor for report in reports if report.get(key) is not None]
            if not values:
                cells.append("–")
                continue
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


main()
