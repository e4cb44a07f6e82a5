"""The models, texts and batches of online.py: made here from a seed, met by retort as files alone.

A teacher of Llama's kind (4 layers, D 96, 4,096 tokens, a head of its own) and a GPT-2 student (3 layers, d 48,
2,048 tokens), both trained briefly on the texts: where distributions are flat, a divergence is a difference
of nearly equal numbers, and the projected teacher is never right. Projectors are as PyTorch's Linear starts
them. Each model has a byte-level BPE tokenizer of its own.
"""

import json

import h5py
import hdf5plugin  # noqa: F401  (registers the filters)
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast,
)  # fmt: skip

TEACHER_TOKENS, TEACHER_WIDTH, TEACHER_LAYERS = 4096, 96, 4
STUDENT_TOKENS, STUDENT_WIDTH, STUDENT_LAYERS = 2048, 48, 3
POSITIONS = 192
MAX_LENGTH, MAX_PROMPT_LENGTH = 160, 64
TRAINING_STEPS, TRAINING_BATCH, TRAINING_RATE = 120, 8, 4e-3
END = "<|endoftext|>"
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n{prompt}\n\n### Response:\n"
)


# Texts -----------------------------------------------------------------------------------------


def read_texts(path, split="train"):
    """[(prompt, response)] of a split, each once."""
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if row["split"] == split and row["response"]]
    return list(dict.fromkeys((row["prompt"], row["response"]) for row in rows))


def write_texts(texts, path):
    with open(path, "w", encoding="utf-8") as file:
        for prompt, response in texts:
            file.write(json.dumps({"prompt": prompt, "response": response, "split": "train"}) + "\n")


def layout(
    tokenizer, prompt, response, template=ALPACA, longest=MAX_LENGTH, longest_prompt=MAX_PROMPT_LENGTH
):
    """(ids [T] int64, the first supervised position), as METHOD.md says."""

    def ids(text):
        return tokenizer(text, add_special_tokens=False).input_ids

    start = ids(template.format(prompt=prompt))[:longest_prompt]
    whole = (start + ids(response) + [tokenizer.eos_token_id])[:longest]
    return torch.tensor(whole), len(start) - 1


# Models ----------------------------------------------------------------------------------------


def make_tokenizer(texts, size, folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([ALPACA, *(text for pair in texts for text in pair)], trainer)
    assert tokenizer.get_vocab_size() == size, "too few texts for a vocabulary of that size"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END)
    fast.save_pretrained(folder)
    return fast


def train(model, tokenizer, texts):
    """A short training on whole texts; the last loss in nats a token."""
    examples = [layout(tokenizer, *pair)[0] for pair in texts]
    optimizer = torch.optim.AdamW(model.parameters(), TRAINING_RATE)
    for _ in range(TRAINING_STEPS):
        chosen = [examples[i] for i in torch.randint(len(examples), (TRAINING_BATCH,)).tolist()]
        ids = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True, padding_value=-100)
        loss = model(ids.clamp_min(0), labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def make_teacher(texts, folder, seed):
    """Saves it; the loss that it reached."""
    tokenizer = make_tokenizer(texts, TEACHER_TOKENS, folder)
    torch.manual_seed(seed)
    teacher = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=TEACHER_TOKENS, hidden_size=TEACHER_WIDTH, num_hidden_layers=TEACHER_LAYERS,
            num_attention_heads=4, num_key_value_heads=2, intermediate_size=2 * TEACHER_WIDTH,
            max_position_embeddings=POSITIONS, tie_word_embeddings=False,
            bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        )
    )  # fmt: skip
    loss = train(teacher, tokenizer, texts)
    teacher.save_pretrained(folder)
    return loss


def make_student(texts, folder, seed):
    """Saves it; the loss that it reached."""
    tokenizer = make_tokenizer(texts, STUDENT_TOKENS, folder)
    torch.manual_seed(seed)
    student = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=STUDENT_TOKENS, n_embd=STUDENT_WIDTH, n_layer=STUDENT_LAYERS, n_head=4,
            n_positions=POSITIONS, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    loss = train(student, tokenizer, texts)
    student.save_pretrained(folder)
    return loss


def make_projectors(path, seed):
    """`t2s`, `s2t` and `query`, with the names and shapes of a run's projectors.safetensors."""
    torch.manual_seed(seed)
    d, wide = STUDENT_WIDTH, TEACHER_WIDTH
    sizes = {"t2s": (wide, d), "s2t": (d, wide), "query": (2 * d, 2 * wide)}
    tensors = {}
    for name, (inputs, outputs) in sizes.items():
        linear = torch.nn.Linear(inputs, outputs)
        tensors |= {f"{name}.{kind}": value.detach() for kind, value in linear.named_parameters()}
    save_file(tensors, path)


# Batches ---------------------------------------------------------------------------------------


def cached_texts(cache, split="train"):
    """[(prompt, response)] of a split for each shard of a cache, in its order."""
    shards = []
    for path in sorted((cache / "shards").glob("*.h5")):
        with h5py.File(path) as shard:
            header = shard.attrs["retort"]
            names = json.loads(header if isinstance(header, str) else header.decode())["splits"]
            offsets = shard["text/offsets"][:].astype(int).reshape(-1)
            text = shard["text/bytes"][:].tobytes()
            wanted = [names[int(number)] == split for number in shard["split"][:]]
        pieces = [text[a:b].decode() for a, b in zip(offsets, offsets[1:])]
        pairs = zip(pieces[0::3], pieces[2::3], strict=True)
        shards.append([pair for pair, is_wanted in zip(pairs, wanted, strict=True) if is_wanted])
    return shards


class OrderGenerator:
    """SplitMix64 from (seed, epoch, stream), as Sources/Cache/CacheOrder.swift has it."""

    def __init__(self, seed, epoch, stream):
        self.state = seed
        for word in (epoch, stream):
            self.state = self.next() ^ word % 2**64

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    def shuffle(self, values):
        for i in range(len(values) - 1, 0, -1):
            j = self.next() * (i + 1) >> 64
            values[i], values[j] = values[j], values[i]


def epoch_order(sizes, seed, epoch, window, block=32, in_use=16):
    """Numbers of the examples of shards of so many, counted through: shards shuffled, then the blocks of
    `in_use` of them, then each window example by example."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    shards = [i for i, size in enumerate(sizes) if size]
    OrderGenerator(seed, epoch, -1).shuffle(shards)
    order = []
    for group, first in enumerate(range(0, len(shards), in_use)):
        blocks = [
            list(range(starts[shard] + i, starts[shard] + min(i + block, sizes[shard])))
            for shard in shards[first : first + in_use]
            for i in range(0, sizes[shard], block)
        ]
        OrderGenerator(seed, epoch, -2 - group).shuffle(blocks)
        order += sum(blocks, [])
    windows = [order[i : i + window] for i in range(0, len(order), window)]
    for index, part in enumerate(windows):
        OrderGenerator(seed, epoch, index).shuffle(part)
    return sum(windows, [])


def step_batches(sizes, steps, size, seed, window):
    """The numbers of the examples of each step, epoch after epoch; an epoch's last one may be smaller."""
    batches, epoch = [], 0
    while len(batches) < steps:
        order = epoch_order(sizes, seed, epoch, window)
        batches += [order[i : i + size] for i in range(0, len(order), size)]
        epoch += 1
    return batches[:steps]
