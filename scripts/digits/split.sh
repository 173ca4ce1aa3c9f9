# shellcheck shell=bash
# scikit-learn's digits: 0 to 4 are labelled, 5 to 9 novel. The dataset brings its own settings (docs/training.md).
# Sourced by the scripts beside it.
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

# discover MAIN FLAGS...: the settings that all discovery mains share.
discover() {
  run "$1" \
    --dataset digits \
    --pretrained checkpoints_iic/pretrain-resnet18-digits-5_5.cp \
    "${@:2}"
}
