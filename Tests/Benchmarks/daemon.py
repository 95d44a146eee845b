"""Starts and ends a jangada daemon of its own, and reads from /proc what it costs."""

import http.client
import os
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time

from client import Client, Target, Watch

TICK = os.sysconf("SC_CLK_TCK")


def ready(item):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in item.get("status", {}).get("conditions", []))


class Daemon:
    """One cluster with its state below `folder`. Everything of it is gone after `reset`."""

    def __init__(self, binary, folder, port, registry_port, extra=()):
        self.binary, self.folder, self.port, self.registry_port, self.extra = binary, folder, port, registry_port, list(extra)
        self.state, self.run = os.path.join(folder, "state"), os.path.join(folder, "run")
        self.process = None
        self.target = None
        self.home = os.path.join(folder, "home")

    def _command(self, *words):
        return [self.binary, *words, "--state", self.state, "--run", self.run]

    def tell(self, *words):
        """A command of the CLI about this cluster."""
        environment = {**os.environ, "HOME": self.home, "KUBECONFIG": os.path.join(self.home, "config")}
        done = subprocess.run(self._command(*words), env=environment, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise SystemExit(f"jangada {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        """Returns the seconds to API ready and to node Ready."""
        os.makedirs(self.home, exist_ok=True)
        log = open(os.path.join(self.folder, "log"), "ab")
        wall = time.time()
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [*self._command("server"), "--port", str(self.port), "--registry-port", str(self.registry_port), *self.extra], stdout=log, stderr=log)
        # Whoever waits for its end must not find a zombie.
        threading.Thread(target=self.process.wait, daemon=True).start()
        self._wait_for_api(begin)
        api = time.perf_counter() - begin
        while not os.path.exists(os.path.join(self.state, "admin.kubeconfig")):
            time.sleep(0.001)
        self.target = Target(os.path.join(self.state, "admin.kubeconfig"))
        # With old state the node says Ready before its kubelet lives: the lease tells that it does.
        renewed = lambda item: item["spec"].get("renewTime", "") >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall))
        nodes = Watch(self.target, "/api/v1/nodes", ready)
        leases = Watch(self.target, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", renewed)
        nodes.wait(lambda w: w.moments, what="a Ready node")
        leases.wait(lambda w: w.moments, what="a node's lease")
        node = max(min(w.moments.values()) for w in (nodes, leases)) - begin
        nodes.close()
        leases.close()
        return api, node

    def _wait_for_api(self, begin):
        # One connection, kept: each more would leave timers in the server that is measured.
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=ssl._create_unverified_context(), timeout=5)
        while time.perf_counter() - begin < 120:
            if self.process.poll() is not None:
                raise SystemExit(f"the daemon ended with {self.process.returncode}; see {self.folder}/log")
            try:
                connection.request("GET", "/readyz")
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    return connection.close()
            except OSError:
                connection.close()
            time.sleep(0.001)
        raise SystemExit("the API was not ready in 120 s")

    def client(self):
        return Client(self.target)

    def kill(self):
        """As a crash would: the containers go on."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def reset(self):
        if self.process and self.process.poll() is None or os.path.exists(self.state):
            self.tell("reset", "--yes")
        if self.process:
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # MARK: What it costs

    def inits(self):
        """The pods' first processes: those that log below the run directory. Other clusters may run the same program."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{name}/fd/1").startswith(self.run + "/containers/"):
                    found.append(int(name))
            except OSError:
                continue
        return found


def memory(pid):
    """KiB of a process: PSS, RSS and what is its alone."""
    out = {}
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            match = re.match(r"(\w+): +(\d+) kB", line)
            if match:
                out[match[1]] = out.get(match[1], 0) + int(match[2])
    return {"pss": out["Pss"], "rss": out["Rss"], "private": out["Private_Clean"] + out["Private_Dirty"]}


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def switches(pid):
    """How often its threads have gone to sleep of their own will: each time something woke them."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/status") as file:
                total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.M)[1])
        except FileNotFoundError:
            continue
    return total
