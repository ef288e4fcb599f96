"""What is asked about an item and what is kept of the answer, one file per shape of dataset.

May import: the client, the values in ``kvwire.requests`` and ``kvwire.report``, ``kvwire.errors``, ``loadtest``. A new
shape is one file with a :class:`~experiments.questions.base.Question`, and one line in ``load.py``.
"""
