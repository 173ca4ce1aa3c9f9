"""Evaluate a discovery checkpoint: the metrics of its last epoch, recomputed from the file alone.

    python main_evaluate.py --checkpoint logs/discover-resnet18-CIFAR10-5_5_inter_intra/last.ckpt

Prints them and writes them to evaluation.json beside the checkpoint (--out: elsewhere). With --baselines also k-means
on pixels and on the pretrained features.
"""

from utils import cli

if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("evaluate", doc=__doc__)


def main(args) -> None:
    """Evaluate, print, write."""
    from pathlib import Path

    from utils.files import write_json
    from utils.inference.evaluate_checkpoint import evaluate
    from utils.report.tables import metrics_table
    from utils.targets import METRICS, PAGE, require_target

    out = Path(args.out) if args.out else Path(args.checkpoint).with_name("evaluation.json")
    require_target("out", out, METRICS, args.force, args.checkpoint)
    if args.report:
        require_target("report", Path(args.checkpoint).with_name("report.html"), PAGE, args.force)
    metrics = evaluate(args)
    write_json(out, metrics)
    print(f"{metrics_table(metrics)}\nmetrics   {out}")


if __name__ == "__main__":
    cli.run(main, ARGS)
