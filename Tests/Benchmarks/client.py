"""A Kubernetes client as thin as measuring allows: one connection a thread, JSON, certificates from a kubeconfig."""

import base64
import http.client
import json
import os
import re
import ssl
import tempfile
import threading
import time


class Target:
    """Where an API server is and how to log in, as its kubeconfig says."""

    def __init__(self, kubeconfig):
        with open(kubeconfig) as file:
            text = file.read()
        self.server = self._field(text, "server")
        match = re.fullmatch(r"https://([^:/]+):(\d+)/?", self.server)
        if not match:
            raise SystemExit(f"{kubeconfig}: {self.server} is not https://HOST:PORT")
        self.host, self.port = match[1], int(match[2])
        # Goes with this object: the key in it is an administrator's.
        self.scratch = tempfile.TemporaryDirectory(prefix="jangada-bench-")
        self.folder = self.scratch.name
        self.files = {}
        for name in ("certificate-authority", "client-certificate", "client-key"):
            path = os.path.join(self.folder, name)
            data = self._field(text, name + "-data")
            with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                file.write(base64.b64decode(data))
            self.files[name] = path
        self.context = ssl.create_default_context(cafile=self.files["certificate-authority"])
        self.context.load_cert_chain(self.files["client-certificate"], self.files["client-key"])

    @staticmethod
    def _field(text, name):
        match = re.search(rf'\b{name}: *"?([^"\s,}}]+)', text)
        if not match:
            raise SystemExit(f"the kubeconfig has no {name}")
        return match[1]

    def connection(self, timeout=60):
        return http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=timeout)

    def flags(self):
        """The arguments of an apibench-like tool."""
        return ["-server", self.server, "-ca", self.files["certificate-authority"], "-cert", self.files["client-certificate"],
                "-key", self.files["client-key"]]


class Client:
    """Requests of one thread over one connection."""

    def __init__(self, target):
        self.connection = target.connection()

    def request(self, method, path, body=None, kind="application/json", accept=(200, 201, 202)):
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, {"Content-Type": kind} if data else {})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status not in accept:
            raise SystemExit(f"{method} {path}: HTTP {answer.status}: {text[:300].decode(errors='replace')}")
        return json.loads(text) if text else None

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, body, **options)

    def delete(self, path, body=None, accept=(200, 202, 404)):
        return self.request("DELETE", path, body, accept=accept)

    def patch(self, path, body):
        return self.request("PATCH", path, body, kind="application/merge-patch+json")


class Watch:
    """Follows a collection on a thread of its own and tells when each object first satisfied a condition."""

    def __init__(self, target, path, condition, after=None):
        self.condition = condition
        self.moments = {}
        self.objects = {}
        self.changed = threading.Condition()
        query = f"?watch=1&resourceVersion={after}" if after else "?watch=1"
        self.connection = target.connection(timeout=None)
        self.connection.request("GET", path + query)
        self.answer = self.connection.getresponse()
        if self.answer.status != 200:
            raise SystemExit(f"watch of {path}: HTTP {self.answer.status}")
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        try:
            while line := self.answer.readline():
                moment = time.perf_counter()
                event = json.loads(line)
                item = event["object"]
                name = item.get("metadata", {}).get("name")
                with self.changed:
                    if event["type"] == "DELETED":
                        self.objects.pop(name, None)
                    else:
                        self.objects[name] = item
                        if name not in self.moments and self.condition(item):
                            self.moments[name] = moment
                    self.changed.notify_all()
        except (OSError, ValueError, AttributeError):
            pass

    def wait(self, test, timeout=120, what="a watched change"):
        """Waits until `test(self)` holds; returns the moment it did."""
        with self.changed:
            if not self.changed.wait_for(lambda: test(self), timeout):
                raise SystemExit(f"{what} did not come in {timeout} s")
            return time.perf_counter()

    def close(self):
        try:
            self.connection.sock.shutdown(2)
        except (OSError, AttributeError):
            pass
