"""The documentation site: README, SECURITY.md, CHANGELOG.md and docs/ as one, with references made from the code.

``python -m deploy.site`` builds it into build/site; a new page of docs/ needs a line in pages/index.md.
"""
