"""Measures the rate of this device's matrix products, and what share of it a training step reaches on a GPU.

`sidbench plan` estimates hours from both.
"""

from __future__ import annotations

import argparse

HELP = "measure this device's matrix rate, and on a GPU a training step, in a few minutes"
EXAMPLE = "sidbench calibrate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", metavar="DEVICE", help="cpu or cuda (default: the GPU where there is one)")
    parser.add_argument("--no-step", action="store_true", help="on a GPU: time no training step, matrix products alone")
    parser.add_argument("--size", type=int, metavar="N", help="side of the matrices (default: depends on the device)")


def run(args: argparse.Namespace) -> int:
    from benchmarks.estimate import devices
    from sid import atomic
    from sid.fault import Fault

    if args.size is not None and args.size < 1:
        raise Fault(f"--size must be at least 1 (got {args.size})")
    calibration = devices.measure(args.device, args.size)
    if calibration["memory_bytes"] is not None and not args.no_step:
        calibration["shares"] = devices.reached("cuda")
    path = devices.calibration_file(args.results)
    with atomic.writable(path.parent):
        atomic.write_json(path, calibration)
    for kind, rate in calibration["rates"].items():
        print(f"{kind}  {rate / devices.TERA:8.3f} TFLOP/s  {calibration['device']}")
    for kind, share in calibration.get("shares", {}).items():
        print(f"{kind}  {share:8.0%} of it in a training step")
    print(path)
    return 0
