"""What criteria are made of: settings, divergences, heads, projectors and the teacher's signals.

Tensors go by the names of criterion_losses.py (`t`), settings by `s`. Any float type.
"""

import dataclasses
import math

import torch

DIVERGENCES = (
    "forward_kl", "reverse_kl", "js", "skewed_forward_kl", "skewed_reverse_kl", "adaptive_kl",
)  # fmt: skip
SKEW = 0.1
HEAD_MASS = 0.5
GHOST_FLOOR = 1e-7
STRUCTURES = {"t2s": "t-s", "s2t": "s-t", "query": "2s-2t"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `--set NAME=VALUE` gives, with the defaults of `retort criterion run`."""

    divergence: str = "forward_kl"
    temperature: float = 2.0
    teacher_temperature: float = 1.0
    kd_rate: float = 0.5
    label_smoothing: float = 0.0
    temperature_squared: bool = False
    teacher_signal: str = "exact"
    topk_tail: str = "ghost"
    t2s_agreement: float = 1.0
    topk_vocab: int | None = None
    student_cap: float | None = None
    teacher_cap: float | None = None
    structures: dict = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, words):
        """From `{"temperature": "1.5", "projectors.t2s": "t-2s-relu-s", ...}`."""
        readers = {"temperature_squared": lambda word: {"true": True, "false": False}[word]}
        readers |= dict.fromkeys(("divergence", "teacher_signal", "topk_tail"), str)
        readers["topk_vocab"] = int
        names = {field.name for field in dataclasses.fields(cls)} - {"structures"}
        values, structures = {}, {}
        for name, word in words.items():
            if name.startswith("projectors."):
                structures[name.removeprefix("projectors.")] = word
            elif name in names:
                values[name] = readers.get(name, float)(word)
            else:
                raise ValueError(f"there is no setting {name}; there are {sorted(names)}")
        return cls(**values, structures=structures)


# Discrete decisions ----------------------------------------------------------------------------

margins = None
"""While a list: (kind, distance from the other decision) of every decision met; see criterion_cases."""


def decided(kind, gap):
    if margins is not None and gap.numel():
        margins.append((kind, gap.detach().min().item()))


def first_argmax(logits):
    """Ids of the largest entries, the first of equals."""
    top = logits.detach().topk(min(2, logits.shape[-1]), dim=-1).values
    gap = top[..., 0] - top[..., -1]
    decided("argmax", gap[gap > 0])
    decided("tie", gap[gap == 0])
    return logits.argmax(-1)


# Divergences -----------------------------------------------------------------------------------
# Of rows of log-probabilities. p is the teacher's side and has no gradient; it may hold -inf.


def kl(log_p, log_q):
    p = log_p.exp()
    terms = p * (log_p.masked_fill(log_p.isneginf(), 0) - log_q)
    return torch.where(p > 0, terms, 0).sum(-1)


def log_mix(log_a, log_b, weight):
    """log(weight * a + (1 - weight) * b)."""
    return torch.logaddexp(log_a + math.log(weight), log_b + math.log(1 - weight))


def adaptive_weight(p, q):
    """Share of |p - q| that lies in the head: what is left of p above its ascending 0.5 tail."""
    order = p.sort(dim=-1, stable=True).indices
    rising = p.gather(-1, order)
    mass = rising.cumsum(-1)
    tail = mass <= HEAD_MASS
    gap = (p - q).abs().gather(-1, order)
    head_gap, all_gap = (gap * ~tail).sum(-1), gap.sum(-1)
    cut = tail.sum(-1, keepdim=True)
    # Where one entry is the whole tail or head, there is nothing to mistake it for.
    step = rising.gather(-1, cut) - rising.gather(-1, (cut - 1).clamp_min(0))
    step = torch.where(cut > 0, step / rising.gather(-1, cut), 1).squeeze(-1)
    decided("cut", (mass - HEAD_MASS).abs().amin(-1)[all_gap > 0])
    decided("cut", step[all_gap > 0])
    return torch.where(all_gap > 0, head_gap / all_gap.clamp_min(1e-30), 0.5).detach()


def divergence(name, log_p, log_q):
    """D(p || q) of each row."""
    log_p = log_p.detach()
    if name == "forward_kl":
        return kl(log_p, log_q)
    if name == "reverse_kl":
        return kl(log_q, log_p)
    if name == "js":
        middle = log_mix(log_p, log_q, 0.5)
        return 0.5 * kl(log_p, middle) + 0.5 * kl(log_q, middle)
    if name == "skewed_forward_kl":
        return kl(log_p, log_mix(log_p, log_q, SKEW))
    if name == "skewed_reverse_kl":
        return kl(log_q, log_mix(log_q, log_p, SKEW))
    if name == "adaptive_kl":
        weight = adaptive_weight(log_p.exp(), log_q.exp())
        return weight * kl(log_p, log_q) + (1 - weight) * kl(log_q, log_p)
    raise ValueError(f"unknown divergence {name}; there are {', '.join(DIVERGENCES)}")


# Heads and projectors --------------------------------------------------------------------------


def head_logits(t, s, side, hidden, detach=False):
    """Logits of states in the space of one of the models, soft-capped where it caps its own."""
    head = t[f"{side}/head"]
    product = hidden @ (head.detach() if detach else head).T
    cap = getattr(s, f"{side}_cap")
    return product if cap is None else cap * torch.tanh(product / cap)


def project(t, s, name, x):
    """x through projector `name`; a structure such as t-2s-relu-s gives steps 0, 1 (relu) and 2."""
    steps = s.structures.get(name, STRUCTURES[name]).split("-")[1:]
    for number, step in enumerate(steps):
        key = f"projectors/{name}/{number}" if len(steps) > 1 else f"projectors/{name}"
        if step == "relu":
            decided("relu", x.abs())
            x = x.relu()
            continue
        width = {"s": t["student/head"], "t": t["teacher/head"]}[step[-1]].shape[1]
        weight = t[f"{key}/weight"]
        assert len(weight) == int(step[:-1] or 1) * width, f"{key}/weight does not end in {step}"
        x = x @ weight.T + t.get(f"{key}/bias", 0)
    return x


# Teacher signals -------------------------------------------------------------------------------


def teacher_logits(t, s):
    """Logits, or log-probabilities in their place, [m, Vt]; `exact` and `full` alone."""
    if s.teacher_signal == "full":
        return t["teacher/full_logprobs"]
    return head_logits(t, s, "teacher", t["teacher/hidden"])


def ghost_of(log_probs):
    """Log of the mass that `log_probs` leave, [rows, 1]."""
    left = 1 - log_probs.exp().sum(-1, keepdim=True)
    decided("ghost", torch.where(left < 0.3 * GHOST_FLOOR, 1.0, left))
    return left.clamp_min(GHOST_FLOOR).log()


def coarsened(log_q, kept):
    """Log-probabilities [V] as (the kept ones, the ghost of all others)."""
    others = log_q.index_fill(0, kept, -math.inf)
    return torch.cat([log_q[kept], others.logsumexp(-1, keepdim=True)])


def sampled_frequencies(t, row):
    """(ids, counts / draws) of one teacher row."""
    start, end = t["teacher/sample_offsets"][row : row + 2].tolist()
    counts = t["teacher/sample_counts"][start:end].to(t["student/head"].dtype)
    return t["teacher/sample_ids"][start:end], counts / counts.sum()


def check_signal(criterion, s):
    """Refuses what has no meaning."""
    if s.teacher_signal not in ("exact", "full", "topk", "sampled"):
        raise ValueError(f"unknown teacher_signal {s.teacher_signal}")
    if s.topk_tail not in ("ghost", "renormalise"):
        raise ValueError(f"unknown topk_tail {s.topk_tail}")
    if s.teacher_signal == "sampled":
        if criterion in ("uld", "dskd_v2", "dskd_v2_eta"):
            raise ValueError(f"{criterion} needs another teacher_signal than sampled")
        if s.temperature != 1 or s.divergence != "forward_kl":
            raise ValueError("sampled needs temperature 1 and divergence forward_kl")
    renormalised = s.teacher_signal == "topk" and s.topk_tail == "renormalise"
    if renormalised and s.divergence in ("reverse_kl", "adaptive_kl"):
        raise ValueError(f"{s.divergence} is infinite where topk_tail is renormalise; use ghost")


def dense(ids, log_probs, size):
    """Log-probabilities of a whole vocabulary, -inf where there is none of `ids`."""
    return log_probs.new_full((size,), -math.inf).index_put((ids,), log_probs)


def teacher_divergence(t, s, name, rows, logits):
    """D(teacher rows || logits), [len(rows)], tempered and, with `temperature_squared`, scaled."""
    tau = s.temperature
    if s.teacher_signal in ("exact", "full"):
        teacher = teacher_logits(t, s)[rows]
        size = min(teacher.shape[-1], logits.shape[-1])  # heads padded to different sizes
        log_p, log_q = ((x[:, :size] / tau).log_softmax(-1) for x in (teacher, logits))
        return scaled(s, divergence(name, log_p, log_q))
    size = logits.shape[-1]
    sides = []
    for row, z in zip(rows.tolist(), logits):
        if s.teacher_signal == "sampled":
            ids, p = sampled_frequencies(t, row)
            sides.append((dense(ids, p.log(), size), (z / tau).log_softmax(-1)))
            continue
        ids, log_probs = t["teacher/topk_ids"][row], t["teacher/topk_logprobs"][row]
        if s.topk_tail == "renormalise":
            kept = (log_probs / tau).log_softmax(-1)
            sides.append((dense(ids, kept, size), (z / tau).log_softmax(-1)))
        else:
            p = torch.cat([log_probs, ghost_of(log_probs)])
            q = coarsened(z.log_softmax(-1), ids)
            sides.append(tuple((x / tau).log_softmax(-1) for x in (p, q)))
    log_p, log_q = (torch.stack(side) for side in zip(*sides))
    return scaled(s, divergence(name, log_p, log_q))


def projected_divergence(s, projected, logits, temperature=1.0):
    """t2s_kd of each row: D(sg(projected / temperature) || student), at tau."""
    log_p = (projected.detach() / temperature / s.temperature).log_softmax(-1)
    return scaled(s, divergence(s.divergence, log_p, (logits / s.temperature).log_softmax(-1)))


def scaled(s, rows):
    return rows * s.temperature**2 if s.temperature_squared else rows


def teacher_argmax(t, s):
    """The teacher's most probable token of each row, the first of equals."""
    if s.teacher_signal != "topk":
        return first_argmax(teacher_logits(t, s))
    best = first_argmax(t["teacher/topk_logprobs"])
    return t["teacher/topk_ids"].gather(-1, best[:, None]).squeeze(-1)
