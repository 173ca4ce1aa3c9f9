#!/usr/bin/env bash
# SimGCD on CIFAR10, 5 known and 5 novel classes in one heap: the published recipe, the last block of a DINO ViT-B/16
# at 224 pixels. Published, on the unlabelled training images: all 97.1, known 95.1, novel 98.1. The views are those of
# CIFAR10 here, resized (docs/backbones.md); the published ones are crops of the enlarged image and flips.
# Further flags are passed on: scripts/cifar10-gcd/discover.sh --backbone_weights FILE
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

run main_discover_gcd.py \
  --dataset CIFAR10 \
  --gpus 1 \
  --precision 16 \
  --num_labeled_classes 5 \
  --num_unlabeled_classes 5 \
  --prop_train_labels 0.5 \
  --backbone vit_base_patch16_224.dino \
  --train last_block \
  --batch_size 128 \
  --memax_weight 1 \
  --comment 5_5_simgcd \
  "$@"
