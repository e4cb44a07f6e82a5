"""Writes the golden files of Tests/TokenizersTests/Fixtures.

Trains small byte-level BPE tokenizers with Hugging Face `tokenizers`, one for each way of cutting
words that Retort knows, and records what they make of a few hundred hard strings.

    python reference/tokenizer_goldens.py

The random strings use characters of Unicode 14 and before (Python 3.11's); a fixed one has letters
of Unicode 15 and 16, which Debian 12's PCRE2 does not know by itself.
"""

import json
import random
import unicodedata
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

FIXTURES = Path(__file__).resolve().parent.parent / "Tests/TokenizersTests/Fixtures"
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def training_texts():
    """Sentences put together from word lists, with numbers, code and other scripts among them."""
    rng = random.Random(7)
    subjects = "the river|a small engine|our teacher|every student|the old cache|nobody".split("|")
    verbs = "carries|remembers|distils|doesn't need|couldn't find|has measured|isn't".split("|")
    objects = "more water|the hidden states|twelve apples|what we've stored|its own heat".split("|")
    ends = [".", "!", "?", ";\n", " -- they'll see.", " (in 1984, or 2,047 times).", ":\n\n"]
    others = [
        "for (int i = 0; i < n; i++) {\n\t\tsum += x[i] * y[i];\n}\n",
        "def f(x):\n    return {'a': x ** 2, 'b': [1, 2, 3]}\n",
        "Über den Flüssen stehen alte Brücken. ",
        "Où est la bibliothèque, s'il vous plaît ? ",
        "река течёт медленно и тихо. ",
        "水は低きに流れる。二〇二四年。 ",
        "물은 아래로 흐른다. ",
        "שלום לכולם ",
        "نهر كبير ١٢٣ ",
        "🙂🙂 👍🏽 👩‍👩‍👧 ",
    ]
    texts = []
    for _ in range(120):
        text = ""
        for _ in range(rng.randint(1, 4)):
            words = [rng.choice(subjects), rng.choice(verbs), rng.choice(objects)]
            text += " ".join(words).capitalize() + rng.choice(ends) + " "
            if rng.random() < 0.3:
                text += rng.choice(others)
        texts.append(text)
    return texts


def hard_strings():
    fixed = [
        "", " ", "  ", "a", "Hello, world!", "The river carries more water than the old cache.",
        "don't I'll we've they're he'd I'm it's", "DON'T I'LL WE'VE 'S 'ſ it'ſ K'ſ", "\u0149a ﬆ ß",
        "👩‍👩‍👧‍👦 family 🏳️‍🌈 👍🏽 🇩🇪🇫🇷", "שלום עולם", "مرحبا بالعالم ١٢٣", "हिन्दी क्षत्रिय ไทยภาษา",
        "e\u0301 n\u0303 a\u030a o\u0323\u0302 u\u0308ber", "Å \u212b Ω \u2126 ﬁ \u0344 \u0958 \u1e9b\u0323",
        "\u1100\u1161\u11a8 \uac00\u11a8 각 \uac01\u11a8 \uac00\u11a7", "\u0f40\u0f71\u0f72\u0f74\u0f80\u0f73\u0f75\u0f81", "\u0300start", "nul\x00in\x00side", "\x01\x02\x7f\x80",
        "line\r\nline\r\n\r\nend\r", "\n\n\n", "\n \n\t\t x", "     five   three  two one", " " * 60,
        "x" + " " * 77 + "y", "\t\tif x == 1:\n\t\t\treturn  [1,2,3]  # c", "a\nb", "\n ", "a  \n  b",
        "1234567890 12 3 ½ ² ⅷ ٣ 一二三 3.14 1e-10 $12,345.67", "漢字かな交じり文。中文，标点！", "한국어 텍스트",
        "a\u180eb \u180e c", "a\u00a0b\u00a0\u00a0c", "\u2028x\u2029y\u0085z\x0b\x0c", "\u200b\u200c\u200d\ufeff",
        "\u3000全角\u3000", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 😀", "a" * 300, "ab" * 150, "-" * 99, "\ufffd\uffff\U0010ffff",
        "''s '' 's' 'll", "x'S y'T z'Re", "http://example.com/a?b=c&d=%20e#f", "f(x)=∑_{i=0}^{n} x_i²",
        "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|im_start|>user\nHi<|im_end|>\n",
        "<|im_start|", "<|endoftext|><|endoftext|>", "<<|im_end|>>", "a <mask> b", "a  \n<mask> <mask>",
        "a\U00031350b \U00031350\U0002ebf0 \u1c89x\u1c8a \U0001e4f0\U0001ccf0 \U00031350!\U0001f642",
        "<pad>  \t x", "solo", "solos solo, _solo solo_ é solo", "naïve nai\u0308ve NAÏVE",
    ]  # fmt: skip
    alphabets = [
        "abcdefghij ", "ab \n\r\t", "0123456789 .,", "éàüñçßøå ", "אבגדה ", "ابتثج ", "漢字仮名交 ",
        "😀👍🏽\u200d❤️", "\u0301\u0308\u0323ao ", "'srevmlldt ", "(){}[];=<>|+-*/ ", "\x00\x01\x1f\x7f",
        "\u00a0\u2003\u3000\u180e\u200b ", "가각힣각", "٠١٢३४½²Ⅷ ", "<|imstartend_of>", "DON'T I'LL ſK",
    ]  # fmt: skip
    rng = random.Random(11)
    strings = list(fixed)
    for _ in range(160):
        text = ""
        for _ in range(rng.randint(1, 6)):
            letters = rng.choice(alphabets)
            text += "".join(rng.choice(letters) for _ in range(rng.randint(1, 7)))
            if rng.random() < 0.1:
                text += rng.choice([*SPECIALS, "<mask>", " solo "])
        strings.append(text)
    for _ in range(60):
        text = ""
        while len(text) < rng.randint(1, 16):
            start, end = rng.choice([(0x20, 0x7F), (0x80, 0x3000), (0x3000, 0xD800), (0xF900, 0x1F900)])
            character = chr(rng.randrange(start, end))
            if unicodedata.category(character) not in ("Cn", "Cs"):
                text += character
        strings.append(text)
    return strings


