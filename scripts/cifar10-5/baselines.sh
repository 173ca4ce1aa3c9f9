#!/usr/bin/env bash
# The other methods of the published table on CIFAR10-5, one after another, from what pretrain.sh leaves.
# Further flags are passed on to each: scripts/cifar10-5/baselines.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

# shellcheck disable=SC2034 # read by the function baseline
SPLIT=(--dataset CIFAR10 --gpus 1 --precision 16 --num_labeled_classes 5 --num_unlabeled_classes 5
  --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp)
for method in kcl mcl dtc rs rs_plus openmix ncl joint dualrank uno_v1 comex; do
  baseline 5_5 "$method" "$@"
done
baseline 5_5 rkd --batch_size 512 --multicrop "$@"
