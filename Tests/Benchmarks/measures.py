"""What is measured. Each function takes a running daemon and adds rows to the table."""

import os
import re
import subprocess
import threading
import time

from client import Client, Watch
from daemon import cpu_seconds, memory, ready, switches

NAMESPACE = "/api/v1/namespaces/bench"
PODS = NAMESPACE + "/pods"
SETS = "/apis/apps/v1/namespaces/bench/deployments"
IMAGE = "bench/checkout-api:v1"
IMMEDIATELY = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}


def quantile(values, part):
    values = sorted(values)
    return values[int(part * (len(values) - 1))]


def running(item):
    return item.get("status", {}).get("phase") == "Running"


def pod_spec(variables=()):
    environment = [{"name": "DRAIN_MS", "value": "0"}, *({"name": n, "value": v} for n, v in variables)]
    return {"containers": [{"name": "app", "image": IMAGE, "imagePullPolicy": "Never", "env": environment}], "terminationGracePeriodSeconds": 2}


def prepare(daemon, images):
    """The namespace with its service account, and the image."""
    subprocess.run([os.path.join(images, "build"), "checkout-api"], check=True, capture_output=True)
    daemon.tell("build", "-t", IMAGE, os.path.join(images, "checkout-api"))
    client = daemon.client()
    accounts = Watch(daemon.target, NAMESPACE + "/serviceaccounts", lambda item: True)
    client.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}, accept=(201, 409))
    accounts.wait(lambda w: "default" in w.moments, what="the namespace's service account")
    accounts.close()


def create_pod(client, name, sent):
    sent[name] = time.perf_counter()
    client.post(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec()})


def remove_pods(daemon, watch):
    daemon.client().delete(PODS, IMMEDIATELY)
    watch.wait(lambda w: not w.objects, what="the end of the pods")
    watch.close()
    # Objects deleted without grace are gone before their containers: what is measured next must not meet those.
    while daemon.inits():
        time.sleep(0.05)
    time.sleep(0.5)


def pods(daemon, table, count):
    """Pods one by one, then twenty at once."""
    client = daemon.client()
    watch, sent = Watch(daemon.target, PODS, running), {}
    for number in range(count):
        name = f"one-{number}"
        create_pod(client, name, sent)
        watch.wait(lambda w: name in w.moments, what="a Running pod")
    took = [watch.moments[name] - sent[name] for name in sent]
    table.seconds("pod create → Running, one by one, p50", quantile(took, 0.5), upstream=0.65, budget=0.05)
    table.seconds("pod create → Running, one by one, p99", quantile(took, 0.99))
    remove_pods(daemon, watch)

    watch, sent = Watch(daemon.target, PODS, running), {}
    clients = [daemon.client() for _ in range(20)]
    for each in clients:
        each.get(PODS + "?limit=1")
    threads = [threading.Thread(target=create_pod, args=(each, f"many-{number}", sent)) for number, each in enumerate(clients)]
    for thread in threads:
        thread.start()
    watch.wait(lambda w: len(w.moments) == 20, what="20 Running pods")
    took = [watch.moments[name] - sent[name] for name in sent]
    table.seconds("pod create → Running, 20 at once, p50", quantile(took, 0.5))
    table.seconds("pod create → Running, 20 at once, last", max(watch.moments.values()) - min(sent.values()))
    remove_pods(daemon, watch)


def deployment(daemon, table):
    """The life of one Deployment: 2, 20, another template, none."""
    client = daemon.client()
    sets = Watch(daemon.target, SETS, lambda item: False)
    pods = Watch(daemon.target, PODS, lambda item: False)
    labels = {"app": "scaled"}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "scaled"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod_spec()}}}

    def settled(item, generation, count):
        status = item.get("status", {})
        # The watch may still show what was before the write.
        current = item["metadata"]["generation"] >= generation and status.get("observedGeneration") == item["metadata"]["generation"]
        return current and all(status.get(key, 0) == count for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"))

    def step(what, action, count):
        begin = time.perf_counter()
        generation = action()["metadata"]["generation"]
        done = lambda w: "scaled" in w.objects and settled(w.objects["scaled"], generation, count)
        return sets.wait(done, what=what) - begin

    took = step("2 Ready replicas", lambda: client.post(SETS, body), 2)
    table.seconds("Deployment apply → 2 Ready", took, upstream=1.3, budget=0.25)
    took = step("20 Ready replicas", lambda: client.patch(SETS + "/scaled", {"spec": {"replicas": 20}}), 20)
    table.seconds("2 → 20 Ready", took, upstream=4.8, budget=0.6)
    update = {"spec": {"template": {"metadata": {"annotations": {"round": "2"}}}}}
    table.seconds("rolling update of 20", step("the rolling update", lambda: client.patch(SETS + "/scaled", update), 20))
    pods.wait(lambda w: len(w.objects) == 20, what="the end of the old pods")
    begin = time.perf_counter()
    client.patch(SETS + "/scaled", {"spec": {"replicas": 0}})
    gone = pods.wait(lambda w: not w.objects, what="the end of 20 pods") - begin
    # The program ends at once on SIGTERM, so nothing of the grace period is used.
    table.seconds("20 → 0 gone", gone, upstream=4.4, budget=0.3)
    client.delete(SETS + "/scaled", IMMEDIATELY)
    sets.close()
    pods.close()


def idle(daemon, table, seconds):
    """Memory and CPU with the demo's Deployment and Service running."""
    client = daemon.client()
    labels = {"app": "checkout-api"}
    spec = pod_spec()
    spec["containers"][0]["ports"] = [{"name": "http", "containerPort": 8080}]
    spec["containers"][0]["readinessProbe"] = {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1}
    client.post(NAMESPACE + "/services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "checkout-api"}, "spec": {
        "type": "LoadBalancer", "selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}, accept=(201, 409))
    client.post(SETS, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "checkout-api"}, "spec": {
        "replicas": 4, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}})
    watch = Watch(daemon.target, PODS, ready)
    watch.wait(lambda w: len(w.moments) == 4, what="4 Ready pods")
    watch.close()
    time.sleep(5)
    inits = daemon.inits()
    own = memory(daemon.process.pid)
    inner = [memory(pid) for pid in inits]
    table.number("memory (PSS) of the daemon", own["pss"] / 1024, "MiB")
    table.number("memory (RSS) of the daemon", own["rss"] / 1024, "MiB")
    if inner:
        table.number("memory (private) of one pod's init", max(each["private"] for each in inner) / 1024, "MiB", budget=1)
    total = (own["pss"] + sum(each["pss"] for each in inner)) / 1024
    table.number(f"memory (PSS), whole platform, idle, {len(inner)} pods", total, "MiB", upstream=962, budget=60)
    pids = [daemon.process.pid, *inits]
    cpu, sleeps, begin = sum(map(cpu_seconds, pids)), sum(map(switches, pids)), time.perf_counter()
    time.sleep(seconds)
    took = time.perf_counter() - begin
    table.number("idle CPU, demo with probes every second", 100 * (sum(map(cpu_seconds, pids)) - cpu) / took, "% of a core", upstream=5.6, budget=0.3)
    table.number("idle wakeups", (sum(map(switches, pids)) - sleeps) / took, "/s")
    client.delete(SETS + "/checkout-api", IMMEDIATELY)
    client.delete(NAMESPACE + "/services/checkout-api")
    watch = Watch(daemon.target, PODS, lambda item: False)
    time.sleep(0.3)
    remove_pods(daemon, watch)


