"""Holds `retort tokenize` against `tokenizers` or transformers on a corpus of hard strings.

    python reference/tokenizer_corpus.py corpus.json
    python reference/tokenizer_check.py corpus.json MODEL [MODEL ...] [--retort PATH]

MODEL is a Hugging Face directory or a GGUF file (a vocabulary alone will do). Compares the ids of
every string, without added special tokens, and the text that these ids decode to. Prints the first
differences; exit code 1 when there are any.

transformers 5.23 reads some GGUF files otherwise than the models' own tokenizer.json; what is changed
in its tokenizer to undo that stands in `as_published`, with the reason.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from transformers import AutoTokenizer
from transformers.integrations.gguf.gguf_tokenizer_mapping import (
    convert_gguf_tokenizer,
    get_gguf_tokenizer,
)
from transformers.utils import logging

MARK = "\u2581"
# By tokenizer.ggml.pre: normaliser, then what comes before the bytes.
DIGITS = [pre_tokenizers.Digits(individual_digits=True)]
GPT2 = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
BARE = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
EAST_ASIAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"


def split(*patterns):
    return [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]


STEPS = {
    "smollm": (None, DIGITS + GPT2),
    "starcoder": (None, DIGITS + GPT2),
    "refact": (None, DIGITS + GPT2),
    "command-r": (normalizers.NFC(), DIGITS + GPT2),
    "mpt": (normalizers.NFC(), GPT2),
    "olmo": (normalizers.NFC(), GPT2),
    "gpt-2": (None, GPT2),
    "deepseek-coder": (
        None,
        split(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EAST_ASIAN) + DIGITS + BARE,
    ),
    "falcon": (
        None,
        [
            pre_tokenizers.Punctuation("contiguous"),
            *GPT2,
            pre_tokenizers.Digits(individual_digits=False),
            *split("[0-9][0-9][0-9]"),
        ],
    ),
}


def as_published(backend, architecture, content):
    """Undoes what transformers does otherwise than the models' own files."""
    if content["tokenizer_type"] == "gpt2":
        pre = content.get("pre_tokenizer_type", "olmo" if architecture == "gptneox" else None)
        if pre not in STEPS and pre not in ("qwen2", "qwen35", "llama-bpe"):
            raise SystemExit(f"nothing to compare {pre} with: transformers cuts words as GPT-2 does")
        if pre in STEPS:
            # It takes GPT-2's splitting for names that it does not know.
            backend.normalizer = STEPS[pre][0]
            backend.pre_tokenizer = pre_tokenizers.Sequence(STEPS[pre][1])
        elif pre in ("qwen2", "qwen35"):
            # It leaves out the composition.
            backend.normalizer = normalizers.NFC()
        # It leaves out ignore_merges, and respells or leaves out added tokens that are not written in
        # the byte alphabet (runs of spaces, DeepSeek's marks), which the published files have.
        text = json.loads(backend.to_str())
        text["model"]["ignore_merges"] = pre == "llama-bpe"
        text["model"]["unk_token"] = None
        text["model"]["vocab"] = {token: i for i, token in enumerate(content["tokens"])}
        text["added_tokens"] = [
            {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": kind == 3}
            for i, (token, kind) in enumerate(zip(content["tokens"], content["token_type"]))
            if kind in (3, 4)
        ]  # fmt: skip
        backend = Tokenizer.from_str(json.dumps(text))
        return backend
    if content["tokenizer_type"] == "llama" and not architecture.startswith("gemma"):
        # It takes Metaspace, which puts no mark before a space; the published files' normaliser does.
        backend.normalizer = normalizers.Sequence(
            [normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]
        )
        text = json.loads(backend.to_str())
        text["pre_tokenizer"] = None
        backend = Tokenizer.from_str(json.dumps(text))
    if architecture == "phi3":
        # As in Phi-3's tokenizer.json; a GGUF file does not say it.
        plain = ("<unk>", "<s>", "<|endoftext|>")
        text = json.loads(backend.to_str())
        for token in text["added_tokens"]:
            token["rstrip"] = token["content"] not in plain
        backend = Tokenizer.from_str(json.dumps(text))
    return backend


def reference(path):
    """The reference's tokenizer for a model."""
    if (path / "tokenizer.json").exists():
        # transformers makes some tokenizers anew instead of taking the file as it is.
        return Tokenizer.from_file(str(path / "tokenizer.json"))
    if path.is_dir():
        return AutoTokenizer.from_pretrained(path).backend_tokenizer
    architecture, content, _ = get_gguf_tokenizer(str(path))
    backend, _ = convert_gguf_tokenizer(architecture, content)
    return as_published(backend, architecture, content)


def run(retort, model, path, *options):
    command = [retort, "tokenize", str(model), path, *options]
    result = subprocess.run(command, capture_output=True, check=False)
    if result.returncode:
        raise SystemExit(f"{model}: exit code {result.returncode}: {result.stderr.decode().strip()}")
    return [json.loads(line) for line in result.stdout.decode().split("\n")[:-1]]


def check(retort, model, strings):
    backend = reference(model)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/lines"
        pathlib.Path(path).write_text("".join(json.dumps(text) + "\n" for text in strings))
        found = [line["ids"] for line in run(retort, model, path, "--json")]
        wanted = [each.ids for each in backend.encode_batch(strings, add_special_tokens=False)]
        pathlib.Path(path).write_text("".join(json.dumps(ids) + "\n" for ids in wanted))
        texts = run(retort, model, path, "--decode")
        decoded = backend.decode_batch(wanted, skip_special_tokens=True)
    wrong = [case for case in zip(strings, found, wanted) if case[1] != case[2]]
    # Where Retort gives back the very string, the reference does not: its byte-level decoder takes an
    # added token such as DeepSeek's "ü" for a byte.
    wrong_texts = [
        (ids, text, other)
        for string, ids, text, other in zip(strings, wanted, texts, decoded)
        if text not in (other, string)
    ]
    short = len(found) != len(strings) or len(texts) != len(strings)
    print(
        f"{model}: {len(strings)} strings, {sum(map(len, wanted))} tokens: ids of {len(wrong)} and "
        f"texts of {len(wrong_texts)} differ{', LINES ARE MISSING' if short else ''}"
    )
    for title, cases in (("ids", wrong), ("text", wrong_texts)):
        for given, a, b in cases[:5]:
            print(f"  {title} of {given!r:.200}\n    retort    {a!r:.200}\n    reference {b!r:.200}")
    return len(wrong) + len(wrong_texts) + short


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--retort", default=str(root / ".build/release/retort"))
    args = parser.parse_args()
    logging.set_verbosity_error()
    strings = json.loads(args.corpus.read_text(encoding="utf-8"))
    wrong = sum(check(args.retort, model, strings) for model in args.models)
    print("tokenizer_check: FAILED" if wrong else "tokenizer_check: equal")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
