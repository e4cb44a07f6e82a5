"""Holds `retort tokenize` against the expected ids of llama.cpp's vocabulary files.

    python reference/vocab_check.py [FOLDER] [--retort PATH]

FOLDER (default models/vocabs, see scripts/fetch-vocabs.sh) has NAME.gguf, NAME.gguf.inp (texts) and
NAME.gguf.out (a line of ids each, from Hugging Face's tokenizers). Kinds that Retort refuses must be
refused by name. Exit code 1 when any id differs. Needs the standard library only.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import unicodedata

SEPARATOR = "\n__ggml_vocab_test__\n"
# Refused, with the word that the message must have.
REFUSED = {"bert-bge": "bert", "nomic-bert-moe": "t5"}
# Made by llama.cpp, which leaves out the composition (NFC) of Hugging Face's tokenizer.
NOT_COMPOSED = {"qwen35"}


def cases(path):
    """The texts of NAME.gguf.inp with the ids of NAME.gguf.out."""
    texts = path.with_suffix(".gguf.inp").read_text(encoding="utf-8").split(SEPARATOR)
    lines = path.with_suffix(".gguf.out").read_text().split("\n")
    # The last text is often empty, and so is its line; some files end in a newline besides.
    if len(lines) == len(texts) + 1 and not lines[-1]:
        lines.pop()
    if len(texts) != len(lines):
        raise SystemExit(f"{path}: {len(texts)} texts for {len(lines)} lines of ids")
    return [(text, [int(word) for word in line.split()]) for text, line in zip(texts, lines)]


def tokenize(retort, model, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    return subprocess.run(
        [retort, "tokenize", str(model), "-", "--json"],
        input=lines.encode(), capture_output=True, check=False,
    )  # fmt: skip


def check(retort, path):
    """Prints one line; returns the number of texts that differ."""
    name = path.stem.removeprefix("ggml-vocab-")
    known = path.with_suffix(".gguf.out").exists() and name not in REFUSED
    expected = cases(path) if known else []
    result = tokenize(retort, path, [text for text, _ in expected] or ["Hello world"])
    if name in REFUSED:
        errors = result.stderr.decode()
        good = result.returncode == 65 and f"'{REFUSED[name]}'" in errors
        print(f"{name}: {'refused by name' if good else 'NOT refused by name: ' + errors}")
        return int(not good)
    if result.returncode:
        print(f"{name}: exit code {result.returncode}: {result.stderr.decode().strip()}")
        return 1
    found = [json.loads(line)["ids"] for line in result.stdout.decode().splitlines()]
    if not expected:
        print(f"{name}: opens; no expected ids")
        return 0
    wrong = [(text, a, b) for (text, b), a in zip(expected, found) if a != b]
    note = ""
    if name in NOT_COMPOSED:
        known = [case for case in wrong if unicodedata.normalize("NFC", case[0]) != case[0]]
        wrong = [case for case in wrong if case not in known]
        note = f", {len(known)} others differ in composition only, as they must"
    print(f"{name}: {len(expected) - len(wrong)} of {len(expected)} texts as they should be{note}")
    for text, a, b in wrong[:5]:
        print(f"  {text!r}\n    retort   {a}\n    expected {b}")
    return len(wrong)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=root / "models/vocabs")
    parser.add_argument("--retort", default=str(root / ".build/release/retort"))
    args = parser.parse_args()
    files = sorted(args.folder.glob("ggml-vocab-*.gguf"))
    if not files:
        raise SystemExit(f"{args.folder}: no ggml-vocab-*.gguf; run scripts/fetch-vocabs.sh")
    wrong = sum(check(args.retort, path) for path in files)
    print("vocab_check: FAILED" if wrong else f"vocab_check: {len(files)} files as expected")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
