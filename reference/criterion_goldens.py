"""Golden files of the criteria, for Tests/DistillTests; written from METHOD.md alone, in float64.

    python reference/criterion_goldens.py [OUT]    default OUT: Tests/DistillTests/Fixtures/criteria

Inputs are rounded to f32 first and everything is computed in float64 from the rounded values.
A case holds what `retort criterion run` reads and writes, under the same names:

    settings/{temperature,teacher_temperature,kd_rate}   f64 [1]
    settings/{student_cap,teacher_cap}    f64 [1], where that model soft-caps its logits
    student/{hidden,head,embedding}       f32 [n, d], [Vs, d], [Vs, d]
    student/{input_ids,labels,offsets}    int64 [n], [n], [E + 1]
    teacher/...                           the same with m, D, Vt
    projectors/{t2s,s2t,query}/{weight,bias}             f32, weight [out, in]
    loss/{ce,t2s_ce,t2s_kd,s2t_kd,kd,total}              f64 [1]: the sums over positions divided
                                          by the number of supervised student positions
    grad/student/{hidden,head}, grad/projectors/...      f32, of loss/total
    info/gate                             f32 [n], `dskd_cma`: 1 where t2s_kd counts

The file's metadata has `case`: "CRITERION DIVERGENCE". The same-vocabulary cases leave out
what they do not use (`student/embedding`, ..., `projectors/query`).
"""

import math
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

ROOT = pathlib.Path(__file__).resolve().parent.parent
DIVERGENCES = (
    "forward_kl", "reverse_kl", "js", "skewed_forward_kl", "skewed_reverse_kl", "adaptive_kl",
)  # fmt: skip
SKEW = 0.1
HEAD_MASS = 0.5


# Divergences -----------------------------------------------------------------------------------


def kl(log_p, log_q):
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def log_mix(log_a, log_b, weight):
    """log(weight * a + (1 - weight) * b)."""
    return torch.logaddexp(log_a + math.log(weight), log_b + math.log(1 - weight))


def adaptive_weight(p, q):
    """Share of |p - q| that lies in the head: what is left of p above its ascending 0.5 tail."""
    order = p.sort(dim=-1, stable=True).indices
    tail = p.gather(-1, order).cumsum(-1) <= HEAD_MASS
    gap = (p - q).abs().gather(-1, order)
    head_gap, all_gap = (gap * ~tail).sum(-1), gap.sum(-1)
    return torch.where(all_gap > 0, head_gap / all_gap.clamp_min(1e-300), 0.5).detach()


def divergence(name, p_logits, q_logits, temperature):
    """D(p || q) for each row; p is the teacher side and gets no gradient."""
    log_p = (p_logits.detach() / temperature).log_softmax(-1)
    log_q = (q_logits / temperature).log_softmax(-1)
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
    raise ValueError(f"unknown divergence {name}")


# Criteria --------------------------------------------------------------------------------------
# Each takes the tensors of a case and its settings, and returns sums over positions, by name.


def linear(x, projector, name):
    y = x @ projector[f"projectors/{name}/weight"].T
    bias = projector.get(f"projectors/{name}/bias")
    return y if bias is None else y + bias


def ce_sum(logits, labels):
    return cross_entropy(logits, labels, reduction="sum")


def head_logits(t, s, side, hidden, detach=False):
    """Logits of states in the space of one of the models, soft-capped where it caps its own."""
    head = t[f"{side}/head"]
    product = hidden @ (head.detach() if detach else head).T
    cap = s.get(f"{side}_cap")
    return product if cap is None else cap * torch.tanh(product / cap)


def sft(t, s):
    logits = head_logits(t, s, "student", t["student/hidden"])
    return {"ce": ce_sum(logits, t["student/labels"])}


def kd(t, s):
    logits = head_logits(t, s, "student", t["student/hidden"])
    teacher = head_logits(t, s, "teacher", t["teacher/hidden"])
    size = min(logits.shape[-1], teacher.shape[-1])
    rows = divergence(s["divergence"], teacher[:, :size], logits[:, :size], s["temperature"])
    return {"ce": ce_sum(logits, t["student/labels"]), "kd": rows.sum()}


