#!/usr/bin/env bash
# The pretraining for ImageNet, which the splits A, B and C share.
set -euo pipefail
exec "$(dirname -- "${BASH_SOURCE[0]}")/../imagenet-a/pretrain.sh" "$@"
