"""Random batches for the criteria's golden files, f32: plain ones, ones with texts, ones full of ties."""

import criterion_losses as losses
import criterion_signals as signals
import criterion_strings as strings
import torch


class Draw:
    """Random tensors of one seed, f32."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape, scale=1.0):
        return scale * torch.randn(shape, generator=self.generator)

    def integers(self, low, high, *shape):
        return torch.randint(low, high, shape, generator=self.generator)

    def side(self, name, labels, inputs, lengths, width, vocabulary, embeddings):
        out = {
            f"{name}/hidden": self.normal(len(labels), width),
            f"{name}/head": self.normal(vocabulary, width, scale=0.8),
            f"{name}/labels": labels,
            f"{name}/input_ids": inputs,
            f"{name}/offsets": torch.tensor([0, *lengths]).cumsum(0),
        }
        if embeddings:
            out[f"{name}/embedding"] = self.normal(vocabulary, width, scale=0.7)
        return out

    def linear(self, key, out, inner):
        """PyTorch's default initialisation, twice as wide so that every part matters."""
        bound = 2 * inner**-0.5
        draw = (2 * torch.rand((out, inner + 1), generator=self.generator) - 1) * bound
        key = f"projectors/{key}"
        return {f"{key}/weight": draw[:, :-1].contiguous(), f"{key}/bias": draw[:, -1].clone()}

    def projector(self, name, d, D, structure):
        """The tensors of a structure such as t-2s-relu-s."""
        first, *steps = structure.split("-")

        def width(word):
            return int(word[:-1] or 1) * {"s": d, "t": D}[word[-1]]

        tensors, inner = {}, width(first)
        for number, step in enumerate(steps):
            if step != "relu":
                key = f"{name}/{number}" if len(steps) > 1 else name
                tensors |= self.linear(key, width(step), inner)
                inner = width(step)
        return tensors

    def stored_teacher(self, logits, k=5, draws=20):
        """A stored teacher near, but not at, the exact one: full, top-k and sampled rows."""
        noisy = logits + self.normal(*logits.shape, scale=0.5)
        full = noisy.double().log_softmax(-1)
        top = full.topk(k, dim=-1)
        drawn = torch.multinomial(full.exp(), draws, replacement=True, generator=self.generator)
        rows = [row.unique(return_counts=True) for row in drawn]
        return {
            "teacher/full_logprobs": full.float(),
            "teacher/topk_ids": top.indices.contiguous(),
            "teacher/topk_logprobs": top.values.float().contiguous(),
            "teacher/logsumexp": noisy.double().logsumexp(-1).float(),
            "teacher/sample_offsets": torch.tensor([0, *(len(r[0]) for r in rows)]).cumsum(0),
            "teacher/sample_ids": torch.cat([ids for ids, _ in rows]),
            "teacher/sample_counts": torch.cat([counts for _, counts in rows]),
        }


def logits_of(t, side):
    return t[f"{side}/hidden"] @ t[f"{side}/head"].T


def near_least_squares(draw, t, shared):
    """A projector t2s that v2 could have learnt: near its start, so that some argmaxes agree."""
    ours, theirs = losses.shared_heads(t, signals.Settings(), shared)
    start = losses.least_squares(ours.double(), theirs.double()).float()
    return {"projectors/t2s/weight": start + draw.normal(*start.shape, scale=0.2)}


