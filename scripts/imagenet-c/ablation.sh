#!/usr/bin/env bash
# The ablation study on ImageNet-C: the five discovery mains, one after another, from what pretrain.sh leaves.
# Further flags are passed on to each: scripts/imagenet-c/ablation.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=split.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/split.sh"

ablation imagenet-c 882_30-C "$@"