def dual_space(t, s, projected_hidden, to_teacher, gated):
    """The losses that `dskd` and `dskd_cma` share, once hidden states are carried across."""
    logits = head_logits(t, s, "student", t["student/hidden"])
    labels = t["student/labels"]
    projected = head_logits(t, s, "student", projected_hidden, detach=True)
    gate = torch.ones_like(labels, dtype=torch.bool)
    if gated:
        gate = projected.argmax(-1) == labels
    target = projected.detach() / (s["teacher_temperature"] if gated else 1.0)
    t2s_kd = divergence(s["divergence"], target, logits, s["temperature"])
    teacher = head_logits(t, s, "teacher", t["teacher/hidden"])
    carried = head_logits(t, s, "teacher", to_teacher)
    s2t_kd = divergence("forward_kl", teacher, carried, s["temperature"])
    sums = {
        "ce": ce_sum(logits, labels),
        "t2s_ce": ce_sum(projected, labels),
        "t2s_kd": (t2s_kd * gate).sum(),
        "s2t_kd": s2t_kd.sum(),
    }
    sums["kd"] = sums["t2s_ce"] + sums["t2s_kd"] + sums["s2t_kd"]
    if gated:
        sums["gate"] = gate
    return sums


def dskd(t, s):
    to_student = linear(t["teacher/hidden"], t, "t2s")
    to_teacher = linear(t["student/hidden"], t, "s2t")
    return dual_space(t, s, to_student, to_teacher, gated=False)


def normalised(x):
    return x / x.std(unbiased=True)


def index_vectors(t, side):
    table = t[f"{side}/embedding"].detach()
    return torch.cat([table[t[f"{side}/input_ids"]], table[t[f"{side}/labels"]]], dim=-1)


def dskd_cma(t, s):
    query = linear(index_vectors(t, "student"), t, "query")
    key = normalised(index_vectors(t, "teacher"))
    label_rows = t["teacher/embedding"][t["teacher/labels"]]
    value = linear(normalised(t["teacher/hidden"]) + normalised(label_rows), t, "t2s")
    student_value = linear(t["student/hidden"], t, "s2t")
    starts = zip(t["student/offsets"].tolist(), t["teacher/offsets"].tolist(), strict=True)
    bounds = list(starts)
    to_student, to_teacher = [], []
    for (i, j), (i_end, j_end) in zip(bounds, bounds[1:]):
        scores = query[i:i_end] @ key[j:j_end].T / math.sqrt(key.shape[-1])
        to_student.append(scores.softmax(-1) @ value[j:j_end])
        to_teacher.append(scores.T.softmax(-1) @ student_value[i:i_end])
    return dual_space(t, s, torch.cat(to_student), torch.cat(to_teacher), gated=True)


CRITERIA = {"sft": sft, "kd": kd, "dskd": dskd, "dskd_cma": dskd_cma}


def evaluate(criterion, inputs, settings):
    """Losses and gradients of one batch, all in float64, under the names of OUT.h5."""
    t = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
    learnt = [k for k in t if k in ("student/hidden", "student/head") or k.startswith("proj")]
    for name in learnt:
        t[name].requires_grad_()
    sums = CRITERIA[criterion](t, settings)
    gate = sums.pop("gate", None)
    losses = {name: value / len(t["student/labels"]) for name, value in sums.items()}
    rate = settings["kd_rate"]
    losses["total"] = (1 - rate) * losses["ce"] + rate * losses.get("kd", 0.0)
    gradients = torch.autograd.grad(losses["total"], [t[name] for name in learnt])
    out = {f"loss/{name}": value.detach().reshape(1) for name, value in losses.items()}
    out |= {f"grad/{name}": g.float() for name, g in zip(learnt, gradients)}
    if gate is not None:
        out["info/gate"] = gate.float()
    return out


# Checks against METHOD.md -----------------------------------------------------------------------


def close(got, want, what):
    assert abs(float(got) - want) < 1e-6, f"{what}: {float(got):.9f}, METHOD.md says {want}"


