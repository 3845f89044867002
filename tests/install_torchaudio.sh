#!/usr/bin/env bash
# Install torchaudio beside a CPU build of torch, for the tests of filters and of models that need it.
#
#     bash tests/install_torchaudio.sh [python]
#
# The package index has torchaudio linked against CUDA, which cannot be imported beside a CPU torch. Without its
# compiled part it is pure Python, and does what these tests need. The library itself does not use it.
set -euo pipefail
python=${1:-python}
"$python" -m pip install --no-deps torchaudio==2.11.0
folder=$("$python" -c 'import importlib.util as u; print(u.find_spec("torchaudio").submodule_search_locations[0])')
rm -f "$folder"/lib/_torchaudio.abi3.so
"$python" -c 'import torchaudio; print("torchaudio", torchaudio.__version__)'