def build(name, texts):
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=name == "prefix", use_regex=True)
    bare = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if name in ("gpt-2", "prefix"):
        tokenizer.pre_tokenizer = byte_level
    elif name == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    else:
        pattern = Regex(QWEN2 if name == "qwen2" else LLAMA3)
        split = pre_tokenizers.Split(pattern, "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bare])
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if name in ("gpt-2", "qwen2"):
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
        tokenizer.add_special_tokens([AddedToken("<pad>", rstrip=True, normalized=False)])
        tokenizer.add_tokens([AddedToken("solo", single_word=True), AddedToken("naïve")])
    if name == "llama-bpe":
        tokenizer.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=True),
                processors.TemplateProcessing(
                    single="<|im_start|> $A <|endoftext|>",
                    special_tokens=[("<|im_start|>", 1), ("<|endoftext|>", 0)],
                ),
            ]
        )
    return tokenizer


def dump(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8", newline="")


def main():
    texts = training_texts()
    strings = hard_strings()
    dump(FIXTURES / "training.json", texts)
    dump(FIXTURES / "strings.json", strings)
    for name in ("gpt-2", "prefix", "smollm", "qwen2", "llama-bpe"):
        tokenizer = build(name, texts)
        value = json.loads(tokenizer.to_str())
        if name == "gpt-2":
            # The older written form, which most files on the Hub still have.
            value["model"]["merges"] = [" ".join(pair) for pair in value["model"]["merges"]]
        dump(FIXTURES / name / "tokenizer.json", value)
        dump(
            FIXTURES / name / "tokenizer_config.json",
            {"eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"},
        )
        ids = [tokenizer.encode(s, add_special_tokens=False).ids for s in strings]
        around = tokenizer.encode("Hello", add_special_tokens=True).ids
        # Cut anywhere, so that decoding meets halves of characters.
        decoded = [tokenizer.decode(i[1:-1], skip_special_tokens=False) for i in ids]
        tokenizer.encode_special_tokens = True
        plain = [tokenizer.encode(s, add_special_tokens=False).ids for s in strings]
        dump(
            FIXTURES / name / "expected.json",
            {"ids": ids, "plain": plain, "decoded": decoded, "around": around},
        )


if __name__ == "__main__":
    main()
