#!/usr/bin/env bash
# A training as a job of SLURM that saves before its time is over and asks for another turn, until it is finished.
#
#   sbatch --ntasks-per-node=1 --gpus-per-node=1 -t 4:00:00 scripts/slurm.sh scripts/cifar10-5/discover.sh
#   sbatch -N 2 --ntasks-per-node=4 --gpus-per-node=4 -t 24:00:00 scripts/slurm.sh main_discover_inter_intra.py \
#     --dataset ImageNet --num_labeled_classes 882 --num_unlabeled_classes 30 \
#     --pretrained checkpoints_iic/pretrain-resnet18-ImageNet-882_30.cp --num_heads 2 --overcluster_factor 4 \
#     --multicrop --gpus 4 --distributed_backend ddp --comment two_nodes
#
# Submit it from the repository. One task trains as one process. Two minutes before the end SLURM sends SIGUSR1 to the
# tasks; the training saves and ends with exit code 138 (128 + 10), and goes on from there in the next turn.
#SBATCH --requeue
#SBATCH --signal=USR1@120
#SBATCH --open-mode=append
set -euo pipefail
cd -- "${SLURM_SUBMIT_DIR:-.}" > /dev/null # SLURM runs a copy of this file, elsewhere
if [[ $# == 0 || ! -f $1 ]]; then
  echo "error: '${1:-}' is no main and no script below $PWD; see scripts/slurm.sh" >&2
  exit 2
fi
if [[ $1 == *.py && " $* " != *" --comment"[\ =]* && " $* " != *" --run_name"[\ =]* ]]; then
  echo "error: --comment or --run_name is needed: by it the next turn finds this one's checkpoint" >&2
  exit 2
fi
if [[ -z ${SLURM_JOB_ID:-} ]]; then
  echo "error: this is no job of SLURM; submit it with sbatch, as in sbatch --ntasks-per-node=1 scripts/slurm.sh $*" >&2
  exit 2
fi
# shellcheck source-path=SCRIPTDIR source=common.sh
source scripts/common.sh

case $1 in
  *.py) command=("$PYTHON" "$@") ;;
  *) command=("./$1" "${@:2}") ;;
esac
code=0
srun "${command[@]}" --num_nodes "$SLURM_NNODES" --resume_from_checkpoint auto || code=$?
if [[ $code == 138 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
