"""From windows to a trained network: `data.py` feeds it, `fit.py` trains it, `progress.py` tells how it goes."""
