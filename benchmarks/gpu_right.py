"""What of gpu_check.py asks whether it is right: each part takes the flags and yields rows of the table."""

import copy
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator

import discover_step
import measure
import torch
from measure import ROOT
from torch import Tensor

import utils.experiment  # before the processes are forked: it imports all
from utils import cli

Rows = Iterator[dict]  # what, value, limit, right


def row(what: str, value, below: float | None = None, above: float | None = None) -> dict:
    """A row of the table; it is right where the value is within the limits, if it has any."""
    if below is None and above is None:
        return {"what": what, "value": value, "limit": "", "right": ""}
    right = (below is None or value <= below) and (above is None or value >= above)
    return {"what": what, "value": value, "limit": f"≤ {below:g}" if above is None else f"≥ {above:g}"} | {
        "right": "yes" if right else "NO"
    }


def device(args: Namespace) -> Rows:
    """The device in words, with its memory; nothing where there is none."""
    if args.device == "cpu" or (args.device is None and not torch.cuda.is_available() and args.tiny):
        yield {"device": "cpu", "name": measure.device_words("cpu")}
    elif torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        yield {
            "device": "cuda",
            "name": measure.device_words("cuda"),
            "memory": f"{properties.total_memory / 2**30:.0f} GiB",
            "versions": f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
        }


def parity(args: Namespace) -> Rows:
    """Golden losses and gradients; network and views against the CPU."""
    from tests import published_objectives
    from tests.utils.losses import published

    golden = ROOT / "tests" / "golden"
    for dtype, limit in ((torch.float64, 1e-7), (torch.float32, 1e-5)):
        discovery = published.load(golden / "discover_1.npz")
        for main in published_objectives.MAINS:
            worst = _worst(published_objectives.discovery(main, discovery, args.device, dtype))
            yield row(f"{main}, golden, {_name(dtype)}", worst, below=1e-10 if dtype == torch.float64 else limit)
        for number in (0, 1):
            numbers = published.load(golden / f"disentangle_{number}.npz")
            worst = _worst(published_objectives.disentangling(numbers, args.device, dtype))
            yield row(f"CD {number}, golden, {_name(dtype)}", worst, below=limit)
    yield row("network against the CPU, float64", _network_apart(args.device), below=1e-9)
    for large in (True, False):
        apart = _views_apart(args.device, large)
        yield row(f"{'large' if large else 'small'} views against the CPU, of 255, mean", apart, below=0.1)


def _worst(compared: Iterator[tuple[str, Tensor, Tensor]]) -> float:
    """The largest difference, beside numbers above 1 the relative one."""
    return max(float(((a - b).abs() / b.abs().clamp(min=1)).max()) for _, a, b in compared)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _network_apart(where: str) -> float:
    """Gradients of a small network and its whole objective."""
    from main_discover_inter_intra import Discoverer

    torch.manual_seed(0)
    sizes = {"num_labeled_classes": 3, "num_unlabeled_classes": 2, "num_heads": 2, "hidden_dim": 16, "proj_dim": 8}
    module = Discoverer(dataset="CIFAR10", width=8, multicrop=True, **sizes).double().train()
    views = [torch.randn(6, 3, side, side, dtype=torch.float64) for side in (16, 16, 9, 9)]
    labels, gradients = torch.tensor([0, -1, 2, -1, 1, -1]), []
    for device in ("cpu", where):
        there = copy.deepcopy(module).to(device)
        outputs = there.model([view.to(device) for view in views])
        there.compute_losses(outputs, labels.to(device))["loss"].backward()
        gradients.append([value.grad.cpu() for value in there.parameters()])
    return max(float((a - b).abs().max()) for a, b in zip(*gradients, strict=True))


