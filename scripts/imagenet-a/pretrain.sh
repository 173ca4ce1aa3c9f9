#!/usr/bin/env bash
# Supervised pretraining for ImageNet, the same for the splits A, B and C.
# Leaves checkpoints_iic/pretrain-resnet18-ImageNet-882_30.cp.
# Further flags are passed on: scripts/imagenet-a/pretrain.sh --data_dir /path/to/imagenet
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

run main_pretrain.py \
  --dataset ImageNet \
  --gpus 2 \
  --precision 16 \
  --max_epochs 100 \
  --batch_size 256 \
  --num_labeled_classes 882 \
  --num_unlabeled_classes 30 \
  --comment 882_30 \
  --num_workers 8 \
  --warmup_epochs 5 \
  --distributed_backend ddp \
  --sync_batchnorm \
  "$@"
