"""ROUGE-L F1 of rouge_score (no stemmer) for pairs of texts, for Tests/DistillTests.

    python reference/rouge_goldens.py [OUT]    default OUT: Tests/DistillTests/Fixtures/rouge.json
"""

import json
import pathlib
import random
import sys

from rouge_score import rouge_scorer

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORDS = "the a river stone bridge over under 12 it's rain, falls Falls. and-or slowly 3.5 \u00e9t\u00e9".split()
PAIRS = [
    ("", ""),
    ("", "a"),
    ("...", "a b"),
    ("The cat sat on the mat.", "the cat is on the mat"),
    ("police killed the gunman", "the gunman police killed"),
    ("Na\u00efve caf\u00e9 \u2014 \u0130stanbul, 5\u00d73", "naive cafe istanbul 5x3"),
    ("temperature \u212a rises", "temperature k rises"),
    ("snake_case and kebab-case", "snake case and kebab case"),
    ("line\nbreaks\tand  tabs", "line breaks and tabs"),
    ("a a a a", "a a"),
]


def main():
    out = ROOT / "Tests/DistillTests/Fixtures/rouge.json"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else out
    draw = random.Random(3)
    pairs = list(PAIRS)
    for _ in range(40):
        pairs.append(
            tuple(" ".join(draw.choices(WORDS, k=draw.randint(1, 30))) for _ in range(2))
        )
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    cases = [
        {"answer": a, "reference": r, "f1": scorer.score(r, a)["rougeL"].fmeasure}
        for a, r in pairs
    ]
    out.write_text(json.dumps(cases, indent=0, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