def check_divergences():
    student = torch.tensor([1, 2, 0.5, -1], dtype=torch.float64)
    teacher = torch.tensor([0.5, 2.5, -0.5, 0], dtype=torch.float64)
    table = {
        2: (0.0548886, 0.0575619, 0.0139439, 0.0446556, 0.0459281, 0.0567088),
        1: (0.1250232, 0.1546532, 0.0337293, 0.1037745, 0.1170393, 0.1422208),
    }
    for temperature, row in table.items():
        for name, want in zip(DIVERGENCES, row, strict=True):
            close(divergence(name, teacher, student, temperature), want, f"{name} at {temperature}")
    for name in DIVERGENCES:
        assert divergence(name, teacher, teacher, 1).abs() < 1e-12, f"{name}(z, z) is not 0"
    far = torch.tensor([40.0, -40.0], dtype=torch.float64)
    assert divergence("js", far, -far, 1) <= math.log(2) + 1e-12
    assert divergence("skewed_forward_kl", far, -far, 1) <= -math.log(SKEW) + 1e-12


def check_same_vocabulary_dskd():
    def g(rows, columns, phase, scale=1.0):
        i = torch.arange(rows, dtype=torch.float64)[:, None]
        j = torch.arange(columns, dtype=torch.float64)[None]
        return scale * torch.sin(0.9 * i + 1.7 * j + phase)

    t = {
        "student/hidden": g(4, 3, 0.5)[1:],
        "student/head": g(5, 3, 0.3),
        "student/labels": torch.tensor([2, 4, 1]),
        "teacher/hidden": g(4, 4, 0.6, 2)[1:],
        "teacher/head": g(5, 4, 0.4),
        "projectors/t2s/weight": g(3, 4, 0.7, 0.5),
        "projectors/s2t/weight": g(4, 3, 0.8, 0.5),
    }
    out = evaluate("dskd", t, settings_of("forward_kl"))
    for name, want in [("ce", 6.701340), ("t2s_ce", 8.770360), ("t2s_kd", 1.001727)]:
        close(out[f"loss/{name}"] * 3, want, name)
    close(out["loss/s2t_kd"] * 3, 1.073065, "s2t_kd")
    close(out["loss/total"], 2.924416, "total")


def gradient_of(criterion, inputs, settings, loss, names):
    """Gradient of one loss alone, zero where the loss does not reach."""
    t = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
    for name in names:
        t[name].requires_grad_()
    value = CRITERIA[criterion](t, settings)[loss]
    found = torch.autograd.grad(value, [t[n] for n in names], allow_unused=True)
    return {n: 0.0 if g is None else g.abs().max().item() for n, g in zip(names, found)}


def audit(inputs):
    """Which loss moves what, METHOD.md's gradient audit, for `dskd_cma`."""
    t2s, s2t = "projectors/t2s/weight", "projectors/s2t/weight"
    query, head, hidden = "projectors/query/weight", "student/head", "student/hidden"
    moves = {
        "ce": {hidden, head},
        "t2s_ce": {t2s, query},
        "t2s_kd": {hidden, head},
        "s2t_kd": {s2t, query, hidden},
    }
    for loss, moved in moves.items():
        names = [t2s, s2t, query, head, hidden, "student/embedding"]
        found = gradient_of("dskd_cma", inputs, settings_of("forward_kl"), loss, names)
        got = {name for name, size in found.items() if size > 0}
        assert got == moved, f"{loss} moves {sorted(got)}, not {sorted(moved)}"


# Cases -----------------------------------------------------------------------------------------


def settings_of(name, temperature=2.0, teacher_temperature=1.0, kd_rate=0.5, **caps):
    return caps | {
        "divergence": name,
        "temperature": temperature,
        "teacher_temperature": teacher_temperature,
        "kd_rate": kd_rate,
    }


