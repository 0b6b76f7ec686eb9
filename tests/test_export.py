"""Every bundle's network as TorchScript and ONNX, and what the command says where that cannot be."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import monai.networks
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import load_net_with_metadata
from monai.networks.trt_compiler import TrtCompiler
from onnx import numpy_helper
from PIL import Image
from small_bundles import CARDS
from torch import Tensor, nn

import semimed_monai.export
from semimed_monai.export import ANSWER, BATCHES, FORMATS, IMAGE, TOLERANCE, compared, main, random_images
from semimed_monai.networks import deployed_network

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory, place_bundles: Callable[..., Path]) -> Path:
    """A folder with all bundles, none of whose files a test may change."""
    return place_bundles(tmp_path_factory.mktemp("user"), *CARDS)


@pytest.fixture
def here(user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, with these bundles."""
    (tmp_path / "bundles").symlink_to(user / "bundles")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def network_of(bundle: Path) -> nn.Module:
    """Eager, built by hand from the files."""
    network = deployed_network(json.loads((bundle / "models/network.json").read_text())).eval()
    network.load_state_dict(torch.load(bundle / "models/model.pt", weights_only=True))
    return network


def images_of(bundle: Path, rows: int) -> Tensor:
    """Other ones than the command tries."""
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    size = json.loads((bundle / "models/network.json").read_text())["size"]
    channels = metadata["network_data_format"]["inputs"]["image"]["num_channels"]
    return torch.rand(rows, channels, size, size, generator=torch.Generator().manual_seed(7))


def run_onnx(file: Path, images: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: images.numpy()})[0])


