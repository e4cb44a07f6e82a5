"""Writes Tests/TokenizersTests/Fixtures/ggml.json, small vocabularies of GGUF's llama kind, and two
vocabularies as GGUF files.

    python reference/ggml_goldens.py

Trains BPE with byte fallback on a few texts, gives the pieces scores as SentencePiece does, and then
forgets the merges: transformers' converter derives them again from pieces and scores, some of which
tie. The expected ids are those of `tokenizers` with these merges.
"""

import json
import random
from pathlib import Path

from gguf import GGUFWriter
from tokenizer_goldens import hard_strings, training_texts
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers
from transformers.tokenization_utils_base import generate_merges

FIXTURE = Path(__file__).resolve().parent.parent / "Tests/TokenizersTests/Fixtures/ggml.json"
MARK = "\u2581"


def pieces():
    """Learned pieces in order of merging, longest words first learned last."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", MARK)
    trainer = trainers.BpeTrainer(vocab_size=420, show_progress=False, max_token_length=9)
    tokenizer.train_from_iterator(training_texts(), trainer)
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.get)


def kind(architecture, learned, strings):
    gemma = architecture == "gemma3"
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [2, 3, 3] + [6] * 256
    scores = [0.0] * len(tokens)
    extra = ["<|user|>", "\n\n"] + (["  ", "    "] if gemma else [])
    tokens += extra
    types += [3] + [4] * (len(extra) - 1)
    scores += [-1000.0] * len(extra)
    letters = [piece for piece in learned if len(piece) == 1]
    # Gemma's runs of spaces are listed above, as spaces.
    words = [piece for piece in learned if len(piece) > 1 and not (gemma and not piece.strip(MARK))]
    for piece in words + letters:
        # Every third score repeats the one before: pieces tie.
        scores.append(-float((len(scores) - 261) // 3 * 3))
        tokens.append(piece)
        types.append(1)

    spelled = [MARK * len(token) if gemma and token and not token.strip(" ") else token for token in tokens]
    vocabulary = {token: index for index, token in enumerate(spelled)}
    if gemma:
        merges = generate_merges(vocabulary, {token: -index for index, token in enumerate(spelled)})
    else:
        merges = generate_merges(vocabulary, dict(zip(spelled, scores)))
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, fuse_unk=True, byte_fallback=True, unk_token="<unk>")
    )
    replace = normalizers.Replace(" ", MARK)
    prepend = [] if gemma else [normalizers.Prepend(MARK)]
    tokenizer.normalizer = normalizers.Sequence([*prepend, replace])
    steps = [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps + ([] if gemma else [decoders.Strip(" ", 1, 0)]))
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False) for token in ["<unk>", "<s>", "</s>"]]
        + [AddedToken("<|user|>", normalized=False, rstrip=architecture == "phi3")]
    )
    tokenizer.add_tokens(
        [AddedToken("\n\n", normalized=False, rstrip=architecture == "phi3")]
    )
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in strings]
    return {
        "architecture": architecture,
        "tokens": tokens,
        "types": types,
        "scores": scores,
        "merges": [list(pair) for pair in merges],
        "ids": ids,
        "decoded": [tokenizer.decode(line) for line in ids],
    }


def write_gguf(name, model, tokens, types, scores=None, merges=None, architecture="llama"):
    """A vocabulary alone as GGUF, for `make fuzz`."""
    path = FIXTURE.with_name(f"vocabulary-{name}.gguf")
    writer = GGUFWriter(path, architecture)
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre("gpt-2" if model == "gpt2" else "default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if scores:
        writer.add_token_scores(scores)
    if merges:
        writer.add_token_merges(merges)
    writer.add_eos_token_id(types.index(3))
    writer.add_add_bos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    print(path.name, path.stat().st_size, "bytes")


def write_vocabularies(llama):
    write_gguf("llama", "llama", llama["tokens"], llama["types"], scores=llama["scores"])
    gpt2 = json.loads((FIXTURE.parent / "gpt-2/tokenizer.json").read_text())
    vocabulary = gpt2["model"]["vocab"]
    special = {token["content"]: token["id"] for token in gpt2["added_tokens"]}
    tokens = sorted(vocabulary | special, key=(vocabulary | special).get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in gpt2["model"]["merges"]]
    write_gguf("gpt2", "gpt2", tokens, [3 if t in special else 1 for t in tokens], merges=merges)


def main():
    rng = random.Random(3)
    strings = hard_strings()
    strings = strings[:66] + rng.sample(strings[66:], 60)
    strings += ["<s>a <|user|> \n b", "a\n\n\n b", "  two  spaces    four ", " <s> x", "<0x41>"]
    learned = pieces()
    golden = {
        "strings": strings,
        "kinds": [kind(name, learned, strings) for name in ("llama", "phi3", "gemma3")],
    }
    write_vocabularies(golden["kinds"][0])
    FIXTURE.write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(FIXTURE.stat().st_size, "bytes,", [len(k["merges"]) for k in golden["kinds"]], "merges")


if __name__ == "__main__":
    main()
