"""The same with simple-scaling-laws: dense runs of one group, under the law that it recommends to start with."""

import sys

import polars as pl
import simple_scaling_laws as ssl

names = {
    "run_id": "training_run_id",
    "nonzero_params": "model_size__params",
    "data_seen": "dataset_size__tokens",
    "loss": "test_loss__nats",
}
model = ssl.fit(pl.read_csv(sys.argv[1]).rename(names), law="separable-power", seed=0)
planned = pl.read_csv(sys.argv[2]).rename(names)
found = model.predict(planned, quantiles=[0.055, 0.5, 0.945], kind="new-run", seed=0)
loss = [f"test_loss__nats__{each}" for each in ("q055", "median", "q945")]
planned.select("training_run_id").with_columns(found.select(loss)).write_csv(sys.stdout)
