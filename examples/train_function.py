"""Tunes a training loop of one's own: a small network in plain NumPy, no framework.

Run it with `gpusched run examples/train_function.py`, or `python examples/train_function.py`.
"""

import io

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gpusched as gs

pixels, labels = load_digits(return_X_y=True)  # Once: every trial is forked from the process that runs this.
x, x_val, y, y_val = train_test_split(pixels / 16, labels, test_size=0.25, stratify=labels, random_state=0)


def forward(net, x):
    hidden = np.maximum(x @ net["w1"] + net["b1"], 0)
    scores = hidden @ net["w2"] + net["b2"]
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, scores / scores.sum(axis=1, keepdims=True)


def train(hp, trial):
    units = hp.Int("units", 16, 128, step=16)
    rate = hp.Float("learning_rate", 1e-3, 1.0, sampling="log")
    decay = hp.Float("weight_decay", 1e-6, 1e-2, sampling="log")
    batch = hp.Choice("batch_size", [16, 32, 64])

    saved = trial.load_checkpoint()
    if saved is None:
        rng = np.random.default_rng(trial.id)
        net = {
            "w1": rng.normal(0, np.sqrt(2 / 64), (64, units)),
            "b1": np.zeros(units),
            "w2": rng.normal(0, np.sqrt(1 / units), (units, 10)),
            "b2": np.zeros(10),
        }
    else:
        with np.load(io.BytesIO(saved), allow_pickle=False) as archive:
            net = dict(archive)

    for epoch in range(trial.start_epoch, trial.stop_epoch):
        order = np.random.default_rng([trial.id, epoch]).permutation(len(x))
        for rows in np.array_split(order, len(x) // batch):
            hidden, chances = forward(net, x[rows])
            error = (chances - np.eye(10)[y[rows]]) / len(rows)
            back = (error @ net["w2"].T) * (hidden > 0)
            for name, gradient in {
                "w1": x[rows].T @ back + decay * net["w1"],
                "b1": back.sum(axis=0),
                "w2": hidden.T @ error + decay * net["w2"],
                "b2": error.sum(axis=0),
            }.items():
                net[name] -= rate * gradient

        _, chances = forward(net, x_val)
        loss = -np.log(chances[np.arange(len(y_val)), y_val] + 1e-12).mean()
        trial.report(val_loss=loss, val_accuracy=(chances.argmax(axis=1) == y_val).mean())
        buffer = io.BytesIO()
        np.savez(buffer, **net)
        trial.save_checkpoint(buffer.getvalue())


tuner = gs.Hyperband(
    train=train,
    objective="val_accuracy",
    max_epochs=27,
    factor=3,
    seed=0,
    directory="runs",
    project_name="train_function",
)

if __name__ == "__main__":
    tuner.search()
    tuner.results_summary()
