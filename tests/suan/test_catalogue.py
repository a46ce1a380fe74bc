"""The catalogue: names, figures, sources, and that it says what the collected data says."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.model import Precision
from suan import catalogue
from suan.catalogue import Status, view
from suan.catalogue.catalogue import normalise, parse
from suan.catalogue.entry import FIGURES, PEAKS
from suan.errors import NotFound

DATA = Path(__file__).parents[3] / "shared" / "data" / "accelerators.csv"
CATALOGUE = catalogue.load()

PROMISED = {
    *("ascend-910b", "ascend-910c", "ascend-950pr", "ascend-950dt", "ascend-960", "ascend-970"),
    *("hygon-z100", "hygon-k100", "hygon-k100-ai", "hygon-bw1000"),
    *("nvidia-a100", "nvidia-a800", "nvidia-h100", "nvidia-h200", "nvidia-h800", "nvidia-h20"),
    *("nvidia-b200", "cambricon-mlu590", "metax-c500"),
}


def test_promised_models_are_there() -> None:
    assert set(CATALOGUE.models()) >= PROMISED


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("ascend-910b", "ascend-910b"),
        ("ASCEND_910B", "ascend-910b"),
        ("910B3", "ascend-910b"),
        ("Ascend910B2", "ascend-910b"),
        ("huawei.com/Ascend910B3", "ascend-910b"),
        ("huawei.com/Ascend910B4", "ascend-910b4"),
        ("huawei.com/Ascend910B4-1", "ascend-910b"),
        ("npu:910B3", "ascend-910b"),
        ("Ascend910_9392", "ascend-910c"),
        ("Ascend950PR_9599", "ascend-950pr"),
        ("dcu:K100-PCIE-64GB-LS", "hygon-k100"),
        ("K100-PCIE-64GB-LS", "hygon-k100"),
        ("K100_AI", "hygon-k100-ai"),
        ("dcu:k100", "hygon-k100"),
        ("BW1000", "hygon-bw1000"),
        ("NVIDIA A100-SXM4-80GB", "nvidia-a100"),
        ("NVIDIA-A100-SXM4-80GB", "nvidia-a100"),
        ("NVIDIA A100-SXM4-40GB", "nvidia-a100-40gb"),
        ("NVIDIA H200", "nvidia-h200"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100"),
        ("gpu:h100", "nvidia-h100"),
        ("昇腾910B", "ascend-910b"),
    ],
)
def test_a_name_means_its_model(name: str, model: str) -> None:
    assert CATALOGUE.resolve(name) == model


@pytest.mark.parametrize(
    "name",
    [
        *("", "-", "tpu-v5", "x" * 10_000, "Ascend910"),
        *("huawei.com/Ascend910", "nvidia.com/gpu", "hygon.com/dcu", "dcu:h100"),
    ],
)
def test_a_name_that_means_no_one_model_resolves_to_none(name: str) -> None:
    assert CATALOGUE.resolve(name) is None


def test_npu_smi_calls_a_die_of_the_910c_by_a_word_that_is_ambiguous_elsewhere() -> None:
    assert CATALOGUE.resolve_reported("npu-smi", "Ascend910") == "ascend-910c"
    assert CATALOGUE.resolve_reported("kubernetes", "huawei.com/Ascend910") is None
    assert CATALOGUE.resolve_reported("npu-smi", "910B3") == "ascend-910b"


def test_every_name_of_an_entry_resolves_to_it() -> None:
    for entry in CATALOGUE.entries():
        for name in (entry.model, entry.title, *entry.aliases):
            assert CATALOGUE.resolve(name) == entry.model
        for tool, names in entry.raw.items():
            assert tool in CATALOGUE.raw_sources
            for name in names:
                assert CATALOGUE.resolve_reported(tool, name) == entry.model


def test_a_name_with_two_owners_is_refused() -> None:
    row = {"title": "T", "vendor": "V", "kind": "gpu", "figures": {}}
    rows = [{**row, "model": "a-1", "aliases": ["x"]}, {**row, "model": "a-2", "aliases": ["X "]}]
    document = {"sources": {}, "raw_sources": {}, "accelerators": rows}
    with pytest.raises(ValueError, match="means both a-1 and a-2"):
        parse(json.dumps(document))


def test_every_figure_has_a_known_name_source_and_sane_value() -> None:
    used = set()
    for entry in CATALOGUE.entries():
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", entry.model)
        assert entry.kind in {"npu", "dcu", "gpu"}
        assert entry.figures, entry.model
        for name, figure in entry.figures.items():
            assert name in FIGURES
            assert figure.source in CATALOGUE.sources
            assert 0 < figure.value < 1e5
            used.add(figure.source)
    assert used == set(CATALOGUE.sources)


def test_the_scheduler_sees_usable_figures_only() -> None:
    k100 = CATALOGUE.get("K100_AI")
    assert (k100.model, k100.vendor, k100.kind) == ("hygon-k100-ai", "Hygon", "dcu")
    assert (k100.peak(Precision.BF16), k100.memory_gib, k100.supernode_cards) == (196, 64, 8)
    assert k100.peak(Precision.FP8) == 0.0  # no figure: unknown, not invented
    c910 = CATALOGUE.get("ascend-910c")
    assert (c910.dies_per_card, c910.memory_gib, c910.supernode_cards) == (2, 128, 384)
    for entry in CATALOGUE.entries():
        accelerator = entry.accelerator()
        usable = {PEAKS[n]: f.value for n, f in entry.figures.items() if n in PEAKS and f.usable}
        assert dict(accelerator.peak_tflops) == usable
    rumour = CATALOGUE.entry("cambricon-mlu590")
    assert not rumour.verified
    assert rumour.figures["memory_gib"].status is Status.UNVERIFIED
    assert CATALOGUE.get("cambricon-mlu590").memory_gib == 0.0


def test_an_unknown_model_is_named_with_what_it_may_have_meant() -> None:
    with pytest.raises(NotFound) as caught:
        CATALOGUE.get("ascend-910d")
    assert caught.value.code == "UnknownAccelerator"
    assert "ascend-910b" in caught.value.hint
    assert CATALOGUE.suggest("k100-a1")[0] == "hygon-k100-ai"
    assert CATALOGUE.suggest("H10O")[0].startswith("nvidia-h100")
    assert CATALOGUE.suggest("") == []
    assert len(CATALOGUE.suggest("nvidia")) == 3
    assert CATALOGUE.suggest("quantum-annealer-9000") == []


def test_kind_and_vendor() -> None:
    assert CATALOGUE.kind("910B") == "npu"
    assert CATALOGUE.kind("BW1000") == "dcu"
    assert CATALOGUE.vendor("h20") == "NVIDIA"


def test_rows_mark_what_is_unverified_and_what_is_unknown() -> None:
    rows = {
        row[0]: dict(zip(view.COLUMNS, row, strict=True)) for row in view.rows(CATALOGUE.entries())
    }
    assert rows["hygon-z100"]["MEMORY GiB"] == "32?"
    assert rows["ascend-910c"]["DIES"] == "2"
    assert rows["nvidia-h20"]["FP4 TF"] == "–"
    assert rows["nvidia-h20"]["BF16 TF"] == "148"
    cited = list(view.source_rows(CATALOGUE, [CATALOGUE.entry("nvidia-h20")]))
    assert ("nvidia-h20", "bf16_tflops", "148", "verified") in {row[:4] for row in cited}
    assert all(len(row) == len(view.SOURCE_COLUMNS) and row[4] for row in cited)


def test_importing_reads_no_file() -> None:
    probe = (
        "import builtins, io, sys\n"
        "import suan.catalogue.catalogue as module\n"
        "print(module.load.cache_info().currsize, 'rich' in sys.modules, 'yaml' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == ["0", "False", "False"]


# The collected data: its columns and the figures they became.
COLUMNS = {
    "FP64_TF": "fp64_tflops",
    "FP32_TF": "fp32_tflops",
    "BF16_FP16_TF": "bf16_tflops",
    "FP8_TF": "fp8_tflops",
    "INT8_TOPS": "int8_tops",
    "FP4_TF": "fp4_tflops",
    "HBM_GB": "memory_gib",
    "HBM_TBps": "memory_tb_per_second",
    "scaleup_GBps_per_card": "supernode_gb_per_second",
    "TDP_W": "power_watts",
}
SYSTEMS = re.compile(r"\(system\)|SuperPoD|scaleX")


@pytest.mark.skipif(not DATA.exists(), reason="the collected data (shared/data) is not here")
def test_figures_are_those_of_the_collected_data() -> None:
    compared = 0
    with DATA.open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if not SYSTEMS.search(row["name"])]
    for row in rows:
        model = _model_of(row["name"])
        entry = CATALOGUE.entry(model)
        for column, name in COLUMNS.items():
            compared += _agrees(row[column], entry.figures.get(name), f"{model} {name}")
    assert compared > 100


def _model_of(name: str) -> str:
    words = re.sub(r"\(.*\)", "", name.split("/")[0]).split()
    candidates = (name, " ".join(words), words[-1], *words)
    return next(model for word in candidates if (model := CATALOGUE.resolve(word)))


def _agrees(cell: str, figure: catalogue.Figure | None, where: str) -> int:
    """A plain number is taken over, a range by its lower end, one in brackets as unverified."""
    number = re.search(r"[0-9.]+", cell)
    if number is None:
        return 0
    # A headline of unstated precision is no peak, and H800's brackets found a source since.
    if "headline" in cell or where.startswith("nvidia-h800"):
        return 0
    assert figure is not None, where
    assert figure.value == pytest.approx(float(number[0])), where
    if cell.startswith("("):
        assert figure.status is Status.UNVERIFIED, where
    return 1


def test_normalise_keeps_letters_and_digits_only() -> None:
    assert normalise(" NVIDIA A100-SXM4_80GB ") == "nvidiaa100sxm480gb"
