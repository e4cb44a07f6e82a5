"""Holds exported models of every architecture against transformers.

    RETORT_EXPORTS=OUT swift test --disable-xctest --filter ParityTests
    python reference/export_parity.py OUT

The test suite leaves in OUT what Retort exports of each model of Tests/ModelsTests/Fixtures/parity. Each is
loaded with AutoModelForCausalLM (eager attention, f32), which must find every weight and no other, and must
give the golden logits of the original. Exits 1 when one does not.
"""

import pathlib
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "Tests/ModelsTests/Fixtures/parity"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    failed = False
    for fixture in sorted(FIXTURES.iterdir()):
        golden = load_file(fixture / "golden.safetensors")
        model, report = AutoModelForCausalLM.from_pretrained(
            pathlib.Path(sys.argv[1]) / fixture.name,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
        lengths = golden["offsets"].diff().tolist()
        with torch.no_grad():
            logits = torch.cat(
                [model(t[None]).logits[0] for t in golden["tokens"].split(lengths)]
            )
        worst = (logits - golden["logits"]).abs().max().item() / golden["logits"].abs().max().item()
        strangers = [name for key in ("missing_keys", "unexpected_keys") for name in report[key]]
        good = worst < 1e-5 and not strangers
        failed |= not good
        print(f"{fixture.name}: {worst:.1e} {'equal' if good else 'DIFFERENT'} {strangers or ''}")
    sys.exit(1 if failed else 0)


main()
