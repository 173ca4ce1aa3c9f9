"""The obvious versions: loops straight from the formulas, to compare the fast code with.

V views, H heads, B samples, L labelled and U unlabelled classes.
"""

import torch


def sinkhorn(logits, epsilon, num_iters):
    """Alternating normalisation of one (B, K) matrix, as in SwAV's pseudo-code."""
    q = torch.exp(logits / epsilon).T  # (K, B)
    num_prototypes, batch_size = q.shape
    q = q / q.sum()
    for _ in range(num_iters):
        q = q / q.sum(dim=1, keepdim=True) / num_prototypes
        q = q / q.sum(dim=0, keepdim=True) / batch_size
    return (q * batch_size).T


def swapped_prediction(logits, targets, num_large_crops, temperature):
    num_views, num_heads, batch_size, _ = logits.shape
    losses = []
    for head in range(num_heads):
        total, terms = 0.0, 0
        for v in range(num_large_crops):
            for w in range(num_views):
                if w != v:
                    log_p = torch.log_softmax(logits[w, head] / temperature, dim=-1)
                    total = total - sum((targets[v, head, b] * log_p[b]).sum() for b in range(batch_size)) / batch_size
                    terms += 1
        losses.append(total / terms)
    return torch.stack(losses)


def kl(p, q):
    return (p * (p.log() - q.log())).sum()


def inter_class_skld(logits, mask_lab, temperature):
    p = torch.softmax(logits / temperature, dim=-1)
    values = []
    for view in p:
        for head in view:
            for i in head[mask_lab]:
                for j in head[~mask_lab]:
                    values.append((kl(i, j) + kl(j, i)) / 2)
    return -torch.stack(values).mean()


def between_views(logits, mask_lab, num_labeled, temperature, distance):
    num_views, num_heads = logits.shape[:2]
    pairs = []
    for v in range(num_views):
        for w in range(v + 1, num_views):
            total = 0.0
            for rows, columns in ((mask_lab, slice(0, num_labeled)), (~mask_lab, slice(num_labeled, None))):
                if not rows.any():
                    continue
                p, q = (torch.softmax(logits[x][:, rows][..., columns] / temperature, dim=-1) for x in (v, w))
                total = total + distance(p, q) / (num_heads * p.shape[1] * p.shape[2])
            pairs.append(total)
    return torch.stack(pairs).mean()


def intra_class_skld(logits, mask_lab, num_labeled, temperature):
    return between_views(logits, mask_lab, num_labeled, temperature, lambda p, q: (kl(p, q) + kl(q, p)) / 2)


def mse_consistency(logits, mask_lab, num_labeled, temperature):
    return between_views(logits, mask_lab, num_labeled, temperature, lambda p, q: (p - q).square().sum())


def nt_xent(first, second, temperature):
    """Row by row, with cosines of all other rows in the denominator."""
    vectors = [*first, *second]
    count = len(first)
    total = 0.0
    for i, anchor in enumerate(vectors):
        similarities = {
            j: torch.cosine_similarity(anchor, v, dim=0) / temperature for j, v in enumerate(vectors) if j != i
        }
        partner = similarities[(i + count) % (2 * count)]
        total = total - torch.log(partner.exp() / sum(s.exp() for s in similarities.values()))
    return total / len(vectors)


def binary_entropy(features):
    """Mean over all elements, in bits."""
    values = [-(p * p.log2() + (1 - p) * (1 - p).log2()) for p in features.flatten()]
    return sum(values) / len(values)
