# shellcheck shell=bash
# CIFAR100-20: 80 labelled and 20 novel classes. Sourced by the scripts beside it.
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

# discover MAIN FLAGS...: the settings that all discovery mains share.
discover() {
  run "$1" \
    --dataset CIFAR100 \
    --gpus 1 \
    --precision 16 \
    --max_epochs 500 \
    --batch_size 512 \
    --num_labeled_classes 80 \
    --num_unlabeled_classes 20 \
    --pretrained checkpoints_iic/pretrain-resnet18-CIFAR100-80_20.cp \
    --num_heads 4 \
    --overcluster_factor 5 \
    --multicrop \
    "${@:2}"
}
