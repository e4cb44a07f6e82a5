"""Makes the strings that tokenizers are compared on: a JSON list, the same for the same arguments.

    python reference/tokenizer_corpus.py corpus.json [--count 20000] [--data ../shared/data]

Half are lines of the data sets where there are any (languages, code, long answers), the rest are put
together from hard alphabets: emoji with joiners, combining marks, control characters, runs of spaces
and line ends, white space of all kinds, names of special tokens glued to text, single code points of
all planes. No string has a lone surrogate, since JSON's readers differ on them.
"""

import argparse
import json
import random
from pathlib import Path

TOKENS = [
    "<s>", "</s>", "<unk>", "<pad>", "<mask>", "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    "<bos>", "<eos>", "<start_of_turn>", "[INST]", "[/INST]", "<0x0A>", "<0xE2>", "▁", "solo",
]  # fmt: skip
ALPHABETS = [
    "abcdefghij ", "the river carries water ", "ab \n\r\t", "0123456789 .,", "éàüñçßøåÉÀÜÑ ", "אבגדה\u05b8 ",
    "ابتثج\u064e ", "漢字仮名交かなカナ ", "ㄱㅏ가각힣\u1100\u1161\u11a8", "😀👍🏽\u200d❤️👩👧🏳🌈🇩🇪", "हिन्दी क्षत्रज्ञ", "ไทยภาษา ",
    "\u0301\u0308\u0323\u0345\u0334ao ", "'srevmlldt ", "(){}[];=<>|+-*/#\" ", "\x00\x01\x08\x0b\x0e\x1f\x7f\x80\x8f\x9f ",
    "\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\u180e\u200b\u200e\ufeff\u00ad ", "٠١٢३४½²Ⅷ一二 ", "<|imstartend_of>/s ",
    "DON'T I'LL ſKİıǅ ΣΑΣ ", "ｆｕｌｌｗｉｄｔｈ！　①㌀ﬁﬂ™…", "𝔘𝔫𝔦𝟘𝟙🄰㍿", "▁▁ _a ", "\ufffd\uffff\U0010ffff\ue000", "\r\n\n\t  x", "i̇n\u0303o\u0302\u0323ạ̈",
    "\u0958\u0f73\u0f75\u0f81\u0344\u1e9b\u2126\u212b", "\U0001e4f0\U0001ccf0\U00031350\u1c89\u1c8a", "ქართული ᏣᎳᎩ ", "ТЕКСТ текст ё й ", "Ελληνικά ά ", "tiếng Việt ",
]  # fmt: skip


def made_up(rng):
    parts = []
    for _ in range(rng.randint(1, 7)):
        kind = rng.random()
        if kind < 0.62:
            letters = rng.choice(ALPHABETS)
            parts.append("".join(rng.choice(letters) for _ in range(rng.randint(1, 9))))
        elif kind < 0.74:
            parts.append(rng.choice(TOKENS))
        elif kind < 0.84:
            parts.append(rng.choice(" \t\n\r\u3000\u00a0▁") * rng.choice([1, 2, 3, 5, 8, 17, 40]))
        elif kind < 0.95:
            start, end = rng.choice(
                [(0, 0x80), (0x80, 0x300), (0x300, 0x1000), (0x1000, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000), (0x20000, 0x110000)]
            )
            parts.append("".join(chr(rng.randrange(start, end)) for _ in range(rng.randint(1, 4))))
        else:
            parts.append(rng.choice("a1-=.😀é水") * rng.choice([20, 100, 300]))
    return rng.choice(["", "", "", " "]).join(parts)


def lines(folder):
    for path in sorted(Path(folder).glob("**/*.jsonl")) if folder else []:
        for line in path.read_text(encoding="utf-8").splitlines():
            value = json.loads(line)
            for text in value.values() if isinstance(value, dict) else []:
                if isinstance(text, str) and text:
                    yield text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--data")
    arguments = parser.parse_args()
    rng = random.Random(23)
    real = [text[:2_000] for text in lines(arguments.data)]
    rng.shuffle(real)
    strings = ["", " ", "\n", *real[: arguments.count // 2]]
    while len(strings) < arguments.count:
        strings.append(made_up(rng))
    text = json.dumps(strings, ensure_ascii=True)
    Path(arguments.output).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
