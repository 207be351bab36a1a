"""Measures the rate of this device's matrix products, from which `sidbench plan` estimates hours."""

from __future__ import annotations

import argparse

HELP = "measure this device's matrix rate, in a minute at most"
EXAMPLE = "sidbench calibrate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", metavar="DEVICE", help="cpu or cuda (default: the GPU where there is one)")
    parser.add_argument("--size", type=int, metavar="N", help="side of the matrices (default: depends on the device)")


def run(args: argparse.Namespace) -> int:
    from benchmarks.estimate import devices
    from sid import atomic
    from sid.fault import Fault

    if args.size is not None and args.size < 1:
        raise Fault(f"--size must be at least 1 (got {args.size})")
    calibration = devices.measure(args.device, args.size)
    path = devices.calibration_file(args.results)
    with atomic.writable(path.parent):
        atomic.write_json(path, calibration)
    for kind, rate in calibration["rates"].items():
        print(f"{kind}  {rate / devices.TERA:8.3f} TFLOP/s  {calibration['device']}")
    print(path)
    return 0
