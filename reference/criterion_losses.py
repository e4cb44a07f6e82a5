"""Every criterion of Retort in PyTorch, written from METHOD.md and docs alone; any float type.

`evaluate(criterion, inputs, settings, vocabulary)` takes the tensors of one batch under the names of
`retort criterion run` and gives its losses and gradients:

    student/{hidden,head,embedding}       [n, d], [Vs, d], [Vs, d]
    student/{input_ids,labels,offsets}    int64 [n], [n], [E + 1]
    teacher/...                           the same with m, D, Vt
    teacher/full_logprobs                 [m, Vt]
    teacher/{topk_ids,topk_logprobs}      int64 [m, k], [m, k]
    teacher/{sample_offsets,sample_ids,sample_counts}    int64 [m + 1], [total], [total]
    projectors/{t2s,s2t,query}/{weight,bias}             weight [out, in]; projectors of several
                                          steps: projectors/t2s/0/weight, numbered as nn.Sequential
    loss/{ce,t2s_ce,t2s_kd,s2t_kd,kd,total}              [1]
    grad/student/{hidden,head}, grad/projectors/...      of loss/total
    info/...                              what was decided on the way: gate, pairs, s2t, t2s
"""

import math

import criterion_strings as strings
import torch
from criterion_signals import (
    check_signal,
    coarsened,
    decided,
    divergence,
    first_argmax,
    ghost_of,
    head_logits,
    project,
    projected_divergence,
    sampled_frequencies,
    scaled,
    teacher_argmax,
    teacher_divergence,
    teacher_logits,
)
from torch.nn.functional import cross_entropy

KEPT_FLOOR = 1e-3
NORM_FLOOR = 1e-8


# Criteria --------------------------------------------------------------------------------------
# Each takes the tensors of a batch, settings and a vocabulary, and returns its losses by name, the
# sums over rows divided by what METHOD.md says. Names that start with `info/` are no losses.


def mean(t, rows):
    """The sum of rows over the supervised student positions."""
    return rows.sum() / len(t["student/labels"])


def student_logits(t, s):
    return head_logits(t, s, "student", t["student/hidden"])


def cross_entropies(logits, labels):
    return cross_entropy(logits, labels, reduction="none")


def ce(t, s, logits):
    labels, smoothing = t["student/labels"], s.label_smoothing
    rows = cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    return mean(t, rows)


def all_rows(t, side):
    return torch.arange(int(t[f"{side}/offsets"][-1]))


def sft(t, s, _):
    return {"ce": ce(t, s, student_logits(t, s))}


def kd(t, s, _):
    logits = student_logits(t, s)
    rows = teacher_divergence(t, s, s.divergence, all_rows(t, "student"), logits)
    return {"ce": ce(t, s, logits), "kd": mean(t, rows)}


def dual_space(t, s, projected_hidden, to_teacher, gated):
    """The losses that `dskd` and `dskd_cma` share, once hidden states are carried across."""
    logits, labels = student_logits(t, s), t["student/labels"]
    projected = head_logits(t, s, "student", projected_hidden, detach=True)
    gate = first_argmax(projected) == labels if gated else torch.ones_like(labels, dtype=torch.bool)
    t2s_kd = projected_divergence(s, projected, logits, s.teacher_temperature if gated else 1.0)
    carried = head_logits(t, s, "teacher", to_teacher)
    losses = {
        "ce": ce(t, s, logits),
        "t2s_ce": mean(t, cross_entropies(projected, labels)),
        "t2s_kd": mean(t, t2s_kd * gate),
        "s2t_kd": mean(t, teacher_divergence(t, s, "forward_kl", all_rows(t, "teacher"), carried)),
    }
    return losses | ({"info/gate": gate.float()} if gated else {})


def dskd(t, s, _):
    to_student = project(t, s, "t2s", t["teacher/hidden"])
    to_teacher = project(t, s, "s2t", t["student/hidden"])
    return dual_space(t, s, to_student, to_teacher, gated=False)


def normalised(x):
    return x / x.std(unbiased=True)


def index_vectors(t, side):
    table = t[f"{side}/embedding"].detach()
    return torch.cat([table[t[f"{side}/input_ids"]], table[t[f"{side}/labels"]]], dim=-1)


