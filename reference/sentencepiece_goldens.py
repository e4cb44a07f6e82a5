"""Trains small SentencePiece-style tokenizers and records what they make of hard strings.

    python reference/sentencepiece_goldens.py [--folder FOLDER] [--full]

Writes FOLDER (Tests/TokenizersTests/Fixtures/pieces) with one folder a tokenizer. Needs
`sentencepiece`, which compiles the tables of replacements. With --full that of `nmt_nfkc` is used
whole (240 KB; not for committing), else a few hundred of its rules.
"""

import argparse
import base64
import io
import json
import random
import struct
import tempfile
from pathlib import Path

import sentencepiece
from tokenizer_corpus import made_up
from tokenizer_goldens import FIXTURES, dump, hard_strings, training_texts
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

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def charsmap(full):
    """SentencePiece's table for nmt_nfkc, or for some of its rules."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = {}
        if not full:
            rules = Path(folder) / "rules.tsv"
            chosen = ["ﬁ", "ﬀ", "①", "ｆ", "ｕ", "ｌ", "！", "　", "\u00a0", "\t", "\n", "\r", "½", "²", "Ⅷ", "㌀", "™", "…", "İ", "\u200b", "\u00ad", "\ufeff", "\u2126", "\u0344", "ſ", "𝔘", "\u1e9b", "\u1f71"]
            lines = [f"{ord(c):04X}\t{' '.join(f'{ord(n):04X}' for n in nmt(c))}" for c in chosen if nmt(c) != c]
            for pair, one in [("e\u0301", "é"), ("o\u0302", "ô"), ("n\u0303", "ñ"), ("\u1100\u1161", "가"), ("a\u030a", "å"), ("か\u3099", "が"), ("\r\n", " "), ("👍🏽", "+1")]:
                lines.append(f"{' '.join(f'{ord(c):04X}' for c in pair)}\t{' '.join(f'{ord(c):04X}' for c in one)}")
            rules.write_text("\n".join(lines) + "\n", encoding="utf-8")
            arguments["normalization_rule_tsv"] = str(rules)
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(training_texts()), model_writer=model, vocab_size=300, hard_vocab_limit=False, minloglevel=2,
            normalization_rule_name="nmt_nfkc" if full else "user_defined", **arguments,
        )  # fmt: skip
    return precompiled(model.getvalue())


def nmt(character):
    import unicodedata

    if character in "\u200b\ufeff\t\n\r\u3000\u00a0":
        return " "
    return unicodedata.normalize("NFKC", character) if character != "\u00ad" else ""


def fields(blob):
    """The length-delimited fields of a protobuf message: pairs of number and bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = blob[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(blob):
        key = varint()
        if key & 7 == 2:
            size = varint()
            yield key >> 3, blob[at : at + size]
            at += size
        elif key & 7 == 0:
            varint()
        else:
            at += 4 if key & 7 == 5 else 8


def precompiled(model):
    """ModelProto.normalizer_spec.precompiled_charsmap."""
    spec = next(value for number, value in fields(model) if number == 3)
    return next(value for number, value in fields(spec) if number == 2)


def pieces_of(kind, texts, normalizer, pre_tokenizer, size, specials):
    """The vocabulary that a trainer finds."""
    tokenizer = Tokenizer(models.BPE() if kind == "bpe" else models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    if kind == "bpe":
        trainer = trainers.BpeTrainer(vocab_size=size, limit_alphabet=90, special_tokens=specials, show_progress=False)
    else:
        trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=specials, unk_token=specials[0], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())["model"]


def bpe(texts, normalizer, pre_tokenizer, size=480, with_bytes=True, specials=("<unk>", "<s>", "</s>"), **options):
    specials = list(specials) + (BYTES if with_bytes else [])
    model = pieces_of("bpe", texts, normalizer, pre_tokenizer, size, specials)
    merges = [tuple(m) for m in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=model["vocab"], merges=merges, unk_token="<unk>", byte_fallback=with_bytes, **options))
    tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    return tokenizer


def unigram(texts, normalizer, pre_tokenizer, size=300, with_bytes=False, specials=("<unk>", "<s>", "</s>")):
    model = pieces_of("unigram", texts, normalizer, pre_tokenizer, size, list(specials))
    vocab = [tuple(item) for item in model["vocab"]]
    if with_bytes:
        vocab[3:3] = [(name, 0.0) for name in BYTES]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=model["unk_id"], byte_fallback=with_bytes))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    return tokenizer


def spelled(strip=True):
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))


def special(*names):
    return [AddedToken(name, special=True, normalized=False) for name in names]


