"""How fast pods get their nodes: created as fast as a few raw connections can, counted by a watch of those that have none yet."""

import json
import threading
import time

from client import Client

SPACE = "/api/v1/namespaces/scheduling"
POOL = "scheduling-bench"


class Raw:
    """Requests written and answers skimmed by hand: what the client costs is not what is measured."""

    def __init__(self, target):
        self.host = target.host
        connection = target.connection()
        connection.connect()
        self.connection, self.socket, self.rest = connection, connection.sock, b""

    def post(self, path, body):
        head = f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)
        while (end := self.rest.find(b"\r\n\r\n")) < 0:
            self.rest += self._more()
        head, self.rest = self.rest[:end].lower(), self.rest[end + 4:]
        if b" 201 " not in head[:16]:
            raise SystemExit(f"POST {path}: {head[:40]!r} {self.rest[:300]!r}")
        if b"transfer-encoding: chunked" in head:
            while b"0\r\n\r\n" not in self.rest[-5:]:
                self.rest += self._more()
            self.rest = b""
            return
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        while len(self.rest) < length:
            self.rest += self._more()
        self.rest = self.rest[length:]

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise SystemExit("the server closed the connection")
        return data


class Unbound(threading.Thread):
    """Follows the pods without a node: keeps how many got one, and when the last did. A server that drops a watch is asked again."""

    QUERY = "fieldSelector=spec.nodeName%3D"

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target, self.went, self.last, self.drops, self.done = target, 0, 0.0, 0, False
        self.changed = threading.Condition()
        self.connection, self.answer = self._watch(Client(target).get(SPACE + "/pods?limit=1")["metadata"]["resourceVersion"])
        self.start()

    def _watch(self, revision):
        connection = self.target.connection(timeout=None)
        connection.request("GET", f"{SPACE}/pods?watch=1&{self.QUERY}&resourceVersion={revision}", headers={"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"})
        return connection, connection.getresponse()

    def run(self):
        while not self.done:
            try:
                while (line := self.answer.readline()) and b"ERROR" not in line[:24]:
                    if b"DELETED" in line[:24]:
                        self._saw(self.went + 1)
            except (OSError, ValueError, AttributeError):
                pass
            if not self.done:
                self._again()

    def _saw(self, went):
        with self.changed:
            if went > self.went:
                self.went, self.last = went, time.perf_counter()
            self.changed.notify_all()

    def _again(self):
        """Counts anew, both at the same revision, and watches from there."""
        self.drops += 1
        client = Client(self.target)
        waiting = client.get(f"{SPACE}/pods?{self.QUERY}")
        revision = waiting["metadata"]["resourceVersion"]
        page = client.get(f"{SPACE}/pods?limit=1&resourceVersion={revision}&resourceVersionMatch=Exact")
        self._saw(len(page["items"]) + page["metadata"].get("remainingItemCount", 0) - len(waiting["items"]))
        self.connection, self.answer = self._watch(revision)

    def wait(self, count, limit):
        with self.changed:
            if not self.changed.wait_for(lambda: self.went >= count, limit):
                raise SystemExit(f"after {limit} s {self.went} of {count} pods have a node")
        self.done = True
        try:
            self.connection.sock.shutdown(2)
        except (OSError, AttributeError):
            pass


def pod(name):
    labels = {"app": f"set-{int(name.rsplit('-', 1)[1]) % 20}"}
    container = {"name": "app", "image": "example.com/app:1", "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}}}
    spec = {"containers": [container], "nodeSelector": {"pool": POOL}, "terminationGracePeriodSeconds": 0}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}).encode()


def plain_node(name):
    """As an emulated one is, for a server whose nodes nobody plays."""
    amounts = {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "pool": POOL}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    return json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
                       "status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}}).encode()


