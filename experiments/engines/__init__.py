"""Where items are answered: pairs beside this process, or actors of Ray, one machine or a cluster.

An engine starts workers; a worker answers one item at a time by all arms. What it does for that is written once, in
``pair_worker``. May import: what ``experiments`` may, and Ray in ``on_ray``. A new engine is one file here and one
function in ``kvwire.cli.engines``.
"""
