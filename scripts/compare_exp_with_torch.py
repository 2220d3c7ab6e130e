"""Every float32 through the converter's exp and through torch.exp.

    python scripts/compare_exp_with_torch.py [--every 1]

Takes some minutes. On Intel's processors with AVX2, MKL (torch's library) computes exp in another
way unless MKL_CBWR says otherwise, as it does here.
"""

from __future__ import annotations

import argparse
import os

import numpy as np

from zigllm_cli.convert.hf.exponential import torch_exp

CHUNK = 1 << 22


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="take one float in so many")
    step = parser.parse_args().every
    os.environ["MKL_CBWR"] = "COMPATIBLE"
    import torch

    torch.set_num_threads(1)
    compared = different = 0
    for start in range(0, 1 << 32, CHUNK * step):
        bits = np.arange(start, min(start + CHUNK * step, 1 << 32), step, dtype=np.uint32)
        x = bits.view(np.float32)
        theirs = torch.exp(torch.from_numpy(x)).numpy()
        alike = (torch_exp(x) == theirs) | (np.isnan(x) & np.isnan(theirs))
        compared += x.size
        different += int((~alike).sum())
    print(f"{compared} floats compared, {different} differ")


if __name__ == "__main__":
    main()
