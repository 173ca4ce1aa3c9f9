#!/usr/bin/env bash
# Supervised pretraining for CIFAR10-5. Leaves checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp.
# Further flags are passed on: scripts/cifar10-5/pretrain.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

run main_pretrain.py \
  --dataset CIFAR10 \
  --gpus 1 \
  --precision 16 \
  --max_epochs 200 \
  --batch_size 256 \
  --num_labeled_classes 5 \
  --num_unlabeled_classes 5 \
  --comment 5_5 \
  "$@"