def examples(t):
    """(student rows, teacher rows) of each example."""
    s, m = (t[f"{side}/offsets"].tolist() for side in ("student", "teacher"))
    return [(slice(i, i1), slice(j, j1)) for i, i1, j, j1 in zip(s, s[1:], m, m[1:])]


def dskd_cma(t, s, _):
    query = project(t, s, "query", index_vectors(t, "student"))
    key = normalised(index_vectors(t, "teacher"))
    label_rows = t["teacher/embedding"][t["teacher/labels"]]
    value = project(t, s, "t2s", normalised(t["teacher/hidden"]) + normalised(label_rows))
    student_value = project(t, s, "s2t", t["student/hidden"])
    to_student, to_teacher = [], []
    for i, j in examples(t):
        scores = query[i] @ key[j].T / math.sqrt(key.shape[-1])
        to_student.append(scores.softmax(-1) @ value[j])
        to_teacher.append(scores.T.softmax(-1) @ student_value[i])
    return dual_space(t, s, torch.cat(to_student), torch.cat(to_teacher), gated=True)


def least_squares(a, b):
    """The P [in, out] of least || b - a P ||; a [tokens, in], b [tokens, out]. A constant."""
    return torch.linalg.lstsq(a.detach(), b.detach(), driver="gelsd").solution


def shared_heads(t, s, shared):
    ids = torch.tensor(shared[: s.topk_vocab])
    return t["student/head"][ids[:, 0]], t["teacher/head"][ids[:, 1]]


def dskd_v2(t, s, _):
    size = min(len(t["student/head"]), len(t["teacher/head"]))
    labels = teacher_argmax(t, s)
    if labels.max() >= len(t["student/head"]):
        raise ValueError("the teacher's argmax is beyond the student's vocabulary; use dskd_v2_eta")
    rows = all_rows(t, "student")
    return aligned_dual_space(t, s, [(i, i) for i in range(size)], rows, rows, labels)


def dskd_v2_eta(t, s, vocabulary):
    equal = strings.equal_tokens(vocabulary)
    best = teacher_argmax(t, s).tolist()
    pairs = []
    for i, j in examples(t):
        labels = t["student/labels"][i].tolist(), t["teacher/labels"][j].tolist()
        found = strings.aligned_pairs(vocabulary, *labels)
        pairs += [(i.start + a, j.start + b) for a, b in found if best[j.start + b] in equal]
    table = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    labels = torch.tensor([equal[best[j]] for _, j in pairs], dtype=torch.int64)
    shared = strings.shared_tokens(vocabulary)
    losses = aligned_dual_space(t, s, shared, table[:, 0], table[:, 1], labels)
    return losses | {"info/pairs": table}


def aligned_dual_space(t, s, shared, student_rows, teacher_rows, labels):
    """v2's losses over pairs of rows. Its projector s2t is solved for, and t2s unless it is given."""
    ours, theirs = shared_heads(t, s, shared)
    s2t = least_squares(theirs, ours)  # W_t P = W_s, [D, d]
    info = {"info/s2t": s2t}
    logits = student_logits(t, s)
    nothing = t["student/hidden"].new_zeros(())
    losses = dict.fromkeys(("t2s_ce", "t2s_kd", "s2t_kd"), nothing)
    if "projectors/t2s/weight" not in t:
        t["projectors/t2s/weight"] = least_squares(ours, theirs).requires_grad_()  # W_s P = W_t
        info["info/t2s"] = t["projectors/t2s/weight"].detach()
    if len(labels):
        z = t["teacher/hidden"][teacher_rows] @ t["projectors/t2s/weight"].T
        projected = head_logits(t, s, "student", z, detach=True)
        kept = first_argmax(projected) == labels
        info["info/agreeing"] = kept.float()
        if kept.double().mean() > s.t2s_agreement:
            kept = torch.ones_like(kept)
        t2s_kd = projected_divergence(s, projected, logits[student_rows])
        carried = head_logits(t, s, "teacher", t["student/hidden"][student_rows] @ s2t.T)
        losses["t2s_ce"] = cross_entropies(projected, labels).mean()
        losses["t2s_kd"] = (t2s_kd * kept).sum() / max(kept.sum().item(), KEPT_FLOOR)
        losses["s2t_kd"] = teacher_divergence(t, s, s.divergence, teacher_rows, carried).mean()
    return {"ce": ce(t, s, logits)} | losses | info


