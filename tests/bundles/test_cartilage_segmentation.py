"""The segmenter's bundle: trained, evaluated, exported, run over files, and its masks put into a datalist."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ckpt_export, verify_metadata, verify_net_in_out
from monai.bundle.workflows import ConfigWorkflow
from PIL import Image

from data_prep import cartilage_masks
from semimed_monai.data import Datalist
from semimed_monai.data.find import find_images
from semimed_monai.data.phantoms import knee_phantom, write_dicom_series
from semimed_monai.messages import cause_of
from semimed_monai.networks import DeployedSegmenter
from semimed_monai.transforms import Dilate, knee_mr, read_grid, slice_items, to_source_geometry

NAME = "cartilage_segmentation"
SIZE = 64
TINY = ("--phantoms#people", "8", "--image_size", str(SIZE), "--channels", "[8,16,32]", "--residual_units", "1")
SHORT = ("--max_epochs", "3", "--steps_per_epoch", "20", "--learning_rate", "0.01")
TURN = np.array([[1, -1], [2, 1], [0, 1]])  # x, y, slice become slice, -x, y


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="session")
def trained(
    copy_bundle: Callable[[str], Path], run_bundle: Callable[..., str], knee_set: Path, elsewhere: Path
) -> tuple[Path, str]:
    """The bundle after its training, and what that printed."""
    bundle = copy_bundle(NAME)
    return bundle, run_bundle(bundle / "configs" / "train.json", *TINY, *SHORT, cwd=elsewhere, new=True)


def deployed(bundle: Path) -> DeployedSegmenter:
    card = json.loads((bundle / "models" / "network.json").read_text())
    assert (card["size"], card["classes"][1]) == (SIZE, "femoral cartilage")
    network = DeployedSegmenter(**card["arguments"])
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    return network.eval()


def workflow(bundle: Path, kind: str = "inference", config: str = "inference.json", **overrides: Any) -> ConfigWorkflow:
    return ConfigWorkflow(config_file=str(bundle / "configs" / config), workflow_type=kind, **overrides)


def test_training_learns_and_leaves_a_deployable_network(trained: tuple[Path, str], elsewhere: Path) -> None:
    bundle, printed = trained
    assert "this run trains on built-in phantoms" in printed
    losses = [float(value) for value in re.findall(r"epoch \d/3: loss ([\d.]+)", printed)]
    assert len(losses) == 3
    assert losses[2] < 0.75 * losses[0]
    assert next(deployed(bundle).parameters()).isfinite().all()
    metrics = json.loads((bundle / "eval" / "metrics.json").read_text())
    assert list(metrics["scores"]) == ["student"]  # without a teacher there is but one network
    assert (metrics["section"], metrics["profile"], metrics["image_size"]) == ("test", "phantom", SIZE)
    assert {"dice", "dice/femoral cartilage", "hd95_px", "hd95_px/meniscus"} <= metrics["scores"]["student"].keys()
    rows = (bundle / "eval" / "predictions.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 6  # two people in the test section
    assert not any(elsewhere.iterdir())


def test_evaluating_alone_gives_the_same_numbers(
    trained: tuple[Path, str], run_bundle: Callable[..., str], elsewhere: Path, tmp_path: Path
) -> None:
    bundle, _ = trained
    configs = [bundle / "configs" / name for name in ("train.json", "evaluate.json")]
    # The network's size comes from its card, and is not said again.
    run_bundle(configs, "--phantoms#people", "8", "--output_dir", str(tmp_path), cwd=elsewhere)
    for name in ("metrics.json", "predictions.csv"):
        assert (tmp_path / name).read_text() == (bundle / "eval" / name).read_text()
    with np.load(tmp_path / "cases.npz") as cases, np.load(bundle / "eval" / "cases.npz") as expected:
        assert cases.files == expected.files
        assert all(np.array_equal(cases[name], expected[name]) for name in cases.files)
    assert (tmp_path / "report.html").is_file()


def test_a_mean_teacher_and_its_student_are_both_scored(
    run_bundle: Callable[..., str], knee_set: Path, tmp_path: Path
) -> None:
    configs = [Path(__file__).resolve().parents[2] / "bundles" / NAME / "configs" / "train.json"]
    where = ("--output_dir", str(tmp_path), "--ckpt_dir", str(tmp_path / "models"))
    terms = ("--teacher#_disabled_", "False", "--criterion#terms#consistency#_disabled_", "False")
    rows = ("--labelled_share", "0.5", "--unlabelled_rows", "16", "--max_epochs", "1", "--steps_per_epoch", "2")
    run_bundle(configs, *TINY, *terms, *rows, *where, cwd=tmp_path)
    metrics = (tmp_path / "metrics.json").read_text()
    scores = json.loads(metrics)["scores"]
    assert list(scores) == ["teacher", "student"]
    assert scores["teacher"] != scores["student"]
    # Evaluating alone knows from the card that there is a teacher.
    again = tmp_path / "again"
    configs.append(configs[0].with_name("evaluate.json"))
    run_bundle(configs, *TINY[:2], *where, f"--test#evaluation#output_dir={again}", cwd=tmp_path)
    assert (again / "metrics.json").read_text() == metrics


def test_what_from_csv_wrote_is_trained_on_and_its_test_section_is_enough_to_evaluate(
    run_process: Callable[..., str], run_bundle: Callable[..., str], tmp_path: Path
) -> None:
    lines = ["image,mask,section"]
    for number, section in enumerate(["training"] * 4 + ["validation"] * 2 + ["test"] * 2):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[20 : 30 + number] = 1
        for name, values in (("image", 100 * mask + 50), ("mask", mask)):
            Image.fromarray(values.astype(np.uint8)).save(tmp_path / f"{name}{number}.png")
        lines.append(f"image{number}.png,mask{number}.png,{section}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    columns = ("--mask-column", "mask", "--section-column", "section", "--classes", "background", "cartilage")
    table = ("--csv", "table.csv", "--images", ".", "--out", "set", *columns)
    run_process("-m", "data_prep.from_csv", *table, cwd=tmp_path, forked=True)
    config = Path(__file__).resolve().parents[2] / "bundles" / NAME / "configs" / "train.json"
    where = ("--output_dir", str(tmp_path / "out"), "--ckpt_dir", str(tmp_path / "out" / "models"))
    run_bundle(config, *TINY, "--max_epochs", "1", "--dataset_dir", str(tmp_path / "set"), *where, cwd=tmp_path)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["dataset"], metrics["section"]) == ("table", "test")
    assert "dice/cartilage" in metrics["scores"]["student"]
    # A test section alone, in a file of any name, is enough to evaluate with.
    content = json.loads((tmp_path / "set" / "datalist.json").read_text())
    external = tmp_path / "set" / "external.json"
    external.write_text(json.dumps({**content, "training": [], "validation": []}))
    configs = [config, config.with_name("evaluate.json")]
    elsewhere = f"--test#evaluation#output_dir={tmp_path / 'again'}"
    run_bundle(configs, "--dataset_dir", str(external), *where, elsewhere, cwd=tmp_path)
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert again["scores"] == metrics["scores"]


def test_the_page_shows_the_runs_term_cases_and_settings(trained: tuple[Path, str]) -> None:
    bundle, printed = trained
    assert f"{bundle}/eval/report.html" in printed
    page = (bundle / "eval" / "report.html").read_text()
    said = ("Training: segmentation by epoch", "Dice of tibial cartilage", "Knee cartilage segmentation")
    for words in (*said, "best case: ", "typical case: ", "worst case: ", "HD95 (px) of meniscus"):
        assert words in page
    configuration = json.loads((bundle / "eval" / "configuration.json").read_text())
    assert (configuration["settings"]["image_size"], configuration["settings"]["max_epochs"]) == (SIZE, 3)
    assert list(configuration["recipe"]["criterion"]["terms"]) == ["segmentation", "consistency"]


def test_mlflow_keeps_the_run_its_page_and_the_model(
    run_bundle: Callable[..., str], knee_set: Path, tmp_path: Path
) -> None:
    config = Path(__file__).resolve().parents[2] / "bundles" / NAME / "configs" / "train.json"
    where = ("--output_dir", str(tmp_path), "--ckpt_dir", str(tmp_path / "models"))
    short = ("--max_epochs", "2", "--steps_per_epoch", "2", "--seed", "3")
    run_bundle(config, *TINY, *short, *where, "--tracking", "mlflow", cwd=tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlruns.db")
    experiment = client.get_experiment_by_name(NAME)
    wanted = (
        f"tags.bundle = '{NAME}' and tags.labelled_share = '1.0' and tags.seed = '3' and tags.terms = 'segmentation'"
        " and tags.method = 'U-Net'"
    )
    (run,) = client.search_runs([experiment.experiment_id], wanted)
    assert run.info.status == "FINISHED"
    assert run.data.tags["dataset_digest"] == json.loads((tmp_path / "metrics.json").read_text())["dataset_digest"]
    assert run.data.tags["dataset"] == "phantom knees, segmentation"
    settings = json.loads((tmp_path / "configuration.json").read_text())["settings"]
    assert {"learning_rate", "profile", "labelled_share", "image_size", "method"} <= settings.keys()
    assert {key: run.data.params.get(key) for key in settings} == {key: str(settings[key]) for key in settings}
    pictures = {file.path for file in client.list_artifacts(run.info.run_id, "figures")}
    assert {"figures/dice_student.svg", "figures/case_00_best.png"} <= pictures
    scores = {"test/student/dice", "test/student/hd95_px/femoral cartilage"}
    assert {"train_loss", "train_segmentation", "dice"} | scores <= run.data.metrics.keys()
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"metrics.json", "report.html", "predictions.csv", "configuration.json"} <= files
    (model,) = client.search_logged_models([experiment.experiment_id])
    folder = mlflow.artifacts.download_artifacts(artifact_uri=model.artifact_location, tracking_uri=client.tracking_uri)
    signature = mlflow.models.Model.load(folder).signature
    assert [spec.shape for spec in signature.inputs] == [(-1, 1, SIZE, SIZE)]
    assert [spec.shape for spec in signature.outputs] == [(-1, 4, SIZE, SIZE)]


@pytest.fixture(scope="session")
def segmented(
    trained: tuple[Path, str],
    run_bundle: Callable[..., str],
    knee_set: Path,
    elsewhere: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[str], str]:
    """A folder of images after inference, the images found before it, and what it printed."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "deep").mkdir()
    volume = shutil.copy(knee_set / "images" / "p0000.nii.gz", folder / "deep" / "knee.nii.gz")
    nib.save(nib.load(volume).as_reoriented(TURN), folder / "turned.nii")
    knee = knee_phantom(seed=0, index=3)
    write_dicom_series(folder / "series", knee.volume, knee.affine, "p3")
    Image.fromarray((knee.volume[:100, :, 2].T / 16).astype(np.uint8)).save(folder / "picture.png")
    (folder / "cut.nii.gz").write_bytes(Path(volume).read_bytes()[:4000])
    (folder / "notes.txt").write_text("no image")
    found = find_images(folder)
    config = Path(__file__).resolve().parents[2] / "bundles" / NAME / "configs" / "inference.json"
    root = ("--bundle_root", str(trained[0]))
    printed = run_bundle(
        config, *root, "--dataset_dir", str(folder), "--batch_size", "5", cwd=elsewhere, run_id="run", expect=1
    )
    return folder, found, printed


