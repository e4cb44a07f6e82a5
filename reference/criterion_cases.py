"""The random cases of the criteria's golden files: worlds (batches of inputs) and what they serve.

A world is drawn anew until no discrete decision of any of its cases is a near-tie, which f32 could
take otherwise than float64 for no fault of its own, and until its cases show what they are for.
Ties of world `ties` are exact in f32: every number is a small multiple of 1/8.
"""

import criterion_losses as losses
import criterion_signals as signals
from criterion_worlds import random_world, text_world, tied_world

LEAST = {"argmax": 1e-3, "cut": 1e-4, "sign": 3e-4, "order": 3e-4, "relu": 1e-3, "ghost": 0.02}
LEAST_LOSS = 1e-4
FINITE_RENORMALISED = ("forward_kl", "js", "skewed_forward_kl", "skewed_reverse_kl")
GHOST = {"teacher_signal": "topk"}
RENORMALISED = {"teacher_signal": "topk", "topk_tail": "renormalise"}
FULL = {"teacher_signal": "full"}
SAMPLED = {"teacher_signal": "sampled", "temperature": "1"}
TAU1 = {"temperature": "1"}
SQUARED = {"temperature_squared": "true"}
CAPS = {"student_cap": "3", "teacher_cap": "4"}
SMOOTHED = {"label_smoothing": "0.1"}
MASKLESS = {"t2s_agreement": "0.25"}


# Cases -----------------------------------------------------------------------------------------


def each_divergence(*settings, of=signals.DIVERGENCES):
    return [{"divergence": name} | more for more in settings or ({},) for name in of]


def on(criterion, *settings):
    return [(criterion, words) for words in settings or ({},)]


def tempered(value):
    return {"temperature": str(value)}


def d(name):
    return {"divergence": name}


def same_vocabulary():
    yield from on("sft", {}, SMOOTHED, CAPS)
    yield from on("kd", *each_divergence({}, TAU1, tempered(3.5), FULL, GHOST, GHOST | TAU1))
    yield from on("kd", *each_divergence(RENORMALISED, RENORMALISED | TAU1, of=FINITE_RENORMALISED))
    yield from on("kd", SAMPLED, SAMPLED | {"kd_rate": "0.9"}, FULL | TAU1, {"kd_rate": "1"})
    yield from on("kd", SQUARED, SQUARED | d("js") | tempered(3), SMOOTHED, CAPS)
    yield from on("kd", CAPS | d("adaptive_kl"), GHOST | tempered(4) | SQUARED)
    yield from on("dskd", *each_divergence({}, TAU1))
    yield from on("dskd", FULL, GHOST, GHOST | d("reverse_kl") | TAU1, RENORMALISED, SAMPLED)
    yield from on("dskd", SQUARED | d("skewed_forward_kl") | tempered(3), CAPS, SMOOTHED)
    yield from on("dskd", {"kd_rate": "0.75"})
    yield from on("hidden_mse", {}, {"kd_rate": "0.9"})
    yield from on("hidden_cosine", {}, {"kd_rate": "0.9"})
    yield from on("uld", {}, FULL, GHOST, RENORMALISED, CAPS)


def flat():
    yield from on("kd", *each_divergence(TAU1))
    yield from on("dskd", *each_divergence(TAU1))
    yield from on("hidden_mse")
    yield from on("hidden_cosine")


def peaked():
    yield from on("kd", *each_divergence(TAU1, tempered(4)))
    yield from on("kd", *each_divergence(GHOST, of=("forward_kl", "reverse_kl", "js")))
    yield from on("kd", RENORMALISED, SAMPLED, FULL)
    yield from on("dskd", *each_divergence(TAU1))
    yield from on("uld", {}, GHOST)


def one_token():
    yield from on("sft", SMOOTHED)
    yield from on("kd", {}, GHOST | d("adaptive_kl"))
    yield from on("dskd", {}, d("adaptive_kl"))
    for criterion in ("hidden_mse", "hidden_cosine", "uld"):
        yield from on(criterion)


def smaller_student_head():
    yield from on("kd", *each_divergence({}), FULL, FULL | TAU1 | d("js"))
    yield from on("dskd", {}, GHOST | d("reverse_kl"))


def larger_student_head():
    yield from on("kd", {}, d("reverse_kl"), d("adaptive_kl"), FULL)
    yield from on("kd", GHOST, GHOST | d("adaptive_kl"), RENORMALISED, SAMPLED)
    yield from on("dskd", {}, GHOST | d("js"))


CHAINS_SAME = {"t2s": "t-2s-relu-s", "s2t": "s-2s-relu-t"}
CHAINS_CROSS = {"t2s": "t-2s-relu-s", "s2t": "s-2t-t", "query": "2s-s-relu-2t"}


def chained(structures):
    return {f"projectors.{name}": structure for name, structure in structures.items()}


