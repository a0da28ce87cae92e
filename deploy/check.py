#!/usr/bin/env python3
"""Checks what lies here with the tools that this machine has, and says which those were.

   make check-deploy          in an environment of its own, with what requirements.txt names
   deploy/check.py            needs PyYAML; kubernetes-validate (the schemas of Kubernetes, from PyPI), systemd-analyze and
                              docker or podman are used if they are there
"""
import os, shutil, subprocess, sys, tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ran, skipped, wrong = [], [], []


def expect(holds, what):
    if not holds:
        wrong.append(what)


def manifest():
    objects = list(yaml.safe_load_all((HERE / "kubernetes/ironcache.yaml").read_text()))
    by = {(o["kind"], o["metadata"]["name"]): o for o in objects}
    expect(len(by) == len(objects), "two objects have one name")
    nodes = by[("StatefulSet", "ironcache")]["spec"]
    headless = by[("Service", "ironcache")]["spec"]
    budget = by[("PodDisruptionBudget", "ironcache")]["spec"]
    pod = nodes["template"]["spec"]
    node = pod["containers"][0]
    labels = nodes["template"]["metadata"]["labels"]
    expect(nodes["updateStrategy"] == {"type": "OnDelete"}, "the StatefulSet would restart pods by itself")
    expect(nodes["podManagementPolicy"] == "Parallel", "a pod would wait for the one before it to be ready")
    expect(nodes["serviceName"] == "ironcache" and headless["clusterIP"] == "None", "pods would have no names")
    expect(headless["publishNotReadyAddresses"] is True, "peers would not find a node that is not ready")
    for name, chosen in [("StatefulSet", nodes["selector"]["matchLabels"]), ("PDB", budget["selector"]["matchLabels"]),
                         ("Service", headless["selector"])]:
        expect(chosen.items() <= labels.items(), f"{name} selects no pod")
    expect(budget["maxUnavailable"] == 1, "a drain would take more than one node")
    ports = {p["name"]: p["containerPort"] for p in node["ports"]}
    expect({p["name"]: p["port"] for p in headless["ports"]} == ports, "the service has other ports than the pod")
    for probe, path in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]:
        expect(node[probe]["httpGet"] == {"path": path, "port": "http"}, f"{probe} does not ask {path}")
    env = {e["name"]: e.get("value") for e in node["env"]}
    mounts = {m["mountPath"]: m["name"] for m in node["volumeMounts"]}
    claims = {c["metadata"]["name"] for c in nodes["volumeClaimTemplates"]}
    expect(mounts.get(env["IRONCACHE_DATA_DIR"]) in claims, "identity, key and releases are not on the volume")
    expect(env["IRONCACHE_ANNOUNCE_HOST"].startswith("$(POD_NAME).ironcache."), "a node announces no lasting name")
    order = [e["name"] for e in node["env"]]
    expect(order.index("POD_NAME") < order.index("IRONCACHE_ANNOUNCE_HOST"), "a variable is used before it is set")
    ran.append(f"claims of {len(objects)} Kubernetes objects")
    try:
        import kubernetes_validate
    except ImportError:
        skipped.append("Kubernetes' schemas (pip install kubernetes-validate)")
        return
    version = kubernetes_validate.latest_version()
    for o in objects:
        try:
            kubernetes_validate.validate(o, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            wrong.append(f"{o['kind']}: {error.message} at {list(error.path)}")
    ran.append(f"Kubernetes' schemas of {version}, strict")


def unit():
    if not shutil.which("systemd-analyze"):
        skipped.append("systemd-analyze verify")
        return
    # It looks whether what would be run is there.
    with tempfile.TemporaryDirectory() as temp:
        text = (HERE / "systemd/ironcache.service").read_text()
        there = Path(temp) / "ironcache.service"
        there.write_text(text.replace("/usr/local/bin/ironcache", sys.executable))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(there)], capture_output=True, text=True)
        about = [line for line in (done.stdout + done.stderr).splitlines() if "ironcache.service" in line]
        expect(done.returncode == 0 and not about, f"systemd-analyze verify: {done.returncode} {about or done.stderr}")
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    ran.append(f"systemd-analyze verify ({version})")


def image():
    for tool in ["docker", "podman"]:
        there = shutil.which(tool) and subprocess.run([tool, "info"], capture_output=True).returncode == 0
        if there and os.environ.get("BUILD_IMAGE"):
            done = subprocess.run([tool, "build", "-f", str(HERE / "container/Containerfile"), str(HERE.parent)])
            expect(done.returncode == 0, f"{tool} build failed")
            ran.append(f"{tool} build")
            return
    skipped.append("a build of the image (BUILD_IMAGE=1, and a docker or podman that runs)")


manifest()
unit()
image()
print("ran:", *ran, sep="\n  ")
print("skipped:", *(skipped or ["nothing"]), sep="\n  ")
print(*(f"WRONG: {what}" for what in wrong), sep="\n")
sys.exit(1 if wrong else 0)