def test_what_cannot_be_read_is_listed_and_the_rest_done(segmented: tuple[Path, list[str], str]) -> None:
    folder, found, printed = segmented
    assert [str(Path(image).relative_to(folder)) for image in found] == [
        "cut.nii.gz",
        "deep/knee.nii.gz",
        "picture.png",
        "series",
        "turned.nii",
    ]
    assert "1 of 5 images could not be read (all others are done):" in printed
    assert f"{folder / 'cut.nii.gz'}: the file is damaged or cut short" in printed
    assert "Traceback" not in printed
    written = {str(file.relative_to(folder)) for file in folder.rglob("*_cartilage*")}
    assert written == {f"{n}_cartilage.nii.gz" for n in ("deep/knee", "series", "turned")} | {"picture_cartilage.png"}
    assert not list(folder.rglob(".*"))
    assert find_images(folder) == found


@pytest.mark.parametrize("name", ["deep/knee.nii.gz", "turned.nii", "series", "picture.png"])
def test_a_mask_is_the_networks_answer_in_the_images_geometry(
    name: str, trained: tuple[Path, str], segmented: tuple[Path, list[str], str]
) -> None:
    image = segmented[0] / name
    stem = str(image).removesuffix(".gz").removesuffix(".nii").removesuffix(".png")
    network = deployed(trained[0])
    batch = torch.stack([knee_mr(SIZE)(item)["image"] for item in slice_items(str(image))])
    with torch.no_grad():
        femoral = (network(batch).argmax(dim=1) == 1).to(torch.uint8)
    assert femoral.any()
    expected, affine = to_source_geometry(Dilate(3 * SIZE / 256)(femoral), str(image))
    if name == "picture.png":
        written = np.asarray(Image.open(f"{stem}_cartilage.png"))
    else:
        mask = nib.load(f"{stem}_cartilage.nii.gz")
        np.testing.assert_allclose(mask.affine, affine, atol=1e-5)
        assert mask.shape == read_grid(str(image)).stored
        written = np.asarray(mask.dataobj)
    # A pixel whose two best classes are within rounding may fall on either side of another batch's arithmetic.
    assert np.count_nonzero(written != expected) <= 2e-4 * expected.size


