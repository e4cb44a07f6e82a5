"""ROUGE-L of rouge_score, stems of NLTK and exact match, for Tests/ScoresTests.

    python reference/rouge_goldens.py [OUT]    default OUT: Tests/ScoresTests/Fixtures/rouge.json
"""

import json
import pathlib
import random
import re
import string
import sys

from nltk.stem.porter import PorterStemmer
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
    ("He was relating national rationalizations", "He relates nationally rationalized"),
    ("dying skies, news of flies", "die sky new fly"),
    ("Flies\x1cdie\u00a0dies\u2003tie", "flies die dies tie"),
]
# Every rule's suffix on stems of several shapes, and words with stems of their own.
SUFFIXES = """s ss sses ies ied eed ed ing at bl iz y ational tional enci anci izer bli abli alli entli eli
ousli ization ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical
ful ness al ance ence er ic able ible ant ement ment ent ion sion tion ou ism ate iti ous ive ize e ll le ying""".split()
STEMS = "a b tr ho st sky play geo theo archaeo control hop fall hiss fizz tann yy yyy sy oy 1a 2b x9 agre feud".split()
OWN = "sky skies dying lying tying news innings inning outings outing cannings canning howe proceed exceed succeed".split()


def exact_match(prediction, reference):
    """Super-NaturalInstructions' measure."""

    def plain(text):
        text = "".join(c for c in text.lower() if c not in string.punctuation)
        return " ".join(text.split())

    return float(plain(prediction) == plain(reference))


def texts():
    """Responses of the project's own data."""
    with open(ROOT / "data/instructions.jsonl", encoding="utf-8") as file:
        return [json.loads(line)["response"] for line in file]


def mixed(draw, text, other):
    """A text with words left out, moved, put in from another, and written otherwise."""
    words, more = text.split(), other.split() or ["none"]
    result = []
    for word in words[: draw.randint(1, 60)]:
        what = draw.random()
        if what < 0.15:
            continue
        if what < 0.3:
            word = draw.choice(more)
        elif what < 0.4:
            word = word.upper() + draw.choice(["", "!", ",", "ing", "ed", "s", "ness"])
        result.append(word)
    if draw.random() < 0.2:
        draw.shuffle(result)
    return draw.choice([" ", "  ", "\n"]).join(result)


def main():
    out = ROOT / "Tests/ScoresTests/Fixtures/rouge.json"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else out
    draw = random.Random(3)
    pairs = list(PAIRS)
    for _ in range(40):
        pairs.append(
            tuple(" ".join(draw.choices(WORDS, k=draw.randint(1, 30))) for _ in range(2))
        )
    known = texts()
    for _ in range(250):
        text, other = draw.sample(known, 2)
        pairs.append((mixed(draw, text, other), " ".join(text.split()[:60])))
    scorers = [rouge_scorer.RougeScorer(["rougeL"], use_stemmer=stems) for stems in (False, True)]
    cases = [
        {
            "prediction": a,
            "reference": r,
            "plain": scorers[0].score(r, a)["rougeL"].fmeasure,
            "stemmed": scorers[1].score(r, a)["rougeL"].fmeasure,
            "exact": exact_match(a, r),
        }
        for a, r in pairs
    ]
    words = {s + x for s in STEMS for x in SUFFIXES} | set(OWN)
    found = sorted({w for text in known for w in re.findall("[a-z0-9]+", text.lower()) if len(w) > 3})
    words |= set(draw.sample(found, 1500))
    stemmer = PorterStemmer()
    stems = {word: stemmer.stem(word) for word in sorted(words)}
    golden = {"pairs": cases, "stems": stems}
    out.write_text(json.dumps(golden, indent=0, ensure_ascii=True) + "\n")
    print(f"{out}: {len(cases)} pairs, {len(stems)} stems")


if __name__ == "__main__":
    main()
