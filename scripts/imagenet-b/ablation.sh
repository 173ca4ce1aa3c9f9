#!/usr/bin/env bash
# The ablation study on ImageNet-B: the five discovery mains, one after another, from what pretrain.sh leaves.
# Further flags are passed on to each: scripts/imagenet-b/ablation.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=split.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/split.sh"

ablation imagenet-b 882_30-B "$@"