def random_world(
    seed, n, m, d=6, D=10, vs=23, vt=23, paired=True, embeddings=False, largest=None, zero_row=None,
    structures=signals.STRUCTURES, given=False,
):  # fmt: skip
    """A batch of len(n) examples with n[e] student and m[e] teacher positions.

    `paired`: both sides have the same tokens. `largest`: both sides' hidden states are scaled to
    logits that reach it. `zero_row`: this row's logits are all 0 on both sides. `structures`: of the
    projectors; `given`: v2's t2s instead.
    """
    draw = Draw(seed)
    ids = {"student": draw.integers(0, vs, 2, sum(n)), "teacher": draw.integers(0, vt, 2, sum(m))}
    if paired:
        ids["student"] = ids["teacher"] = ids["student"] % min(vs, vt)
    t = {}
    for side, lengths, width, size in (("student", n, d, vs), ("teacher", m, D, vt)):
        inputs, labels = ids[side].clone()
        t |= draw.side(side, labels, inputs, lengths, width, size, embeddings)
        if largest:
            t[f"{side}/hidden"] *= largest / logits_of(t, side).abs().max()
        if zero_row is not None:
            t[f"{side}/hidden"][zero_row] = 0
    stored = logits_of(t, "teacher")
    if largest and largest > 50:  # every other row all but one-hot, the rest ordinary
        stored = draw.normal(*stored.shape)
        stored[::2].scatter_add_(1, ids["teacher"][1][::2, None], torch.full((len(stored), 1), 60.0))
    t |= draw.stored_teacher(stored)
    for name, structure in structures.items():
        if name != "query" or embeddings:
            t |= draw.projector(name, d, D, structure)
    if given:
        t |= near_least_squares(draw, t, [(i, i) for i in range(min(vs, vt))])
    return t, None


# Worlds of tokens with texts: U+2581 starts the student's words, U+0120 the teacher's.
STUDENT_TOKENS = (
    "<unk> <s> ▁ </s> ▁the ▁news paper ▁is ▁on ▁table ▁a ▁cat ▁sat ▁rain bows ▁fade ▁slow ly s . "
    "▁and ▁red é ▁caf ▁in ing ▁walk"
).split() + [" a"]  # equal to ▁a once marks are spaces
TEACHER_TOKENS = (
    "! . Ġa Ġthe <|pad|> <|end|> Ġnewspaper Ġis Ġon Ġtab le Ġcat Ġsat Ġrain bow s Ġfad es e Ġslowly "
    "Ġand Ġred the Ġcafé Ġin ing Ġwalk ed Ġ ly Ġcats ñ"
).split()
VOCABULARY = {
    "student": STUDENT_TOKENS,
    "teacher": TEACHER_TOKENS,
    "student_eos": STUDENT_TOKENS.index("</s>"),
    "teacher_eos": TEACHER_TOKENS.index("<|end|>"),
}


def text_world(seed, examples, given=False, d=6, D=8):
    """A batch of (student tokens, teacher tokens), each with the prompt's last token in front."""
    draw, t = Draw(seed), {}
    for number, side in enumerate(("student", "teacher")):
        tokens = [example[number].split() for example in examples]
        ids = [[VOCABULARY[side].index(token) for token in row] for row in tokens]
        labels = torch.tensor([i for row in ids for i in row[1:]])
        inputs = torch.tensor([i for row in ids for i in row[:-1]])
        lengths = [len(row) - 1 for row in ids]
        size, width = len(VOCABULARY[side]), (d, D)[number]
        t |= draw.side(side, labels, inputs, lengths, width, size, embeddings=False)
        t[f"{side}/hidden"] += t[f"{side}/head"][labels]  # mostly right about the label
    t |= draw.stored_teacher(logits_of(t, "teacher"))
    if given:
        t |= near_least_squares(draw, t, strings.shared_tokens(VOCABULARY))
    return t, VOCABULARY


def tied_world(seed, n=(5, 1, 4), d=6, D=8, v=24):
    """Multiples of 1/8, exact in f32; the second half of each head is the first again."""
    draw, t = Draw(seed), {}
    labels, inputs = draw.integers(0, v, 2, sum(n))
    for side, width in (("student", d), ("teacher", D)):
        t |= draw.side(side, labels.clone(), inputs.clone(), n, width, v, embeddings=False)
        t[f"{side}/hidden"] = draw.integers(-12, 13, sum(n), width) / 8
        t[f"{side}/head"] = (draw.integers(-10, 11, v // 2, width) / 8).repeat(2, 1)
    t["teacher/full_logprobs"] = logits_of(t, "teacher").double().log_softmax(-1).float()
    t["projectors/t2s/weight"] = draw.integers(-4, 5, d, D) / 8
    return t, None
