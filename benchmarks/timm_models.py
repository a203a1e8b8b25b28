"""rfcalc over timm's architectures: parameters, receptive field, flags, and time against torchinfo.

    python -m benchmarks.timm_models [--part 1/3] [--markdown FILE] [NAME ...]

Random weights, each network at the input size that timm names for it. Times are CPU seconds of this process
on one thread (not seconds of the clock, which other programs share), the smaller of two runs each, in turns.
timm is an optional dependency: `pip install timm`.
"""

import argparse
import platform
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import torchinfo
from torch import nn

from rfcalc.analysis.analyze import analyze
from rfcalc.analysis.result import Analysis

# One of each family that timm builds in a few seconds; its smallest member, where sizes run the same ops.
MODELS = [
    "beit_base_patch16_224",
    "bat_resnext26ts",
    "botnet26t_256",
    "caformer_s18",
    "cait_xxs24_224",
    "coat_lite_tiny",
    "coat_tiny",
    "coatnet_0_224",
    "convformer_s18",
    "convit_tiny",
    "convmixer_768_32",
    "convnext_atto",
    "convnextv2_atto",
    "crossvit_9_240",
    "cs3darknet_m",
    "cspresnet50",
    "darknet53",
    "davit_tiny",
    "deit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "densenet121",
    "dla34",
    "dm_nfnet_f0",
    "dpn68",
    "eca_halonext26ts",
    "eca_nfnet_l0",
    "edgenext_xx_small",
    "efficientformer_l1",
    "efficientformerv2_s0",
    "efficientnet_b0",
    "efficientnet_lite0",
    "efficientvit_b0",
    "efficientvit_m0",
    "ese_vovnet19b_dw",
    "eva02_tiny_patch14_224",
    "fastvit_t8",
    "fbnetc_100",
    "focalnet_tiny_srf",
    "gcresnet50t",
    "gcvit_xxtiny",
    "gernet_s",
    "ghostnet_100",
    "ghostnetv2_100",
    "gmlp_s16_224",
    "halonet26t",
    "hardcorenas_a",
    "hgnet_tiny",
    "hiera_tiny_224",
    "hrnet_w18_small",
    "inception_next_tiny",
    "inception_resnet_v2",
    "inception_v4",
    "lambda_resnet26t",
    "lcnet_050",
    "legacy_senet154",
    "levit_128s",
    "maxvit_tiny_tf_224",
    "mixer_s16_224",
    "mixnet_s",
    "mnasnet_100",
    "mobilenetv3_small_100",
    "mobilenetv4_conv_small",
    "mobileone_s0",
    "mobilevit_xxs",
    "mobilevitv2_050",
    "mvitv2_tiny",
    "nest_tiny",
    "nf_regnet_b0",
    "pit_ti_224",
    "poolformer_s12",
    "pvt_v2_b0",
    "regnetx_002",
    "regnety_002",
    "repghostnet_050",
    "repvgg_a0",
    "repvit_m0_9",
    "res2net50_26w_4s",
    "resmlp_12_224",
    "resnest14d",
    "resnet50",
    "resnetv2_50",
    "rexnet_100",
    "sebotnet33ts_256",
    "selecsls42b",
    "seresnet50",
    "shvit_s1",
    "skresnet18",
    "starnet_s1",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "tf_efficientnetv2_b0",
    "tiny_vit_5m_224",
    "tinynet_e",
    "tnt_s_patch16_224",
    "tresnet_m",
    "twins_pcpvt_small",
    "vgg11",
    "visformer_tiny",
    "vit_tiny_patch16_224",
    "vitamin_small_224",
    "volo_d1_224",
    "xception41",
    "xcit_nano_12_p16_224",
]

HEADER = "| network | params | RF | jump | judged at | flags | rfcalc s | torchinfo s | ratio |"


def measured(model: nn.Module, size: tuple[int, int, int]) -> tuple[Analysis, float, float]:
    """Analyse a network and summarise it with torchinfo; return the CPU seconds of both."""
    ours, theirs = [], []
    for _ in range(2):
        begin = time.process_time()
        analysis = analyze(model, size)
        between = time.process_time()
        torchinfo.summary(model, (1, *size), verbose=0)
        ours.append(between - begin)
        theirs.append(time.process_time() - between)
    return analysis, min(ours), min(theirs)


def line(name: str, analysis: Analysis, seconds: float, other: float) -> str:
    """Return one line of the table."""
    field = analysis.field
    extent = " x ".join(dict.fromkeys(map(str, field.size)))
    jump = " x ".join(dict.fromkeys("-" if j is None else str(j) for j in field.jump))
    at = "-" if analysis.field_row is None else analysis.rows[analysis.field_row].name
    flags = ", ".join([*(["global"] if field.is_global else []), *sorted(field.flags)]) or "-"
    rivals = f" (or {len(analysis.field_rivals)} more)" if analysis.field_rivals else ""
    return (
        f"| {name} | {analysis.params:,} | {extent} | {jump} | {at}{rivals} | {flags} |"
        f" {seconds:.2f} | {other:.2f} | {seconds / other:.2f} |"
    )


def main() -> None:
    """Print the table, and write it where --markdown says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", default=MODELS, help="names of timm; default: the list of this file"
    )
    parser.add_argument(
        "--part", default="1/1", metavar="K/N", help="every N-th network, beginning with the K-th"
    )
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    options = parser.parse_args()
    import timm

    warnings.filterwarnings("ignore")
    # Threads that wait for each other burn CPU time on a busy machine.
    torch.set_num_threads(1)
    part, parts = map(int, options.part.split("/"))
    analyze(nn.Conv2d(3, 4, 3), (3, 8, 8))
    lines, ratios = [HEADER, "|---" * 9 + "|"], []
    print(*lines, sep="\n")
    for name in options.names[part - 1 :: parts]:
        model = timm.create_model(name, pretrained=False).eval()
        pretrained: Any = model.pretrained_cfg
        size = tuple(pretrained["input_size"])
        analysis, seconds, other = measured(model, size)
        ratios.append(seconds / other)
        lines.append(line(name, analysis, seconds, other))
        print(lines[-1], flush=True)
    lines += [
        "",
        f"n = {len(ratios)}; ratio of CPU times: median {statistics.median(ratios):.2f}, "
        f"largest {max(ratios):.2f}. "
        f"Python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}, "
        f"torchinfo {torchinfo.__version__}, {torch.get_num_threads()} threads.",
    ]
    print(*lines[-2:], sep="\n")
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
