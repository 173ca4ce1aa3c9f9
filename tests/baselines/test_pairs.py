"""The methods on pairs: the whole objective against the published ones; any kind of rows, for all methods but DTC."""

import pytest
import torch

from baselines import comex, dualrank, joint, kcl, mcl, ncl, openmix, rkd, rs, rs_plus, uno_v1
from tests.baselines.networks import SMALL
from tests.utils.losses import published
from utils.errors import UserError
from utils.losses import joint_contrast
from utils.losses import kcl as kcl_loss
from utils.losses import mcl as mcl_loss
from utils.losses.mixing import choose, mix
from utils.losses.pairwise import pair_bce
from utils.losses.semi_supervised import rampup
from utils.nets import similarity_net
from utils.nets.similarity_net import SimilarityNet

METHODS = [dualrank, joint, kcl, mcl, ncl, openmix, rs, rs_plus]
HEADS = ("output1", "output1_bar", "output2", "output2_bar")


def autonovel(golden, number):
    numbers = published.load(golden(f"methods/autonovel_{number}.npz"))
    flags = {name: numbers[name].item() for name in ("num_labeled_classes", "num_unlabeled_classes", "topk")}
    flags |= {name: numbers[name].item() for name in ("rampup_length", "rampup_coefficient")}
    return numbers, flags | {"temperature": 1.0, "dataset": "CIFAR10", "width": 8}


def outputs_of(numbers, inputs):
    """The network's outputs from the published arrays."""
    return {
        "feats": torch.stack([numbers["feat"], numbers["feat"]]),
        "logits_lab": torch.stack([inputs["output1"], inputs["output1_bar"]]),
        "logits_unlab": torch.stack([inputs["output2"], inputs["output2_bar"]])[:, None],
    }


@pytest.mark.parametrize("number", [0, 1])
def test_rs_is_the_published_objective(golden, number):
    numbers, flags = autonovel(golden, number)
    module = rs.Discoverer(**flags).double()
    module.ramp.fill_(rampup(int(numbers["epoch"]), flags["rampup_length"]))
    inputs = published.leaves(numbers, *HEADS)
    losses = module.compute_losses(outputs_of(numbers, inputs), numbers["label"])
    published.require_equal(losses["loss"], numbers, "loss", inputs)
    for name, key in (("loss_supervised", "loss_ce"), ("loss_cluster", "loss_bce")):
        published.require_equal(losses[name], numbers, key, inputs)


@pytest.mark.parametrize("method", [*METHODS, comex, rkd, uno_v1], ids=lambda method: method.METHOD.name)
@pytest.mark.parametrize("labels", [[0, 1, 4, 2], [-1, -1, -1, -1], [0, -1, -1, 2]], ids=str)
def test_any_batch_is_finite_and_trains_the_network(method, labels):
    memory = {"num_heads": 2, "queue_size": 2} if method is comex else {}  # full after the first step
    module = method.Discoverer(**SMALL, **memory).train()
    for _ in range(2):
        views = [torch.randn(4, 3, 12, 12) for _ in range(2)]
        module.model.normalize_prototypes()
        losses = module.compute_losses(module.outputs(views, torch.tensor(labels)), torch.tensor(labels))
        losses["loss"].backward()
        assert all(value.isfinite().all() for value in losses.values())
    assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
    assert module.model.encoder.conv1.weight.grad.any()


@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_is_refused_in_one_line(method):
    with pytest.raises(UserError, match="has one head"):
        method.Discoverer(**SMALL | {"num_heads": 2})
    with pytest.raises(UserError, match="compares two views"):
        method.Discoverer(**SMALL, multicrop=True)


def test_early_layers_of_a_pretrained_network_stay_as_they_are(tiny_run):
    flags = {"dataset": "digits", "num_labeled_classes": 5, "num_unlabeled_classes": 5, "width": 8}
    frozen = rs.Discoverer(**flags, pretrained=str(tiny_run[2]), freeze_early=True)
    trained = {name.split(".")[1] for name, p in frozen.model.named_parameters() if p.requires_grad and "enc" in name}
    assert trained == {"layer4"}
    whole = rs.Discoverer(**flags, pretrained=str(tiny_run[2]), freeze_early=False)
    assert all(p.requires_grad for p in whole.parameters())
    assert all(p.requires_grad for p in rs.Discoverer(**flags).parameters())