def _views_apart(where: str, large: bool) -> float:
    """Mean difference on the scale of 255, from the same parameters."""
    from dataclasses import fields

    from utils.data.specs import dataset_spec
    from utils.transforms.draw import CropParams, FinishParams, ViewParams, draw_view
    from utils.transforms.pipeline import ViewPipeline

    spec = dataset_spec("CIFAR10")
    law = spec.large if large else spec.small
    images = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = images.repeat_interleave(4, 2).repeat_interleave(4, 3)
    params = draw_view(law, len(images), 32, 32, torch.Generator().manual_seed(0))

    def moved(part: CropParams | FinishParams, device: str):
        values = {field.name: getattr(part, field.name) for field in fields(part)}
        return type(part)(**{name: None if x is None else x.to(device) for name, x in values.items()})

    made = []
    for device in ("cpu", where):
        there = ViewParams(moved(params.crop, device), moved(params.finish, device))
        made.append(ViewPipeline([law], (0.0,) * 3, (1.0,) * 3).apply(images.to(device), law, there).cpu())
    return float((made[0] - made[1]).abs().mean() * 255)


def no_waiting(args: Namespace) -> Rows:
    """Whole runs of the mains on the digits, and steps on the views of CIFAR: torch lets none wait for the device."""
    from main_discover_inter_intra import Discoverer
    from utils.methods.disentangler import Disentangler
    from utils.methods.pretrainer import Pretrainer

    heads = ["--num_heads", "2", "--hidden_dim", "64", "--proj_dim", "16", "--multicrop", "--no-report"]
    runs: dict[str, tuple[type, str, list[str]]] = {
        "discovery, 32": (Discoverer, "discover", heads),
        "discovery, bf16": (Discoverer, "discover", [*heads, "--precision", "bf16"]),
        "discovery, 16": (Discoverer, "discover", [*heads, "--precision", "16"]),
        "discovery, deterministic": (Discoverer, "discover", [*heads, "--deterministic"]),
        "pretraining, 16": (Pretrainer, "pretrain", ["--precision", "16"]),
        "CD, bf16": (Disentangler, "disentangle", ["--precision", "bf16"]),
        "CD, clipped": (Disentangler, "disentangle", ["--use_gradnorm"]),
    }
    if args.tiny:
        runs = {name: runs[name] for name in ("discovery, bf16", "CD, clipped")}
    for name, (module_class, stage, words) in runs.items():
        with tempfile.TemporaryDirectory() as folder:
            trainer = _run(_unwaiting(module_class, args.device), stage, words, args, folder)
        yield row(f"{name}: loss", float(trainer.callback_metrics["loss"]), below=1e3)
    ours = discover_step.Ours(flags_of_step(args), "16")
    ours.step()
    _sync_debug_mode(args.device, "error")
    for _ in range(3):
        ours.step()
    _sync_debug_mode(args.device, "default")
    yield row("CIFAR10-5, 16: steps that did not wait", 3, above=3)


def _sync_debug_mode(device: str, name: str) -> None:
    if device == "cuda":
        torch.cuda.set_sync_debug_mode(name)


def _run(module_class: type, stage: str, words: list[str], args: Namespace, folder: str):
    """A short run of a main, with Lightning and all callbacks."""
    size = ["--image_size", "8", "--width", "8"] if args.tiny else ["--image_size", "32", "--width", "64"]
    common = ["--dataset", "digits", *size, "--batch_size", "64", "--limit_train_batches", "8", "--log_dir", folder]
    common += ["--gpus", "1" if args.device == "cuda" else "0"]
    if stage == "disentangle":
        common += ["--epochs", "1", "--model_dir", folder, "--no-tsne", "--evaluation_mode", "0.1"]
    else:
        common += ["--max_epochs", "1", "--no-wandb"]
    if stage == "pretrain":
        common += ["--checkpoint_dir", folder]
    factors = getattr(module_class, "factors", {})
    return utils.experiment._fit(module_class, cli.parse(stage, [*common, *words], factors=factors), stage, [])


def _unwaiting(module_class: type, device: str) -> type:
    class Unwaiting(module_class):
        """An error where steps 3 to 7, or what is between them, wait for the device."""

        def on_train_batch_start(self, batch, batch_idx) -> None:
            if batch_idx == 2:
                _sync_debug_mode(device, "error")

        def on_train_batch_end(self, outputs, batch, batch_idx) -> None:
            if batch_idx == 6:
                _sync_debug_mode(device, "default")

    return Unwaiting


