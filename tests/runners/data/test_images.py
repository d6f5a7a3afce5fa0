import shutil

import numpy as np
import pytest

pytest.importorskip("PIL.Image", reason="reading pictures needs bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners.data import load_batches
from runners.data.images import cut, sources, tasks
from runners.data.images.corpus import load_images
from runners.data.images.source import Picture
from runners.data.images.tasks import hidden, rotation
from runners.data.kinds import kinds
from runners.data.split import content_hash, is_heldout
from tests.runners.data.conftest import picture, png


@pytest.fixture(autouse=True)
def nothing_remembered():
    load_images.cache_clear()


def digests(images):
    return {content_hash(image.tobytes()) for image in images}


def test_kinds_and_tasks_are_the_files_that_there_are():
    assert sorted(kinds(sources.__name__)) == ["folder", "hf", "photographs"]
    assert sorted(kinds(tasks.__name__)) == ["hidden", "labels", "rotation"]


def test_a_folder_of_classes_becomes_images_with_labels_and_loses_copies(image_folder):
    batches = load_batches("vision", str(image_folder), image_size=16, batch_size=8, seed=0)
    corpus = batches.images
    assert batches.facts["pictures_found"] == 69
    assert len(corpus.train.images) + len(corpus.heldout.images) == 60
    assert (batches.classes, batches.modality, batches.unit, batches.units_per_step) == (3, "vision", "examples", 8)
    for side in (corpus.train, corpus.heldout):
        for image, label in zip(side.images, side.labels, strict=True):
            seeds = [seed for seed in range(60) if (small(seed) == image).all()]
            assert [seed % 3 for seed in seeds] == [label]


def small(seed, size=16):
    return cut.centre(cut.decode(Picture("x", png(picture(seed)))), size)[0]


def test_no_picture_is_on_both_sides_and_the_content_decides(image_folder):
    corpus = load_images(str(image_folder), 16)
    heldout = [seed for seed in range(60) if is_heldout(content_hash(png(picture(seed))))]
    assert digests(corpus.heldout.images) == digests(small(seed) for seed in heldout)
    assert not digests(corpus.heldout.images) & digests(corpus.train.images)
    for path in sorted(image_folder.rglob("*.png")):  # names and places do not matter
        path.rename(path.with_name(f"renamed-{path.name}"))
    again = load_images.__wrapped__(str(image_folder), 16)
    assert digests(again.heldout.images) == digests(corpus.heldout.images)


def test_batches_are_normalised_and_every_example_comes_once_per_epoch(image_folder):
    batches = load_batches("vision", str(image_folder), image_size=16, batch_size=4, seed=1, task="rotation")
    count = 4 * len(batches.images.train.images)
    steps = count // 4
    epoch = [batches.batch(step) for step in range(steps)]
    inputs = np.concatenate([images for images, _ in epoch])
    assert inputs.shape == (count, 3, 16, 16)
    assert inputs.dtype == np.float32
    assert epoch[0][1].dtype == np.int64
    assert len(digests(inputs)) == count == batches.unique(steps) == batches.unique(3 * steps)
    assert inputs.mean((0, 2, 3)) == pytest.approx(0, abs=1e-5)
    assert inputs.std((0, 2, 3)) == pytest.approx(1, abs=1e-5)
    assert np.bincount(np.concatenate([targets for _, targets in epoch])).tolist() == [count // 4] * 4


def test_rotations_are_quarter_turns_and_the_label_counts_them():
    images = np.stack([picture(seed, 16, 16) for seed in range(8)])
    views = np.array([0, 1, 2, 3, 3, 2, 1, 0])
    turned, targets = rotation.examples(images, np.zeros(8, np.int64), views)
    assert (targets == views).all()
    for image, result, turns in zip(images, turned, views, strict=True):
        assert (np.rot90(result, -turns) == image).all()


def test_a_hidden_cell_is_gone_and_its_colour_is_the_answer():
    images = np.stack([picture(seed, 16, 16) for seed in range(16)])
    before = images.copy()
    painted, targets = hidden.examples(images, np.zeros(16, np.int64), np.arange(16))
    assert (images == before).all()
    for view, (image, result, target) in enumerate(zip(images, painted, targets, strict=True)):
        row, column = 4 * (view // 4), 4 * (view % 4)
        cell = np.s_[row : row + 4, column : column + 4]
        red, green, blue = (image[cell].mean((0, 1)) // 64).astype(int)
        assert target == 16 * red + 4 * green + blue
        assert (result[cell] == 128).all()
        result[cell] = image[cell]
        assert (result == image).all()
    white = np.full((1, 16, 16, 3), 255, np.uint8)
    assert hidden.examples(white, np.zeros(1, np.int64), np.zeros(1, np.int64))[1] == [63]


def test_a_step_and_the_held_out_examples_do_not_depend_on_what_came_before(image_folder):
    def fresh(seed):
        return load_batches(
            "vision", str(image_folder), image_size=16, batch_size=4, seed=seed, task="hidden", flips=True
        )

    onward = fresh(1)
    forward = [onward.batch(step) for step in range(300)]
    for step in (299, 0, 150):
        assert all((a == b).all() for a, b in zip(fresh(1).batch(step), forward[step], strict=True))
    assert (fresh(2).batch(0)[0] != forward[0][0]).any()
    for a, b in zip(fresh(1).heldout(10), fresh(2).heldout(10), strict=True):
        assert len(a) == 10
        assert (a == b).all()
    inputs, targets, pictures = fresh(1).heldout(0)
    assert len(inputs) == len(targets) == len(pictures) == fresh(1).facts["heldout_examples"]
    assert len(np.unique(pictures)) == fresh(1).facts["heldout_pictures"]


def test_flips_mirror_about_half_of_the_images(image_folder):
    plain, flipped = (
        load_batches("vision", str(image_folder), image_size=16, batch_size=32, seed=1, flips=flips)
        for flips in (False, True)
    )
    a, b = plain.batch(0)[0], flipped.batch(0)[0]
    mirrored = [(x[:, :, ::-1] == y).all() for x, y in zip(a, b, strict=True)]
    same = [(x == y).all() for x, y in zip(a, b, strict=True)]
    assert all(np.logical_xor(mirrored, same))
    assert 5 < sum(mirrored) < 27


def test_a_hub_dataset_gives_what_its_folder_gives(image_folder, tmp_path):
    datasets = pytest.importorskip("datasets", reason="needs bayes-scaling[runners]")
    files = sorted(image_folder.rglob("*.png"))
    names = ["ant", "bee", "cat"]
    features = datasets.Features({"img": datasets.Image(), "fine": datasets.ClassLabel(names=names)})
    rows = {"img": [path.read_bytes() for path in files], "fine": [path.parent.name for path in files]}
    rows["img"] = [{"bytes": content, "path": None} for content in rows["img"]]
    dataset = datasets.Dataset.from_dict(rows, features=features)
    dataset.save_to_disk(tmp_path / "saved")
    (tmp_path / "parquet").mkdir()
    dataset.to_parquet(tmp_path / "parquet" / "train.parquet")
    folder = load_images(str(image_folder), 16)
    for name in ("saved", "parquet"):
        hub = load_images(f"hf:{tmp_path / name}", 16)
        assert hub.classes == 3
        for side in ("train", "heldout"):
            a, b = getattr(folder, side), getattr(hub, side)
            pairs = [
                {(content_hash(image.tobytes()), int(label)) for image, label in zip(s.images, s.labels, strict=True)}
                for s in (a, b)
            ]
            assert pairs[0] == pairs[1]
    assert load_images(f"hf:{tmp_path / 'saved'}", 16, task="rotation").classes == 4
    with pytest.raises(InputError, match=r"columns of classes \['fine'\], and column is 'coarse'"):
        load_images(f"hf:{tmp_path / 'saved'}", 16, column="coarse")
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "text")
    with pytest.raises(InputError, match=r"no column of pictures; it has \['text'\]"):
        load_images(f"hf:{tmp_path / 'text'}", 16)


def test_tiles_lie_side_by_side_and_flat_ones_are_known():
    image = cut.decode(Picture("x", png(picture(0, 320, 200))))
    tiles = cut.tiles(image, 16)
    reduced = np.asarray(image.resize((160, 100), 1))  # LANCZOS
    rows = [np.concatenate(tiles[10 * row : 10 * row + 10], axis=1) for row in range(6)]
    assert (np.concatenate(rows) == reduced[2:98]).all()
    assert cut.tiles(cut.decode(Picture("x", png(picture(0, 20, 20)))), 16).shape == (0, 16, 16, 3)
    assert cut.tiles(cut.decode(Picture("x", png(picture(0, 6000, 600)))), 16).shape == (96 * 9, 16, 16, 3)
    faint = np.full((16, 16, 3), 100, np.uint8)
    faint[:8] = 110
    strong = faint.copy()
    strong[:8] = 130
    assert cut.is_flat(np.stack([faint, strong])).tolist() == [True, False]


@pytest.fixture
def photographs(tmp_path):
    """Thirty pictures, two of them at a second resolution, one flat."""
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed in range(30):
        smooth = image.fromarray(picture(seed, 8, 6)).resize((256, 192), image.Resampling.BICUBIC)
        smooth.save(folder / f"{seed}.png")
        if seed < 2:
            smooth.resize((128, 96), image.Resampling.LANCZOS).save(folder / f"{seed}-small.jpg")
    image.new("RGB", (256, 192), "blue").save(folder / "flat.png")
    return folder


def test_photographs_of_ones_own_are_tiled_once_each_and_held_out_whole(photographs):
    corpus = load_images(f"photographs:{photographs}", 16)
    assert corpus.facts["files"] == 33
    assert corpus.facts["pictures_found"] == 31  # the smaller copies went
    assert corpus.facts["train_pictures"] + corpus.facts["heldout_pictures"] == 30  # the flat one had no tiles
    heldout = [seed for seed in range(30) if is_heldout(content_hash((photographs / f"{seed}.png").read_bytes()), 0.25)]
    assert corpus.facts["heldout_pictures"] == len(heldout)
    expected = np.concatenate(
        [cut.tiles(cut.decode(Picture("x", (photographs / f"{seed}.png").read_bytes())), 16) for seed in heldout]
    )
    assert digests(corpus.heldout.images) == digests(expected[~cut.is_flat(expected)])
    assert (np.bincount(corpus.heldout.pictures) > 0).all()
    everything = np.concatenate([corpus.train.images, corpus.heldout.images])
    turned = [digests(np.rot90(everything, turns, axes=(1, 2))) for turns in range(4)]
    assert len(set().union(*turned)) == 4 * len(everything)
    assert (corpus.task, corpus.classes) == (hidden, 64)


def test_prepared_images_are_read_from_the_cache(image_folder, cache_folder, monkeypatch):
    first = load_images(str(image_folder), 16)
    monkeypatch.setattr("runners.data.images.corpus._collect", lambda *_: pytest.fail("prepared twice"))
    again = load_images.__wrapped__(str(image_folder), 16)
    assert first.facts == again.facts
    assert (first.train.images == again.train.images).all()
    with pytest.raises(pytest.fail.Exception):
        load_images(str(image_folder), 32)
    assert len(list((cache_folder / "images").iterdir())) == 1


def test_unusable_images_are_named_in_one_sentence(image_folder, tmp_path):
    (tmp_path / "none").mkdir()
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copy(image_folder / "ant" / "0.png", flat)
    for arguments, task, sentence in (
        ("nowhere", None, "allowed are existing folders"),
        (str(tmp_path / "none"), "rotation", "has no pictures"),
        (str(flat), None, "0 sub-folders with pictures; labels need"),
        (str(flat), "rotation", "1 pictures, of which"),
        (str(image_folder), "jigsaw", "task is 'jigsaw'; known are 'hidden', 'labels', 'rotation'"),
        ("photographs", "labels", "photographs have none"),
        ("photographs:nowhere", None, "'nowhere' is no folder"),
    ):
        with pytest.raises(InputError, match=sentence) as caught:
            load_images(arguments, 16, task=task)
        assert "\n" not in str(caught.value)
    (image_folder / "ant" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"bad\.png' cannot be read"):
        load_images(str(image_folder), 16)
    with pytest.raises(InputError, match="image_size is 4"):
        load_batches("vision", str(image_folder), image_size=4, batch_size=1, seed=0)