def uld(t, s, _):
    logits = student_logits(t, s)
    total = 0.0
    for i, j in examples(t):
        for a, b in zip(range(i.start, i.stop), range(j.start, j.stop)):
            total = total + sorted_distance(t, s, logits[a].softmax(-1), b)
    return {"ce": ce(t, s, logits), "kd": total / len(logits)}


def sorted_distance(t, s, q, row):
    """Sum of |p - q|, both sorted; what a top-k row lacks is compared as one number."""
    q = q.sort(descending=True, stable=True).values
    whole = q.detach()
    if s.teacher_signal == "topk":
        p = t["teacher/topk_logprobs"][row].exp()
        tail = (1 - p.sum()).clamp_min(0)
        if s.topk_tail == "renormalise":
            p, tail = p / p.sum(), torch.zeros_like(tail)
        p, q = torch.cat([p, tail[None]]), torch.cat([q[: len(p)], q[len(p) :].sum()[None]])
    else:
        p = teacher_logits(t, s)[row].softmax(-1).sort(descending=True).values
        size = max(len(p), len(q))
        p, q = (torch.nn.functional.pad(x, (0, size - len(x))) for x in (p, q))
    larger = torch.maximum(p, q).detach()
    difference = (p - q).detach()
    decided("sign", (difference.abs() / larger)[larger > 1e-7])
    # The order of two entries of q matters where the signs of their differences are not the same.
    signs = difference.sign()[torch.arange(len(whole)).clamp_max(len(p) - 1)]
    flips = (signs[1:] != signs[:-1]) & (whole[:-1] > 1e-7)
    decided("order", ((whole[:-1] - whole[1:]) / whole[:-1])[flips])
    return (p - q).abs().sum()


def min_edit(t, s, vocabulary):
    logits, tau = student_logits(t, s), s.temperature
    nearest = torch.tensor(strings.nearest_tokens(vocabulary))
    rows = list(cross_entropies(logits / tau, t["student/labels"]))
    carried = []
    for i, j in examples(t):
        ids = t["student/input_ids"][i].tolist(), t["teacher/input_ids"][j].tolist()
        found = strings.carried_rows(vocabulary, *ids)
        carried += [(i.start + a, j.start + b) for a, b in sorted(found.items())]
    for a, b in carried:
        rows[a] = mapped_divergence(t, s, nearest, b, logits[a])
    info = {"info/pairs": torch.tensor(carried, dtype=torch.int64).reshape(-1, 2)}
    return {"ce": ce(t, s, logits), "kd": mean(t, scaled(s, torch.stack(rows)))} | info


def mapped_divergence(t, s, nearest, row, z):
    """Forward KL of teacher row `row`, carried over to the student's tokens, to softmax(z / tau)."""
    tau, log_q = s.temperature, (z / s.temperature).log_softmax(-1)

    def summed(ids, p):
        """p by student token, [Vs]; only the tokens that some of `ids` maps to are not 0."""
        return torch.zeros_like(z).index_add(0, nearest[ids], p)

    if s.teacher_signal == "sampled":
        p = summed(*sampled_frequencies(t, row))
    elif s.teacher_signal != "topk":
        p = torch.zeros_like(z)
        p = p.index_add(0, nearest, (teacher_logits(t, s)[row] / tau).softmax(-1))
    else:
        ids, log_probs = t["teacher/topk_ids"][row], t["teacher/topk_logprobs"][row]
        if s.topk_tail == "renormalise":
            p = summed(ids, (log_probs / tau).softmax(-1))
        else:
            tempered = (torch.cat([log_probs, ghost_of(log_probs)]) / tau).softmax(-1)
            kept = nearest[ids].unique()
            p = torch.cat([summed(ids, tempered[:-1])[kept], tempered[-1:]])
            log_q = (coarsened(z.log_softmax(-1), kept) / tau).log_softmax(-1)
    return divergence("forward_kl", p.log(), log_q)


def hidden_mse(t, s, _):
    g = project(t, s, "s2t", t["student/hidden"])
    rows = (g - t["teacher/hidden"]).square().mean(-1)
    return {"ce": ce(t, s, student_logits(t, s)), "kd": mean(t, rows)}


