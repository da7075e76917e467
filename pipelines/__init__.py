"""Rows in, windows out: everything that happens to data before and after a network sees it.

source -> DataFrame -> `Panel` -> cleaning -> splits -> `DataPipeline` -> windows

Nothing here imports Keras, TensorFlow or the package `forecast`.
"""
