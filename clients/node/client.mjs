// The client under test: the current one, or with CLIENT=old the one before it, whose options and errors have other names.

import { randomUUID } from "node:crypto";

export const old = process.env.CLIENT === "old";
export const db = await import(old ? "@eventstore/db-client" : "@kurrent/kurrentdb-client");
const Client = old ? db.EventStoreDBClient : db.KurrentDBClient;
const scheme = old ? "esdb" : "kurrentdb";

/** A client of this server without TLS. */
export function connect(server) {
  return connectTo(`${scheme}://127.0.0.1:${server.port}?tls=false`);
}

/** A client by what follows the scheme: `//user:password@host:port?options`. */
export function connectTo(text) {
  const all = text.startsWith("//") ? `${scheme}:${text}` : text;
  return Client.connectionString([all]);
}

/** The option of an append that says what is expected of the stream. */
export function expecting(state) {
  return old ? { expectedRevision: state } : { streamState: state };
}

/** What a conflict says was expected and found. */
export function conflict(error) {
  return old ? [error.expectedVersion, error.actualVersion] : [error.expectedState, error.actualState];
}

/** Events with these types. */
export function events(...types) {
  return types.map((type, at) => db.jsonEvent({ type, data: { at }, metadata: { of: type } }));
}

/** A stream that nobody has used. */
export function fresh(category = "test") {
  return `${category}-${randomUUID().replaceAll("-", "")}`;
}

/** All that an iterator gives, at most so many. */
export async function all(iterator, most = Infinity) {
  const found = [];
  if (most === 0) return found;
  for await (const one of iterator) {
    found.push(one);
    if (found.length >= most) break;
  }
  return found;
}

export const types = (resolved) => resolved.map(({ event }) => event.type);
export const revisions = (resolved) => resolved.map(({ event }) => Number(event.revision));

/** The same promise, refused after a while, so that no test waits for ever. */
export async function soon(promise, what, seconds = 15) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when `ready` gives something true, and with it. */
export async function until(ready, what, seconds = 15) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await ready();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What a subscription gave until now, and a promise of the first `count`. */
export function collect(subscription) {
  const seen = { events: [], error: undefined, caughtUp: [], confirmed: false };
  subscription.on("data", (resolved) => seen.events.push(resolved));
  subscription.on("error", (error) => (seen.error = error));
  subscription.on("caughtUp", (info) => seen.caughtUp.push(info ?? {}));
  subscription.on("confirmation", () => (seen.confirmed = true));
  seen.first = (count) =>
    until(() => {
      if (seen.error) throw seen.error;
      return seen.events.length >= count && seen.events.slice(0, count);
    }, `${count} events (${seen.events.length} came)`);
  return seen;
}
