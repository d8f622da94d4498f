// One port for all: gRPC and HTTP/1.1, with TLS and without; what the server says it can do; and pings.

import assert from "node:assert/strict";
import { mkdtemp, readFile } from "node:fs/promises";
import { request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { all, connect, connectTo, events, fresh } from "./client.mjs";
import { serve } from "./server.mjs";
import { call, service } from "./stubs.mjs";

/** The status and the text that HTTP/1.1 gives. */
function get(url, options = {}) {
  const make = url.startsWith("https:") ? secureRequest : plainRequest;
  return new Promise((resolve, reject) => {
    const asked = make(url, { agent: false, timeout: 10_000, ...options }, (answer) => {
      let text = "";
      answer.on("data", (data) => (text += data));
      answer.on("end", () => resolve([answer.statusCode, text, answer.httpVersion]));
      answer.on("error", reject);
    });
    asked.on("timeout", () => asked.destroy(new Error(`${url}: no answer`)));
    asked.on("error", reject);
    asked.end();
  });
}

/** gRPC and HTTP/1.1, both, on the port of a server. */
async function both(client, root, options) {
  const stream = fresh();
  await client.appendToStream(stream, events("A"));
  assert.deepEqual(await get(`${root}/health/live`, options), [204, "", "1.1"]);
  assert.deepEqual(await get(`${root}/health/live?liveCode=200`, options), [200, "", "1.1"]);
  assert.equal((await get(`${root}/health/live`, { ...options, method: "HEAD" }))[0], 204);
  const [, ping] = await get(`${root}/ping`, options);
  assert.deepEqual(JSON.parse(ping), { text: "Ping request successfully handled" });
  const [, info] = await get(`${root}/info`, options);
  assert.match(JSON.parse(info).dbVersion, /^\d+\.\d+\.\d+/);
  assert.equal((await all(client.readStream(stream))).length, 1);
}

test("without TLS: gRPC with prior knowledge, and HTTP/1.1", async () => {
  const server = await serve();
  const client = connect(server);
  try {
    await both(client, `http://127.0.0.1:${server.port}`, {});
  } finally {
    await client.dispose();
    assert.equal(await server.stop(), 0);
  }
});

test("with TLS: what is agreed on for the connection", async () => {
  const ca = join(await mkdtemp(join(process.env.FACTUM_DIRECTORY ?? tmpdir(), "ca-")), "ca.pem");
  const server = await serve(["--dev", "--write-ca", ca]);
  const client = connectTo(`//admin:changeit@127.0.0.1:${server.port}?tlsCAFile=${ca}`);
  try {
    const root = `https://127.0.0.1:${server.port}`;
    await both(client, root, { ca: await readFile(ca) });
    await assert.rejects(get(`${root}/health/live`), /certificate/);
  } finally {
    await client.dispose();
    assert.equal(await server.stop(), 0);
  }
});

test("the methods that the server has are told in lower case, with their features", async () => {
  const server = await serve();
  const client = connect(server);
  try {
    const { Empty } = service("shared");
    const { ServerFeaturesClient } = service("features");
    const told = (await call(client, ServerFeaturesClient, "getSupportedMethods", new Empty())).toObject();
    assert.match(told.eventStoreServerVersion, /^\d+\.\d+\.\d+$/);
    const features = new Map(told.methodsList.map((each) => [`${each.serviceName}/${each.methodName}`, each.featuresList]));
    for (const name of features.keys()) assert.equal(name, name.toLowerCase());
    const has = (name, ...wanted) => {
      assert.ok(features.has(name), name);
      for (const each of wanted) assert.ok(features.get(name).includes(each), `${name} has ${features.get(name)}`);
    };
    has("event_store.client.streams.streams/batchappend", "deadline_duration");
    has("event_store.client.streams.streams/read", "position", "events");
    for (const method of ["create", "update", "delete", "read", "getinfo", "replayparked", "list"]) {
      has(`event_store.client.persistent_subscriptions.persistentsubscriptions/${method}`, "stream", "all");
    }
    has("kurrentdb.protocol.v2.streams.streamsservice/appendsession");
    has("kurrentdb.protocol.v2.streams.streamsservice/appendrecords");
  } finally {
    await client.dispose();
    assert.equal(await server.stop(), 0);
  }
});

test("pings, many and with no call under way, do not end the connection", async () => {
  const server = await serve();
  const client = connectTo(`//127.0.0.1:${server.port}?tls=false&keepAliveInterval=100&keepAliveTimeout=5000`);
  try {
    const stream = fresh();
    await client.appendToStream(stream, events("A"));
    const subscription = client.subscribeToStream(stream);
    let ended;
    for (const event of ["error", "end", "close"]) subscription.on(event, (error) => (ended ??= error ?? event));
    subscription.on("data", () => {});
    await sleep(2_000);
    assert.equal(ended, undefined, String(ended));
    await client.appendToStream(stream, events("B"));
    await subscription.unsubscribe();
  } finally {
    await client.dispose();
    assert.equal(await server.stop(), 0);
  }
});
