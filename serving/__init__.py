"""Where a serving engine's KV cache meets ``codec`` and ``fuser``: vLLM's KV connector. docs/serving.md.

Imports codec, fuser, ``kvwire.errors``, values such as the model card, and ``kvwire.models`` to make one. The engine
itself is imported in ``vllm_connector.py`` alone, which only that engine loads; another one gets a module beside it.
"""