def chains_same_vocabulary():
    both = chained(CHAINS_SAME)
    yield from on("dskd", both, both | d("reverse_kl"), both | d("js") | TAU1)
    only = {"projectors.s2t": CHAINS_SAME["s2t"]}
    yield from on("hidden_mse", only)
    yield from on("hidden_cosine", only)


def chains_cross_vocabulary():
    chains = chained(CHAINS_CROSS)
    yield from on("dskd_cma", chains, chains | d("skewed_reverse_kl"), chains | d("adaptive_kl"))


def cross_vocabulary():
    yield from on("dskd_cma", *each_divergence({}, TAU1))
    other = {"temperature": "1.5", "teacher_temperature": "1.25", "kd_rate": "0.7"}
    yield from on("dskd_cma", other | d("reverse_kl"), {"teacher_temperature": "0.8"})
    yield from on("dskd_cma", SQUARED | d("js"), SMOOTHED, CAPS, FULL)
    yield from on("dskd_cma", GHOST, GHOST | TAU1 | d("reverse_kl"), RENORMALISED, SAMPLED)
    yield from on("uld", {}, FULL, GHOST, RENORMALISED)


def cross_one_token():
    yield from on("dskd_cma", {}, d("reverse_kl"), GHOST | d("js"))
    yield from on("uld")


def cross_peaked():
    yield from on("dskd_cma", *each_divergence({}))
    yield from on("uld")


def v2():
    yield from on("dskd_v2", *each_divergence({}, TAU1))
    fewer = {"topk_vocab": "15"}
    yield from on("dskd_v2", fewer, fewer | d("reverse_kl"), MASKLESS, MASKLESS | d("adaptive_kl"))
    yield from on("dskd_v2", FULL, *each_divergence(GHOST, of=("forward_kl", "js", "adaptive_kl")))
    yield from on("dskd_v2", RENORMALISED, RENORMALISED | TAU1 | d("skewed_reverse_kl"))
    yield from on("dskd_v2", SQUARED, CAPS, SMOOTHED, {"kd_rate": "0.8"})


def v2_given():
    yield from on("dskd_v2", *each_divergence({}))
    yield from on("dskd_v2", MASKLESS, {"topk_vocab": "14"})


def v2_one_token():
    yield from on("dskd_v2", {}, d("reverse_kl"))


def v2_nothing_kept():
    yield from on("dskd_v2", {}, d("js"))


def ties():
    yield from on("dskd_v2", *each_divergence({}, of=FINITE_RENORMALISED), FULL, MASKLESS)
    yield from on("kd")
    yield from on("uld")


def eta():
    yield from on("dskd_v2_eta", *each_divergence({}), TAU1, {"topk_vocab": "13"}, MASKLESS, FULL)
    yield from on("dskd_v2_eta", GHOST, GHOST | d("reverse_kl"), RENORMALISED, SQUARED, SMOOTHED)
    yield from on("min_edit", {}, TAU1, tempered(3.5), FULL, GHOST, GHOST | TAU1, RENORMALISED)
    yield from on("min_edit", SAMPLED, SQUARED, SMOOTHED, CAPS)


def eta_given():
    yield from on("dskd_v2_eta", *each_divergence({}), MASKLESS, GHOST | d("js"))
    yield from on("min_edit", {}, GHOST, SAMPLED)


def warped():
    yield from on("min_edit", {}, GHOST, RENORMALISED | TAU1)


def eta_no_pair():
    yield from on("dskd_v2_eta")
    yield from on("min_edit")


SENTENCES = (
    (". ▁the ▁cat ▁sat ▁on ▁the ▁table . </s>", ". the Ġcat Ġsat Ġon Ġthe Ġtab le . <|end|>"),
    ("</s> </s>", "<|end|> <|end|>"),
)
OTHER_SENTENCES = (  # the first one is cut, so that it has no end of sequence
    ("▁ ▁ ▁news paper ▁is ▁red", "! Ġnewspaper Ġis Ġred"),
    (". ▁caf é ▁and ▁a ▁cat s </s>", ". Ġcafé Ġand Ġa Ġcats <|end|>"),
)
# Found by search: the path is another one where backtracking prefers other steps, where spaces are
# kept, where the ends of sequence have a cost, or where characters are counted instead of bytes.
WARPED = (
    (". ▁ ▁caf ▁rain ly </s> ▁news </s>", "Ġnewspaper ! . Ġcafé <|end|> Ġrain Ġnewspaper <|end|>"),
    ("é ly ly ▁a ▁rain </s>", "ñ Ġrain ly <|end|>"),
)
NOTHING_ALIGNED = (("<s> ▁red", "! Ġwalk"),)