@pytest.mark.parametrize("number", [0, 1])
def test_rs_plus_is_the_published_objective(golden, number):
    numbers, flags = autonovel(golden, number)
    increment = float(numbers["increment_coefficient"])
    module = rs_plus.Discoverer(**flags, increment_coefficient=increment).double()
    module.ramp.fill_(rampup(int(numbers["epoch"]), flags["rampup_length"]))
    inputs = published.leaves(numbers, "il/output1", "il/output1_bar", "output2", "output2_bar")
    inputs = {name.removeprefix("il/"): value for name, value in inputs.items()}
    losses = module.compute_losses(outputs_of(numbers, inputs), numbers["label"])
    published.require_equal(losses["loss"], numbers, "loss", inputs, "il/")


def test_the_head_of_all_classes_starts_from_the_labelled_one(tiny_run):
    module = rs_plus.Discoverer(**SMALL, pretrained=str(tiny_run[2]))
    assert torch.equal(module.model.head_all.prototypes.weight[:5], module.model.head_lab.prototypes.weight)
    images = torch.randn(3, 3, 12, 12)
    found = module.eval().predictions(images)
    assert torch.equal(found["logits_lab"], found["logits_all"][0, :, :5])


@pytest.mark.parametrize("number", [0, 1])
def test_the_similarity_network_is_the_published_one(golden, number):
    numbers = published.load(golden(f"methods/mcl_{number}.npz"))
    feat = numbers["spn/feat"].clone().requires_grad_()
    network = SimilarityNet(feat.shape[1]).double()
    network.load_state_dict(
        {name.removeprefix("spn/weights/"): value for name, value in numbers.items() if name.startswith("spn/weights/")}
    )
    logits = network(feat, torch.ones(len(feat), dtype=torch.bool)).flatten(0, 1)
    torch.testing.assert_close(logits.detach(), numbers["spn/logits"], **published.EXACT)
    loss = torch.nn.functional.cross_entropy(logits, (numbers["spn/target"] == 1).long())
    torch.testing.assert_close(loss.detach(), numbers["spn/loss"], **published.EXACT)
    loss.backward()
    torch.testing.assert_close(feat.grad, numbers["spn/grad/loss/feat"], **published.EXACT)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, numbers[f"spn/grad/loss/weights/{name}"], **published.EXACT)


def test_the_similarity_network_s_statistics_are_those_of_the_pairs_of_some_rows():
    torch.manual_seed(0)
    network, features, rows = SimilarityNet(4).double(), torch.randn(6, 4).double(), torch.arange(6) % 3 > 0
    with torch.no_grad():
        network.last[1].weight.uniform_(0.5, 2)
        network.last[1].bias.normal_()
        pairs = [torch.cat([features[j], features[i]]) for i in range(6) for j in range(6) if rows[i] and rows[j]]
        slow = network.last(torch.stack(pairs))  # torch's own BatchNorm, on a list of pairs
        found = network(features, rows)
    torch.testing.assert_close(found[rows][:, rows].flatten(0, 1), slow)
    torch.testing.assert_close(found[rows][:, rows], network(features[rows], rows[rows]))


def test_the_similarity_network_in_chunks_is_that_of_all_pairs_at_once_and_keeps_no_hidden_layer(monkeypatch):
    network, features, rows = SimilarityNet(4).double(), torch.randn(7, 4).double(), torch.arange(7) % 3 > 0

    def logits_and_gradients(chunk):
        kept = []
        monkeypatch.setattr(similarity_net, "CHUNK", chunk)
        network.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
            logits = network(features, rows)
        logits.square().sum().backward()
        return [logits, *(parameter.grad for parameter in network.parameters())], max(kept)

    count = int(rows.sum())
    whole, _ = logits_and_gradients(count**2 * 16)
    for chunk in (1, 2 * count * 16, 3 * count * 16):  # rows one by one, and a last chunk that is smaller
        found, kept = logits_and_gradients(chunk)
        torch.testing.assert_close(found, whole)
        assert kept < count**2 * 16


@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_the_similarity_network_of_some_rows_is_what_a_gpu_computes_for_all(count):
    network, features, rows = SimilarityNet(4).double(), torch.randn(7, 4).double(), torch.randperm(7) < count
    pairs = rows[:, None] & rows
    gradients = []
    for logits in (network(features, rows), network.of_all(features, rows)):
        network.zero_grad()
        (logits[pairs].square().sum() + 0 * logits.sum()).backward()
        gradients.append([logits[pairs], *(parameter.grad for parameter in network.parameters())])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("method", "loss"), [(kcl, kcl_loss), (mcl, mcl_loss)])
