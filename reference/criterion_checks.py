"""`criteria.py check`: the criteria against METHOD.md's numbers and properties, and the golden files.

Beside that it evaluates every golden case in float32, to show what f32 itself reaches in PyTorch.
"""

import math

import criteria
import criterion_cases as cases
import criterion_losses as losses
import criterion_signals as signals
import criterion_strings as strings
import torch

DOUBLE = torch.float64
# PyTorch's own f32 must stay well inside what the tests of Retort's f32 allow.
SHARE_OF_TOLERANCE = 0.5


def close(got, want, what):
    assert abs(float(got) - want) < 1e-6, f"{what}: {float(got):.9f}, METHOD.md says {want}"


def of_logits(name, p_logits, q_logits, temperature):
    log_p, log_q = ((z / temperature).log_softmax(-1) for z in (p_logits, q_logits))
    return signals.divergence(name, log_p, log_q)


def check_divergences():
    student = torch.tensor([1, 2, 0.5, -1], dtype=DOUBLE)
    teacher = torch.tensor([0.5, 2.5, -0.5, 0], dtype=DOUBLE)
    table = {
        2: (0.0548886, 0.0575619, 0.0139439, 0.0446556, 0.0459281, 0.0567088),
        1: (0.1250232, 0.1546532, 0.0337293, 0.1037745, 0.1170393, 0.1422208),
    }
    for temperature, row in table.items():
        for name, want in zip(signals.DIVERGENCES, row, strict=True):
            got = of_logits(name, teacher, student, temperature)
            close(got, want, f"{name} at {temperature}")
    for name in signals.DIVERGENCES:
        assert of_logits(name, teacher, teacher, 1).abs() < 1e-12, f"{name}(z, z) is not 0"
    far = torch.tensor([40.0, -40.0], dtype=DOUBLE)
    assert of_logits("js", far, -far, 1) <= math.log(2) + 1e-12
    assert of_logits("skewed_forward_kl", far, -far, 1) <= -math.log(signals.SKEW) + 1e-12


def check_same_vocabulary_dskd():
    def g(rows, columns, phase, scale=1.0):
        i = torch.arange(rows, dtype=DOUBLE)[:, None]
        j = torch.arange(columns, dtype=DOUBLE)[None]
        return scale * torch.sin(0.9 * i + 1.7 * j + phase)

    labels, offsets = torch.tensor([2, 4, 1]), torch.tensor([0, 3])
    t = {
        "student/offsets": offsets,
        "teacher/offsets": offsets,
        "student/hidden": g(4, 3, 0.5)[1:],
        "student/head": g(5, 3, 0.3),
        "student/labels": labels,
        "teacher/hidden": g(4, 4, 0.6, 2)[1:],
        "teacher/head": g(5, 4, 0.4),
        "teacher/labels": labels,
        "projectors/t2s/weight": g(3, 4, 0.7, 0.5),
        "projectors/s2t/weight": g(4, 3, 0.8, 0.5),
    }
    out = losses.evaluate("dskd", t, signals.Settings())
    for name, want in [("ce", 6.701340), ("t2s_ce", 8.770360), ("t2s_kd", 1.001727)]:
        close(out[f"loss/{name}"] * 3, want, name)
    close(out["loss/s2t_kd"] * 3, 1.073065, "s2t_kd")
    close(out["loss/total"], 2.924416, "total")


def as_double(inputs):
    return {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}


def check_who_moves_what(inputs):
    """METHOD.md's gradient audit, of `dskd_cma`."""
    t2s, s2t = "projectors/t2s/weight", "projectors/s2t/weight"
    query, head, hidden = "projectors/query/weight", "student/head", "student/hidden"
    moves = {
        "ce": {hidden, head},
        "t2s_ce": {t2s, query},
        "t2s_kd": {hidden, head},
        "s2t_kd": {s2t, query, hidden},
    }
    names = [t2s, s2t, query, head, hidden, "student/embedding"]
    for loss, moved in moves.items():
        t = as_double(inputs)
        for name in names:
            t[name].requires_grad_()
        value = losses.losses_of("dskd_cma", t, signals.Settings())[0][loss]
        found = torch.autograd.grad(value, [t[k] for k in names], allow_unused=True)
        got = {k for k, grad in zip(names, found) if grad is not None and grad.abs().max() > 0}
        assert got == moved, f"{loss} moves {sorted(got)}, not {sorted(moved)}"


def check_perfect_student(inputs):
    """Where the student's logits are the ghosted teacher's, the loss is 0 at any temperature."""
    t = as_double(inputs)
    t |= {"student/hidden": t["teacher/full_logprobs"], "student/labels": t["teacher/labels"]}
    t["student/head"] = torch.eye(t["teacher/full_logprobs"].shape[1], dtype=DOUBLE)
    for name in signals.DIVERGENCES:
        for tau in ("1", "3"):
            words = cases.GHOST | {"divergence": name, "temperature": tau}
            kd = losses.evaluate("kd", t, signals.Settings.of(words))["loss/kd"].item()
            assert abs(kd) < 1e-6, f"{name} at {tau}: a perfect student's ghosted loss is {kd}"