# MARK: - The API beside upstream's

PHASES = ("create", "get", "update", "merge-patch", "list", "list-label", "watch-fanout", "delete")


def bench(tool, target, arguments, pids):
    """One run of the tool: per phase its figures, and the server's CPU milliseconds an operation where its processes are known."""
    process = subprocess.Popen([tool, *target.flags(), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    used, out = sum(map(cpu_seconds, pids)), {}
    for line in process.stdout:
        name = line.split()[0]
        if name in PHASES:
            figures = {key: float(value) for key, value in re.findall(r"([\w/]+)=([\d.]+)", line)}
            now = sum(map(cpu_seconds, pids))
            figures["cpu"] = 1000 * (now - used) / figures["ops"]
            used = now
            out[name] = figures
        elif name != "list-size":
            print(line, end="", flush=True)
    if process.wait():
        raise SystemExit(f"{tool} ended with {process.returncode}")
    return out


def api(daemon, table, tool, other, other_pids, rounds, count):
    """Ours and the other in turn, so that both meet the same machine; of each figure the median."""
    ours, theirs = [], []
    for number in range(rounds):
        # A server without controllers never ends a namespace, so each run has its own.
        arguments = ["-n", str(count), "-namespace", f"apibench-{int(time.time())}-{number}"]
        ours.append(bench(tool, daemon.target, arguments, [daemon.process.pid]))
        if other:
            theirs.append(bench(tool, other, arguments, other_pids))
    middle = lambda runs, phase, key: quantile([run[phase][key] for run in runs], 0.5) if runs else None
    for phase in PHASES:
        budget = 5 if phase in ("create", "get", "update", "merge-patch") else None
        table.rate(f"API {phase}", middle(ours, phase, "ops/s"), middle(theirs, phase, "ops/s"), times=budget)
    table.seconds(f"LIST of {count}, p50 of 16 clients", middle(ours, "list", "p50ms") / 1000,
                  upstream=theirs and middle(theirs, "list", "p50ms") / 1000 or 0.451, budget=0.025)
    for phase in PHASES:
        theirs_cpu = middle(theirs, phase, "cpu") if other_pids else None
        table.number(f"CPU of the server, {phase}", middle(ours, phase, "cpu"), "ms/op", upstream=theirs_cpu)


def scale(daemon, table, tool, count, watchers):
    """Many objects, many watches."""
    path = "/api/v1/namespaces/default/configmaps"
    before = memory(daemon.process.pid)["pss"]

    def fill(part):
        client = Client(daemon.target)
        for number in range(part, count, 8):
            client.post(path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"cm-{number:06}", "labels": {"shard": str(number % 10)}},
                               "data": {"fill": "x" * 400}})

    threads = [threading.Thread(target=fill, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table.number(f"memory an object, {count} written", (memory(daemon.process.pid)["pss"] - before) / count * 1024, "bytes")
    daemon.kill()
    took, _ = daemon.start()
    table.seconds(f"start → API ready with {count} objects", took, budget=1)
    table.number(f"memory (PSS) with {count} objects after the start", memory(daemon.process.pid)["pss"] / 1024, "MiB")
    if tool:
        base = memory(daemon.process.pid)["pss"]
        peak, done = [base], threading.Event()

        def sample():
            while not done.wait(0.2):
                peak.append(memory(daemon.process.pid)["pss"])

        sampler = threading.Thread(target=sample)
        sampler.start()
        figures = bench(tool, daemon.target, ["-n", "100", "-watchers", str(watchers)], [daemon.process.pid])["watch-fanout"]
        done.set()
        sampler.join()
        table.rate(f"fan-out to {watchers} watches", figures["ops/s"], None)
        table.number("CPU of the server a delivery", figures["cpu"] * 1000, "µs")
        table.number("memory a watch, at most", (max(peak) - base) * 1024 / watchers, "bytes")
