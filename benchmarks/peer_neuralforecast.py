"""The same prediction by neuralforecast, in the environment of `make peers`: see `batch.py`, which calls this.

    python benchmarks/peer_neuralforecast.py train ROWS FOLDER         fits an LSTM for a few steps, and saves it
    python benchmarks/peer_neuralforecast.py predict ROWS FOLDER       loads it, reads, predicts, writes; the last line
                                                                       of standard error has the seconds of each stage

What differs: it checks no rows, has no fallback and no quarantine, and writes one file with one column of forecasts.
"""

import json
import sys
import time

began = time.perf_counter()

import pandas as pd  # noqa: E402
from neuralforecast import NeuralForecast  # noqa: E402

if __name__ == "__main__":
    task, rows, folder = sys.argv[1:]
    if task == "train":
        from neuralforecast.models import LSTM

        model = LSTM(
            h=24,
            input_size=60,
            encoder_hidden_size=32,
            encoder_n_layers=1,
            max_steps=5,
            accelerator="cpu",
            enable_progress_bar=False,
            logger=False,
            enable_checkpointing=False,
        )
        some = pd.read_parquet(rows, filters=[("unique_id", "<", "series_001000")])
        forecaster = NeuralForecast(models=[model], freq="h")
        forecaster.fit(some)
        forecaster.save(folder, overwrite=True, save_dataset=False)
    else:
        forecaster = NeuralForecast.load(folder)
        loaded = time.perf_counter()
        frame = pd.read_parquet(rows)
        read = time.perf_counter()
        forecasts = forecaster.predict(frame)
        scored = time.perf_counter()
        forecasts.to_parquet(f"{folder}/forecasts.parquet")
        written = time.perf_counter()
        stages = {"import": loaded - began, "read": read - loaded, "score": scored - read, "write": written - scored}
        print("\n" + json.dumps(stages), file=sys.stderr)
