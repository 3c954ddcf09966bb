"""Tunes a network that tells pictures of fire from pictures without, reading them from class folders with augmentation.

    python examples/fire_detector.py

searches, prints the best values, trains the final model with them and saves it as fire_detector.keras.
`gpusched run examples/fire_detector.py` does the search alone. The pictures are drawn on the first use: put your own
into pictures/train/{fire,no_fire} and pictures/validation/{fire,no_fire} to tune on those. Asks for pillow.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

import gpusched as gs

CLASSES = ("no_fire", "fire")
SIZE = 128


def draw(path, fire, random):
    """A landscape by day or night, with things as red as fire in it: a low sun, autumn trees. And fire, or not."""
    from PIL import Image, ImageDraw, ImageFilter

    def colour(low, high):
        return tuple(int(random.integers(a, b + 1)) for a, b in zip(low, high, strict=True))

    sky = np.linspace(colour((10, 20, 60), (150, 180, 255)), colour((40, 40, 40), (255, 220, 190)), SIZE)
    picture = Image.fromarray(np.repeat(sky[:, None], SIZE, axis=1).astype("uint8"))
    pen = ImageDraw.Draw(picture)
    if random.random() < 0.5:
        x, y, r = random.integers(10, SIZE - 10), random.integers(10, 60), random.integers(5, 14)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colour((240, 120, 30), (255, 240, 160)))
    ground = int(random.integers(60, 95))
    pen.rectangle((0, ground, SIZE, SIZE), fill=colour((20, 30, 10), (110, 120, 60)))
    for _ in range(random.integers(3, 9)):
        x, y, r = random.integers(0, SIZE), random.integers(ground - 20, SIZE), random.integers(5, 16)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colour((30, 40, 0), (220, 140, 60)))
    if fire:
        glow = Image.new("RGBA", (SIZE, SIZE))
        flames = ImageDraw.Draw(glow)
        x0, y0 = random.integers(15, SIZE - 15), random.integers(ground, SIZE - 5)
        height = random.integers(18, 55)
        for _ in range(12):  # smoke, above the flames
            x, y, r = x0 + random.normal(0, 9), y0 - height - random.random() * 40, random.integers(5, 13)
            flames.ellipse((x - r, y - r, x + r, y + r), fill=(*colour((50, 50, 50), (110, 105, 100)), 110))
        for up in np.linspace(0, 1, 40):  # broad and red below and outside, narrow and yellow above and within
            x = x0 + random.normal(0, 6) * (1 - up)
            y, r = y0 - up * height, (1 - up) * height * 0.22 + 1
            tint = (255, int(90 + 150 * random.random()), int(60 * random.random()), 200)
            flames.ellipse((x - r, y - 2 * r, x + r, y + r), fill=tint)
        glow = glow.filter(ImageFilter.GaussianBlur(1.5))
        picture.paste(glow, (0, 0), glow)
    noise = random.normal(0, 8, (SIZE, SIZE, 3))
    Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype("uint8")).save(path)


def draw_all(folder, count):
    """Draws so many pictures for training and a quarter of that for validation, unless the folder is there."""
    if folder.exists():
        return
    random = np.random.default_rng(0)
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    for part, pictures in (("train", count), ("validation", count // 4)):
        for label, name in enumerate(CLASSES):
            (unfinished / part / name).mkdir(parents=True, exist_ok=True)
            for i in range(pictures // 2):
                draw(unfinished / part / name / f"{i:04d}.png", bool(label), random)
    unfinished.rename(folder)


class Pictures(keras.utils.PyDataset):
    """Batches of the pictures in class folders, shuffled; augmented ones are mirrored, shifted and lit at random."""

    def __init__(self, folder, batch_size=32, augment=False, **kwargs):
        super().__init__(**kwargs)
        self.files = [(file, label) for label, name in enumerate(CLASSES) for file in sorted((folder / name).iterdir())]
        self.batch_size, self.augment = batch_size, augment
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self.files) // self.batch_size)

    def on_epoch_end(self):
        # NumPy's own generator, which gpusched seeds in each trial: the same trial sees the same pictures again.
        self.order = np.random.permutation(len(self.files)) if self.augment else np.arange(len(self.files))

    def __getitem__(self, index):
        chosen = [self.files[i] for i in self.order[index * self.batch_size : (index + 1) * self.batch_size]]
        pixels = np.stack([self.read(file) for file, _ in chosen])
        return pixels, np.array([[label] for _, label in chosen], "float32")

    def read(self, file):
        pixels = keras.utils.img_to_array(keras.utils.load_img(file, target_size=(SIZE, SIZE))) / 255
        if self.augment:
            if np.random.random() < 0.5:
                pixels = pixels[:, ::-1]
            pixels = np.roll(pixels, np.random.randint(-12, 13), axis=1) * np.random.uniform(0.8, 1.2)
        return np.clip(pixels, 0, 1)


def build_model(hp):
    model = keras.Sequential([keras.layers.Input((SIZE, SIZE, 3))])
    for i in (1, 2, 3):
        filters = hp.Int(f"filters_{i}", 8, 32, step=8)
        model.add(keras.layers.Conv2D(filters, 3, strides=2 if i == 1 else 1, activation="relu"))
        model.add(keras.layers.MaxPooling2D())
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(hp.Int("dense", 32, 128, step=32), activation="relu"))
    model.add(keras.layers.Dropout(0.3))
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    model.compile(
        keras.optimizers.Adam(hp.Choice("learning_rate", [1e-2, 1e-3, 1e-4])),
        "binary_crossentropy",
        metrics=["accuracy"],
    )
    return model


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--pictures", type=Path, default=Path("pictures"), help="the folder they are in")
    arguments.add_argument("--count", type=int, default=400, help="how many are drawn, where there are none")
    arguments.add_argument("--epochs", type=int, default=9)
    asked = arguments.parse_args()
    draw_all(asked.pictures, asked.count)
    train = Pictures(asked.pictures / "train", augment=True)
    validation = Pictures(asked.pictures / "validation")

    tuner = gs.Hyperband(
        build_model,
        objective="val_accuracy",
        max_epochs=asked.epochs,
        factor=3,
        seed=42,
        directory="runs",
        project_name="fire_detector",
    )
    early = keras.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)
    tuner.search(train, validation_data=validation, epochs=asked.epochs, callbacks=[early])

    best = tuner.get_best_hyperparameters()[0]
    print("best values:", best.values)
    model = tuner.hypermodel.build(best)
    model.fit(train, validation_data=validation, epochs=2 * asked.epochs, callbacks=[early], verbose=2)
    model.save("fire_detector.keras")
    loss, accuracy = model.evaluate(validation, verbose=0)
    print(f"fire_detector.keras: {accuracy:.1%} of the validation pictures are told right")
