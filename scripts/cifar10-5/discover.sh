#!/usr/bin/env bash
# IIC on CIFAR10-5, from the checkpoint that pretrain.sh leaves. Published: 99.1 on the novel training images.
# The shared settings are in split.sh. Further flags are passed on: scripts/cifar10-5/discover.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=split.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/split.sh"

discover main_discover_inter_intra.py \
  --factor_inter 0.05 \
  --factor_intra 0.01 \
  --comment 5_5_inter_intra \
  "$@"