def test_turning_the_file_turns_the_mask(segmented: tuple[Path, list[str], str]) -> None:
    folder = segmented[0]
    straight = nib.load(folder / "deep" / "knee_cartilage.nii.gz").as_reoriented(TURN)
    turned = nib.load(folder / "turned_cartilage.nii.gz")
    np.testing.assert_allclose(straight.affine, turned.affine, atol=1e-5)
    assert np.mean(np.asarray(straight.dataobj) != np.asarray(turned.dataobj)) < 1e-3


def test_monais_checks_pass(trained: tuple[Path, str], metadata_schema: Path, own_cache: Path) -> None:
    bundle, _ = trained
    configs = bundle / "configs"
    tiny = {"phantoms#people": 8, "image_size": SIZE, "channels": [8, 16], "output_dir": str(bundle / "checked")}
    train = workflow(bundle, "train", "train.json", **tiny)
    train.initialize()
    assert train.check_properties() == []
    inference = workflow(bundle)
    inference.initialize()
    assert inference.check_properties() == []
    for config in ("train.json", "evaluate.json", "inference.json"):
        content = json.loads((configs / config).read_text())
        assert "run" in content
        assert config == "inference.json" or "training" in content
    meta = str(configs / "metadata.json")
    verify_metadata(meta_file=meta, filepath=str(metadata_schema))
    for n in (1, 3):
        verify_net_in_out("network_def", meta_file=meta, config_file=str(configs / "inference.json"), device="cpu", n=n)
    version, changes = (json.loads(Path(meta).read_text())[key] for key in ("version", "changelog"))
    assert version in changes


