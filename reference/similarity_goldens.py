"""Structure distances and linear CKA in float64, for Tests/DistillTests.

    python reference/similarity_goldens.py [OUT]    default OUT: Tests/DistillTests/Fixtures/similarity.json

Distances as DSKD's authors compute them for their figure (mean |difference| of cosines; mean over rows of the summed
|difference| of inner products divided by their row sums); CKA from centred Gram matrices (Kornblith et al. 2019), another
form than the one under test.
"""

import json
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent


def distances(s, t):
    def cosines(x):
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        return x @ x.T

    def inner(x):
        gram = x @ x.T
        return gram / gram.sum(1, keepdims=True)

    return (
        np.abs(cosines(s) - cosines(t)).mean(),
        np.abs(inner(s) - inner(t)).sum(1).mean(),
    )


def cka(x, y):
    centre = np.eye(len(x)) - 1 / len(x)
    k, l = (centre @ (z @ z.T) @ centre for z in (x, y))
    return (k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum())


def main():
    out = ROOT / "Tests/DistillTests/Fixtures/similarity.json"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else out
    draw = np.random.default_rng(5)
    cases = []
    for rows, d, e, shift in [(1, 3, 4, 0), (7, 3, 5, 0), (20, 8, 6, 1.5), (33, 12, 12, 0.3)]:
        s = draw.normal(size=(rows, d)) + shift
        # Partly a map of the other, so that they have something in common.
        t = s @ draw.normal(size=(d, e)) + 0.7 * draw.normal(size=(rows, e))
        s, t = (np.round(x, 4) for x in (s, t))
        cosine, inner = distances(s, t)
        cases.append({
            "student": s.tolist(), "teacher": t.tolist(), "cosine": cosine, "inner": inner,
            "cka": None if rows == 1 else cka(s, t),
        })
    out.write_text(json.dumps(cases) + "\n")
    print(f"{out}: {len(cases)} cases")


if __name__ == "__main__":
    main()
