#!/usr/bin/env bash
# IIC on ImageNet-B, from what pretrain.sh leaves. Published for ImageNet: 91.9 on the novel training images.
# The shared settings are in ../imagenet.sh. Further flags are passed on: scripts/imagenet-b/discover.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=split.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/split.sh"

discover main_discover_inter_intra.py \
  --factor_inter 0.05 \
  --factor_intra 0.01 \
  --comment 882_30-B_inter_intra \
  "$@"
