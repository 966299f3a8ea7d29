# shellcheck shell=bash
# Sourced by each job, by the sweep driver, and by you on the login node: source slurm/env.sh
# What is your site's alone goes to slurm/site.sh, which git ignores (README.md has an example).
EMOEXP_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export EMOEXP_HOME
export EMOEXP_ENV=$EMOEXP_HOME/slurm/env.sh  # jobs find this file by it, from whatever directory the sweep was started

if [ -f "$EMOEXP_HOME/slurm/site.sh" ]; then
  # shellcheck source=/dev/null
  source "$EMOEXP_HOME/slurm/site.sh" || return 1
fi

export EMOEXP_VENV=${EMOEXP_VENV-$EMOEXP_HOME/.venv}  # set and empty: no venv, python is what site.sh made it
if [ -n "$EMOEXP_VENV" ]; then
  if [ ! -f "$EMOEXP_VENV/bin/activate" ]; then
    echo "slurm/env.sh: no virtual environment in $EMOEXP_VENV: run make verify there, or set EMOEXP_VENV in slurm/site.sh" >&2
    return 1
  fi
  # shellcheck source=/dev/null
  source "$EMOEXP_VENV/bin/activate" || return 1
fi
export PYTHONPATH=$EMOEXP_HOME${PYTHONPATH:+:$PYTHONPATH}

# On a file system that all nodes share; weights and the store of artifacts are far larger than some homes' quota.
export HF_HOME=${HF_HOME:-$HOME/.cache/huggingface}
export EMOEXP_ARTIFACTS=${EMOEXP_ARTIFACTS:-$HOME/.cache/emoexp}

if [ -n "${SLURM_JOB_ID:-}" ]; then
  # Compute nodes often have no way out, and twenty jobs need not each ask the hub what is new. 0 switches it off.
  export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}
  export WANDB_MODE=${WANDB_MODE:-offline}
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}
fi
