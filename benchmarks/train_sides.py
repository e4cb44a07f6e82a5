"""The PyTorch side of benchmarks/train.py: optimiser steps as a user of transformers takes them.

A model of transformers with random weights, sdpa attention, nothing dropped; cross-entropy by the model's own
`labels`; clip_grad_norm_, then AdamW with one kernel for all weights (fused). In bf16: torch.autocast over
float32 weights. Sequences of one length are one batch. Others are padded to the longest in micro-batches of
8 in their order, as data collators do, with an attention mask and -100 for the labels of the padding; each
micro-batch's loss is weighted by its number of labels, so that the step's gradient is that of the mean over
all of them.

A process of this file serves one shape: it answers every line that it reads with one step: seconds, loss
and the largest resident memory so far.
"""

import contextlib
import json
import os
import sys
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

PADDED = 8


def gpt2(**sizes):
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=50257, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            attn_implementation="sdpa", use_cache=False, **sizes))


def smollm2():
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=49152, hidden_size=576, num_hidden_layers=30, num_attention_heads=9,
            num_key_value_heads=3, intermediate_size=1536, max_position_embeddings=2048,
            tie_word_embeddings=True, attn_implementation="sdpa", use_cache=False))


SHAPES = {
    "gpt2-124m": lambda: gpt2(n_layer=12, n_embd=768, n_head=12, n_positions=1024),
    "gpt2-30m": lambda: gpt2(n_layer=6, n_embd=384, n_head=6, n_positions=512),
    "smollm2-135m": smollm2,
}


def peak_mib():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def batches(lengths, vocabulary):
    """(input ids, attention mask or None, labels, share of the step's labels) of each micro-batch."""
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(vocabulary, (length,), generator=generator) for length in lengths]
    labels = sum(length - 1 for length in lengths)
    if len(set(lengths)) == 1:
        all_ids = torch.stack(ids)
        return [(all_ids, None, all_ids, 1.0)]
    made = []
    for start in range(0, len(ids), PADDED):
        group = ids[start : start + PADDED]
        longest = max(map(len, group))
        tokens = torch.zeros(len(group), longest, dtype=torch.long)
        wanted = torch.full_like(tokens, -100)
        mask = torch.zeros_like(tokens)
        for row, sequence in enumerate(group):
            tokens[row, : len(sequence)] = wanted[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        made.append((tokens, mask, wanted, sum(len(s) - 1 for s in group) / labels))
    return made


def main():
    side, request = sys.argv[1], json.loads(sys.argv[2])
    torch.manual_seed(1)
    torch.set_num_threads(int(os.environ.get("RETORT_THREADS", os.cpu_count())))
    model = SHAPES[request["shape"]]().train()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=5e-4, fused=True)
    run = torch.compile(model) if side == "compile" else model
    data = batches(request["lengths"], model.config.vocab_size)
    print(json.dumps({"ready": 1, "resident_mib": peak_mib()}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        loss = 0.0
        for tokens, mask, labels, share in data:
            autocast = (
                torch.autocast("cpu", dtype=torch.bfloat16)
                if request["compute"] == "bf16" else contextlib.nullcontext())
            with autocast:
                part = run(input_ids=tokens, attention_mask=mask, labels=labels).loss * share
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "loss": loss, "peak_mib": peak_mib()}), flush=True)


main()
