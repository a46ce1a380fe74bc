"""An API server of the tests' own: objects, versions, watches and pages by the documented API.

https://kubernetes.io/docs/reference/using-api/api-concepts/ : every change has a version; a
watch brings what came after one, with bookmarks; a history that is gone is 410; lists come in
pages whose `continue` grows too old; what is put must match the published schema, which the
official client's models carry, and unknown fields are refused. It schedules and runs nothing:
`kubernetes_cluster` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from kubernetes.aio.client.models.v1_config_map import V1ConfigMap
from kubernetes.aio.client.models.v1_job import V1Job
from kubernetes.aio.client.models.v1_node import V1Node
from kubernetes.aio.client.models.v1_pod import V1Pod
from kubernetes.aio.client.models.v1_pod_template_spec import V1PodTemplateSpec
from pydantic import ValidationError

Json = dict[str, Any]
Change = tuple[int, str, str, Json]  # version, collection, type, object
Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]

VOLCANO, TOPOLOGY = "batch.volcano.sh/v1alpha1", "topology.volcano.sh/v1alpha1"
SCHEMAS = {"jobs": V1Job, "pods": V1Pod, "nodes": V1Node, "configmaps": V1ConfigMap}
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?"
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Refused(Exception):
    """An answer that is a `Status`."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message

    @property
    def body(self) -> Json:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.status,
        }


