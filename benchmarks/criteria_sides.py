"""The PyTorch side of benchmarks/criteria.py: criteria as a user of PyTorch writes them.

Whole [n, V] logits and autograd; the same mathematics as Retort's (METHOD.md), each divergence by
log_softmax and softmax in float32 as the authors' code does. Nothing is computed twice, no mask of
padding is applied (the examples are of one length, so that attention is a batched product), and
the teacher's parts run without a graph: leaner than the authors' code.

In bf16 weights, hidden states and gradients are bfloat16 and losses are computed in float32.

A process of this file serves one criterion: it answers every line that it reads with one forward
and backward: seconds, and the largest memory beyond what there was before the call.
"""

import ctypes
import gc
import json
import math
import os
import sys
import time

import torch
import torch.nn.functional as F

SKEW, TAIL = 0.1, 0.5


# Memory ----------------------------------------------------------------------------------------


def status(field):
    for line in open("/proc/self/status"):
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    return 0


def reset_peak():
    """VmHWM becomes what is resident now; returned."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return status("VmHWM")


# Divergences, of each row; no gradient reaches p --------------------------------------------------


def log_probabilities(logits, temperature):
    return torch.log_softmax(logits / temperature, -1, dtype=torch.float32)


def forward_kl(log_p, log_q):
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def log_mix(log_a, log_b, weight):
    """log(weight a + (1 - weight) b)."""
    return torch.logaddexp(log_a + math.log(weight), log_b + math.log(1 - weight))


def js(log_p, log_q):
    middle = log_mix(log_p, log_q, 0.5)
    return 0.5 * forward_kl(log_p, middle) + 0.5 * forward_kl(log_q, middle)


def adaptive_kl(log_p, log_q):
    p, order = log_p.exp().sort(-1)
    gap = (log_p.exp() - log_q.detach().exp()).abs().gather(-1, order)
    head = (gap * (p.cumsum(-1) > TAIL)).sum(-1) / gap.sum(-1).clamp_min(1e-30)
    return head * forward_kl(log_p, log_q) + (1 - head) * forward_kl(log_q, log_p)


DIVERGENCES = {
    "forward_kl": forward_kl,
    "reverse_kl": lambda log_p, log_q: forward_kl(log_q, log_p),
    "js": js,
    "skewed_forward_kl": lambda log_p, log_q: forward_kl(log_p, log_mix(log_p, log_q, SKEW)),
    "skewed_reverse_kl": lambda log_p, log_q: forward_kl(log_q, log_mix(log_q, log_p, SKEW)),
    "adaptive_kl": adaptive_kl,
}


def cross_entropy(logits, labels):
    return F.cross_entropy(logits.float(), labels, reduction="sum")


# Criteria ----------------------------------------------------------------------------------------


class Case:
    """Random tensors of one batch and of both models' weights, and the criteria on them."""

    def __init__(self, request):
        torch.manual_seed(1)
        self.n, self.m, self.examples = request["n"], request["m"], request["examples"]
        d, teacher_width = request["d"], request["D"]
        student_size, teacher_size = request["V_s"], request["V_t"]
        dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[request["compute"]]
        self.kd_rate, self.temperature = 0.5, 2.0
        self.divergence = DIVERGENCES[request.get("divergence", "forward_kl")]
        self.topk = request.get("topk", 0)

        def normal(*shape, deviation=1.0, learns=False):
            return (torch.randn(*shape) * deviation).to(dtype).requires_grad_(learns)

        def linear(inputs, outputs, bias=True):
            layer = torch.nn.Linear(inputs, outputs, bias=bias).to(dtype)
            self.learnt += layer.parameters()
            return layer

        size = min(student_size, teacher_size)
        self.hidden = normal(self.n, d, learns=True)
        self.teacher_hidden = normal(self.m, teacher_width)
        self.student_inputs, self.labels = torch.randint(0, size, (2, self.n))
        self.teacher_inputs, self.teacher_labels = torch.randint(0, size, (2, self.m))
        self.head = normal(student_size, d, deviation=0.05, learns=True)
        self.teacher_head = normal(teacher_size, teacher_width, deviation=0.05)
        self.learnt = [self.hidden, self.head]
        criterion = request["criterion"]
        if criterion in ("dskd", "dskd_cma", "dskd_v2", "dskd_v2_eta"):
            self.t2s = linear(teacher_width, d, bias="v2" not in criterion)
        if criterion in ("dskd", "dskd_cma", "hidden_mse", "hidden_cosine"):
            self.s2t = linear(d, teacher_width)
        if criterion == "dskd_cma":
            self.query = linear(2 * d, 2 * teacher_width)
            # The rows of E_t that occur; the student's head and embedding are tied.
            self.input_rows = normal(self.m, teacher_width, deviation=0.05)
            self.label_rows = normal(self.m, teacher_width, deviation=0.05)
        if "v2" in criterion:
            # pinv(W_t) on the tokens that both have: the teacher is frozen, so it is made once.
            shared = self.teacher_head[:size].double()
            self.teacher_inverse = torch.linalg.solve(shared.T @ shared, shared.T).to(dtype)
        if criterion in ("dskd_v2_eta", "min_edit"):
            # Which token of the student stands for each of the teacher; all positions are aligned.
            self.map = torch.arange(teacher_size) % student_size
        if self.topk:
            with torch.no_grad():
                log_p = torch.cat([
                    torch.log_softmax(rows @ self.teacher_head[:size].T, -1, dtype=torch.float32)
                    .topk(self.topk).values for rows in self.teacher_hidden.split(128)])
            self.topk_log_probabilities = log_p
            self.topk_ids = torch.stack([
                torch.randperm(size)[:self.topk] for _ in range(self.m)])
        for tensor in self.learnt:
            tensor.grad = torch.zeros_like(tensor)
        self.function = getattr(self, criterion)

    def d(self, p_logits, q_logits):
        t = self.temperature
        return self.divergence(log_probabilities(p_logits.detach(), t), log_probabilities(q_logits, t))

    def forward_kl(self, p_logits, q_logits):
        t = self.temperature
        return forward_kl(log_probabilities(p_logits.detach(), t), log_probabilities(q_logits, t))

    def total(self, ce, kd):
        return ((1 - self.kd_rate) * ce + self.kd_rate * kd) / self.n

    def teacher_logits(self):
        with torch.no_grad():
            return self.teacher_hidden @ self.teacher_head.T

    def sft(self):
        return cross_entropy(self.hidden @ self.head.T, self.labels) / self.n

    def sft_chunked(self):
        """PyTorch's own operation that holds no [n, V]."""
        return F.linear_cross_entropy(
            self.hidden, self.head, self.labels, options=torch.nn.LinearCrossEntropyOptions())

    def kd(self):
        logits = self.hidden @ self.head.T
        if self.topk:
            return self.total(cross_entropy(logits, self.labels), self.ghost(logits).sum())
        teacher = self.teacher_logits()
        size = min(logits.shape[1], teacher.shape[1])
        kd = self.d(teacher[:, :size], logits[:, :size]).sum()
        return self.total(cross_entropy(logits, self.labels), kd)

    def ghost(self, logits):
        """D over the k stored tokens and one more for all others."""
        log_q = torch.log_softmax(logits, -1, dtype=torch.float32).gather(-1, self.topk_ids)
        both = [
            torch.cat([x, torch.log1p(-x.exp().sum(-1, keepdim=True).clamp_max(1 - 1e-7))], -1)
            for x in (self.topk_log_probabilities, log_q)]
        return self.d(*both)

    def dual_space(self, projected, carried, gated):
        """The losses of both spaces: z [n, d] and g [m, D]."""
        logits = self.hidden @ self.head.T
        projected_logits = projected @ self.head.detach().T
        t2s_ce = cross_entropy(projected_logits, self.labels)
        t2s_kd = self.d(projected_logits, logits)
        if gated:
            t2s_kd = t2s_kd * (projected_logits.argmax(-1) == self.labels)
        s2t_kd = self.forward_kl(self.teacher_logits(), carried @ self.teacher_head.T)
        return self.total(
            cross_entropy(logits, self.labels), t2s_ce + t2s_kd.sum() + s2t_kd.sum())

    def dskd(self):
        return self.dual_space(self.t2s(self.teacher_hidden), self.s2t(self.hidden), gated=False)

    def dskd_cma(self):
        def scaled(x):
            return x / x.float().std().to(x.dtype)

        def by_example(x):
            return x.view(self.examples, -1, x.shape[-1])

        embedding = self.head.detach()
        index = torch.cat([embedding[self.student_inputs], embedding[self.labels]], -1)
        queries = by_example(self.query(index))
        keys = by_example(scaled(torch.cat([self.input_rows, self.label_rows], -1)))
        scores = queries @ keys.transpose(1, 2) / math.sqrt(keys.shape[-1])
        values = self.t2s(scaled(self.teacher_hidden) + scaled(self.label_rows))
        projected = scores.softmax(-1) @ by_example(values)
        carried = scores.transpose(1, 2).softmax(-1) @ by_example(self.s2t(self.hidden))
        return self.dual_space(projected.flatten(0, 1), carried.flatten(0, 1), gated=True)

    def dskd_v2_eta(self):
        return self.dskd_v2(mapped=True)

    def dskd_v2(self, mapped=False):
        size = min(len(self.head), len(self.teacher_head))
        with torch.no_grad():
            s2t = self.teacher_inverse @ self.head[:size]
        logits = self.hidden @ self.head.T
        projected_logits = self.t2s(self.teacher_hidden) @ self.head.detach().T
        teacher_logits = self.teacher_logits()
        answers = teacher_logits.argmax(-1)
        if mapped:
            answers = self.map[answers]
        kept = projected_logits.argmax(-1) == answers
        t2s_kd = (self.d(projected_logits, logits) * kept).sum()
        t2s_kd = t2s_kd * (self.n / kept.sum().clamp_min(1e-3))
        s2t_kd = self.d(teacher_logits, self.hidden @ s2t.T @ self.teacher_head.T).sum()
        kd = cross_entropy(projected_logits, answers) + t2s_kd + s2t_kd
        return self.total(cross_entropy(logits, self.labels), kd)

    def uld(self):
        logits = self.hidden @ self.head.T
        with torch.no_grad():
            p = torch.softmax(self.teacher_logits(), -1, dtype=torch.float32)
            p = p.sort(-1, descending=True).values
        q = torch.softmax(logits, -1, dtype=torch.float32).sort(-1, descending=True).values
        longer = max(p.shape[1], q.shape[1])
        p, q = F.pad(p, (0, longer - p.shape[1])), F.pad(q, (0, longer - q.shape[1]))
        return self.total(cross_entropy(logits, self.labels), (p - q).abs().sum())

    def min_edit(self):
        logits = self.hidden @ self.head.T
        with torch.no_grad():
            p = torch.softmax(
                self.teacher_logits() / self.temperature, -1, dtype=torch.float32)
            target = torch.zeros(logits.shape).index_add_(1, self.map, p)
            entropy = torch.special.entr(target).sum()
        kd = -(target * log_probabilities(logits, self.temperature)).sum() - entropy
        return self.total(cross_entropy(logits, self.labels), kd)

    def hidden_mse(self):
        carried = self.s2t(self.hidden).float()
        kd = ((carried - self.teacher_hidden.float()) ** 2).mean(-1).sum()
        return self.total(cross_entropy(self.hidden @ self.head.T, self.labels), kd)

    def hidden_cosine(self):
        carried = self.s2t(self.hidden).float()
        kd = (1 - F.cosine_similarity(carried, self.teacher_hidden.float(), dim=-1)).sum()
        return self.total(cross_entropy(self.hidden @ self.head.T, self.labels), kd)


# Process -----------------------------------------------------------------------------------------


def plain_product(compute):
    """The best product of 2,048 cubed, operations a second."""
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[compute]
    a, b = torch.randn(2, 2048, 2048).to(dtype)
    best = math.inf
    for _ in range(6):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def main():
    mode, request = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(int(os.environ.get("RETORT_THREADS", os.cpu_count())))
    case = Case(request)
    function = case.sft_chunked if mode == "chunked" else case.function
    if mode == "compile":
        function = torch.compile(function, dynamic=False)
    print(json.dumps({"plain": plain_product(request["compute"])}), flush=True)
    for _ in sys.stdin:
        for tensor in case.learnt:
            tensor.grad.zero_()
        before = reset_peak()
        start = time.perf_counter()
        loss = function()
        loss.backward()
        seconds = time.perf_counter() - start
        answer = {"seconds": seconds, "extra": status("VmHWM") - before, "total": loss.item()}
        del loss
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
