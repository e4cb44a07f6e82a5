"""`retort eval --score-only` against rouge_score and MiniLLM's exact match, pair by pair.

    python reference/rouge_check.py [--retort .build/release/retort] [--data FILE…] [--pairs 12000]

Pairs are made of the responses in the files (data/instructions.jsonl, and the paper's where ../shared/data
exists): texts against others, against changed copies of themselves, and with letters from all of Unicode; a third
have several references. Every score has to be the same float64. Exit 1 where one is not.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import rouge_goldens as goldens
from rouge_score import rouge_scorer

ROOT = goldens.ROOT
SHARED = ROOT.parent / "shared/data"


def responses(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            item = json.loads(line)
            text = item.get("response", item.get("output"))
            yield text if isinstance(text, str) else text[0]


def strange(draw, text):
    """Some letters replaced by any of Unicode's, surrogates left out."""
    letters = list(text[:400])
    for _ in range(len(letters) // 10 + 1):
        code = draw.choice([draw.randrange(0x80), draw.randrange(0x3000), draw.randrange(0x110000)])
        if not 0xD800 <= code < 0xE000:
            letters.insert(draw.randrange(len(letters) + 1), chr(code))
    return "".join(letters)


def pairs(texts, count, draw):
    for index in range(count):
        text, other = draw.sample(texts, 2)
        prediction = [other, text, goldens.mixed(draw, text, other), strange(draw, text)][index % 4]
        references = [text]
        if index % 3 == 0:
            references += [goldens.mixed(draw, text, other) for _ in range(draw.randint(1, 3))]
        yield prediction, references


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--retort", default=str(ROOT / ".build/release/retort"))
    parser.add_argument("--data", nargs="*", default=[])
    parser.add_argument("--pairs", type=int, default=12_000)
    arguments = parser.parse_args()
    files = arguments.data or [ROOT / "data/instructions.jsonl"] + sorted(SHARED.glob("paper/*.jsonl"))
    texts = [text for path in files for text in responses(path) if text]
    made = list(pairs(texts, arguments.pairs, random.Random(7)))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        names = [folder / name for name in ("predictions.jsonl", "references.jsonl", "scores.jsonl")]
        names[0].write_text("".join(json.dumps({"prediction": p}) + "\n" for p, _ in made))
        names[1].write_text("".join(json.dumps({"references": r}) + "\n" for _, r in made))
        told = subprocess.run(
            [arguments.retort, "eval", "--score-only", *names[:2], "--scores", names[2], "--json"],
            check=True, stdout=subprocess.PIPE,
        ).stdout
        scores = [json.loads(line) for line in names[2].open()]
    summary = json.loads(told)
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)
    wrong = 0
    sums = [0.0, 0.0]
    for (prediction, references), score in zip(made, scores, strict=True):
        rouge = max(scorer.score(r, prediction)["rougeL"].fmeasure for r in references)
        exact = max(goldens.exact_match(prediction, r) for r in references)
        sums[0] += rouge
        sums[1] += exact
        if (rouge, exact) != (score["rougeL"], score["exact_match"]):
            wrong += 1
            if wrong < 10:
                print(repr(prediction), references, rouge, exact, score, file=sys.stderr)
    for total, name in zip(sums, ("rougeL", "exact_match")):
        theirs, ours = 100 * total / len(made), summary[name]["mean"]
        print(f"{name}: {ours:.6f} here, {theirs:.6f} there")
        wrong += abs(ours - theirs) > 1e-9
    print(f"{len(made)} pairs of {len(texts)} texts, {wrong} differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