def test_kcl_and_mcl_judge_unlabelled_pairs_by_the_network_s_answers(method, loss):
    module, labels = method.Discoverer(**SMALL), torch.tensor([0, 1, -1, -1, -1])
    outputs = module.outputs([torch.randn(5, 3, 12, 12) for _ in range(2)], labels)
    prob = torch.softmax(outputs["logits_unlab"][0, 0] / 0.1, dim=-1)[2:]
    similarity = 2 * outputs["similar"][2:, 2:].int() - 1
    arguments = (prob, similarity, 2.0) if method is kcl else (prob, similarity)
    torch.testing.assert_close(module.compute_losses(outputs, labels)["loss_cluster"], loss(*arguments))
    outputs["loss_similarity"].backward()
    assert module.model.encoder.conv1.weight.grad is None


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("phase", ["first", "plain", "hard"])
def test_ncl_is_the_published_objective(golden, number, phase):
    numbers = published.load(golden(f"methods/ncl_{number}.npz"))
    names = ("num_labeled_classes", "num_unlabeled_classes", "rampup_length", "rampup_coefficient", "costhre")
    names += ("m_t", "w_pos", "w_ncl_la", "w_ncl_ulb", "num_hard")
    flags = {name: numbers[name].item() for name in names}
    far = 50 if flags["num_unlabeled_classes"] == 5 else 400
    size = len(numbers["ulb/memory"])
    module = ncl.Discoverer(**flags, temperature=1.0, dataset="CIFAR10", width=8, m_size=size).double()
    module.hparams["knn"] = int(numbers["ulb/knn"])
    epoch = int(numbers[f"{phase}/epoch"])
    module.ramp.fill_(rampup(epoch, flags["rampup_length"]))
    module.begun.fill_(epoch > 0)
    module.memory_unlab, module.memory_lab = numbers["ulb/memory"], numbers["la/memory"]
    module.labels_lab, module.pointer_unlab = numbers["la/memory_label"], numbers["ulb/index"]
    module.pointer_lab = numbers["la/index"]
    inputs = published.leaves(numbers, "feat_q", *HEADS)
    outputs = outputs_of(numbers, inputs)
    outputs["feats"] = torch.stack([inputs["feat_q"], numbers["feat_k"]])  # normalising again changes nothing
    if phase == "hard":
        rows = numbers["label"] >= flags["num_labeled_classes"]
        order = torch.zeros(len(rows), int(numbers["hard_iter"]), far, dtype=torch.int64)
        order[rows] = numbers["hard/permutations"][..., :far]
        outputs["order"] = order
    losses = module.compute_losses(outputs, numbers["label"])
    torch.testing.assert_close(losses["loss"].detach(), numbers[f"{phase}/loss"], **published.EXACT)
    for name in ("loss_ncl_la", "loss_ncl_ulb"):
        torch.testing.assert_close(losses[name].detach(), numbers[f"{phase}/{name}"], **published.EXACT)
    heads = {name: inputs[name] for name in HEADS}
    published.require_equal(losses["loss"], numbers, "loss", heads, f"{phase}/")
    torch.testing.assert_close(module.memory_unlab, numbers["ulb/memory_after"], **published.EXACT)
    if len(numbers["la/memory"]) == size:  # one size for both memories here
        torch.testing.assert_close(module.memory_lab, numbers["la/memory_after"], **published.EXACT)