WORLDS = {
    "same": (lambda seed: random_world(seed, (4, 1, 6), (4, 1, 6)), same_vocabulary),
    "flat": (lambda seed: random_world(seed, (3, 6), (3, 6), largest=1.0, zero_row=1), flat),
    "peaked": (lambda seed: random_world(seed, (4, 5), (4, 5), largest=80), peaked),
    "one": (lambda seed: random_world(seed, (1,), (1,)), one_token),
    "smaller": (
        lambda seed: random_world(seed, (5, 2), (5, 2), vs=20, vt=27), smaller_student_head,
    ),
    "larger": (
        lambda seed: random_world(seed, (5, 2), (5, 2), vs=27, vt=20), larger_student_head,
    ),
    "chains-same": (
        lambda seed: random_world(seed, (3, 4), (3, 4), structures=CHAINS_SAME),
        chains_same_vocabulary,
    ),
    "cross": (
        lambda seed: random_world(
            seed, (5, 1, 6), (4, 3, 5), vs=23, vt=31, paired=False, embeddings=True
        ),
        cross_vocabulary,
    ),
    "cross-one": (
        lambda seed: random_world(seed, (1,), (1,), vs=23, vt=31, paired=False, embeddings=True),
        cross_one_token,
    ),
    "cross-peaked": (
        lambda seed: random_world(
            seed, (3, 4), (4, 2), vs=20, vt=26, paired=False, embeddings=True, largest=80
        ),
        cross_peaked,
    ),
    "chains-cross": (
        lambda seed: random_world(
            seed, (3, 4), (4, 2), D=7, vs=20, vt=26, paired=False, embeddings=True,
            structures=CHAINS_CROSS,
        ),
        chains_cross_vocabulary,
    ),
    "v2": (lambda seed: random_world(seed, (5, 1, 6), (5, 1, 6), D=8, structures={}), v2),
    "v2-given": (
        lambda seed: random_world(
            seed, (4, 5), (4, 5), D=8, vs=22, vt=25, structures={}, given=True
        ),
        v2_given,
    ),
    "v2-one": (lambda seed: random_world(seed, (1,), (1,), D=8, structures={}), v2_one_token),
    "v2-none": (lambda seed: random_world(seed, (2,), (2,), D=8, structures={}), v2_nothing_kept),
    "ties": (tied_world, ties),
    "eta": (lambda seed: text_world(seed, SENTENCES), eta),
    "eta-given": (lambda seed: text_world(seed, OTHER_SENTENCES, given=True), eta_given),
    "warped": (lambda seed: text_world(seed, WARPED), warped),
    "eta-none": (lambda seed: text_world(seed, NOTHING_ALIGNED), eta_no_pair),
}  # fmt: skip


def case_name(criterion, world, words):
    """`kd-same-reverse_kl-temperature=1`."""
    parts = [v if k == "divergence" else f"{k}={v}" for k, v in words.items()]
    return "-".join([criterion, world, *parts])


def complaint(world, criterion, words, out, margins):
    """Why these results of a case are no good test; None where they are."""
    where = case_name(criterion, world, words)
    for kind, gap in margins:
        if gap < LEAST.get(kind, 0) or (kind == "tie" and world != "ties"):
            return f"{where}: {kind} {gap:.1e}"
    for name, value in out.items():
        if name.startswith("loss/") and 0 < value.abs() < LEAST_LOSS:
            return f"{where}: {name} is {value.item():.1e}"
    agreeing = out.get("info/agreeing", out.get("info/gate"))
    if agreeing is not None:
        share = agreeing.mean().item()
        least = 0.1 if criterion == "dskd_cma" else float(MASKLESS["t2s_agreement"])
        wanted = share == 0 if world == "v2-none" else least < share
        if not wanted or (len(agreeing) > 2 and share == 1):
            return f"{where}: {share:.2f} of the rows agree"
    least = 5 if world == "eta" else 4  # pairs, of 8 and of 5
    if criterion == "dskd_v2_eta" and world != "eta-none" and len(out["info/pairs"]) < least:
        return f"{where}: {len(out['info/pairs'])} pairs"
    return None


def run_cases(world, inputs, vocabulary, cases):
    """([(criterion, words, results)], what is wrong with them or None)."""
    results = []
    for criterion, words in cases:
        signals.margins = []
        settings = signals.Settings.of(words)
        try:
            out = losses.evaluate(criterion, inputs, settings, vocabulary)
        except ValueError as refusal:  # v2: an argmax beyond the student's vocabulary
            return results, f"{criterion}: {refusal}"
        finally:
            margins, signals.margins = signals.margins, None
        reason = complaint(world, criterion, words, out, margins)
        if reason:
            return results, reason
        results.append((case_name(criterion, world, words), criterion, words, out))
    return results, None


def draw_world(world, attempts=20_000):
    """(inputs, vocabulary, [(case name, criterion, words, results)]) of the first seed that will do."""
    build, make_cases = WORLDS[world]
    cases = list(make_cases())
    for seed in range(attempts):
        inputs, vocabulary = build(seed)
        results, reason = run_cases(world, inputs, vocabulary, cases)
        if not reason:
            return inputs, vocabulary, results
    raise RuntimeError(f"no seed of world {world} will do; the last one failed by {reason}")
