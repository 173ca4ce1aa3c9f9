#!/usr/bin/env bash
# SimGCD on CIFAR100, 80 known and 20 novel classes in one heap: the published recipe, the last block of a DINO ViT-B/16
# at 224 pixels. Published, on the unlabelled training images: all 80.1, known 81.2, novel 77.8. The views are those of
# CIFAR100 here, resized (docs/backbones.md); the published ones are crops of the enlarged image and flips.
# Further flags are passed on: scripts/cifar100-gcd/discover.sh --backbone_weights FILE
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

run main_discover_gcd.py \
  --dataset CIFAR100 \
  --gpus 1 \
  --precision 16 \
  --num_labeled_classes 80 \
  --num_unlabeled_classes 20 \
  --prop_train_labels 0.5 \
  --backbone vit_base_patch16_224.dino \
  --train last_block \
  --batch_size 128 \
  --memax_weight 4 \
  --comment 80_20_simgcd \
  "$@"