def test_rows_of_an_evaluation_and_frozen_averages_are_keys(
    copy_bundle: Callable[[str], Path], knee_set: Path, own_cache: Path
) -> None:
    given = {"phantoms#people": 8, "image_size": SIZE, "channels": [8, 16], "max_epochs": 1, "steps_per_epoch": 1}
    bundle = copy_bundle(NAME)
    keys = {"evaluation_rows": 7, "frozen_norm": True}
    train = workflow(bundle, "train", "train.json", **given, **keys, bundle_root=str(bundle))
    train.initialize()
    parsed = train.parser.get_parsed_content
    assert [parsed(f"{part}#dataloader").batch_size for part in ("validate", "test")] == [7, 7]
    student = parsed("student")
    averages = {name: value.clone() for name, value in student.state_dict().items() if "running" in name}
    before = student.state_dict()["model.0.conv.unit0.conv.weight"].clone()
    train.run()
    after = student.state_dict()
    assert averages
    assert all(torch.equal(after[name], value) for name, value in averages.items())
    assert not torch.equal(after["model.0.conv.unit0.conv.weight"], before)


def test_the_exported_script_equals_the_network(trained: tuple[Path, str], tmp_path: Path) -> None:
    bundle, _ = trained
    file = tmp_path / "model.ts"
    ckpt_export(
        "network_def",
        filepath=str(file),
        ckpt_file=str(bundle / "models" / "model.pt"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
    )
    image = torch.rand(2, 1, SIZE, SIZE)
    with torch.no_grad():
        eager = deployed(bundle)(image)
        torch.testing.assert_close(torch.jit.load(file)(image), eager, atol=1e-5, rtol=0)
    torch.testing.assert_close(eager.sum(dim=1), torch.ones(2, SIZE, SIZE))
    assert eager.std() > 0.01


def test_another_networks_weights_are_refused(
    trained: tuple[Path, str], copy_bundle: Callable[[str], Path], own_cache: Path
) -> None:
    bundle = copy_bundle(NAME)
    (bundle / "models").mkdir()
    shutil.copy(trained[0] / "models" / "model.pt", bundle / "models")  # but not its card: the paper's network is built
    with pytest.raises(RuntimeError) as raised:
        workflow(bundle).initialize()
    assert re.search(
        r"model\.pt cannot be loaded.*the weights of another network", str(cause_of(raised.value)), re.DOTALL
    )


@pytest.fixture(scope="session")
def masked(
    trained: tuple[Path, str], run_process: Callable[..., str], knee_set: Path, elsewhere: Path, tmp_path_factory: Any
) -> Path:
    """The phantoms' grading datalist with the segmenter's masks in place of its own."""
    out: Path = tmp_path_factory.mktemp("masked") / "with_masks.json"
    arguments = ("--datalist", str(knee_set), "--bundle", str(trained[0]), "--out", str(out), "--dilation", "8")
    run_process("-m", "data_prep.cartilage_masks", *arguments, cwd=elsewhere, forked=True)
    return out


def test_a_datalist_gets_masks_and_keeps_the_rest(masked: Path, trained: tuple[Path, str], knee_set: Path) -> None:
    before, after = Datalist(knee_set), Datalist(masked)
    assert (after.name, after.classes) == (before.name, before.classes)
    for old, new in (
        (before.labelled(), after.labelled()),
        *((before.section(name), after.section(name)) for name in ("validation", "test")),
    ):
        for known, found in zip(old, new, strict=True):
            image = {"image": os.path.normpath(found["image"])}
            assert {**known, "mask": None} == {**found, **image, "mask": None}
            assert Path(found["mask"]).is_relative_to(masked.parent / "with_masks")
    facts = after.provenance["cartilage_masks"]
    weights = hashlib.sha256((trained[0] / "models" / "model.pt").read_bytes()).hexdigest()
    assert (facts["weights_sha256"], facts["dilation_radius"]) == (weights, 8)
    assert after.provenance["generator"] == before.provenance["generator"]


def test_its_masks_are_dilated_femoral_cartilage(masked: Path, trained: tuple[Path, str]) -> None:
    item = Datalist(masked).section("test")[0]
    with torch.no_grad():
        scores = deployed(trained[0])(knee_mr(SIZE)(item)["image"][None])[0]
    expected = Dilate(8 * SIZE / 256)((scores.argmax(dim=0) == 1).to(torch.uint8))
    found = knee_mr(SIZE)(item)["mask"][0]
    assert (found != expected).float().mean() < 0.01
    assert expected.any()


def test_masks_are_refused_where_they_would_mislead(
    copy_bundle: Callable[[str], Path], knee_set: Path, tmp_path: Path, own_cache: Path
) -> None:
    untrained, out = str(copy_bundle(NAME)), str(tmp_path / "new.json")
    with pytest.raises(SystemExit, match=r"no weights at .*run training --config_file .*train\.json"):
        cartilage_masks.main(["--datalist", str(knee_set), "--out", out, "--bundle", untrained])
    with pytest.raises(SystemExit, match="no item has a grade"):
        cartilage_masks.main(["--datalist", str(knee_set / "segmentation.json"), "--out", out, "--bundle", untrained])
    with pytest.raises(SystemExit, match="a name of its own"):
        cartilage_masks.main(["--datalist", str(knee_set), "--out", str(knee_set / "datalist.json")])
    with pytest.raises(SystemExit, match="no bundle"):
        cartilage_masks.main(["--datalist", str(knee_set), "--out", out, "--bundle", str(tmp_path)])
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_train_together(
    copy_bundle: Callable[[str], Path], run_process: Callable[..., str], knee_set: Path, elsewhere: Path
) -> None:
    bundle = copy_bundle(NAME)
    configs = json.dumps([str(bundle / "configs" / name) for name in ("train.json", "multi_gpu_train.json")])
    launch = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "monai.bundle", "run", "training")
    run_process(*launch, "--config_file", configs, *TINY, *SHORT, cwd=elsewhere)
    assert len((bundle / "eval" / "predictions.csv").read_text().splitlines()) == 1 + 2 * 6
    assert (bundle / "eval" / "report.html").is_file()
    deployed(bundle)