def commands() -> list[list[str]]:
    """Of README's section, each without `python -m`."""
    section = re.search(r"^## Export\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert section
    return [shlex.split(line)[2:] for line in re.findall(r"```bash\n(.*?)\n```", section[1], re.DOTALL)]


def test_the_readme_s_command(run_program: Callable[..., tuple[int, str]], here: Path) -> None:
    code, said = run_program(*commands()[0], cwd=here)
    assert code == 0, said
    assert sorted(file.name for file in (here / "exports/dcmt").iterdir()) == ["model.onnx", "model.ts"]
    assert re.search(r"exports/dcmt/model.onnx  \d+ bytes  differs from the network by \d\.\de-\d\d at most\n", said)
    assert "Warning" not in said
    assert "deprecated" not in said


def test_the_readme_s_command_with_tensorrt(run_program: Callable[..., tuple[int, str]], here: Path) -> None:
    """Where there is none it is an ordinary run, which says so."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(here / "knee.png")
    *command, path = commands()[1]
    assert path == "PATH"
    code, said = run_program(*command, "knee.png", "--device", "cpu", "--output_dir", "out", cwd=here)
    assert code == 0, said
    assert "trt_compile() has no effect" in said
    assert (here / "out/predictions.csv").is_file()


def hold_to_network(bundle: Path, out: Path, rows: int) -> None:
    """What the command wrote of a bundle gives what the network gives."""
    network, images = network_of(bundle), images_of(bundle, rows)
    script, metadata, files = load_net_with_metadata(str(out / "model.ts"), more_extra_files=["inference.json"])
    with torch.no_grad():
        wanted = network(images)
        assert float((wanted[1:] - wanted[:-1]).abs().max()) > 100 * TOLERANCE  # one answer for all would not do
        torch.testing.assert_close(script(images), wanted, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(run_onnx(out / "model.onnx", images), wanted, atol=TOLERANCE, rtol=0)
    assert metadata == json.loads((bundle / "configs/metadata.json").read_text())
    assert json.loads(files["inference.json"]) == json.loads((bundle / "configs/inference.json").read_text())
    graph = onnx.load(str(out / "model.onnx")).graph
    (given,), (answer,) = graph.input, graph.output
    assert (given.name, answer.name) == (IMAGE, ANSWER)
    assert given.type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize("name", CARDS)
def test_both_files_are_the_network(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([name, "--to", "out"])
    assert len(capsys.readouterr().out.splitlines()) == len(FORMATS)
    rows = 5
    assert rows not in BATCHES
    hold_to_network(here / "bundles" / name, Path("out", name), rows)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CARDS)
def test_so_they_are_at_the_papers_size(name: str, tmp_path: Path, place_bundles: Callable[..., Path]) -> None:
    bundle = place_bundles(tmp_path, name, small=False) / "bundles" / name
    main([str(bundle), "--to", str(tmp_path / "out")])
    hold_to_network(bundle, tmp_path / "out" / name, rows=2)


def test_other_weights_and_a_folder_of_its_own(here: Path, tmp_path: Path) -> None:
    """--ckpt_dir is a training's own, and so is its network.json."""
    models = tmp_path / "run" / "models"
    models.mkdir(parents=True)
    card = json.loads((here / "bundles/pcam/models/network.json").read_text())
    network = deployed_network({**card, "arguments": {**card["arguments"], "widths": [4, 8, 16, 16]}})
    (models / "network.json").write_text(json.dumps({**card, "size": 48, "arguments": network.arguments}))
    torch.save(network.state_dict(), models / "model.pt")
    main([str(here / "bundles/pcam"), "--ckpt_dir", "run/models", "--to", "out"])
    images = torch.rand(4, 1, 48, 48)
    with torch.no_grad():
        wanted = network.eval()(images)
    torch.testing.assert_close(run_onnx(Path("out/pcam/model.onnx"), images), wanted, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("rows", BATCHES)
def test_a_difference_in_any_batch_is_seen(rows: int) -> None:
    def breaks(images: Tensor) -> Tensor:
        return images + 0.01 if len(images) == rows else images

    with pytest.raises(ValueError, match=r"model\.onnx differs from the network by 1\.0e-02"):
        compared(torch.clone, breaks, random_images(1, 4), "model.onnx")


def test_what_is_compared_on_is_noise() -> None:
    assert [images.shape for images in random_images(3, 16)] == [(rows, 3, 16, 16) for rows in BATCHES]
    assert all(images.std() > 0.25 for images in random_images(3, 16))  # √1/12 is 0.29


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1) -> str:
    """What the command says as it refuses, having written nothing."""
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--to", "out"])
    assert stopped.value.code == code
    assert not Path("out").exists()
    return capsys.readouterr().err


def test_what_is_wrong_is_said_and_nothing_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty, other = here / "empty", here / "other"
    empty.mkdir()
    other.mkdir()
    (other / "network.json").write_bytes((here / "bundles/dcmt/models/network.json").read_bytes())
    (other / "model.pt").write_bytes((here / "bundles/pcam/models/model.pt").read_bytes())
    assert refused(capsys, "knees").startswith("error: knees is no bundle, it has no configs/metadata.json: give")
    said = refused(capsys, "pcam", "--ckpt_dir", "empty")
    assert said.startswith(f"error: there are no weights at {empty}/model.pt; this makes them: python -m monai.bundle")
    said = refused(capsys, "dcmt", "--ckpt_dir", "other")
    assert said.startswith(f"error: {other}/model.pt cannot be loaded: these are the weights of another network")
    (other / "network.json").write_text("{")
    assert refused(capsys, "dcmt", "--ckpt_dir", "other").startswith(f"error: {other}/network.json is no card")
    assert "the weights of one bundle" in refused(capsys, "dcmt", "pcam", "--ckpt_dir", "other")
    assert "rename the file or folder" in refused(capsys, "dcmt", "--ckpt_dir", "a#b")


def test_without_its_extra(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semimed_monai.export, "find_spec", lambda name: None if name == "onnx" else name)
    said = refused(capsys, "dcmt")
    assert said == "error: export needs onnx, not installed here: pip install onnx\n"


def test_a_full_disk(here: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["pcam", "--to", str(small_disk / "exports")])
    assert stopped.value.code == 1
    refusal = r"exports/pcam cannot be written \(it takes about \d+ bytes, and \d+ are free\): make room"
    assert re.search(refusal, capsys.readouterr().err)
    assert list(small_disk.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "exports/pcam").mkdir(parents=True)
    (here / "exports/pcam/notes.txt").write_text("mine")
    with pytest.raises(SystemExit):
        main(["pcam"])
    assert "holds notes.txt, which this command did not write" in capsys.readouterr().err
    assert [file.name for file in (here / "exports/pcam").iterdir()] == ["notes.txt"]


def planted(change: Callable[[Path], object]) -> Callable[..., None]:
    """MONAI's onnx_export, whose file then changes."""
    write = semimed_monai.export.onnx_export

    def exported(**given: Any) -> None:
        write(**given)
        change(Path(given["filepath"]))

    return exported


def shift_a_bias(file: Path) -> None:
    """The last one by 0.01, as an exporter that is wrong might."""
    model = onnx.load(file)
    bias = [weight for weight in model.graph.initializer if weight.name == "head.bias"][-1]
    shifted = numpy_helper.to_array(bias) + np.array([0.01, 0])
    bias.CopyFrom(numpy_helper.from_array(shifted.astype("float32"), bias.name))
    onnx.save(model, file)


def test_a_file_that_gives_something_else_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semimed_monai.export, "onnx_export", planted(shift_a_bias))
    said = refused(capsys, "pcam")
    assert re.match(r"error: model\.onnx differs from the network by \d\.\de-03, and may by 1\.0e-04", said), said
    main(["pcam", "--to", "out", "--tolerance", "0.01"])
    assert Path("out/pcam/model.onnx").is_file()