def build(full):
    texts = training_texts()
    table = charsmap(full)
    precompiled_step = normalizers.Precompiled(table)
    out = {}

    t = bpe(texts, None, pre_tokenizers.Metaspace("▁", "first", split=False), fuse_unk=True)
    t.decoder = spelled()
    t.add_special_tokens(special("<unk>", "<s>", "</s>"))
    t.add_tokens([AddedToken("solo", single_word=True, normalized=False), AddedToken("[INST]", normalized=False), AddedToken(" x ", rstrip=True, normalized=False)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    out["llama"] = t

    legacy = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t = bpe(texts, legacy, None, fuse_unk=True)
    t.decoder = spelled()
    t.add_special_tokens([AddedToken("<unk>", special=True, normalized=True), *special("<s>"), AddedToken("</s>", special=True, normalized=True, lstrip=True)])
    t.add_tokens([AddedToken("[INST]", normalized=True), AddedToken("<mask>", lstrip=True, rstrip=True), AddedToken("waters", single_word=True)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    out["llama-legacy"] = t

    t = bpe(texts, normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"), specials=("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>"), fuse_unk=True)
    t.decoder = spelled(strip=False)
    t.add_special_tokens(special("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>"))
    t.add_tokens([AddedToken(s, normalized=False) for s in ("\n\n", "▁▁", "\t\t")])
    out["gemma"] = t

    # No bytes, unknown characters one by one; the pieces are words of Gemma's kind.
    t = bpe(texts, normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), "▁")]), pre_tokenizers.Split("▁", "merged_with_next"), size=260, with_bytes=False, ignore_merges=True)
    t.decoder = decoders.Metaspace("▁", "never")
    t.add_special_tokens(special("<unk>", "<s>", "</s>"))
    out["unknown"] = t

    t5 = normalizers.Sequence([precompiled_step, normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")])
    t = unigram(texts, t5, pre_tokenizers.Metaspace("▁", "always"), specials=("<unk>", "<pad>", "</s>"))
    t.decoder = decoders.Metaspace("▁", "always")
    t.add_special_tokens([*special("<unk>", "<pad>", "</s>"), AddedToken("<mask>", special=True, lstrip=True, normalized=False)])
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    out["t5"] = t

    xlnet = normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), precompiled_step, normalizers.Replace(Regex(" {2,}"), " ")])
    t = unigram(texts, xlnet, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "first")]))
    t.decoder = decoders.Metaspace("▁", "first")
    t.add_special_tokens(special("<unk>", "<s>", "</s>"))
    t.add_tokens([AddedToken("Übung"), AddedToken("solo", single_word=True)])
    out["xlnet"] = t

    # The reference's RobertaProcessing; bytes for what a Unigram model does not know.
    nmt_steps = normalizers.Sequence([normalizers.Nmt(), normalizers.Strip(left=True, right=True), normalizers.NFKC()])
    t = unigram(texts, nmt_steps, pre_tokenizers.Metaspace("▁", "first", split=False), with_bytes=True)
    t.decoder = spelled()
    t.add_special_tokens(special("<unk>", "<s>", "</s>"))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    out["unigram-bytes"] = t

    words = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()])
    t = bpe(texts, words, pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True), pre_tokenizers.Punctuation("merged_with_previous")]), size=300, with_bytes=False)
    t.add_special_tokens(special("<unk>", "<s>", "</s>"))
    out["words"] = t

    # Bytes in the middle, as Falcon has them, then more cuts.
    steps = [pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(False), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"), pre_tokenizers.Split(Regex("Ġ+$"), "contiguous", invert=True)]
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence(steps)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=420, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    out["falcon"] = t

    for behavior, invert in [("removed", False), ("contiguous", True), ("merged_with_next", False), ("merged_with_previous", True)]:
        pattern = Regex(r"\p{L}+|\p{N}" if invert else r"[aeiou]*\s?")
        out[f"split-{behavior}"] = bpe(texts, None, pre_tokenizers.Split(pattern, behavior, invert=invert), size=200, with_bytes=False)
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", default=str(FIXTURES / "pieces"))
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    folder = Path(arguments.folder)
    rng = random.Random(31)
    # The first is one character that NFKD makes two words of.
    strings = ["\ufdfb x", *(s for s in hard_strings() if len(s) < 200)][:120]
    while len(strings) < 300:
        text = made_up(rng)
        if len(text) < 60:
            strings.append(text)
    dump(folder / "strings.json", strings)
    for name, tokenizer in build(arguments.full).items():
        dump(folder / name / "tokenizer.json", json.loads(tokenizer.to_str()))
        ids = [tokenizer.encode(s, add_special_tokens=False).ids for s in strings]
        around = tokenizer.encode("Hello", add_special_tokens=True).ids
        # Cut anywhere, so that decoding meets runs of bytes that are no text.
        decoded = [tokenizer.decode(i[1:-1], skip_special_tokens=False) for i in ids]
        tokenizer.encode_special_tokens = True
        plain = [tokenizer.encode(s, add_special_tokens=False).ids for s in strings]
        # Only where special tokens read as text make a difference.
        changed = {str(n): b for n, (a, b) in enumerate(zip(ids, plain)) if a != b}
        dump(
            folder / name / "expected.json",
            {"ids": ids, "plain": changed, "decoded": decoded, "around": around},
        )


if __name__ == "__main__":
    main()
