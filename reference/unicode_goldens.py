"""Records what Hugging Face `tokenizers` makes of every code point: normal forms, marks, punctuation.

    python reference/unicode_goldens.py

Writes Tests/TokenizersTests/Fixtures/unicode.json: for each question, a CRC-32 of the answers for
each 4,096 code points (surrogates left out), each answer followed by a line feed. Where Swift's
answers differ, its tables are newer and Sources/Tokenizers/OlderUnicode.swift lacks a character.
"""

import zlib

from tokenizer_goldens import FIXTURES, dump
from tokenizers import normalizers, pre_tokenizers



def main():
    nfd = normalizers.NFD()
    questions = {
        # A mark of each kind stands round the character, so that its own order shows.
        "order": lambda c: nfd.normalize_str(f"a\u0345{c}\u0334"),
    }
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt", "StripAccents"):
        questions[name] = getattr(normalizers, name)().normalize_str
    for name in ("Punctuation", "WhitespaceSplit", "Whitespace"):
        step = getattr(pre_tokenizers, name)()
        questions[name] = lambda c, step=step: str(len(step.pre_tokenize_str(f"a{c}b")))
    out = {}
    for name, ask in questions.items():
        sums = out[name] = []
        for start in range(0, 0x110000, 4096):
            codes = (code for code in range(start, start + 4096) if not 0xD800 <= code < 0xE000)
            text = "".join(ask(chr(code)) + "\n" for code in codes)
            sums.append(zlib.crc32(text.encode()))
    dump(FIXTURES / "unicode.json", out)


if __name__ == "__main__":
    main()