def check_least_squares(inputs):
    """The initial t2s is the optimum, and its argmax agrees with the teacher's above chance."""
    out = losses.evaluate("dskd_v2", inputs, signals.Settings())
    t, start = as_double(inputs), out["info/t2s"]
    for head, other, p in (("student", "teacher", start), ("teacher", "student", out["info/s2t"])):
        a, b = t[f"{head}/head"], t[f"{other}/head"]
        slope = a.T @ (a @ p - b)
        assert slope.abs().max() < 1e-9, f"least squares of {other} by {head}: slope {slope}"
    agreeing = out["info/agreeing"].mean()
    assert agreeing > 5 / len(t["student/head"]), f"only {agreeing:.2f} of the argmaxes agree"


def check_strings():
    assert strings.edit_distance("kitten", "sitting") == 3
    assert strings.edit_distance("café", "cafe") == 2  # bytes
    vocabulary = {
        "student": ["▁the", "▁news", "paper", "</s>", "a", "b"],
        "teacher": ["the", "Ġnewspaper", "<end>", "Ġthe", "a", "ab"],
        "student_eos": 3,
        "teacher_eos": 2,
    }
    assert strings.shared_tokens(vocabulary) == [(0, 3), (3, 2), (4, 4)]
    assert strings.equal_tokens(vocabulary) == {2: 3, 3: 0, 4: 4}
    assert strings.aligned_pairs(vocabulary, [0, 1, 2, 0, 3], [0, 1, 3, 2]) == [
        (0, 0), (3, 2), (4, 3),
    ]  # fmt: skip
    assert strings.aligned_pairs(vocabulary, [4, 5, 0], [5, 0, 3]) == []  # "ab the", "abthe the"
    path = strings.warping_path(vocabulary, [0, 1, 2, 3], [0, 1, 2])
    assert path == [(3, 2), (2, 1), (1, 0), (0, 0)]  # cost 0 + 4 + 4 + 0
    assert strings.warping_path(vocabulary, [4, 4], [4, 4, 4]) == [(1, 2), (0, 1), (0, 0)]
    assert strings.carried_rows(vocabulary, [4, 4], [4, 4, 4]) == {1: 2}
    assert strings.nearest_tokens(vocabulary) == [0, 1, 3, 0, 4, 4]


def check_refusals(inputs, unpaired, larger_teacher):
    for criterion, words, *other in (
        ("dskd", {}, unpaired),
        ("min_edit", {}),
        ("kd", cases.GHOST, larger_teacher),
        ("kd", cases.SAMPLED | {"temperature": "2"}),
        ("kd", cases.SAMPLED | {"divergence": "js"}),
        ("kd", cases.RENORMALISED | {"divergence": "reverse_kl"}),
        ("uld", cases.SAMPLED),
        ("dskd_v2", {"projectors.t2s": "t-2s-relu-s"}),
        ("dskd_v2", cases.SAMPLED),
    ):
        try:
            losses.evaluate(criterion, *(other or [inputs]), signals.Settings.of(words))
        except ValueError:
            continue
        raise AssertionError(f"{criterion} takes {words}")


def check_goldens():
    """Stored results against new ones in float64, and f32's worst differences by criterion."""
    worlds, golden = criteria.read_goldens()
    worst = {criterion: {"loss/": (0, ""), "grad/": (0, "")} for criterion in losses.CRITERIA}
    count = dict.fromkeys(losses.CRITERIA, 0)
    for row, want in golden:
        inputs, vocabulary = worlds[row["world"]]
        arguments = row["criterion"], inputs, signals.Settings.of(row["settings"]), vocabulary
        again = criteria.differences(losses.evaluate(*arguments), want)
        key = max(again, key=again.get)
        assert again[key] < 1e-6, f"{row['name']}: {key} of the golden file is off by {again[key]}"
        count[row["criterion"]] += 1
        got = losses.evaluate(*arguments, dtype=torch.float32)
        for key, value in criteria.differences(got, want).items():
            place = worst[row["criterion"]]
            place[key[:5]] = max(place[key[:5]], (value, f"{row['name']} {key}"))
            most = SHARE_OF_TOLERANCE * criteria.tolerance(key)
            assert value <= most, f"{row['name']} {key}: f32 reaches {value:.1e} only; draw anew"
    print(f"{len(golden)} golden cases: equal in float64. The worst of float32, relative:")
    for criterion, places in worst.items():
        print(f"{criterion:14}{count[criterion]:4} cases")
        for kind, (value, where) in places.items():
            print(f"    {kind:6}{value:9.1e}  {where}")
    return worlds


def check():
    check_divergences()
    check_same_vocabulary_dskd()
    print("METHOD.md's golden numbers: equal")
    worlds = check_goldens()
    check_who_moves_what(worlds["cross"][0])
    check_perfect_student(worlds["same"][0])
    check_least_squares(worlds["v2"][0])
    check_refusals(*(worlds[world][0] for world in ("same", "cross", "smaller")))
    check_strings()
    print("gradient audit, perfect student, least squares, token texts, refusals: as they should be")