def hidden_cosine(t, s, _):
    g, target = project(t, s, "s2t", t["student/hidden"]), t["teacher/hidden"]
    norms = [x.norm(dim=-1).clamp_min(NORM_FLOOR) for x in (g, target)]
    rows = 1 - (g * target).sum(-1) / (norms[0] * norms[1])
    return {"ce": ce(t, s, student_logits(t, s)), "kd": mean(t, rows)}


CRITERIA = {
    criterion.__name__: criterion
    for criterion in (
        sft, kd, dskd, dskd_cma, dskd_v2, dskd_v2_eta, uld, min_edit, hidden_mse, hidden_cosine,
    )
}  # fmt: skip
PAIRED = ("kd", "dskd", "dskd_v2", "hidden_mse", "hidden_cosine")
NEED_TEXTS = ("dskd_v2_eta", "min_edit")
PROJECTORS = {
    "dskd": ("t2s", "s2t"), "dskd_cma": ("t2s", "s2t", "query"), "dskd_v2": ("t2s",),
    "dskd_v2_eta": ("t2s",), "hidden_mse": ("s2t",), "hidden_cosine": ("s2t",),
}  # fmt: skip


def check_inputs(criterion, t, s, vocabulary):
    """Refuses a batch that the criterion does not cover, before PyTorch stumbles over it."""
    n, m = (t[f"{side}/offsets"].tolist() for side in ("student", "teacher"))
    if criterion in PAIRED and n != m:
        raise ValueError(f"{criterion} pairs positions one to one, but offsets are {n} and {m}")
    if criterion in NEED_TEXTS and vocabulary is None:
        raise ValueError(f"{criterion} needs vocabulary/student and vocabulary/teacher")
    if criterion.startswith("dskd_v2") and s.structures:
        raise ValueError(f"{criterion} has linear projectors without bias, of no other structure")
    ids = {"topk": "teacher/topk_ids", "sampled": "teacher/sample_ids"}.get(s.teacher_signal)
    space = {"kd": "student/head"}.get(criterion, "teacher/head")
    if ids and space in t and t[ids].max() >= len(t[space]):
        raise ValueError(f"{ids} holds {t[ids].max()}, beyond the {len(t[space])} rows of {space}")


def losses_of(criterion, t, settings, vocabulary=None):
    """Losses by name, `kd` and `total` included, and what else the criterion tells (`info/...`)."""
    check_signal(criterion, settings)
    check_inputs(criterion, t, settings, vocabulary)
    losses = CRITERIA[criterion](t, settings, vocabulary)
    info = {k: losses.pop(k) for k in list(losses) if k.startswith("info/")}
    if "t2s_ce" in losses:
        losses["kd"] = losses["t2s_ce"] + losses["t2s_kd"] + losses["s2t_kd"]
    rate = settings.kd_rate if "kd" in losses else 0.0
    losses["total"] = (1 - rate) * losses["ce"] + rate * losses.get("kd", 0.0)
    return losses, info


def learnt_tensors(criterion, t):
    """Names of what gets a gradient: student states and head, and the criterion's projectors."""
    prefixes = tuple(f"projectors/{name}/" for name in PROJECTORS.get(criterion, ()))
    return ["student/hidden", "student/head", *sorted(k for k in t if k.startswith(prefixes))]


def evaluate(criterion, inputs, settings, vocabulary=None, dtype=torch.float64):
    """Losses and gradients of one batch, all computed in `dtype`, under the names of OUT.h5."""
    t = {k: v.to(dtype, copy=True) if v.is_floating_point() else v for k, v in inputs.items()}
    for name in learnt_tensors(criterion, t):
        t[name].requires_grad_()
    losses, info = losses_of(criterion, t, settings, vocabulary)
    learnt = learnt_tensors(criterion, t)  # with the projectors that v2 made
    gradients = torch.autograd.grad(
        losses["total"], [t[k] for k in learnt], allow_unused=True, materialize_grads=True
    )
    out = {f"loss/{name}": value.detach().double().reshape(1) for name, value in losses.items()}
    out |= {f"grad/{name}": g for name, g in zip(learnt, gradients)}
    return out | info
