#!/usr/bin/env bash
# Supervised pretraining for CIFAR100-50. Leaves checkpoints_iic/pretrain-resnet18-CIFAR100-50_50.cp.
# Further flags are passed on: scripts/cifar100-50/pretrain.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

run main_pretrain.py \
  --dataset CIFAR100 \
  --gpus 1 \
  --precision 16 \
  --max_epochs 200 \
  --batch_size 256 \
  --num_labeled_classes 50 \
  --num_unlabeled_classes 50 \
  --comment 50_50 \
  "$@"
