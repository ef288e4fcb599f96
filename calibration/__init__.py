"""Runs models over text: makes tables of one for codecs (``calibrate.py``) and fusers of two (``closed_form.py``).

May import: ``codec``, ``fuser``, ``kvwire.models``, ``kvwire.engine``; never gRPC. A new kind of table is a tensor that
``calibrate.py`` adds and ``codec/calibration.py`` documents.
"""