def test_hard_negatives_begin_with_their_epoch_and_are_a_function_of_the_seed():
    flags = SMALL | {"m_size": 12, "num_far": 4, "num_hard": 6, "hard_iter": 2, "hard_negatives": True}
    views, labels = [torch.randn(4, 3, 12, 12) for _ in range(2)], torch.tensor([0, -1, -1, 1])
    module = ncl.Discoverer(**flags)
    assert "order" not in module.outputs(views, labels)
    module = ncl.Discoverer(**flags, hard_negative_start=0)
    first, second = (module.outputs(views, labels)["order"] for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (4, 2, 4)
    assert all(len(set(row.tolist())) == 4 for row in first.flatten(0, 1))
    module.compute_losses(module.outputs(views, labels), labels)["loss"].backward()


def test_joint_s_codes_are_of_the_seed_and_its_contrast_is_in_the_loss():
    module, again, other = (joint.Discoverer(**SMALL, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(module.subsets, again.subsets)
    assert not torch.equal(module.subsets, other.subsets)
    assert module.subsets.shape == (512, 4)
    outputs, labels = module.outputs([torch.randn(4, 3, 12, 12) for _ in range(2)], None), torch.tensor([0, -1, 1, 0])
    losses = module.compute_losses(outputs, labels)
    flat = outputs["contrast"].flatten(0, 1)
    torch.testing.assert_close(losses["loss_contrast"], joint_contrast(flat, labels, labels >= 0, 0.1))
    parts = losses["loss_supervised"] + losses["loss_cluster"] + losses["loss_contrast"]
    torch.testing.assert_close(losses["loss"], parts + 5 * losses["loss_consistency"])


def test_openmix_mixes_images_and_targets_alike():
    module, labels = openmix.Discoverer(**SMALL, anchor_confidence=0.0), torch.tensor([0, -1, 1, -1, -1, 4])
    views = [torch.randn(6, 3, 12, 12) for _ in range(2)]
    first, second = (module.outputs(views, labels) for _ in range(2))
    assert torch.equal(first["targets_mixed"], second["targets_mixed"])  # a function of the step
    torch.testing.assert_close(first["targets_mixed"].sum(dim=1), torch.ones(6))
    assert not first["targets_mixed"].requires_grad
    losses = module.compute_losses(first, labels)
    logits = first["logits_mixed"] / 0.1
    expected = torch.nn.functional.cross_entropy(logits, first["targets_mixed"])
    torch.testing.assert_close(losses["loss_mix"], expected)


def test_partners_are_under_the_masks_where_there_are_any():
    generator, labelled = torch.Generator().manual_seed(0), torch.arange(40) < 10
    partners = choose(labelled, torch.arange(40) == 39, generator)
    assert set(partners.tolist()) <= {*range(10), 39}
    assert 10 < (partners == 39).sum() < 30
    assert choose(labelled & False, labelled & False, generator).max() > 10
    values = torch.arange(3.0)[:, None].repeat(1, 2)
    mixed = mix(values, torch.tensor([2, 2, 0]), torch.tensor([0.5, 1.0, 0.75]))
    torch.testing.assert_close(mixed[:, 0], torch.tensor([1.0, 2.0, 0.5]))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("form", ["repaired/", ""], ids=["as in the paper", "as published"])
def test_dualrank_is_the_objective_of_the_paper_and_with_its_slips_the_published_one(golden, monkeypatch, number, form):
    """The slips: the local heads read global features, and the local pairs compare the first view with itself."""
    numbers = published.load(golden(f"methods/dualrank_{number}.npz"))
    flags = {name: numbers[name].item() for name in ("topk", "memory_size", "num_words", "mutual_temperature")}
    flags |= {name: numbers[name].item() for name in ("rampup_length", "rampup_coefficient")}
    classes = {
        "num_labeled_classes": int(numbers["num_labeled"]),
        "num_unlabeled_classes": int(numbers["num_unlabeled"]),
    }
    module = dualrank.Discoverer(**flags, **classes, temperature=1.0, dataset="CIFAR10", width=8).double()
    module.ramp.fill_(rampup(int(numbers["epoch"]), flags["rampup_length"]))
    module.memory_global, module.memory_local = numbers["memory_g"], numbers["memory_p"]
    module.pointer, module.words = numbers["memory_index"], numbers["embedding"]
    module.scale = numbers["min_distance_mean"]
    names = [f"feats_{branch}{bar}" for branch in "gp" for bar in ("", "_bar")]
    inputs = {name: numbers[name].clone().requires_grad_() for name in names}
    outputs = {"map_local": torch.stack([numbers["fmap_p"], numbers["fmap_p_bar"]]), "patch": numbers["patch"].long()}
    if not form:
        others = iter((True, False))  # whether a branch compares with the other view: the global one, the local one

        def pair_loss(first, second, *pairs):
            return pair_bce(first, second if next(others) else first, *pairs)

        monkeypatch.setattr(module, "pair_loss", pair_loss)
    for branch, end in (("g", ""), ("p", "_local")):
        feats = torch.stack([inputs[f"feats_{branch}"], inputs[f"feats_{branch}_bar"]])
        read = feats if form else torch.stack([inputs["feats_g"], inputs["feats_g_bar"]])
        logits = [
            torch.nn.functional.linear(read, *(numbers[f"param/{head}_{branch}.{kind}"] for kind in ("weight", "bias")))
            for head in ("head1", "head2")
        ]
        outputs |= {f"feats{end}": feats, f"logits_lab{end}": logits[0], f"logits_unlab{end}": logits[1][:, None]}
    losses = module.compute_losses(outputs, numbers["labels"])
    for ours, theirs in (("loss", "loss"), ("loss_mutual", "loss_mutual"), ("loss_local", "loss_bce_p")):
        torch.testing.assert_close(losses[ours].detach(), numbers[f"{form}{theirs}"], **published.EXACT)
    gradients = torch.autograd.grad(losses["loss"], list(inputs.values()))
    for name, gradient in zip(names, gradients, strict=True):
        torch.testing.assert_close(gradient, numbers[f"{form}grad/{name}"], **published.EXACT)
    for ours, theirs in (("memory_global", "memory_g"), ("memory_local", "memory_p"), ("words", "embedding")):
        torch.testing.assert_close(getattr(module, ours), numbers[f"after/{theirs}"], **published.EXACT)
    assert module.pointer == numbers["after/index_g"]
