"""CIFAR-10: 60,000 images of 32x32 pixels in ten classes. A test compares this with torchvision's reader."""

from training.data.cifar import Source, content
from training.data.named import Named

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SOURCE = Source(
    title="CIFAR-10",
    classes=CLASSES,
    labels="labels",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    filename="cifar-10-python.tar.gz",
    md5="c58f30108f718f92721af3b95e74349a",
    size=170_498_071,
    folder="cifar-10-batches-py",
    train=(
        ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
        ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
        ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
        ("data_batch_4", "634d18415352ddfa80567beed471001a"),
        ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
    ),
    test=(("test_batch", "40351d587109b95175f43aff81a1287e"),),
    train_images=50_000,
    test_images=10_000,
)
DATA = Named(
    "cifar10", SOURCE.title, 32, lambda root, console: content(root, console, SOURCE), archive=SOURCE.filename
)
