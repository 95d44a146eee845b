"""Custom resource definitions: what one keeps resident, and how soon after its creation clients find it."""

import gzip
import json
import time

from client import Client
from daemon import memory
from measures import quantile

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
SECTIONS = 12


def field(section, number):
    """One of the shapes that schemas written by controller-gen are made of."""
    told = f"Field {number} of section {section} says how the operator is to run this part of what it looks after, and what it leaves alone."
    shapes = [
        {"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
        {"type": "integer", "format": "int32", "minimum": 0, "maximum": 65535, "default": number},
        {"type": "string", "enum": ["Always", "IfNotPresent", "Never"], "default": "Always"},
        {"type": "boolean", "default": False},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"type": "array", "maxItems": 16, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
            "type": "object", "required": ["name"], "properties": {
                "name": {"type": "string", "maxLength": 63, "description": "The name that the others refer to it by; unique within its list."},
                "value": {"type": "string", "maxLength": 1024, "description": "What is passed on, as it stands and without expansion."}}}},
        {"type": "array", "maxItems": 32, "items": {"type": "string", "maxLength": 63}},
    ]
    return {"description": told, **shapes[number % len(shapes)]}


def definition(number):
    """About as large as the usual one: 25 KB of JSON, 140 fields with descriptions, CEL rules, status, scale and columns."""
    sections = {}
    for section in range(SECTIONS):
        sections[f"section{section}"] = {
            "type": "object", "description": f"Section {section} of what is wanted.",
            "properties": {f"field{index}": field(section, index) for index in range(8)},
            "x-kubernetes-validations": [{"rule": "!has(self.field1) || self.field1 < 60000", "message": "field1 must be below 60000"}]}
    condition = {"type": "object", "required": ["type", "status"], "properties": {
        "type": {"type": "string", "maxLength": 316}, "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": {"type": "string"}, "message": {"type": "string"}, "observedGeneration": {"type": "integer", "format": "int64"},
        "lastTransitionTime": {"type": "string", "format": "date-time"}}}
    schema = {"type": "object", "description": "Something that an operator looks after.", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        "spec": {"type": "object", "required": ["replicas"], "properties": {"replicas": {"type": "integer", "format": "int32", "minimum": 0}, **sections}},
        "status": {"type": "object", "properties": {
            "replicas": {"type": "integer", "format": "int32"}, "selector": {"type": "string"},
            "conditions": {"type": "array", "items": condition, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}}}}}
    group = f"group{number % 20}.bench.example.com"
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"things{number}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": f"things{number}", "singular": f"thing{number}", "kind": f"Thing{number}", "shortNames": [f"th{number}"]},
                 "versions": [{
                     "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
                     "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
                     "additionalPrinterColumns": [
                         {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                         {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                         {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]}]}}


class Document:
    """A document that is asked for as clients that keep it do: again only when it has changed."""

    def __init__(self, target, path, accept="application/json"):
        self.connection, self.path = target.connection(), path
        self.headers = {"Accept": accept, "Accept-Encoding": "gzip"}
        self.tag = None

    def ask(self):
        """The text, None where it is as it was, and the moment the answer began."""
        self.connection.request("GET", self.path, headers={**self.headers, **({"If-None-Match": self.tag} if self.tag else {})})
        answer = self.connection.getresponse()
        began, text = time.perf_counter(), answer.read()
        if answer.status != 200:
            return None, began
        self.tag = answer.getheader("ETag")
        return gzip.decompress(text) if answer.getheader("Content-Encoding") == "gzip" else text, began

    def find(self, word):
        """Waits for a word in it; returns when the first answer with it began."""
        while True:
            text, began = self.ask()
            if text and word in text:
                return began


def published(target, numbers):
    """Creates definitions one by one; of each document the seconds from the creation's answer to the first answer with the definition."""
    client = Client(target)
    places = {
        "discovery": lambda group: Document(target, "/apis", DISCOVERY),
        "OpenAPI v3": lambda group: Document(target, f"/openapi/v3/apis/{group}/v1"),
        "OpenAPI v2": lambda group: Document(target, "/openapi/v2"),
    }
    took = {name: [] for name in places}
    for name, place in places.items():
        for number in numbers[name]:
            body = definition(number)
            group, plural = body["spec"]["group"], body["spec"]["names"]["plural"]
            document = place(group)
            document.ask()
            client.post(PATH, body)
            begin = time.perf_counter()
            word = f'"resource":"{plural}"' if name == "discovery" else f"/{plural}/"
            took[name].append(document.find(word.encode()) - begin)
    return took


def definitions(daemon, table, count):
    """Memory of a definition once clients have seen them all, and publication with few and with many of them."""
    target, pid = daemon.target, daemon.process.pid

    def settle():
        """As a cluster with clients is: all documents were asked for."""
        for path in ("/openapi/v3", "/openapi/v2"):
            Document(target, path).ask()
        Document(target, "/apis", DISCOVERY).ask()
        time.sleep(3)
        return memory(pid)["pss"]

    def publish(first, told):
        steps = {name: range(first + 20 * index, first + 20 * (index + 1)) for index, name in enumerate(("discovery", "OpenAPI v3", "OpenAPI v2"))}
        for name, seconds in published(target, steps).items():
            for part in (0.5, 0.99):
                table.seconds(f"definition → in {name}, {told}, p{part * 100:.0f}", quantile(seconds, part), budget=0.1)

    publish(0, "few others")
    before = settle()
    client = Client(target)
    for number in range(1000, 1000 + count):
        client.post(PATH, definition(number))
    Document(target, "/apis", DISCOVERY).find(f'"resource":"things{999 + count}"'.encode())
    used = settle() - before
    size = len(json.dumps(definition(0), separators=(",", ":")))
    table.number(f"memory a definition of {size / 1024:.0f} KB, {count} of them", used / count, "KB", budget=200)
    publish(60, f"{count} others")
    # The store keeps five minutes of history: each definition was written three times.
    time.sleep(360)
    table.number("the same when history has passed", (settle() - before) / (count + 60), "KB", budget=200)
