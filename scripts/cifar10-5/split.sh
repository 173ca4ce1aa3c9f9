# shellcheck shell=bash
# CIFAR10-5: 5 labelled and 5 novel classes. Sourced by the scripts beside it.
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

# discover MAIN FLAGS...: the settings that all discovery mains share.
discover() {
  run "$1" \
    --dataset CIFAR10 \
    --gpus 1 \
    --precision 16 \
    --max_epochs 500 \
    --batch_size 512 \
    --num_labeled_classes 5 \
    --num_unlabeled_classes 5 \
    --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp \
    --num_heads 4 \
    --overcluster_factor 10 \
    --multicrop \
    "${@:2}"
}
