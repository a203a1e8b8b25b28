"""The shortest way to train a pretrained network in a test."""

import train

SMALL = ("--input", "64", "--device", "cpu")


def trained(data, folder, *words):
    return train.main([*data, "--pretrained", *SMALL, "--out", str(folder), *words])
