# shellcheck shell=bash
# Sourced by the scripts of the splits. It goes to the repository root, so that they work from any directory, and
# chooses the interpreter: $PYTHON, else that of an activated environment, else .venv, else the python on the path.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." > /dev/null
trap : USR1 # SLURM sends it to all processes of a task: a script of several mains waits until the running one has saved

if [[ -z ${PYTHON:-} ]]; then
  PYTHON=python
  if [[ -z ${VIRTUAL_ENV:-} && ${CONDA_DEFAULT_ENV:-base} == base && -x .venv/bin/python ]]; then
    PYTHON=.venv/bin/python
  fi
fi

# run MAIN FLAGS...: show the command, then become it, so that signals reach it and its exit code is the script's.
run() {
  echo "+ python $*" >&2
  exec "$PYTHON" "$@"
}

# ablation SPLIT COMMENT FLAGS...: the five mains, one after another, with the split's settings (its function discover).
# The weights of single constraints are the mains' defaults; both constraints together are what discover.sh runs.
ablation() {
  local split=$1 comment=$2
  shift 2
  (discover main_discover.py --comment "${comment}_uno" "$@")
  (discover main_discover_inter.py --comment "${comment}_inter" "$@")
  (discover main_discover_intra.py --comment "${comment}_intra" "$@")
  "scripts/$split/discover.sh" "$@"
  (discover main_discover_mse.py --comment "${comment}_mse" "$@")
}

# baseline COMMENT METHOD FLAGS...: a method of baselines/ with the split's settings (its array SPLIT) and its name at
# the end of the run's. Each method's published settings are its defaults; the scripts give what differs on a dataset.
baseline() {
  (run "baselines/$2.py" "${SPLIT[@]}" --comment "$1_$2" "${@:3}")
}
