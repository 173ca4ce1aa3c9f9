"""The three protocols of a discovery run against every matching tried one after another, as docs/evaluation.md says.

H heads, L labelled and U novel classes: labels 0, 1 are known, 2 to 4 novel.
"""

from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from utils.evaluation.protocols import DiscoveryEvaluation

H, L, U, BEST = 3, 2, 3, 1
COUNTS = {"unlab/train": 60, "unlab/test": 30, "lab/test": 25}


def drawn(loader, seed=0):
    """Labels (N,) and outputs that lean towards them: ``logits_lab`` (N, L), ``logits_unlab`` (H, N, U)."""
    rng, count = np.random.default_rng([seed, *loader.encode()]), COUNTS[loader]
    labels = rng.integers(0, L, count) if loader == "lab/test" else rng.integers(L, L + U, count)
    logits_lab, logits_unlab = rng.normal(size=(count, L)), rng.normal(size=(H, count, U))
    for row, label in enumerate(labels):
        for head in range(H):  # each head has an order of its own
            logits = logits_lab[row] if label < L else logits_unlab[head, row]
            logits[label if label < L else (label - L + head) % U] += 0.4 * (1 + head)
    outputs = {"logits_lab": torch.from_numpy(logits_lab), "logits_unlab": torch.from_numpy(logits_unlab)}
    return labels, outputs


def evaluated(data, best=BEST):
    """The metrics of all loaders, which come in batches of 8 rows."""
    evaluation = DiscoveryEvaluation(H, L)
    for loader, (labels, outputs) in data.items():
        for rows in np.array_split(np.arange(len(labels)), -(-len(labels) // 8)):
            batch = {name: values[..., rows, :] for name, values in outputs.items()}
            evaluation.update(loader, batch, torch.from_numpy(labels[rows]), best)
    return evaluation.compute(best)


def matchings(labels, preds):
    """For every one-to-one choice of an output for each class: which of the images are right (N,)."""
    classes = sorted(set(labels.tolist()))
    for chosen in permutations(range(L + U), len(classes)):
        of_class = dict(zip(classes, chosen, strict=True))
        yield np.array([of_class[label] == pred for label, pred in zip(labels.tolist(), preds.tolist(), strict=True)])


def expected_of(data):
    """All keys, straight from the definitions."""
    among_all = {
        loader: np.stack([np.concatenate([o["logits_lab"], o["logits_unlab"][h]], axis=1).argmax(1) for h in range(H)])
        for loader, (_, o) in data.items()
    }  # (H, N)
    found = {}
    for loader in ("unlab/train", "unlab/test"):
        labels, outputs = data[loader]
        for prefix, preds in (("", outputs["logits_unlab"].argmax(-1).numpy()), ("incremental/", among_all[loader])):
            measures = {
                "acc": [max(right.mean() for right in matchings(labels, head)) for head in preds],
                "nmi": [normalized_mutual_info_score(labels, head) for head in preds],
                "ari": [adjusted_rand_score(labels, head) for head in preds],
            }
            for name, values in measures.items():
                found[f"{prefix}{loader}/{name}/avg"] = np.mean(values)
                found[f"{prefix}{loader}/{name}/best"] = values[BEST]
    labels, outputs = data["lab/test"]
    found["lab/test/acc"] = (outputs["logits_lab"].argmax(-1).numpy() == labels).mean()
    found["incremental/lab/test/acc"] = (among_all["lab/test"][BEST] == labels).mean()
    together = np.concatenate([data[loader][0] for loader in ("unlab/test", "lab/test")])
    preds = np.concatenate([among_all[loader][BEST] for loader in ("unlab/test", "lab/test")])
    first, second = sorted(matchings(together, preds), key=lambda right: -right.sum())[:2]
    assert first.sum() > second.sum()  # else the shares of known and novel would not be determined
    shares = {"lab": first[together < L], "novel": first[together >= L], "all": first}
    return found | {f"joint/{name}": right.mean() for name, right in shares.items()}


@pytest.mark.parametrize("seed", range(3))
def test_every_key_equals_the_slow_version(seed):
    data = {loader: drawn(loader, seed) for loader in COUNTS}
    expected = expected_of(data)
    assert evaluated(data) == pytest.approx(expected, abs=1e-12)


def test_images_whose_class_nobody_knows_change_nothing():
    data = {loader: drawn(loader) for loader in COUNTS}
    without = evaluated(data)
    labels, outputs = data["unlab/train"]
    twice = {name: torch.cat([values, values.flip(-1)], dim=-2) for name, values in outputs.items()}
    data["unlab/train"] = np.concatenate([labels, np.full(len(labels), -1)]), twice
    assert evaluated(data) == without
    nobody = {loader: (np.full_like(labels, -1), outputs) for loader, (labels, outputs) in data.items()}
    assert evaluated(nobody | {"lab/test": data["lab/test"]}).keys() == {
        *("lab/test/acc", "incremental/lab/test/acc", "joint/lab", "joint/all")
    }
    assert evaluated(nobody) == {}


def test_a_method_may_have_outputs_of_its_own_for_all_classes():
    data = {loader: drawn(loader) for loader in COUNTS}
    plain = evaluated(data)
    for labels, outputs in data.values():
        right = torch.nn.functional.one_hot(torch.from_numpy(labels), L + U).double()
        outputs["logits_all"] = right.expand(H, -1, -1)
    found = evaluated(data)
    among_all = {name for name in found if name.startswith(("incremental/", "joint/"))}
    assert {name: found[name] for name in among_all} == pytest.approx(dict.fromkeys(among_all, 1))
    assert {name: found[name] for name in found.keys() - among_all} == {
        name: plain[name] for name in plain.keys() - among_all
    }
