"""Published CIFAR-10 networks of up to a million parameters: what a search's trials are drawn against.

Only figures that were read in the source named. Every accuracy is that of the authors, on the 10,000 original
test images and without test-time augmentation as far as the source says.
"""

from dataclasses import dataclass

from records.run import DatasetFacts
from reports.tables.table import Column, Table, millions, percents

CLASSES = frozenset(
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)
REACH = 3.5
"""Charts leave out a network with more parameters than this many times the largest trial."""


@dataclass(frozen=True)
class Published:
    """One network as its authors report it."""

    name: str
    params: int
    """As published, so often rounded to three digits."""
    accuracy: float
    """Test accuracy, 0-1."""
    macs: int | None
    """Multiply-accumulates per image; None where neither the source nor its code says."""
    conditions: str
    """What a reader must know to compare."""
    source: str
    """Where it is written."""


NETWORKS = (
    Published("TinyVision 22k", 22_100, 0.8738, None, "runs not stated", "github SaptakBhoumik/TinyVision"),
    Published("TinyVision 31k", 31_200, 0.8843, None, "runs not stated", "github SaptakBhoumik/TinyVision"),
    Published(
        *("cifar10-tiny, half width", 49_000, 0.81, None),
        *("weak augmentation, dropout 0.5", "github soyflourbread/cifar10-tiny"),
    ),
    Published(
        *("TinyVision model6", 56_100, 0.8794, 5_500_000),
        *("60 epochs, epoch chosen on the test images", "github SaptakBhoumik/TinyVision, model6.ipynb"),
    ),
    Published(
        *("ResNet-20, width 8", 68_800, 0.8229, None),
        *("multi-step rate, early stop", "huggingface sapbot/resnet-cifar10-68k"),
    ),
    Published(
        *("ResNet-8 (MLPerf Tiny)", 78_186, 0.862, 12_501_632),
        *("500 epochs; MACs by rfcalc", "github SiliconLabs and mlcommons/tiny"),
    ),
    Published(
        *("EVA6 student", 86_816, 0.8723, 19_700_000),
        *("100 epochs, the last one; its best on the test images is 87.26 %", "github vivek-a81/EVA6"),
    ),
    Published(
        *("Tiniest", 97_500, 0.944, 43_900_000),
        *("200 epochs, mean of 5 runs; MACs computed from its code", "github xvel/cifar10-tiniest"),
    ),
    Published(
        *("Transposed student", 98_089, 0.8194, 86_119_936),
        *("MACs by rfcalc of the rebuilt network", "docs/published-networks.md, cifar10_transpose"),
    ),
    Published("EVA S7", 126_000, 0.8702, None, "49 epochs", "github safal-singh/CIFAR10-S7"),
    Published("CondenseNet-50", 220_000, 0.9378, 28_600_000, "300 epochs", "github ShichenLiu/CondenseNet"),
    Published("ResNet-20", 272_000, 0.9125, 41_000_000, "the paper's recipe", "arXiv 1512.03385"),
    Published(
        "ResNet-20, long", 272_000, 0.9403, 41_000_000, "pytorchcv's longer recipe", "pytorchcv README"
    ),
    Published("CCT-2/3x2", 284_000, 0.8917, 33_000_000, "200 epochs", "github SHI-Labs/Compact-Transformers"),
    Published(
        *("ShuffleNetV2 x0.5", 350_000, 0.9013, 10_900_000),
        *("runs not stated", "github chenyaofo/pytorch-cifar-models"),
    ),
    Published("CondenseNet-74", 410_000, 0.9472, 51_900_000, "300 epochs", "github ShichenLiu/CondenseNet"),
    Published("Shake-Shake-20-2x16d", 541_000, 0.9485, 82_000_000, "runs not stated", "pytorchcv README"),
    Published("DenseNet-40-12", 599_000, 0.9439, 211_000_000, "runs not stated", "pytorchcv README"),
    Published(
        *("MobileNetV2 x0.5", 700_000, 0.9288, 28_000_000),
        *("runs not stated", "github chenyaofo/pytorch-cifar-models"),
    ),
    Published("ResNet-56", 856_000, 0.9548, 127_000_000, "runs not stated", "pytorchcv README"),
)


def published_for(dataset: DatasetFacts) -> tuple[Published, ...]:
    """Return the networks that a run on these images may be drawn against: none unless they are CIFAR-10."""
    same = dataset.kind != "shapes" and set(dataset.classes) == CLASSES and dataset.image_size == (32, 32)
    return NETWORKS if same else ()


def within_reach(networks: tuple[Published, ...], largest: int) -> tuple[Published, ...]:
    """Return those that a chart of trials of at most `largest` parameters still has room for."""
    return tuple(network for network in networks if network.params <= REACH * largest)


def table_of(networks: tuple[Published, ...]) -> Table:
    """One row a network, the smallest first."""
    columns = (
        Column("network"),
        Column("params", millions, number=True),
        Column("MACs", millions, number=True),
        percents("test accuracy"),
        Column("conditions"),
        Column("source"),
    )
    rows = tuple((n.name, n.params, n.macs, n.accuracy, n.conditions, n.source) for n in networks)
    return Table("Published networks (original CIFAR-10 test images)", columns, rows)