def spread_over(threads, target, items, path, make):
    """Posts all items over so many connections; returns the moment of the first."""
    raws = [Raw(target) for _ in range(threads)]
    bodies = [make(item) for item in items]
    failures, begin = [], time.perf_counter()

    def post(number):
        try:
            for body in bodies[number::threads]:
                raws[number].post(path, body)
        except SystemExit as failure:
            failures.append(str(failure))

    workers = [threading.Thread(target=post, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise SystemExit(failures[0])
    return begin, time.perf_counter() - begin


def measure(target, count, limit):
    """Seconds from the first pod's creation to the last one's binding, and how long the creating took."""
    client = Client(target)
    client.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "scheduling"}}, accept=(201, 409))
    # Where no controller makes it.
    client.post(SPACE + "/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}, accept=(201, 409))
    unbound = Unbound(target)
    begin, created = spread_over(8, target, [f"pod-{int(time.time())}-{number}" for number in range(count)], SPACE + "/pods", pod)
    unbound.wait(count, limit)
    if unbound.drops:
        print(f"the watch was dropped {unbound.drops} times", flush=True)
    return unbound.last - begin, created


def clear(target):
    """Removes the pods; of very many a request does as many as it can in its minute."""
    client = Client(target)
    while client.get(SPACE + "/pods?limit=1")["items"]:
        client.delete(SPACE + "/pods", {"gracePeriodSeconds": 0}, accept=(200, 202, 404, 504))
        time.sleep(0.5)


def scheduling(daemon, table, other, sizes, limit, cpu_seconds, memory, other_pids):
    """`sizes`: nodes, pods and the budget; `limit`: the seconds after which it is given up. The other cluster has a scheduler and nobody who looks after nodes."""
    for nodes, pods, budget in sizes:
        theirs = theirs_cpu = None
        if other:
            client = Client(other)
            clear(other)
            client.delete("/api/v1/nodes", {"gracePeriodSeconds": 0})
            spread_over(8, other, [f"plain-{number}" for number in range(nodes)], "/api/v1/nodes", plain_node)
            for number in range(nodes):
                # New nodes are tainted as not ready, until somebody who looks after nodes looks.
                client.patch(f"/api/v1/nodes/plain-{number}", {"spec": {"taints": None}})
            time.sleep(3)
            used = sum(map(cpu_seconds, other_pids))
            theirs, created = measure(other, pods, limit)
            theirs_cpu = sum(map(cpu_seconds, other_pids)) - used
            print(f"upstream: {pods} pods created in {created:.2f} s, all with a node after {theirs:.2f} s", flush=True)
            clear(other)
        begin = time.perf_counter()
        daemon.tell("node", "emulate", str(nodes), "--label", f"pool={POOL}")
        table.seconds(f"{nodes:,} emulated nodes registered", time.perf_counter() - begin)
        time.sleep(3)
        used, pid = cpu_seconds(daemon.process.pid), daemon.process.pid
        ours, created = measure(daemon.target, pods, limit)
        ours_cpu = cpu_seconds(pid) - used
        print(f"{pods} pods created in {created:.2f} s, all with a node after {ours:.2f} s", flush=True)
        table.seconds(f"{pods:,} pods on {nodes:,} nodes, create → all have a node", ours, upstream=theirs, budget=budget)
        table.number(f"CPU of it, all of the control plane", ours_cpu, "s", upstream=theirs_cpu)
        begin, client = time.perf_counter(), daemon.client()
        while client.get(SPACE + "/pods?limit=1&fieldSelector=status.phase%3DPending")["items"]:
            time.sleep(0.1)
        table.seconds("… and all Running after that", time.perf_counter() - begin)
        time.sleep(20)
        used, begin = cpu_seconds(pid), time.perf_counter()
        time.sleep(30)
        table.number(f"CPU of {nodes:,} nodes and {pods:,} pods at rest", 100 * (cpu_seconds(pid) - used) / (time.perf_counter() - begin), "% of a core")
        table.number("memory (PSS) with them", memory(pid)["pss"] / 1024, "MiB")
        clear(daemon.target)
        daemon.tell("node", "remove", "--all")
