#!/usr/bin/env bash
# The other methods of the published table on ImageNet-B, one after another, from what pretrain.sh leaves.
# Further flags are passed on to each: scripts/imagenet-b/baselines.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../imagenet.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../imagenet.sh"

baselines_imagenet B "$@"
