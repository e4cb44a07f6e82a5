#!/usr/bin/env python3
"""Joins files of examples into one that says which split each is in, as `retort extract` reads it.

    scripts/with_split.py train=train.jsonl held_out=dev.jsonl > data.jsonl
    scripts/with_split.py train=train.jsonl:1800 held_out=dev.jsonl:200 > data.jsonl     # the first of each

Every line must be a JSON object; nothing else of it is changed. Exit codes: 0 done, 64 usage, 65 a line that is none,
66 no such file.
"""

import json
import sys


def fail(code, message):
    print(f"with_split.py: {message}", file=sys.stderr)
    sys.exit(code)


def main():
    if len(sys.argv) < 2:
        fail(64, "give SPLIT=FILE[:COUNT], once for each split")
    for argument in sys.argv[1:]:
        split, equals, place = argument.partition("=")
        path, colon, count = place.rpartition(":")
        if not (colon and count.isdigit()):
            path, count = place, None
        if not (split and equals and path):
            fail(64, f"{argument}: give SPLIT=FILE[:COUNT]")
        try:
            with open(path, encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    if count is not None and number > int(count):
                        break
                    try:
                        example = json.loads(line)
                        example["split"] = split
                    except (ValueError, TypeError) as error:
                        fail(65, f"{path}, line {number}: {error}")
                    print(json.dumps(example, ensure_ascii=False))
        except FileNotFoundError:
            fail(66, f"{path}: there is no such file")


if __name__ == "__main__":
    main()
