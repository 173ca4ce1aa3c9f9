#!/usr/bin/env bash
# Supervised pretraining for CIFAR100-20. Leaves checkpoints_iic/pretrain-resnet18-CIFAR100-80_20.cp.
# Further flags are passed on: scripts/cifar100-20/pretrain.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

run main_pretrain.py \
  --dataset CIFAR100 \
  --gpus 1 \
  --precision 16 \
  --max_epochs 200 \
  --batch_size 256 \
  --num_labeled_classes 80 \
  --num_unlabeled_classes 20 \
  --comment 80_20 \
  "$@"
