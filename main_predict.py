"""Apply a discovery checkpoint to a folder of images: which known class or discovered cluster is each one?

    python main_predict.py --checkpoint logs/quickstart/last.ckpt --images photos --out predictions.csv \\
        --sheets sheets --copy_into sorted

writes for each image its class (a known one by name, or novel-3: cluster 3), the probability and the margin to the
second best class, the distance to the class's prototype (1 - cosine) and the cluster. Files that cannot be read are
listed in predictions.errors.csv, and the exit code is then 1. Nothing is ever moved or deleted, and what exists
and is no older table of this program, unedited, is not overwritten without --force. With --export
model.onnx the network itself is written, with its normalisation inside.
"""

from utils import cli

if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("predict", doc=__doc__)


def main(args) -> int:
    """Predict, write, export; the exit code."""
    from pathlib import Path

    from utils.data.images import passed_over_text
    from utils.data.prediction_images import find_images
    from utils.devices import torch_device
    from utils.errors import UserError
    from utils.evaluation.predictions import output_names
    from utils.files import write_text
    from utils.inference import predict_folder
    from utils.inference.discovery_checkpoint import load_discoverer

    if not args.images and not args.export:
        raise UserError("nothing to do: give --images FOLDER, --export model.onnx, or both")
    for flag in ("sheets", "copy_into"):
        if getattr(args, flag) and not args.images:
            raise UserError(f"--{flag} needs --images FOLDER")
    predict_folder.require_targets(args)
    device = torch_device(args.gpus)
    passed_over: dict[str, str] = {}
    paths = find_images(args.images, passed_over) if args.images else []
    if passed_over:
        print(f"note        {passed_over_text(passed_over)}")
    discoverer = load_discoverer(args.checkpoint)
    if args.export:
        from utils.inference.onnx_export import export_onnx

        export_onnx(discoverer, Path(args.export))
        print(f"network     {args.export}")
    if not args.images:
        return 0

    names, out, failed = output_names(discoverer.hparams), Path(args.out), {}
    predictions, errors = predict_folder.apply(
        discoverer, paths, device, args.eval_batch_size, args.num_workers, args.enable_progress_bar
    )
    if predictions is not None and args.novel_only:
        predictions = predictions.among_novel(discoverer.num_labeled)
    write_text(out, predict_folder.predictions_csv(predictions, paths, names))
    unreadable = predict_folder.errors_path(out)
    predict_folder.write_errors(errors, paths, unreadable)
    print(f"predictions {out}: {len(paths) - len(errors):,} images")
    if predictions is not None and args.sheets:
        failed = predict_folder.write_sheets(predictions, paths, names, Path(args.sheets), discoverer.num_labeled)
        print(f"sheets      {args.sheets}{_failures(failed)}")
    if predictions is not None and args.copy_into:
        copied, lost = predict_folder.copy_sorted(predictions, paths, names, Path(args.copy_into))
        linked, failed = len(predictions) - copied - len(lost), failed | lost
        print(f"sorted      {args.copy_into}: {linked:,} hard links, {copied:,} copies{_failures(lost)}")
    if errors:
        print(f"unreadable  {unreadable}: {len(errors):,} files")
    return 1 if errors or failed else 0


def _failures(failed: dict[str, str]) -> str:
    return f", {len(failed):,} failed" if failed else ""


if __name__ == "__main__":
    cli.run(main, ARGS)