def flags_of_step(args: Namespace, *words: str) -> Namespace:
    """The discovery step with the published views and heads."""
    published = ["--batch_size", "512", "--turn", "10", "--num_heads", "4"]
    size = ["--batch_size", "4", "--width", "8", "--turn", "1", "--num_heads", "1"] if args.tiny else published
    words = ("--device", args.device, "--no-plain", *size, *words)
    return discover_step.parse([*words, "--threads", str(args.threads)] if args.threads else words)


def precisions(args: Namespace) -> Rows:
    """Losses and gradients of one batch in half precision against float32; then some steps."""
    steps = 3 if args.tiny else 20
    losses, gradients = {}, {}
    for precision in ("32", "bf16", "16"):
        ours = discover_step.Ours(flags_of_step(args), precision)
        losses[precision], gradients[precision] = _first_step(ours)
        before = float(ours.scaler.get_scale())
        for _ in range(steps):
            ours.step()
        finite = all(bool(value.isfinite().all()) for value in ours.module.state_dict().values())
        yield row(f"{precision}: weights finite after {steps} steps", int(finite), above=1)
        if precision == "16":
            yield row("16: loss scale before and after", f"{before:g}, {ours.scaler.get_scale():g}")
        if precision != "32":
            yield row(f"{precision}: loss against float32", abs(losses[precision] / losses["32"] - 1), below=0.05)
            cosine = torch.cosine_similarity(gradients[precision], gradients["32"], dim=0)
            yield row(f"{precision}: cosine of the gradient with float32's", float(cosine), above=0.9)


def _first_step(ours: discover_step.Ours) -> tuple[float, Tensor]:
    """Loss and gradient of a batch that is the same for every precision; nothing is learnt from it."""
    ours.module.model.normalize_prototypes()
    with ours.autocast():
        loss = ours.module.compute_losses(ours.module.model(ours.views), ours.some_labels)["loss"]
    ours.optimizer.zero_grad()
    loss.backward()
    gradient = torch.cat([value.grad.flatten().float() for value in ours.module.parameters()])
    ours.optimizer.zero_grad()
    return float(loss.detach()), gradient


def compiled(args: Namespace) -> Rows:
    """``--compile`` against eager: the same numbers, and how much faster."""
    for precision in ("32",) if args.tiny else ("32", "bf16"):
        eager, other = (discover_step.Ours(flags_of_step(args), precision) for _ in range(2))
        utils.experiment.compile_step(other.module, backend="eager" if args.tiny else "inductor")
        begun = time.perf_counter()
        (loss, gradient), (loss_2, gradient_2) = _first_step(eager), _first_step(other)
        yield row(f"{precision}: seconds to compile", time.perf_counter() - begun)
        yield row(f"{precision}: loss, compiled against eager", abs(loss_2 / loss - 1), below=1e-2)
        cosine = torch.cosine_similarity(gradient, gradient_2, dim=0)
        yield row(f"{precision}: cosine of the gradients", float(cosine), above=0.999 if precision == "32" else 0.95)
        steps = {"eager": eager.step, "compiled": other.step}
        seconds = measure.in_turns(
            steps, 1 if args.tiny else 5, args.device, dict.fromkeys(steps, 1 if args.tiny else 5)
        )
        yield row(f"{precision}: times eager's speed", seconds["eager"] / seconds["compiled"])
    yield from _compiled_views(args, eager)


def _compiled_views(args: Namespace, ours: discover_step.Ours) -> Rows:
    """What compiling the views would give; ``--compile`` leaves them as they are."""
    views = copy.copy(ours.pipeline)
    views._compute = torch.compile(views._compute, backend="eager" if args.tiny else "inductor")  # type: ignore[method-assign]
    generator = torch.Generator(device=args.device)
    made = {
        name: [view.clone() for view in pipeline(ours.some_images, generator.manual_seed(0))]
        for name, pipeline in (("eager", ours.pipeline), ("compiled", views))
    }
    apart = [float((a - b).abs().mean()) for a, b in zip(made["eager"], made["compiled"], strict=True)]
    yield row("views, compiled against eager, mean", max(apart), below=1e-3)
    works = {"eager": lambda: ours.pipeline(ours.some_images, generator)}
    works["compiled"] = lambda: views(ours.some_images, generator)
    seconds = measure.in_turns(works, 1 if args.tiny else 10, args.device)
    yield row("views: times eager's speed", seconds["eager"] / seconds["compiled"])
