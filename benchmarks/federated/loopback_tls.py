"""A real Flower federation on loopback with TLS: one SuperLink, six SuperNodes; one crashes, one is slow, one lies.

    python -m benchmarks.federated.loopback_tls --out benchmarks/results/federated_tls.json

Needs hubclean[federated] (`make federated-test` makes a venv). Every process is Flower's own command; certificates are
made for this run and thrown away. Model: a tiny timm net with random weights, images: class folders of noise with a
bright square, so what is shown is the engine, not accuracy. Written: the rounds with who was left out and why, the
commands, and the audit's notes.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import ipaddress
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
# What is wrong with a node, by its number; the others are honest.
HOSTILE = {1: "crashing", 2: "slow", 3: "garbled"}
NODES, PORT = 6, 9492
PEM = serialization.Encoding.PEM


def certificates(folder: Path) -> None:
    """A throw-away authority and a server certificate for 127.0.0.1, valid for a day."""
    now = datetime.datetime.now(datetime.UTC)

    def made(name: str, key: Any, issuer: tuple[str, Any], authority: bool) -> x509.Certificate:
        subject, signer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer[0]))
        builder = x509.CertificateBuilder(signer, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(minutes=5))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        ).add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key()), critical=False)
        if not authority:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            names = x509.SubjectAlternativeName([address, x509.DNSName("localhost")])
            builder = builder.add_extension(names, critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        return builder.sign(issuer[1], hashes.SHA256())

    root, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.crt").write_bytes(
        made("loopback authority", root, ("loopback authority", root), True).public_bytes(PEM)
    )
    (folder / "server.pem").write_bytes(
        made("127.0.0.1", server, ("loopback authority", root), False).public_bytes(PEM)
    )
    plain = serialization.NoEncryption()
    (folder / "server.key").write_bytes(server.private_bytes(PEM, serialization.PrivateFormat.PKCS8, plain))


def images(folder: Path, seed: int) -> None:
    """Class folders of one owner."""
    from support.image_sets import image_set

    found = image_set(40, 4, (3, 32, 32), seed)
    for row, label in enumerate(found.labels.tolist()):
        place = folder / f"thing {label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(found.pixels[row].permute(1, 2, 0).numpy()).save(place / f"{row}.png")


def commands(work: Path) -> list[list[str]]:
    """The SuperLink's command line, and one of each SuperNode."""
    tls = [
        "--ssl-ca-certfile",
        f"{work}/ca.crt",
        "--ssl-certfile",
        f"{work}/server.pem",
        "--ssl-keyfile",
        f"{work}/server.key",
    ]
    rows = [["flower-superlink", *tls, "--port", str(PORT), "--disable-runtime-dependency-installation"]]
    for node in range(NODES):
        config = f'data="{work}/owner-{node}" partition-id={node}'
        if node in HOSTILE:
            config += f' hostile="{HOSTILE[node]}"'
        link = ["--root-certificates", f"{work}/ca.crt", "--superlink", f"127.0.0.1:{PORT}"]
        rows.append(["flower-supernode", *link, *tls, "--port", str(PORT + 1 + node), "--node-config", config])
    return rows


def run_config(work: Path, timeout: float, adjust: bool) -> str:
    """What `flwr run --run-config` is given."""
    values: dict[str, Any] = {
        "model": f"{work}/model",
        "out": f"{work}/out",
        "clients": NODES,
        "device": "cpu",
        "timeout": timeout,
        "cleanse.step": 0.25,
        "cleanse.rounds": 1,
        "cleanse.adjust": adjust,
        "cleanse.quorum": 0.4,
        "hostile-options": f"slow.seconds={1.1 * timeout} slow.kind=rank crashing.kind=train garbled.how=nan",
    }
    return " ".join(f"{key}={json.dumps(value)}" for key, value in values.items())


def waited(work: Path, seconds: float) -> None:
    """Return when the server app has written its report, which it does at the end whatever the end."""
    until = time.monotonic() + seconds
    while not (work / "out.rounds.json").exists() and time.monotonic() < until:
        time.sleep(1)


def main() -> None:
    """Run it and write what happened."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--timeout", type=float, default=90.0, help="seconds a round waits; the slow client needs more")
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds until the whole run is given up")
    parser.add_argument("--brief", action="store_true", help="without the adjustment, which is a dozen rounds more")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    sys.path.insert(0, str(ROOT / "tests"))
    from support.tiny_models import make_repo

    with tempfile.TemporaryDirectory(prefix="hubclean-tls-") as name:
        work = Path(name)
        certificates(work)
        make_repo(work / "model", "timm-resnet", classes=4)
        for node in range(NODES):
            images(work / f"owner-{node}", node)
        (work / "home").mkdir()
        (work / "home" / "config.toml").write_text(
            f'[superlink]\ndefault = "tls"\n\n[superlink.tls]\naddress = "127.0.0.1:{PORT}"\n'
            f'root-certificates = "{work}/ca.crt"\n'
        )
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = os.environ | {"PATH": path, "FLWR_HOME": f"{work}/home", "FLWR_TELEMETRY_ENABLED": "0"}
        env |= {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        started, rows, processes = time.monotonic(), commands(work), []
        logs = [work / f"log-{number}.txt" for number in range(len(rows))]
        try:
            for row, log in zip(rows, logs, strict=True):
                processes.append(subprocess.Popen(row, env=env, stdout=log.open("w"), stderr=subprocess.STDOUT))
                time.sleep(4 if len(processes) == 1 else 0)
            submit = [
                "flwr",
                "run",
                str(ROOT / "hubclean" / "lab" / "hostile_clients" / "flower"),
                "tls",
                "--run-config",
                run_config(work, given.timeout, not given.brief),
            ]
            said = subprocess.run(submit, env=env, capture_output=True, text=True, timeout=300)
            print(said.stdout, said.stderr)
            waited(work, given.limit)
            _write(given.out, work, [*rows, submit], logs, time.monotonic() - started)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)


def _write(out: Path, work: Path, rows: list[list[str]], logs: list[Path], seconds: float) -> None:
    for log in logs[:2]:
        print(log.name, log.read_text()[-3000:])
    rounds = json.loads((work / "out.rounds.json").read_text())["rounds"]
    audit = json.loads((work / "out" / "hubclean" / "audit.json").read_text())
    text = json.dumps(
        {
            "commands": [" ".join(row).replace(str(work), "WORK").replace(str(ROOT), ".") for row in rows],
            "hostile": HOSTILE,
            "nodes": NODES,
            "seconds": round(seconds, 1),
            "rounds": rounds,
            "refused": [one for one in audit["cleansing"]["ballots"] if one["refused"]],
            "notes": audit["cleansing"]["notes"],
            "tls": sorted(
                {line for log in logs for line in re.findall(r"https://127[^\s]*|TLS[^\n]*", log.read_text())}
            )[:8],
            "versions": {**audit["versions"], "flwr": importlib.metadata.version("flwr")},
        },
        indent=1,
    )
    out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
