"""How good a forecast is, and whether it is better than doing nothing clever.

    baselines    the naive forecasts, which every score has to stand beside
    metrics      one function per score, in units, percent or as a ratio
    audit        whether anything knows the future; foresight: columns that do
    intervals    how far the truth may lie from a forecast; adaptive: where errors change; bands: how often they held

Import the module you need; this package loads none.
"""
