"""Tunes a small convolutional network on scikit-learn's 1,797 handwritten digits.

Run it with `gpusched run examples/digits.py`, or `python examples/digits.py`.
"""

import gpusched as gs


def build_model(hp):
    import keras

    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(hp.Int("conv1", 32, 96, step=32), 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(hp.Int("conv2", 32, 96, step=32), 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(hp.Int("dense", 32, 128, step=32), activation="relu"),
            keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5, step=0.1)),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(hp.Choice("learning_rate", [1e-1, 1e-2, 1e-3])),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def load_data():
    import keras
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).reshape(-1, 8, 8, 1).astype("float32")
    x, x_val, y, y_val = train_test_split(pixels, labels, test_size=0.25, stratify=labels, random_state=0)
    return {
        "x": x,
        "y": y,
        "validation_data": (x_val, y_val),
        "batch_size": 64,
        "callbacks": [keras.callbacks.EarlyStopping("val_loss", patience=5)],
    }


tuner = gs.Hyperband(
    build_model,
    objective="val_accuracy",
    max_epochs=27,
    factor=3,
    seed=42,
    directory="runs",
    project_name="digits",
)

if __name__ == "__main__":
    tuner.search(load_data)
    tuner.results_summary()
