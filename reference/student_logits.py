"""Holds the logits of models that retort wrote, or reads, against those of transformers.

    python reference/student_logits.py PATH... [--retort .build/release/retort] [--config DIR]

PATH is a Hugging Face directory (`student/` of `retort distill`, or what `retort model new`, `prune`
or `merge` made) or a GGUF file. Both sides run the same random token ids in f32, each list by itself.
Printed is the largest difference of a logit as a share of the largest logit. Of a GGUF file also what
the `gguf` package reads: its architecture, and how many tensors there are of each type.

transformers does not look for all that a GGUF file says: not for the positions of gpt2, the head size
of qwen3, the biases of llama or its rotary scaling. --config DIR gives it the configuration of the
directory that the GGUF files were written from; the tensors are still theirs.

Exit code 1 when a difference reaches 1e-4 (1e-3 for a GGUF file with F16 tensors), when transformers
misses a weight or finds one too many, or when either side does not open the model; 0 otherwise.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import h5py
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTHS = (1, 7, 40, 200)
LIMIT, F16_LIMIT = 1e-4, 1e-3


class Fault(Exception):
    """What is wrong with one model."""


def describe(path):
    """Prints what a GGUF file holds; the limit on the difference of logits."""
    reader = gguf.GGUFReader(path)
    field = reader.get_field("general.architecture")
    if field is None:
        raise Fault("there is no general.architecture")
    types = collections.Counter(tensor.tensor_type.name for tensor in reader.tensors)
    counts = ", ".join(f"{count} {name}" for name, count in types.most_common())
    print(f"{path}: {field.contents()}, {len(reader.tensors)} tensors: {counts}")
    return F16_LIMIT if "F16" in types else LIMIT


def load(path, config):
    """The model in f32, with every weight from the path.

    `config`, if there is one, is where a GGUF file's configuration is taken from.
    """
    place = [path]
    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    if path.suffix == ".gguf":
        place = [path.parent]
        options["gguf_file"] = path.name
        if config is not None:
            options["config"] = AutoConfig.from_pretrained(config)
    model, loading = AutoModelForCausalLM.from_pretrained(
        *place, output_loading_info=True, **options
    )
    # transformers warns and goes on with random numbers. It does not count a tied head as missing.
    wrong = {kind: sorted(keys) for kind, keys in loading.items() if keys}
    if wrong:
        raise Fault(f"transformers did not load all weights: {wrong}")
    return model.eval()


def random_lists(config):
    """Lists of token ids that fit the vocabulary and the positions."""
    generator = torch.Generator().manual_seed(1)
    positions = getattr(config, "max_position_embeddings", max(LENGTHS))
    lengths = sorted({min(length, positions) for length in LENGTHS})
    return [
        torch.randint(0, config.vocab_size, (length,), generator=generator).tolist()
        for length in lengths
    ]


def retort_logits(retort, path, lists):
    """What `retort model logits` makes of the lists, [tokens, V]."""
    with tempfile.TemporaryDirectory() as folder:
        tokens, output = pathlib.Path(folder, "tokens.json"), pathlib.Path(folder, "logits.h5")
        tokens.write_text(json.dumps(lists))
        done = subprocess.run(
            [retort, "model", "logits", path, "--tokens", tokens, "--output", output],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise Fault(f"retort exited with {done.returncode}: {done.stderr.strip()}")
        with h5py.File(output, "r") as stored:
            return torch.as_tensor(stored["logits"][:])


def check(retort, path, config):
    """Prints one line on the logits of one model."""
    if not path.exists():
        raise Fault("there is no such file or directory")
    limit = describe(path) if path.suffix == ".gguf" else LIMIT
    model = load(path, config)
    lists = random_lists(model.config)
    found = retort_logits(retort, path, lists)
    wanted = torch.cat([model(torch.tensor(ids)[None]).logits[0] for ids in lists])
    if found.shape != wanted.shape:
        raise Fault(f"logits {list(found.shape)}, {list(wanted.shape)} by transformers")
    difference = ((found - wanted).abs().max() / wanted.abs().max()).item()
    same = (found.argmax(-1) == wanted.argmax(-1)).double().mean().item()
    print(
        f"{path}: {model.config.model_type}, {len(wanted)} tokens, largest difference"
        f" {difference:.2e} of the largest logit, {same:.1%} have the same first choice"
    )
    # Written so that NaN fails too.
    if not difference < limit:
        raise Fault(f"the logits' difference reaches {limit:g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", type=pathlib.Path, nargs="+", metavar="PATH")
    parser.add_argument("--retort", type=pathlib.Path, default=ROOT / ".build/release/retort")
    parser.add_argument("--config", type=pathlib.Path, metavar="DIR")
    args = parser.parse_args()

    logging.disable_progress_bar()
    failed = False
    for path in args.paths:
        try:
            with torch.inference_mode():
                check(args.retort.resolve(), path, args.config)
        # Whatever a library makes of a file that it cannot read is a finding about that file.
        except Exception as error:
            failed = True
            kind = "" if isinstance(error, Fault) else f"{type(error).__name__}: "
            print(f"{path}: FAILED: {kind}{error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
