#!/usr/bin/env python
"""Seconds to evaluate 35,000 predictions of 4 heads: accuracy after Hungarian matching, NMI and ARI.

    python benchmarks/evaluate.py

Beside it the loop over samples that fills the cost matrix, as published code has it, with scikit-learn's scores.
"""

import measure


def main(words=None) -> dict:
    """Measure, print, return the table."""
    flags = measure.parser(__doc__)
    flags.add_argument("--samples", type=int, default=35_000)
    flags.add_argument("--num_heads", type=int, default=4)
    flags.add_argument("--classes", type=int, default=50)
    flags.add_argument("--rounds", type=int, default=3)
    args = measure.start(flags, words)
    import numpy as np
    import torch
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    from utils.evaluation.metrics import ClusterMetrics

    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, args.classes, (args.samples,), generator=generator)
    noise = torch.randint(0, args.classes, (args.num_heads, args.samples), generator=generator)
    keep = torch.rand(args.num_heads, args.samples, generator=generator) < 0.7
    preds = torch.where(keep, targets, noise).to(args.device)
    targets = targets.to(args.device)
    results: dict[str, dict] = {}

    def ours() -> None:
        metrics = ClusterMetrics(args.num_heads)
        for rows in torch.arange(args.samples, device=args.device).split(512):
            metrics.update(preds[:, rows], targets[rows])
        results["ours"] = metrics.compute()

    def loop() -> None:
        true, values = targets.cpu().numpy(), {"acc": [], "nmi": [], "ari": []}
        for head in preds.cpu().numpy():
            cost = np.zeros((args.classes, args.classes), dtype=np.int64)
            for i in range(len(true)):
                cost[head[i], true[i]] += 1
            matched = linear_sum_assignment(cost.max() - cost)
            values["acc"].append(sum(cost[i, j] for i, j in zip(*matched, strict=True)) / len(true))
            values["nmi"].append(normalized_mutual_info_score(true, head))
            values["ari"].append(adjusted_rand_score(true, head))
        results["loop"] = values

    seconds = measure.in_turns({"ours": ours, "loop": loop}, args.rounds, args.device)
    for name, values in results["loop"].items():
        np.testing.assert_allclose(results["ours"][name], values, atol=1e-9)
    rows = [
        {"evaluation": "tables", "seconds": seconds["ours"], "ratio": seconds["loop"] / seconds["ours"]},
        {"evaluation": "loop over samples", "seconds": seconds["loop"], "ratio": 1.0},
    ]
    measure.report(args, f"{args.samples} predictions x {args.num_heads} heads, {args.classes} classes", rows=rows)
    return {"rows": rows}


if __name__ == "__main__":
    main()
