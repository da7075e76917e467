"""What Keras lacks: cells of our own, and a faster loop for its LSTM on a processor."""