@pytest.mark.parametrize("before", [False, True])
def test_ctrl_c_leaves_what_was_there(
    before: bool, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(file: Path) -> None:
        file.write_bytes(file.read_bytes()[:1000])
        raise KeyboardInterrupt

    old = dict.fromkeys(FORMATS, b"old") if before else {}
    for name, content in old.items():
        (here / "out/pcam").mkdir(parents=True, exist_ok=True)
        (here / "out/pcam" / name).write_bytes(content)
    monkeypatch.setattr(semimed_monai.export, "onnx_export", planted(interrupt))
    with pytest.raises(SystemExit) as stopped:
        main(["pcam", "--to", "out"])
    assert (stopped.value.code, capsys.readouterr().err.splitlines()[-1]) == (130, "stopped")
    assert {file.name: file.read_bytes() for file in (here / "out").rglob("*") if file.is_file()} == old
    assert (here / "out").exists() == before


@pytest.mark.parametrize(
    "exported",
    [
        lambda images: images + 1.1 * TOLERANCE,
        lambda images: torch.where(images > 0.99, torch.nan, images),
        lambda images: images[:1],
        lambda images: images[..., None],
    ],
    ids=["too far", "no number", "one row of two", "a dimension more"],
)
def test_what_the_comparison_refuses(exported: Callable[[Tensor], Tensor]) -> None:
    images = torch.linspace(0, 1, 8).view(2, 1, 2, 2)
    assert compared(lambda given: given, lambda given: given + 0.9 * TOLERANCE, [images], "a") < TOLERANCE
    with pytest.raises(ValueError, match="it is not written"):
        compared(lambda given: given, exported, [torch.zeros(1, 1, 2, 2), images], "a")


def with_tensorrt(bundle: Path) -> ConfigParser:
    """As `run --config_file "['inference.json','inference_trt.json']"` reads it."""
    parser = ConfigParser()
    parser.read_config([str(bundle / "configs" / f"{name}.json") for name in ("inference", "inference_trt")])
    parser["bundle_root"], parser["device"] = str(bundle), "cpu"
    return parser


@pytest.mark.filterwarnings("ignore")  # of tracing
@pytest.mark.parametrize("name", CARDS)
def test_what_tensorrt_is_given(name: str, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The network, the place of its weights, and arguments with which MONAI's compiler makes the network's ONNX."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(monai.networks, "trt_compile", lambda model, **more: given.update(model=model, **more) or model)
    bundle = here / "bundles" / name
    parser = with_tensorrt(bundle)
    network = parser.get_parsed_content("network").eval()
    assert network is given["model"] is parser.get_parsed_content("network_def")
    assert Path(given["base_path"]) == bundle / "models/model.pt"
    network.load_state_dict(torch.load(bundle / "models/model.pt", weights_only=True))

    most = given["args"]["dynamic_batchsize"][2]
    assert most == parser.get_parsed_content("batch_size")
    compiler = TrtCompiler(network, str(tmp_path / "model.plan"), **given["args"])
    monkeypatch.setattr(compiler, "_onnx_to_trt", lambda file: Path(file).read_bytes())
    compiler._build_and_save(network, {"images": images_of(bundle, most)})
    images = images_of(bundle, 3)
    with torch.no_grad():
        torch.testing.assert_close(run_onnx(tmp_path / "model.plan", images), network(images), atol=1e-4, rtol=0)


def test_without_tensorrt_the_network_is_as_it_was(here: Path) -> None:
    parser = with_tensorrt(here / "bundles/pcam")
    network = parser.get_parsed_content("network")
    images = images_of(here / "bundles/pcam", 2)
    with torch.no_grad():
        assert torch.equal(network.eval()(images), parser.get_parsed_content("network_def")(images))
    assert not hasattr(network, "_trt_compiler")