class ApiServer:
    """The objects of one cluster. `collection` is "pods", or "jobs@group/version" of a CRD."""

    def __init__(self, groups: tuple[str, ...] = ()) -> None:
        self.groups = groups  # of installed CRDs
        self.collections: dict[str, dict[tuple[str, str], Json]] = {}
        self.version = 100
        self.history: list[Change] = []
        self.floor = 0  # watches from before it find their history gone
        self.pages: dict[str, tuple[int, list[Json]]] = {}
        self.bookmark_seconds = 0.2
        self.page_items_max = 10_000
        self.fault: Fault | None = None
        self.forbidden: set[tuple[str, str]] = set()  # verb and resource
        self.quota = ""  # refuses every creation of a job with these words
        self.requests: list[str] = []
        self.news = asyncio.Condition()
        self.url = ""
        self._streams: list[asyncio.Transport] = []

    # --- for tests and controllers ------------------------------------------------

    def of(self, collection: str) -> dict[tuple[str, str], Json]:
        return self.collections.setdefault(collection, {})

    def put(self, collection: str, document: Json, kind: str = "") -> Json:
        """Create or replace, as the server itself: a new version, and all watches hear of it."""
        metadata = document["metadata"]
        key = metadata.get("namespace", ""), metadata["name"]
        known = self.of(collection).get(key)
        document = copy.deepcopy(document)
        self.version += 1
        document["metadata"] = {
            "uid": str(uuid.uuid4()),
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **document["metadata"],
            "resourceVersion": str(self.version),
        }
        self.of(collection)[key] = document
        self._note(collection, kind or ("MODIFIED" if known else "ADDED"), document)
        return document

    def remove(self, collection: str, namespace: str, name: str) -> None:
        gone = self.of(collection).pop((namespace, name), None)
        if gone is not None:
            self.version += 1
            gone = copy.deepcopy(gone)
            gone["metadata"]["resourceVersion"] = str(self.version)
            self._note(collection, "DELETED", gone)

    def forget_history(self) -> None:
        """As etcd's compaction does."""
        self.floor = self.version
        self.history.clear()

    def streams(self) -> list[asyncio.Transport]:
        """Of the watches that are open."""
        return [each for each in self._streams if not each.is_closing()]

    def _note(self, collection: str, kind: str, document: Json) -> None:
        self.history.append((self.version, collection, kind, copy.deepcopy(document)))
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    # --- the server -----------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if self.fault is not None and (answer := await self.fault(request)) is not None:
            return answer
        try:
            return await self.answer(request)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/version":
            return web.json_response({"major": "1", "minor": "34", "gitVersion": "v1.34.1"})
        if request.path.endswith("/selfsubjectaccessreviews"):
            return web.json_response(self._reviewed(await request.json()), status=201)
        group = request.path.removeprefix("/apis/")
        if group in (*self.groups, "batch/v1"):
            return web.json_response({"kind": "APIResourceList", "groupVersion": group})
        found = _PATH.fullmatch(request.path)
        if found is None:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        parts = found.groupdict()
        group = f"{parts['group']}/{parts['version']}" if parts["group"] else ""
        if group not in ("", "batch/v1", *self.groups):
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        plural, name, namespace = parts["plural"], parts["name"] or "", parts["namespace"] or ""
        collection = f"{plural}@{group}" if group in self.groups else plural
        verb = {"GET": "get" if name else "list", "POST": "create"}.get(
            request.method, request.method.lower()
        )
        if (verb, plural) in self.forbidden:
            message = f'{plural} is forbidden: User "suan" cannot {verb} resource "{plural}"'
            raise Refused(403, "Forbidden", message)
        if request.method == "GET" and name:
            return web.json_response(self._get(collection, namespace, name))
        if request.method == "GET" and request.query.get("watch") == "true":
            return await self._watch(request, collection, namespace)
        if request.method == "GET":
            return web.json_response(self._list(request, collection, namespace))
        if request.method == "POST":
            created = self._create(collection, namespace, await request.json())
            return web.json_response(created, status=201)
        if request.method == "PUT":
            changed = self._replace(collection, namespace, name, await request.json())
            return web.json_response(changed)
        if request.method == "DELETE":
            return web.json_response(self.delete(collection, namespace, name))
        raise Refused(405, "MethodNotAllowed", "no such verb here")

    def _reviewed(self, body: Json) -> Json:
        asked = body["spec"]["resourceAttributes"]
        allowed = (asked["verb"], asked["resource"]) not in self.forbidden
        return {**body, "status": {"allowed": allowed}}

    def _get(self, collection: str, namespace: str, name: str) -> Json:
        try:
            return self.of(collection)[namespace, name]
        except KeyError:
            message = f'{collection} "{name}" not found'
            raise Refused(404, "NotFound", message) from None

    def _list(self, request: web.Request, collection: str, namespace: str) -> Json:
        query = request.query
        if token := query.get("continue"):
            version, rest = self.pages.pop(token, (0, []))
            if version < self.floor or not rest:
                raise Refused(410, "Expired", "The provided continue parameter is too old")
        else:
            version = self.version
            rest = [
                document
                for (place, _), document in sorted(self.of(collection).items())
                if namespace in ("", place) and _selected(document, query)
            ]
        limit = min(int(query.get("limit", "0")) or len(rest), self.page_items_max)
        metadata = {"resourceVersion": str(version)}
        if len(rest) > limit:
            metadata["continue"] = token = uuid.uuid4().hex
            self.pages[token] = (version, rest[limit:])
        return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": rest[:limit]}

    async def _watch(
        self, request: web.Request, collection: str, namespace: str
    ) -> web.StreamResponse:
        query = request.query
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        self._streams.append(request.transport)
        seen = int(query["resourceVersion"])
        loop = asyncio.get_running_loop()
        end = loop.time() + float(query.get("timeoutSeconds", "1800"))
        known: set[str] = {
            document["metadata"]["uid"]
            for document in self.of(collection).values()
            if int(document["metadata"]["resourceVersion"]) <= seen and _selected(document, query)
        }
        while loop.time() < end:
            if seen < self.floor:
                gone = Refused(410, "Expired", f"too old resource version: {seen} ({self.floor})")
                await _say(response, "ERROR", gone.body)
                break
            now, changes = self.version, tuple(self.history)
            for version, where, kind, document in changes:
                place = document["metadata"].get("namespace", "")
                if version <= seen or where != collection or namespace not in ("", place):
                    continue
                if event := _event(kind, document, known, query):
                    await _say(response, event, document)
            seen = now
            if not await self._changed(seen, min(self.bookmark_seconds, end - loop.time())):
                bookmark = {"metadata": {"resourceVersion": str(seen), "creationTimestamp": None}}
                if query.get("allowWatchBookmarks") == "true":
                    await _say(response, "BOOKMARK", bookmark)
        return response

    async def _changed(self, seen: int, seconds: float) -> bool:
        """Whether something happened within that time."""
        try:
            async with asyncio.timeout(seconds):
                async with self.news:
                    await self.news.wait_for(lambda: self.version > seen or seen < self.floor)
        except TimeoutError:
            return False
        return True

    def _create(self, collection: str, namespace: str, body: Json) -> Json:
        check(collection, body)
        name = body["metadata"]["name"]
        if body["metadata"].get("namespace", namespace) != namespace:
            raise Refused(400, "BadRequest", "the namespace of the object does not match")
        if (namespace, name) in self.of(collection):
            raise Refused(409, "AlreadyExists", f'{collection} "{name}" already exists')
        if self.quota:
            raise Refused(403, "Forbidden", f'{collection} "{name}" is forbidden: {self.quota}')
        return self.put(collection, body)

    def _replace(self, collection: str, namespace: str, name: str, body: Json) -> Json:
        known = self._get(collection, namespace, name)
        wanted = body["metadata"].get("resourceVersion", "")
        if wanted not in ("", known["metadata"]["resourceVersion"]):
            message = "the object has been modified; please apply your changes to the latest"
            raise Refused(409, "Conflict", message)
        return self.put(collection, body)

    def delete(self, collection: str, namespace: str, name: str) -> Json:
        document = self._get(collection, namespace, name)
        if collection == "pods" and document["spec"].get("nodeName"):
            self.let_go(document)  # kubelet takes it away
        else:
            self.remove(collection, namespace, name)
            self.orphans(document["metadata"]["uid"])
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def orphans(self, uid: str) -> None:
        """The garbage collector, in the background."""
        for (namespace, name), pod in tuple(self.of("pods").items()):
            if any(o["uid"] == uid for o in pod["metadata"].get("ownerReferences", ())):
                if pod["spec"].get("nodeName"):
                    self.let_go(pod)
                else:
                    self.remove("pods", namespace, name)

    def let_go(self, pod: Json, why: str = "") -> None:
        """Mark a pod as being deleted; a second time changes nothing."""
        if "deletionTimestamp" in pod["metadata"]:
            return
        pod = copy.deepcopy(pod)
        pod["metadata"]["deletionTimestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if why:
            condition = {"type": "DisruptionTarget", "status": "True", "reason": why}
            pod["status"].setdefault("conditions", []).append(condition)
        self.put("pods", pod)


async def _say(response: web.StreamResponse, kind: str, document: Json) -> None:
    with contextlib.suppress(ConnectionResetError):  # who watched has gone
        await response.write(json.dumps({"type": kind, "object": document}).encode() + b"\n")


def _event(kind: str, document: Json, known: set[str], query: Any) -> str:
    """What a watch with selectors says: an object may enter and leave what is selected."""
    uid = document["metadata"]["uid"]
    if kind == "DELETED" or not _selected(document, query):
        was = uid in known
        known.discard(uid)
        return "DELETED" if was else ""
    known.add(uid)
    return kind


def _selected(document: Json, query: Any) -> bool:
    labels = document["metadata"].get("labels", {})
    for term in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = term.partition("=")
        if labels.get(key) != value:
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        key, operator, value = re.split(r"(!?=)", term, maxsplit=1)
        said: Any = document
        for part in key.split("."):
            said = said.get(part, {}) if isinstance(said, dict) else {}
        if (said == value) is (operator == "!="):
            return False
    return True


# --- what a server refuses ---------------------------------------------------------------


def check(collection: str, body: Json) -> None:
    """By the published schema, strictly, and the rules of validation that concern us."""
    try:
        if collection in SCHEMAS:
            SCHEMAS[collection].model_validate(body)
        for template in templates(body):
            V1PodTemplateSpec.model_validate(template)
    except ValidationError as error:
        raise Refused(400, "BadRequest", f"strict decoding error: {error}") from error
    for why in _faults(collection, body):
        raise Refused(422, "Invalid", f"{body['kind']} is invalid: {why}")


def templates(body: Json) -> Iterator[Json]:
    spec = body.get("spec", {})
    if "template" in spec:
        yield spec["template"]
    for task in spec.get("tasks", ()):
        yield task["template"]


def _faults(collection: str, body: Json) -> Iterator[str]:
    if collection.startswith("jobs") and not _DNS_LABEL.fullmatch(body["metadata"]["name"]):
        yield "metadata.name: must be a DNS label"
    if collection == "jobs" and body["spec"].get("completionMode") == "Indexed":
        if not body["spec"].get("completions"):
            yield "spec.completions: Required value: when completion mode is Indexed"
        if len(f"{body['metadata']['name']}-{body['spec']['completions'] - 1}") > 63:
            yield "metadata.name: will not able to create pod with invalid DNS label"
    for template in templates(body):
        for part in (body, template):
            for value in part["metadata"].get("labels", {}).values():
                if not _LABEL_VALUE.fullmatch(value):
                    yield f"labels: {value!r} is no label value"
        yield from _pod_faults(template["spec"])


def _pod_faults(spec: Json) -> Iterator[str]:
    if spec.get("restartPolicy") not in ("Never", "OnFailure"):
        yield "restartPolicy: Unsupported value"
    volumes = {volume["name"] for volume in spec.get("volumes", ())}
    for container in spec["containers"]:
        paths = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
        for mount in container.get("volumeMounts", ()):
            if mount["name"] not in volumes:
                yield f"volumeMounts: {mount['name']} not found"
            if mount.get("subPath", "").startswith("/") or ".." in mount.get("subPath", ""):
                yield "subPath: must be a relative path without .."
        if len(set(paths)) < len(paths):
            yield "mountPath: must be unique"
        resources = container.get("resources", {})
        for name, count in resources.get("limits", {}).items():
            if "/" in name and resources.get("requests", {}).get(name, count) != count:
                yield f"{name}: limits and requests of extended resources must be equal"
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    for term in required.get("nodeSelectorTerms", ()):
        for requirement in term.get("matchFields", ()):
            if requirement["key"] != "metadata.name" or len(requirement["values"]) != 1:
                yield "matchFields: must have exactly one value of metadata.name"


# --- running it ----------------------------------------------------------------------------


@asynccontextmanager
async def serving(server: ApiServer) -> AsyncIterator[ApiServer]:
    """The server on a port of loopback."""
    app = web.Application(client_max_size=1 << 21)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (address,) = runner.addresses
    server.url = f"http://127.0.0.1:{address[1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


_numbers = itertools.count()


def kubeconfig(directory: Path, url: str, token: str = "secret") -> Path:
    """A file that leads to the server."""
    path = directory / f"kubeconfig-{next(_numbers)}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(document), "utf-8")
    return path