def random_inputs(seed, n, m, d, D, vs, vt, embeddings):
    """A batch of len(n) examples with n[e] student and m[e] teacher positions."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape, scale=1.0):
        return scale * torch.randn(shape, generator=generator)

    def side(name, lengths, width, vocabulary):
        total = sum(lengths)
        draws = torch.randint(0, vocabulary, (2, total), generator=generator)
        out = {
            f"{name}/hidden": normal(total, width),
            f"{name}/head": normal(vocabulary, width, scale=0.8),
            f"{name}/labels": draws[1],
            f"{name}/offsets": torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()]),
        }
        if embeddings:
            out[f"{name}/embedding"] = normal(vocabulary, width, scale=0.7)
            out[f"{name}/input_ids"] = draws[0]
        return out

    def projector(name, out, inner):
        bound = inner**-0.5
        draw = torch.rand((out, inner + 1), generator=generator) * 2 * bound - bound
        key = f"projectors/{name}"
        return {f"{key}/weight": draw[:, :-1].contiguous(), f"{key}/bias": draw[:, -1].clone()}

    t = side("student", n, d, vs) | side("teacher", m, D, vt)
    t |= projector("t2s", d, D) | projector("s2t", D, d)
    if embeddings:
        t |= projector("query", 2 * D, 2 * d)
    else:
        t["teacher/labels"] = t["student/labels"].clone()
    return t


def stable(criterion, inputs, **caps):
    """Whether noise of 1e-5 leaves the gate and the adaptive tail where they are.

    A near-tie there would make f32 and float64 disagree for no fault of either.
    """
    settings = settings_of("adaptive_kl", **caps)
    want = evaluate(criterion, inputs, settings)
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        noisy = {
            k: v + 1e-5 * torch.randn(v.shape, generator=generator) if v.is_floating_point() else v
            for k, v in inputs.items()
        }
        got = evaluate(criterion, noisy, settings)
        change = (got["loss/total"] / want["loss/total"] - 1).abs().item()
        if change > 2e-4 or not torch.equal(
            got.get("info/gate", torch.zeros(0)), want.get("info/gate", torch.zeros(0))
        ):
            return False
    return True


def cma_inputs(n, m):
    """The first seed whose gate lets some positions through, none by a near-tie."""
    for seed in range(100_000):
        t = random_inputs(seed, n, m, d=6, D=10, vs=23, vt=31, embeddings=True)
        gate = evaluate("dskd_cma", t, settings_of("forward_kl"))["info/gate"]
        if 3 <= gate.sum() <= len(gate) - 3 and stable("dskd_cma", t):
            return t
    raise RuntimeError("no seed gives a gate that is neither open nor closed")


def without_projectors(t):
    return {k: v for k, v in t.items() if not k.startswith("projectors/")}


def cases():
    same = random_inputs(7, (4, 1, 6), (4, 1, 6), d=6, D=10, vs=23, vt=23, embeddings=False)
    assert stable("dskd", same), "a near-tie: choose another seed"
    plain = without_projectors(same)
    yield "sft", "sft", plain, settings_of("none", kd_rate=0.0)
    for name in DIVERGENCES:
        yield f"kd-{name}", "kd", plain, settings_of(name)
    for name in DIVERGENCES:
        yield f"dskd-{name}", "dskd", same, settings_of(name)
    cross = cma_inputs((5, 1, 7), (4, 3, 9))
    audit(cross)
    for name in ("forward_kl", "adaptive_kl"):
        yield f"dskd_cma-{name}", "dskd_cma", cross, settings_of(name)
    other = settings_of("reverse_kl", temperature=1.5, teacher_temperature=1.25, kd_rate=0.7)
    yield "dskd_cma-reverse_kl-settings", "dskd_cma", cross, other
    # Low enough to bend most logits, which have a standard deviation of about 2.
    caps = {"student_cap": 3.0, "teacher_cap": 4.0}
    for criterion, inputs in (("kd", plain), ("dskd", same), ("dskd_cma", cross)):
        assert stable(criterion, inputs, **caps), "a near-tie: choose other caps"
        capped = settings_of("forward_kl", **caps)
        yield f"{criterion}-forward_kl-caps", criterion, inputs, capped


def main():
    check_divergences()
    check_same_vocabulary_dskd()
    print("METHOD.md's golden numbers: equal")
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    out = out or ROOT / "Tests/DistillTests/Fixtures/criteria"
    out.mkdir(parents=True, exist_ok=True)
    for case, criterion, inputs, settings in cases():
        result = evaluate(criterion, inputs, settings)
        numbers = {
            f"settings/{name}": torch.tensor([value], dtype=torch.float64)
            for name, value in settings.items()
            if name != "divergence"
        }
        save_file(
            {k: v.detach().contiguous() for k, v in (inputs | numbers | result).items()},
            out / f"{case}.safetensors",
            metadata={"case": f"{criterion} {settings['divergence']}"},  # one key: no random order
        )
        gate = result.get("info/gate")
        shown = "" if gate is None else f", gate {int(gate.sum())} of {len(gate)}"
        print(f"{case}: total {result['loss/total'].item():.6f}{shown}")


if __name__ == "__main__":
    main()
